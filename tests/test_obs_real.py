"""OBS itself, under Xvfb: ``pytest -m obs``. It takes a minute."""

import json
import os
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from fractions import Fraction

import numpy as np
import pytest
from color_patches import color_patches, column_centers
from conftest import need, write_clip
from obs_harness import obs_process

from vidstyle import open_source
from vidstyle.live.obs import (
    MEDIA_KIND,
    SCRIPT_KIND,
    SOURCE,
    connect_source,
    measure_delay,
    request_page,
)
from vidstyle.live.obs_client import ObsClient

pytestmark = pytest.mark.obs
SIZE = (640, 360)


def moving_patches(time):
    """Colour patches, with a grey square that moves along their lower end."""
    image = color_patches(SIZE)
    left = int(time * 200) % (SIZE[0] - 40)
    image[-40:, left : left + 40] = 90
    return image


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """OBS with the scripts, a home directory, and a clip."""
    need(obs_process.missing(), "VIDSTYLE_REQUIRE_OBS")
    home, port = tmp_path_factory.mktemp("home"), obs_process.free_port()
    stream = f"udp://127.0.0.1:{obs_process.free_port()}"
    obs_process.write_config(home, port, SIZE, f"{stream}?pkt_size=1316")
    write_clip(
        home / "clip.mkv",
        count=60,
        rate=Fraction(30),
        size=SIZE,
        picture=moving_patches,
        codec="ffv1",
    )
    with open_source(home / "clip.mkv") as source:
        sent = next(iter(source)).image
    rig = ObsRig(home, port, sent)
    rig.stream = stream
    assert rig.run("obs", "install").returncode == 0
    rig.configure_panel()
    with obs_process.running(home, port), closing(ObsClient(f"127.0.0.1:{port}", "")) as rig.obs:
        obs_process.wait_until(
            lambda: SCRIPT_KIND in rig.obs.request("GetInputKindList")["inputKinds"]
        )
        yield rig


class ObsRig:
    def __init__(self, home, port, sent):
        self.home, self.port, self.page = home, port, f"127.0.0.1:{obs_process.free_port()}"
        self.sent = column_centers(sent)
        self.env = {**os.environ, "HOME": str(home)}
        self.env.pop("XDG_CONFIG_HOME", None)

    def run(self, *words):
        command = [sys.executable, "-m", "vidstyle", *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)

    def configure_panel(self):
        """Enter the page's address into the panel's settings."""
        file = self.home / ".config/obs-studio/basic/scenes/Untitled.json"
        scene = json.loads(file.read_text())
        for script in scene["modules"]["scripts-tool"]:
            script["settings"]["address"] = self.page
        file.write_text(json.dumps(scene))

    def command(self, what, *flags):
        return self.run(
            "obs", what, "--address", f"127.0.0.1:{self.port}", "--page", self.page, *flags
        )

    @contextmanager
    def live(self, *flags, camera=None):
        """Run vidstyle with the clip or a camera; yield when the first frame is stylised."""
        words = [
            "live",
            "strokes",
            "ink",
            "--camera",
            camera or str(self.home / "clip.mkv"),
            "--no-window",
            "--obs",
        ]
        words += ["--loop", "--web", self.page]
        process = subprocess.Popen(
            [sys.executable, "-m", "vidstyle", *words, *flags],
            env=self.env,
            stderr=subprocess.DEVNULL,
        )
        try:
            obs_process.wait_until(self.is_running)
            yield process
        finally:
            process.terminate()
            process.wait()

    def is_running(self):
        try:
            return "fps" in request_page(self.page, "state")
        except Exception:  # noqa: BLE001 (vidstyle is starting)
            return False

    def image(self):
        return self.obs.screenshot(SOURCE)[1]

    def columns(self):
        image = self.image()
        return None if image is None else column_centers(image)


@pytest.mark.parametrize("kind", [SCRIPT_KIND, MEDIA_KIND])
def test_obs_shows_exact_colors_and_new_frames(rig, kind):
    with rig.live("--strength", "0"):
        assert connect_source(rig.obs, rig.page, kind) == kind
        obs_process.wait_until(lambda: rig.columns() is not None and np.ptp(rig.columns()) > 200)
        worst = int(np.abs(rig.columns() - rig.sent).max())
        assert worst <= (0 if kind == SCRIPT_KIND else 3), rig.columns().tolist()
        first = rig.image()
        obs_process.wait_until(lambda: not np.array_equal(rig.image(), first))


