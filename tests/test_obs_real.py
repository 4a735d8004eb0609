"""A real OBS, without a screen: ``pytest -m obs``. It takes a minute."""

import json
import os
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from fractions import Fraction

import numpy as np
import pytest
from conftest import need, write_clip
from obs_room import room
from patches import middles, patches

from vidstyle import open_source
from vidstyle.live.obs import MEDIA_KIND, SCRIPT_KIND, Remote, ask_page, connect, delay

pytestmark = pytest.mark.obs
SIZE = (640, 360)


def moving_patches(time):
    """Patches of colour, with a grey field that moves over their lower end."""
    image = patches(SIZE)
    left = int(time * 200) % (SIZE[0] - 40)
    image[-40:, left : left + 40] = 90
    return image


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """OBS with our scripts, a home for both, and a clip."""
    need(room.missing(), "VIDSTYLE_REQUIRE_OBS")
    home, port = tmp_path_factory.mktemp("home"), room.free_port()
    stream = f"udp://127.0.0.1:{room.free_port()}"
    room.furnish(home, port, SIZE, f"{stream}?pkt_size=1316")
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
    studio = Studio(home, port, sent)
    studio.stream = stream
    assert studio.run("obs", "install").returncode == 0
    studio.tell_the_panel()
    with room.running(home, port), closing(Remote(f"127.0.0.1:{port}", "")) as studio.obs:
        room.wait(lambda: SCRIPT_KIND in studio.obs.ask("GetInputKindList")["inputKinds"])
        yield studio


class Studio:
    def __init__(self, home, port, sent):
        self.home, self.port, self.page = home, port, f"127.0.0.1:{room.free_port()}"
        self.sent = middles(sent)
        self.env = {**os.environ, "HOME": str(home)}
        self.env.pop("XDG_CONFIG_HOME", None)

    def run(self, *words):
        command = [sys.executable, "-m", "vidstyle", *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)

    def tell_the_panel(self):
        """Where the page is, as somebody would enter it."""
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
        """vidstyle, painting the clip or a camera, from when it is painting."""
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
            room.wait(self.paints)
            yield process
        finally:
            process.terminate()
            process.wait()

    def paints(self):
        try:
            return "fps" in ask_page(self.page, "state")
        except Exception:  # noqa: BLE001 (not yet)
            return False

    def picture(self):
        return self.obs.shot()[1]

    def columns(self):
        image = self.picture()
        return None if image is None else middles(image)


@pytest.mark.parametrize("kind", [SCRIPT_KIND, MEDIA_KIND])
def test_colours_come_through_and_the_picture_moves(studio, kind):
    with studio.live("--strength", "0"):
        assert connect(studio.obs, studio.page, kind) == kind
        room.wait(lambda: studio.columns() is not None and np.ptp(studio.columns()) > 200)
        worst = int(np.abs(studio.columns() - studio.sent).max())
        assert worst <= (0 if kind == SCRIPT_KIND else 3), studio.columns().tolist()
        first = studio.picture()
        room.wait(lambda: not np.array_equal(studio.picture(), first))


@pytest.mark.parametrize("scheme", ["udp", "tcp", "rtmp", "rtsp"])
def test_streams_come_through_in_their_colours_and_again(studio, scheme):
    """As from another machine: OBS waits for the stream."""
    port, path = room.free_port(), "" if scheme in ("udp", "tcp") else "/live/x"
    assert studio.command("connect", "--media", f"{scheme}://0.0.0.0:{port}{path}").returncode == 0
    for _ in range(2):
        with studio.live("--strength", "0", "-o", f"{scheme}://127.0.0.1:{port}{path}"):
            last = studio.picture()
            room.wait(
                lambda last=last: (
                    (image := studio.picture()) is not None and not np.array_equal(image, last)
                )
            )
            room.wait(lambda: np.ptp(studio.columns()) > 200)
            assert int(np.abs(studio.columns() - studio.sent).max()) <= 3, studio.columns().tolist()


