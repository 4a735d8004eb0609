"""A live session: the newest frame only, keys, styles that turn into each other, recording, keeping up."""

import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import FAST_SETTINGS, scene, stripes, times_of, until, write_clip
from test_pipeline import Clip, Collector, Painter

from vidstyle import (
    PRESETS,
    DeviceError,
    Frame,
    OutputError,
    Report,
    Settings,
    Style,
    Stylizer,
    VideoInfo,
    cli,
    run,
)
from vidstyle.cli.flags import LIVE_DEFAULTS
from vidstyle.io.direct_writer import DirectWriter
from vidstyle.live.camera import PacedFile
from vidstyle.live.rate_control import GROWTH_SECONDS, LATE, LEAST_PAINT_PX, FrameRateController
from vidstyle.live.recorder import Recorder
from vidstyle.live.session import HELP, Session, live
from vidstyle.live.slate import slate
from vidstyle.live.startup import FIRST_STEPS, LiveOptions, SessionClosed, preview_while_loading
from vidstyle.live.window import DisplayCheck, Window, with_text
from vidstyle.runtime.worker import Worker

QUICK = Settings(working_size=64, initial_steps=2, steps=1, **FAST_SETTINGS)


class Window_:  # noqa: N801
    """A window that notes what it shows, and in which somebody presses keys."""

    def __init__(self, keys=()):
        self.keys, self.shown, self.closed = list(keys), [], False

    def show(self, image, lines=()):
        self.shown.append((image.copy(), list(lines)))

    def key(self):
        return self.keys.pop(0) if self.keys else None

    def close(self):
        self.closed = True


class Screen_:  # noqa: N801
    """A screen that notes what it shows."""

    def __init__(self):
        self.shown = []

    def open(self, session):
        pass

    def show(self, image):
        self.shown.append(image)

    def close(self):
        pass


class LiveClip(Clip):
    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.format = replace(self.format, live=True)


def test_a_slow_painter_gets_the_newest_frame_and_none_twice():
    collector, painter = Collector(), Painter(pause=0.05)
    report = run(LiveClip(40, pause=0.01), painter, [collector])
    times = [frame.time for frame in collector.frames]
    assert times == sorted(set(times))
    assert report.frames == len(times) < 40 and report.dropped >= 20
    assert report.frames + report.dropped == 40


def test_controls_are_asked_while_a_live_source_lets_wait():
    asked = []
    run(
        LiveClip(3, pause=0.1),
        Painter(),
        [Collector()],
        lambda stylizer, report: asked.append(report.frames),
    )
    assert asked.count(1) > 2


@pytest.fixture
def camera(tmp_path):
    with PacedFile(
        write_clip(tmp_path / "clip.mp4", count=50, rate=Fraction(50)), loop=True
    ) as source:
        yield source


@pytest.fixture
def styles(features, style):
    return [("stripes", style), ("scene", Style.from_images([scene()], features))]


