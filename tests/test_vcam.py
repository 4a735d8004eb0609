"""Virtual camera and webcam of the kernel, in an emulated machine: ``pytest -m vcam``, minutes."""

import numpy as np
import pytest
from conftest import need
from obs_harness import obs_process
from vcam import machine

from vidstyle.live.v4l2loopback import LOAD_COMMAND

pytestmark = pytest.mark.vcam
TRIALS = (
    "colors-pyvirtualcam",
    "colors-ffmpeg",
    "order-pyvirtualcam",
    "order-ffmpeg",
    "unplugged",
    "vanished",
    "live",
)


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    need(machine.missing(), "VIDSTYLE_REQUIRE_VCAM")
    return machine.build(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def results(guest, tmp_path_factory):
    results, output = machine.boot(guest, tmp_path_factory.mktemp("guest") / "out", TRIALS)
    assert set(results) == set(TRIALS), output
    return results


@pytest.mark.parametrize("backend", ["pyvirtualcam", "ffmpeg"])
def test_guest_colors_within_three_levels(results, backend):
    assert results[f"colors-{backend}"]["worst"] <= 3, results[f"colors-{backend}"]


@pytest.mark.parametrize("backend", ["pyvirtualcam", "ffmpeg"])
def test_guest_frames_are_complete_and_in_order(results, backend):
    read = results[f"order-{backend}"]["read"]
    assert len(read) == 25 and read == list(range(read[0], read[0] + 25))


def test_guest_camera_is_found_again_by_name(results):
    unplugged = results["unplugged"]
    assert not [name for name in unplugged["cameras"] if "vidstyle" in name]
    assert unplugged["noticed"] < 3 and unplugged["back"] < 3, unplugged


def test_guest_virtual_camera_reopens_device(results):
    vanished = results["vanished"]
    assert vanished["seconds"] < 3 and np.ptp(vanished["read_after"]) > 200, vanished


def test_guest_live_command_is_a_webcam(results):
    live = results["live"]
    assert live["read"] >= 40 and live["different"] > 5 and live["contrast"] > 20, live


def test_guest_obs_virtual_camera_loop(guest, tmp_path):
    need(obs_process.missing(), "VIDSTYLE_REQUIRE_VCAM")
    results, output = machine.boot(guest, tmp_path / "out", ["obs-loop"])
    loop = results.get("obs-loop", output)
    # OBS sends BT.709, OpenCV assumes BT.601 of a camera: colours differ by some twenty levels.
    sent = [(224, 64, 32), (32, 200, 64), (224, 64, 32), (32, 200, 64)]
    assert np.abs(np.subtract(loop["seen"], sent)).max() < 40, loop


def test_guest_device_that_opens_once_is_diagnosed(guest, tmp_path):
    """The v4l2loopback of Debian 12 with ``exclusive_caps=1``."""
    results, output = machine.boot(guest, tmp_path / "out", ["opens-once"], caps=1)
    once = results.get("opens-once", output)
    assert once["sent"] == 0 and "opens only once" in once["warning"], once
    assert LOAD_COMMAND in once["warning"], once
    assert "opens only once" in once["diagnosis"][0]
