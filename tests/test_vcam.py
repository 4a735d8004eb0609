"""A virtual camera and a webcam as the kernel makes them, in an emulated machine. Takes minutes: ``pytest -m vcam``."""

import numpy as np
import pytest
from conftest import need
from obs_room import room
from vcam import machine

from vidstyle.live.v4l2loopback import LOAD

pytestmark = pytest.mark.vcam
TRIALS = (
    "colours-pyvirtualcam",
    "colours-ffmpeg",
    "order-pyvirtualcam",
    "order-ffmpeg",
    "unplugged",
    "vanished",
    "live",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    need(machine.missing(), "VIDSTYLE_REQUIRE_VCAM")
    return machine.build(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def found(made, tmp_path_factory):
    found, said = machine.boot(made, tmp_path_factory.mktemp("guest") / "out", TRIALS)
    assert set(found) == set(TRIALS), said
    return found


@pytest.mark.parametrize("way_in", ["pyvirtualcam", "ffmpeg"])
def test_colours_come_back_within_three_levels(found, way_in):
    assert found[f"colours-{way_in}"]["worst"] <= 3, found[f"colours-{way_in}"]


@pytest.mark.parametrize("way_in", ["pyvirtualcam", "ffmpeg"])
def test_no_picture_is_lost_or_comes_out_of_order(found, way_in):
    read = found[f"order-{way_in}"]["read"]
    assert len(read) == 25 and read == list(range(read[0], read[0] + 25))


def test_a_webcam_that_is_unplugged_is_found_again_by_its_name(found):
    unplugged = found["unplugged"]
    assert not [
        name for name in unplugged["cameras"] if "vidstyle" in name
    ]  # our own is none to be painted
    assert unplugged["noticed"] < 3 and unplugged["back"] < 3, unplugged


def test_a_device_that_is_removed_and_comes_back_is_fed_again(found):
    vanished = found["vanished"]
    assert vanished["seconds"] < 3 and np.ptp(vanished["read_after"]) > 200, vanished


def test_the_command_is_a_webcam_for_others(found):
    live = found["live"]
    assert live["read"] >= 40 and live["different"] > 5 and live["contrast"] > 20, live


def test_obs_own_virtual_camera_is_painted_and_shown_back_in_the_same_obs(made, tmp_path):
    need(room.missing(), "VIDSTYLE_REQUIRE_VCAM")
    found, said = machine.boot(made, tmp_path / "out", ["obs-loop"])
    loop = found.get("obs-loop", said)
    # OBS sends the matrix of HD, OpenCV takes a camera's for that of SD: colours are off by some twenty levels.
    sent = [(224, 64, 32), (32, 200, 64), (224, 64, 32), (32, 200, 64)]
    assert np.abs(np.subtract(loop["seen"], sent)).max() < 40, loop


def test_a_device_that_opens_only_once_is_told_of(made, tmp_path):
    """Debian 12's v4l2loopback with ``exclusive_caps=1``."""
    found, said = machine.boot(made, tmp_path / "out", ["opens-once"], caps=1)
    once = found.get("opens-once", said)
    assert once["sent"] == 0 and "opens once only" in once["said"] and LOAD in once["said"], once
    assert "opens once only" in once["routes"][0]