@pytest.mark.parametrize("scheme", ["udp", "tcp", "rtmp", "rtsp"])
def test_obs_shows_streams_and_reconnects(rig, scheme):
    """OBS waits for the stream, as from another machine."""
    port, path = obs_process.free_port(), "" if scheme in ("udp", "tcp") else "/live/x"
    assert rig.command("connect", "--media", f"{scheme}://0.0.0.0:{port}{path}").returncode == 0
    for _ in range(2):
        with rig.live("--strength", "0", "-o", f"{scheme}://127.0.0.1:{port}{path}"):
            last = rig.image()
            obs_process.wait_until(
                lambda last=last: (
                    (image := rig.image()) is not None and not np.array_equal(image, last)
                )
            )
            obs_process.wait_until(lambda: np.ptp(rig.columns()) > 200)
            assert int(np.abs(rig.columns() - rig.sent).max()) <= 3, rig.columns().tolist()


@pytest.mark.parametrize("kind", [SCRIPT_KIND, MEDIA_KIND])
def test_obs_delay_is_measured(rig, kind):
    """``benchmarks/obs.py`` measures the delay; here OBS and vidstyle share the machine."""
    with rig.live("--working-size", "128"):
        connect_source(rig.obs, rig.page, kind)
        obs_process.wait_until(lambda: rig.image() is not None and np.ptp(rig.image()) > 100)
        time.sleep(2)
        found = measure_delay(rig.obs, rig.page)
        print(kind, round(1000 * found), "ms")
        assert 0 < found < 5


def test_obs_hotkey_selects_style(rig):
    with rig.live("--working-size", "128"):
        obs_process.wait_until(lambda: request_page(rig.page, "state")["styles"][0]["weight"] == 1)
        rig.obs.request("TriggerHotkeyByName", hotkeyName="vidstyle_next")
        obs_process.wait_until(
            lambda: request_page(rig.page, "state")["styles"][1]["weight"] == 1, 5
        )
        rig.obs.request("TriggerHotkeyByName", hotkeyName="vidstyle_bypass")
        obs_process.wait_until(lambda: request_page(rig.page, "state")["bypass"], 5)


@pytest.mark.parametrize("kind", [SCRIPT_KIND, MEDIA_KIND])
def test_obs_source_reconnects_after_restart(rig, kind):
    with rig.live("--strength", "0"):
        connect_source(rig.obs, rig.page, kind)
        obs_process.wait_until(lambda: rig.columns() is not None and np.ptp(rig.columns()) > 200)
    if kind == SCRIPT_KIND:  # a Media Source keeps its last frame
        obs_process.wait_until(lambda: rig.image() is None or np.ptp(rig.image()) == 0)
    with rig.live("--strength", "0"):
        began, last = time.monotonic(), rig.image()
        obs_process.wait_until(
            lambda: (
                (image := rig.image()) is not None
                and np.ptp(image) > 200
                and not np.array_equal(image, last)
            )
        )
        print(kind, "back after", round(time.monotonic() - began, 2), "s")
        assert time.monotonic() - began < 5


def test_obs_commands_report(rig):
    missing = rig.command("check")
    assert missing.returncode == 1 and "start `vidstyle live --obs` first" in missing.stderr
    with rig.live("--working-size", "128"):
        assert rig.command("connect").returncode == 0
        time.sleep(2)
        result = rig.command("check")
        assert result.returncode == 0 and "Sync Offset of" in result.stdout, result.stderr


def test_obs_scene_loop(rig):
    """OBS streams a scene; another scene of the same OBS shows its stylised frames."""
    obs = rig.obs
    scene = obs.request("GetCurrentProgramScene")["currentProgramSceneName"]
    obs.request("CreateScene", sceneName="Plain")
    # Colours as OBS writes them: alpha, blue, green, red.
    red = {"color": 0xFF2040E0, "width": SIZE[0], "height": SIZE[1]}
    green = {"color": 0xFF40C820}
    obs.request(
        "CreateInput",
        sceneName="Plain",
        inputName="plain",
        inputKind="color_source_v3",
        inputSettings=red,
    )
    connect_source(obs, rig.page, SCRIPT_KIND)
    obs.request("SetCurrentProgramScene", sceneName="Plain")
    obs.request("StartRecord")

    def shows(color):
        found = rig.columns()
        # Six levels: H.264 at 4 Mbit/s.
        return found is not None and np.abs(found - color).max() <= 6

    try:
        with rig.live("--strength", "0", camera=rig.stream):
            obs_process.wait_until(lambda: shows((224, 64, 32)))
            obs.request("SetInputSettings", inputName="plain", inputSettings=green)
            obs_process.wait_until(lambda: shows((32, 200, 64)))
    finally:
        obs.request("StopRecord")
        obs.request("SetCurrentProgramScene", sceneName=scene)