@pytest.fixture
def session(camera, features, styles, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    window = Window_()
    stylizer = Stylizer(features, styles[0][1], QUICK)
    return (
        Session(LiveOptions(fade_seconds=0.0), camera, stylizer, styles, window),
        stylizer,
        window,
    )


def painted(session, stylizer, number=1):
    """One more frame, painted and shown."""
    frame = Frame(scene(number / 25), Fraction(number, 25))
    report = Report(number, source=frame, frame=stylizer(frame), iterations=stylizer.iterations)
    session(stylizer, report)
    return report


def test_session_shows_a_slate_while_its_camera_gives_no_picture(session, monkeypatch):
    session, stylizer, window = session
    report, screen = painted(session, stylizer, 1), Screen_()
    session._screens = [screen]
    assert session.camera_status == "ok" and 0 <= session.seconds_since_frame < 60
    monkeypatch.setattr(type(session._source), "status", "lost")
    shown = len(window.shown)
    session(stylizer, report)  # as while it waits for a frame
    session(stylizer, report)
    assert len(window.shown) == shown + 1  # now and then, not all the time
    image, lines = window.shown[-1]
    seconds = session.seconds_since_frame
    assert np.array_equal(image, slate((64, 48), "lost", seconds)) and np.array_equal(
        screen.shown[-1], image
    )
    assert "camera lost" in lines and session.camera_status == "lost"
    monkeypatch.setattr(type(session._source), "status", "ok")
    report = painted(session, stylizer, 2)
    assert np.array_equal(window.shown[-1][0], report.frame.image)


def test_rate_goes_down_while_no_frame_comes(session):
    session, _, _ = session
    session.shown.extend(
        (time.monotonic() - 10 + number / 10, 0.0) for number in range(11)
    )  # the last one 9 s ago
    assert session.rate() == pytest.approx(10 / 9.8, abs=0.1)


def test_keys_switch_the_style_between_two_frames(session):
    session, stylizer, _ = session
    painted(session, stylizer, 1)
    session.press("n")
    painted(session, stylizer, 2)
    assert stylizer.style is session.steering.styles[1][1]
    session.press("n")
    painted(session, stylizer, 3)
    assert stylizer.style is session.steering.styles[0][1]
    session.press("p")
    painted(session, stylizer, 4)
    assert stylizer.style is session.steering.styles[1][1]


def test_a_style_fades_into_the_next_without_being_looked_at_again(session, monkeypatch):
    session, stylizer, _ = session
    session.steering.fade_seconds = 10.0
    painted(session, stylizer, 1)
    session.steering.styles[1][1].grams(64, stylizer.features.style_layers)
    monkeypatch.setattr(
        "vidstyle.stylizer.style.gram",
        lambda *given: pytest.fail("a style picture was looked at again"),
    )
    session.press("n")
    session.steering._faded -= 2.5  # a quarter is over
    painted(session, stylizer, 2)
    assert stylizer.style.weights == pytest.approx((0.75, 0.25), abs=0.05)


def test_keys_change_what_is_shown(session):
    session, stylizer, window = session
    painted(session, stylizer, 1)
    assert window.shown[-1][1][0].endswith("steps  stripes")
    session.press("h")
    painted(session, stylizer, 2)
    assert window.shown[-1][1] == list(HELP)
    session.press("h")
    session.press("c")
    report = painted(session, stylizer, 3)
    image = window.shown[-1][0]
    assert image.shape == (48, 128, 3) and np.array_equal(image[:, :64], report.source.image)
    stylizer.settings = replace(stylizer.settings, size=96)  # a painting larger than its source
    painted(session, stylizer, 4)
    assert window.shown[-1][0].shape == (72, 192, 3)
    stylizer.settings = replace(stylizer.settings, size=None)
    painted(session, stylizer, 5)
    image = window.shown[-1][0]
    session.press("f")
    painted(session, stylizer, 20)
    assert np.array_equal(window.shown[-1][0], image) and "frozen" in window.shown[-1][1]


def test_keys_change_settings_within_their_limits(session):
    session, stylizer, _ = session
    for _ in range(15):
        session.press("-")
        session.press("]")
    assert stylizer.settings.strength == 0 and stylizer.settings.style_scale == 10
    for _ in range(30):
        session.press("=")
        session.press("[")
    session.press("o")
    assert (
        stylizer.settings.strength == 1
        and stylizer.settings.style_scale == 0.1
        and stylizer.settings.original_colors
    )
    session.press("m")
    assert session._source.mirror
    session.press("x")  # no such key


@pytest.mark.parametrize("key", ["q", "escape", "close"])
def test_some_keys_end_it(session, key):
    session, stylizer, window = session
    window.keys = [key]
    with pytest.raises(SessionClosed):
        session(stylizer, Report())


def test_a_snapshot_and_a_recording_are_files(session, tmp_path):
    session, stylizer, window = session
    report = painted(session, stylizer, 1)
    session.press("s")
    (snapshot,) = tmp_path.glob("vidstyle-*.png")
    assert np.array_equal(cv2.imread(str(snapshot))[..., ::-1], report.frame.image)
    session.press("r")
    for number in (2, 3, 5):
        session.recorder.send(painted(session, stylizer, number).frame)
    assert "recording" in window.shown[-1][1]
    session.press("r")
    session.recorder.close()
    (recording,) = tmp_path.glob("vidstyle-*.mp4")
    assert times_of(recording) == [Fraction(0), Fraction(1, 25), Fraction(3, 25)]
    session.close()
    assert window.closed


def test_steps_are_what_the_clock_allows(features, style):
    stylizer = Stylizer(features, style, replace(QUICK, steps=2))
    pace, report = FrameRateController(10, 8), Report(5, frame=Frame(scene(size=(320, 240))))
    for seconds, expected in ((0.02, 3), (0.02, 4), (0.15, 3), (0.15, 2), (0.001, 3)):
        report.iterations = [None] * stylizer.settings.steps
        report.seconds["paint"] += seconds
        pace.adjust(stylizer, report)
        assert stylizer.settings.steps == expected
    pace.most_steps = 2
    pace.adjust(stylizer, report)
    assert stylizer.settings.steps == 2


@pytest.mark.parametrize("fps, seconds", [(30, 0.45), (1, 2.5), (10, 0.2)])
def test_pace_shrinks_the_painting_after_seconds_not_frames(features, style, fps, seconds):
    stylizer = Stylizer(features, style, replace(QUICK, working_size=512))
    pace, report = (
        FrameRateController(fps, 8),
        Report(frame=Frame(scene(size=(640, 480))), iterations=[None]),
    )
    while stylizer.settings.working_size == 512:
        report.frames += 1
        report.seconds["paint"] += seconds
        pace.adjust(stylizer, report)
    assert report.frames == 2 and stylizer.settings.working_size == max(
        LEAST_PAINT_PX, round(512 * (0.8 / fps / seconds) ** 0.5)
    )


def test_pace_waits_with_shrinking_while_late_frames_are_few_and_lets_the_painting_grow_again(
    features, style
):
    stylizer = Stylizer(features, style, replace(QUICK, working_size=200))
    pace, report = (
        FrameRateController(10, 8),
        Report(5, frame=Frame(scene(size=(320, 240))), iterations=[None]),
    )

    def paint(seconds):
        report.seconds["paint"] += seconds
        pace.adjust(stylizer, report)
        return stylizer.settings.working_size

    for _ in range(20):
        assert paint(0.4) == 200 and paint(0.05) == 200  # one slow frame now and then
    late = 0
    while paint(0.1 * LATE + 0.01) == 200:
        late += 1
    assert late < 5 and stylizer.settings.working_size == 160 and "160 px" in pace.said
    while paint(0.2) == 160:
        pass
    assert stylizer.settings.working_size == LEAST_PAINT_PX > 160 * (0.08 / 0.2) ** 0.5
    sizes = [paint(0.01) for _ in range(round(12 * GROWTH_SECONDS * 10))]  # and quick again
    assert sizes == sorted(sizes) and sizes[-1] == 200 and not pace.said


def test_pace_counts_a_slow_camera_as_no_lateness(session, monkeypatch):
    session, stylizer, _ = session
    for rate, expected in ((15.0, 15.0), (60.0, 30.0), (None, 30.0)):
        monkeypatch.setattr(type(session._source), "rate", rate)
        painted(session, stylizer, session._seen + 1)
        assert session._pace.fps == expected


def test_show_says_how_many_steps_there_may_be(camera, features, styles):
    stylizer = Stylizer(features, styles[0][1], QUICK)
    session = Session(LiveOptions(most_steps=3), camera, stylizer, styles)
    assert session.state["settings"]["steps"] == 3
    with pytest.raises(ValueError, match="steps is 0"):
        LiveOptions(most_steps=0)


def recording_frames(count, rate=10):
    return [
        Frame(scene(number / rate), Fraction(number, rate), Fraction(1, rate))
        for number in range(count)
    ]


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm", ".gif"])
def test_a_recorder_writes_only_while_it_is_told_to(tmp_path, ending):
    recorder, path = (
        Recorder(VideoInfo((64, 48), time_base=Fraction(1, 100))),
        tmp_path / f"out{ending}",
    )
    frames = recording_frames(6)
    recorder.send(frames[0])
    recorder.start(path)
    for frame in frames[2:5]:
        recorder.send(frame)
    recorder.close()
    recorder.send(frames[5])
    recorder.close()
    assert times_of(path) == [Fraction(number, 10) for number in range(3)]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_recorder_finishes_a_file_in_a_thread_while_the_next_one_begins(tmp_path, monkeypatch):
    finish, told, go_on = DirectWriter.close, [], threading.Event()
    monkeypatch.setattr(DirectWriter, "close", lambda self: go_on.wait(30) and finish(self))
    monkeypatch.setattr("vidstyle.live.recorder.SAY_SECONDS", 0.01)
    recorder = Recorder(
        VideoInfo((64, 48), time_base=Fraction(1, 100)), tell=lambda text, error: told.append(text)
    )
    for name in ("first.mp4", "second.mp4"):
        recorder.start(tmp_path / name)
        assert recorder.running
        for frame in recording_frames(3):
            recorder.send(frame)
        recorder.stop()
        assert not recorder.running and not (tmp_path / name).exists()
    closing = Worker(lambda stage: recorder.close(), "closing")
    until(lambda: "a recording is being finished" in told)
    go_on.set()
    closing.join(20)
    for name in ("first.mp4", "second.mp4"):
        assert len(times_of(tmp_path / name)) == 3 and f"recorded: {tmp_path / name}" in told


def test_recording_that_cannot_be_written_ends_alone(tmp_path, monkeypatch):
    def fails(self, frame):
        raise OutputError("cannot write out.mp4: free some space")

    told = []
    recorder = Recorder(
        VideoInfo((64, 48), time_base=Fraction(1, 100)),
        tell=lambda text, error: told.append((text, error)),
    )
    recorder.start(tmp_path / "out.mp4")
    monkeypatch.setattr(DirectWriter, "send", fails)
    for frame in recording_frames(2):
        recorder.send(frame)
    assert not recorder.running and told[1] == ("cannot write out.mp4: free some space", True)
    with pytest.raises(OutputError, match="free some space"):
        recorder.close()
    for name, reason in (
        ("out.txt", "end its name in .mp4"),
        ("nowhere/out.mp4", "does not exist"),
    ):
        with pytest.raises(OutputError, match=reason):
            recorder.start(tmp_path / name)


def test_two_recordings_with_one_name_destroy_nothing(tmp_path):
    path, frames = tmp_path / "out.mp4", recording_frames(4)
    first, second = (Recorder(VideoInfo((64, 48), time_base=Fraction(1, 100))) for _ in range(2))
    first.start(path)
    with pytest.raises(OutputError, match=r"out.mp4 is being written by another program"):
        second.start(path)
    for frame in frames:
        first.send(frame)
        second.send(frame)
    for recorder in (first, second):
        recorder.close()
    assert len(times_of(path)) == 4 and list(tmp_path.iterdir()) == [path]


KILLED = """
import os, sys, time
from fractions import Fraction
from pathlib import Path
import numpy as np
from vidstyle.live.recorder import Recorder
from vidstyle.io.stream_info import VideoInfo
from vidstyle.io.frame import Frame
recorders = [Recorder(VideoInfo((64, 48), time_base=Fraction(1, 100))) for _ in sys.argv[1:]]
for recorder, name in zip(recorders, sys.argv[1:]):
    recorder.start(Path(name))
    for number in range(60):
        recorder.send(Frame(np.full((48, 64, 3), 4 * number, np.uint8), Fraction(number, 10)))
os.kill(os.getpid(), 9)
"""


def test_killed_recording_lacks_two_seconds_at_most_and_is_kept(tmp_path, caplog):
    paths, parts = (
        [tmp_path / f"out{middle}{ending}" for ending in (".mp4", ".mkv", ".webm")]
        for middle in ("", ".part")
    )
    assert (
        subprocess.run([sys.executable, "-c", KILLED, *map(str, paths)], check=False).returncode
        == -9
    )
    for path, part in zip(paths, parts, strict=True):
        assert times_of(part)[-1] >= Fraction(59, 10) - 2
        before = part.read_bytes()
        recorder = Recorder(VideoInfo((64, 48), time_base=Fraction(1, 100)))
        recorder.start(path, overwrite=True)
        assert (
            f"{part} is left of a recording that was broken off, and can be played" in caplog.text
        )
        for frame in recording_frames(3):
            recorder.send(frame)
        recorder.close()
        assert len(times_of(path)) == 3 and part.read_bytes() == before


def test_a_session_runs_from_the_camera_to_the_window(camera, features, styles):
    window, stylizer = Window_(), Stylizer(features, styles[0][1], QUICK)
    session = Session(LiveOptions(fps=20, seconds=1.5), camera, stylizer, styles, window)
    live(session, camera, stylizer)
    assert len(window.shown) > 3 and window.closed and session.latency() > 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vidstyle")]


@pytest.mark.parametrize(
    "display, wayland", [("", ""), (":4711", ""), ("nohost.invalid:0", ""), ("", "wayland-0")]
)
def test_window_on_a_display_that_refuses_is_one_line_with_a_remedy(
    monkeypatch, display, wayland, capfd
):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("WAYLAND_DISPLAY", wayland)
    with pytest.raises(DeviceError, match="--no-window") as caught:
        Window()
    assert display in str(caught.value) and capfd.readouterr().err == ""


def test_display_check_does_not_wait_for_a_display_that_never_answers(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":4712")
    monkeypatch.setattr("vidstyle.live.window.OPEN_WINDOW", "import time; time.sleep(60)")
    monkeypatch.setattr("vidstyle.live.window.DISPLAY_SECONDS", 0.05)
    check = DisplayCheck()
    with pytest.raises(DeviceError, match="display :4712 cannot be reached"):
        check.wait()
    assert check._process.returncode is not None


@pytest.fixture
def opencv_window(monkeypatch):
    """OpenCV's window as far as it is used here. After its name is taken from ``there`` OpenCV raises, as version 5 does."""
    there = set()

    def visible(title, what):
        if title not in there:
            raise cv2.error("NULL window")
        return 1.0

    monkeypatch.setattr("sys.platform", "darwin")  # no display is looked for
    monkeypatch.setattr(cv2, "namedWindow", lambda title, flags: there.add(title))
    monkeypatch.setattr(cv2, "resizeWindow", lambda title, *size: visible(title, 0))
    monkeypatch.setattr(cv2, "imshow", lambda title, image: there.add(title))
    monkeypatch.setattr(cv2, "getWindowProperty", visible)
    monkeypatch.setattr(cv2, "pollKey", lambda: -1)
    monkeypatch.setattr(cv2, "destroyAllWindows", there.clear)
    return there


def test_window_closed_by_its_button_ends_the_show(opencv_window):
    window = Window()
    window.show(scene())
    assert window.key() is None
    opencv_window.clear()
    assert window.key() == "close"
    window.show(scene(size=(80, 60)))
    assert not opencv_window and window.key() == "close"
    window.close()


def test_text_can_be_read_on_any_ground():
    for level in (0, 128, 255):
        drawn = with_text(np.full((60, 200, 3), level, np.uint8), ["12.0 fps"])
        assert np.ptp(drawn) > 100


def test_the_command_plays_a_clip_records_and_ends(tmp_path, monkeypatch, capsys, features_file):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=25, rate=Fraction(25))
    cv2.imwrite("stripes.png", stripes()[..., ::-1])
    flags = [
        "--features",
        str(features_file),
        "--working-size",
        "64",
        "--no-window",
        "--device",
        "cpu",
    ]
    began = time.monotonic()
    assert cli.main(["live", "stripes.png", "--camera", "clip.mp4", "-o", "out.mp4", *flags]) == 0
    assert time.monotonic() - began < 30
    err = capsys.readouterr().err
    assert "frames per second" in err and f"recorded: {tmp_path / 'out.mp4'}" in err
    times = times_of("out.mp4")
    assert len(times) > 2 and times == sorted(set(times)) and times[-1] < 1
    for arguments, code, reason in (
        (["stripes.png", "--camera", "clip.mp4", "-o", "out.mp4"], 1, "add -y"),
        (
            ["stripes.png", "--camera", "nothing.mp4", "-o", "b.mp4"],
            1,
            "camera nothing.mp4 cannot be opened",
        ),
        (["nothing.png", "--camera", "clip.mp4", "-o", "b.mp4"], 1, "nothing.png does not exist"),
        (["stripes.png", "--fps", "0", "-o", "b.mp4"], 2, "fps is 0"),
        (["stripes.png", "--steps", "500", "-o", "b.mp4"], 2, "steps is 500"),
        (["stripes.png", "-o", "b.txt"], 1, "b.txt is no file for a recording"),
        (
            ["stripes.png", "--camera", "clip.mp4"],
            2,
            "--no-window leaves nobody to paint for: add -o, --web",
        ),
        (
            ["stripes.png", "--camera", "@nothing.txt", "-o", "b.mp4"],
            1,
            "@nothing.txt cannot be read",
        ),
    ):
        try:
            found = cli.main(["live", *arguments, *flags])
        except SystemExit as leaving:
            found = leaving.code
        err = capsys.readouterr().err
        assert found == code and reason in err and "Traceback" not in err
    assert Path("out.mp4").exists()