@pytest.mark.parametrize("kind", [SCRIPT_KIND, MEDIA_KIND])
def test_pictures_are_there_soon(studio, kind):
    """How soon, ``benchmarks/obs.py`` says: here OBS, which draws in software, and the painter share two cores."""
    with studio.live("--working-size", "128"):
        connect(studio.obs, studio.page, kind)
        room.wait(lambda: studio.picture() is not None and np.ptp(studio.picture()) > 100)
        time.sleep(2)
        found = delay(studio.obs, studio.page)
        print(kind, round(1000 * found), "ms")
        assert 0 < found < 5


def test_a_hotkey_switches_the_style(studio):
    with studio.live("--working-size", "128"):
        room.wait(lambda: ask_page(studio.page, "state")["styles"][0]["weight"] == 1)
        studio.obs.ask("TriggerHotkeyByName", hotkeyName="vidstyle_next")
        room.wait(lambda: ask_page(studio.page, "state")["styles"][1]["weight"] == 1, 5)
        studio.obs.ask("TriggerHotkeyByName", hotkeyName="vidstyle_bypass")
        room.wait(lambda: ask_page(studio.page, "state")["bypass"], 5)


@pytest.mark.parametrize("kind", [SCRIPT_KIND, MEDIA_KIND])
def test_after_another_start_the_picture_is_back(studio, kind):
    with studio.live("--strength", "0"):
        connect(studio.obs, studio.page, kind)
        room.wait(lambda: studio.columns() is not None and np.ptp(studio.columns()) > 200)
    if kind == SCRIPT_KIND:  # the other one keeps its last picture
        room.wait(lambda: studio.picture() is None or np.ptp(studio.picture()) == 0)
    with studio.live("--strength", "0"):
        began, last = time.monotonic(), studio.picture()
        room.wait(
            lambda: (
                (image := studio.picture()) is not None
                and np.ptp(image) > 200
                and not np.array_equal(image, last)
            )
        )
        print(kind, "back after", round(time.monotonic() - began, 2), "s")
        assert time.monotonic() - began < 5


def test_the_commands_say_what_to_do_and_what_to_enter(studio):
    missing = studio.command("check")
    assert missing.returncode == 1 and "start `vidstyle live --obs` first" in missing.stderr
    with studio.live("--working-size", "128"):
        assert studio.command("connect").returncode == 0
        time.sleep(2)
        said = studio.command("check")
        assert said.returncode == 0 and "Sync Offset of" in said.stdout, said.stderr


def test_what_obs_shows_is_painted_and_shown_back_in_it(studio):
    """A scene goes out as a stream; the painting of it is in another scene of the same OBS."""
    obs = studio.obs
    scene = obs.ask("GetCurrentProgramScene")["currentProgramSceneName"]
    obs.ask("CreateScene", sceneName="Plain")
    red, green = (
        {"color": 0xFF2040E0, "width": SIZE[0], "height": SIZE[1]},
        {"color": 0xFF40C820},
    )  # alpha, blue, green, red
    obs.ask(
        "CreateInput",
        sceneName="Plain",
        inputName="plain",
        inputKind="color_source_v3",
        inputSettings=red,
    )
    connect(obs, studio.page, SCRIPT_KIND)
    obs.ask("SetCurrentProgramScene", sceneName="Plain")
    obs.ask("StartRecord")

    def shows(colour):
        return (found := studio.columns()) is not None and np.abs(
            found - colour
        ).max() <= 6  # through H.264 at 4 Mbit/s

    try:
        with studio.live("--strength", "0", camera=studio.stream):
            room.wait(lambda: shows((224, 64, 32)))
            obs.ask("SetInputSettings", inputName="plain", inputSettings=green)
            room.wait(lambda: shows((32, 200, 64)))
    finally:
        obs.ask("StopRecord")
        obs.ask("SetCurrentProgramScene", sceneName=scene)