def test_help_shows_what_live_does_by_default(capsys):
    assert (
        LIVE_DEFAULTS["initial_steps"] == str(FIRST_STEPS)
        and f"{LiveOptions().most_steps} at most" in LIVE_DEFAULTS["steps"]
    )
    with pytest.raises(SystemExit):
        cli.main(["live", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    for knob in fields(Settings):
        value, text = getattr(PRESETS["draft"], knob.name), " ".join(knob.metadata["help"].split())
        shown = LIVE_DEFAULTS.get(
            knob.name, f"{value:g}" if isinstance(value, (int, float)) else ""
        )
        if shown and not isinstance(value, bool):
            assert f"{text} (default: {shown})" in words


def test_without_a_style_those_that_come_with_it_are_on(
    tmp_path, monkeypatch, capsys, features_file
):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=10, rate=Fraction(25))
    monkeypatch.setattr(
        "vidstyle.live.session.live",
        lambda session, *given: print([name for name, _ in session.steering.styles]),
    )
    for arguments, expected in (
        ([], ["dots", "engraving", "glass", "ink", "mosaic", "paper", "strokes", "watercolor"]),
        (["ink", "dots"], ["ink", "dots"]),
    ):
        flags = ["--features", str(features_file), "--no-window", "-o", f"{len(arguments)}.mp4"]
        flags += ["--device", "cpu", "--camera", "clip.mp4"]
        assert cli.main(["live", *arguments, *flags]) == 0
        assert capsys.readouterr().out.strip() == str(expected)


def test_the_camera_shows_while_the_painter_gets_ready(camera):
    window, there = Window_(), threading.Event()

    def prepare():
        assert there.wait(20)
        return "ready"

    def show(image, lines=()):
        window.shown.append((image, lines))
        if len(window.shown) == 3:
            there.set()

    stand_in = type("Shown", (), {"show": staticmethod(show), "key": staticmethod(lambda: None)})
    assert preview_while_loading(camera, stand_in, prepare) == "ready"
    assert window.shown[0][1] == ["getting ready to paint"]
    first = camera.began + float(next(iter(camera)).time)
    assert first > camera.began  # it goes on, and does not begin again
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vidstyle")]


def test_what_goes_wrong_meanwhile_is_raised(camera):
    def fails():
        raise DeviceError("no such device: choose another")

    with pytest.raises(DeviceError, match="choose another"):
        preview_while_loading(camera, Window_(), fails)
    with pytest.raises(SessionClosed):
        preview_while_loading(camera, Window_(["q"]), lambda: time.sleep(0.1))
    assert preview_while_loading(camera, None, lambda: 5) == 5


def test_styles_are_mixed_and_the_painting_before_is_no_example_meanwhile(session):
    session, stylizer, _ = session
    session.steering.fade_seconds = 10.0
    painted(session, stylizer, 1)
    session.steering.mix([1, 3])
    painted(session, stylizer, 2)
    assert stylizer.settings.temporal_weight == 0
    session.steering.turn(temporal_weight=7.0)
    assert stylizer.settings.temporal_weight == 0  # until the fade is over
    session.steering._faded -= 10
    painted(session, stylizer, 3)
    assert stylizer.settings.temporal_weight == 7 and stylizer.style.weights == (1, 3)
    session.press("n")
    assert session.steering.weights == [1, 0]  # after the heavier one


def test_bypass_shows_the_source_and_forgets_no_strength(session):
    session, stylizer, window = session
    session.steering.turn(strength=0.5)
    session.press("b")
    report = painted(session, stylizer, 1)
    assert np.abs(window.shown[-1][0].astype(int) - report.source.image).max() <= 1
    session.press("+")
    assert stylizer.settings.strength == 0
    session.press("b")
    assert stylizer.settings.strength == 0.6
