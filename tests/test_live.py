"""A live session: newest frame only, keys, crossfade, snapshot and recording."""

import threading
import time
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from conftest import FAST_SETTINGS, scene, times_of, until, write_clip
from test_pipeline import Clip, Collector, Painter

from vidstyle import (
    Frame,
    Report,
    Settings,
    Style,
    Stylizer,
    run,
)
from vidstyle.live.camera import PacedFile
from vidstyle.live.display import Display
from vidstyle.live.keys import HELP
from vidstyle.live.loop import live
from vidstyle.live.session import ADVICE_SECONDS, MAX_PENDING_COMMANDS, Session
from vidstyle.live.slate import draw_slate
from vidstyle.live.startup import LiveOptions, SessionClosed
from vidstyle.losses.base import StyleSize
from vidstyle.optim.adam import do_nothing

QUICK = Settings(working_size=64, initial_steps=2, steps=1, **FAST_SETTINGS)


class WindowRecorder:
    """A window that records what it shows, and returns the given key presses."""

    def __init__(self, keys=()):
        self.keys, self.shown, self.closed = list(keys), [], False

    def show(self, image, lines=()):
        self.shown.append((image.copy(), list(lines)))

    def key(self):
        return self.keys.pop(0) if self.keys else None

    def close(self):
        self.closed = True


class OutputRecorder:
    """An output that records what it shows."""

    def __init__(self):
        self.shown, self.closed = [], False

    def open(self, session):
        pass

    def show(self, image):
        self.shown.append(image)

    def close(self):
        self.closed = True


class LiveClip(Clip):
    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.format = replace(self.format, live=True)


def test_run_slow_stylizer_gets_newest_frames_once():
    clip = LiveClip(40, pause=0.01)

    class Slow(Painter):
        def __call__(self, *given, **named):
            until(lambda: clip.read >= min(clip.count, 5 * self.calls))
            return super().__call__(*given, **named)

    collector = Collector()
    report = run(clip, Slow(), [collector])
    times = [frame.time for frame in collector.frames]
    assert times == sorted(set(times))
    assert report.frames == len(times) < 40 and report.dropped >= 20
    assert report.frames + report.dropped == 40


def test_run_computes_the_motion_of_the_next_frame_during_the_iterations_of_the_present_one():
    clip, flows = LiveClip(12, pause=0.02), []

    def flow(frame, earlier):
        flows.append((threading.current_thread().name, stylizer.busy))
        return np.zeros((*frame.shape[:2], 2), np.float32)

    class Iterating(Painter):
        busy = False

        def __call__(self, *given, **named):
            self.busy, before = True, len(flows)
            self.on_iteration()
            if self.calls:  # the first frame does not know its last iteration
                until(lambda: len(flows) > before or clip.read == clip.count)
            self.busy = False
            return super().__call__(*given, **named)

    stylizer = Iterating()
    frames = run(clip, stylizer, [], flow=flow).frames
    assert threading.current_thread().name not in {name for name, _ in flows}
    assert sum(busy for _, busy in flows) >= frames - 4  # of the last ones no more frames come
    assert stylizer.on_iteration is do_nothing


def test_run_calls_controls_while_waiting_for_frame():
    calls = []

    class Waiting(LiveClip):
        def __iter__(self):
            for frame in super().__iter__():
                until(lambda: self.read == 1 or calls.count(1) > 2)  # the first frame was stylised
                yield frame

    def controls(stylizer, report):
        calls.append(report.frames)

    assert run(Waiting(2), Painter(), [Collector()], controls).frames == 2


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
    window = WindowRecorder()
    stylizer = Stylizer(features, styles[0][1], QUICK)
    made = Session(LiveOptions(crossfade_seconds=0.0), camera, stylizer, styles, window)
    yield made, stylizer, window
    made.close()


def show_frame(session, stylizer, number=1):
    """Stylise and show one more frame."""
    frame = Frame(scene(number / 25), Fraction(number, 25))
    report = Report(number, source=frame, frame=stylizer(frame), iterations=stylizer.iterations)
    session(stylizer, report)
    session.refresh()
    return report


def press(session, stylizer, key):
    """Press a key in the window; what changes the stylizer waits for the end of a frame."""
    session.display.window.keys.append(key)
    session.refresh()
    session(stylizer, Report())


def test_session_shows_slate_without_camera_frames(session, monkeypatch):
    session, stylizer, window = session
    report, screen = show_frame(session, stylizer, 1), OutputRecorder()
    session.display.outputs = [screen]
    assert session.camera_status == "ok" and 0 <= session.seconds_since_frame < 60
    monkeypatch.setattr("vidstyle.live.slate.SLATE_SECONDS", 30.0)
    monkeypatch.setattr(type(session._source), "status", "lost")
    monkeypatch.setattr(type(session._source), "seconds_since_frame", 7.0)
    shown = len(window.shown)
    session.refresh()  # without a new frame
    session.refresh()
    assert len(window.shown) == shown + 1  # at intervals
    image, lines = window.shown[-1]
    assert np.array_equal(image, draw_slate((64, 48), "lost", 7.0))
    assert np.array_equal(screen.shown[-1], image)
    assert "camera lost" in lines and session.camera_status == "lost"
    monkeypatch.setattr(type(session._source), "status", "ok")
    report = show_frame(session, stylizer, 2)
    assert np.array_equal(window.shown[-1][0], report.frame.image)


def test_session_keys_select_style(session):
    session, stylizer, _ = session
    show_frame(session, stylizer, 1)
    press(session, stylizer, "n")
    show_frame(session, stylizer, 2)
    assert stylizer.style is session.controls.styles[1][1]
    press(session, stylizer, "n")
    show_frame(session, stylizer, 3)
    assert stylizer.style is session.controls.styles[0][1]
    press(session, stylizer, "p")
    show_frame(session, stylizer, 4)
    assert stylizer.style is session.controls.styles[1][1]


def test_session_key_beyond_the_pending_commands_is_a_message(session):
    session, stylizer, window = session
    show_frame(session, stylizer, 1)
    for _ in range(MAX_PENDING_COMMANDS):
        session.command({"do": "mirror"})
    window.keys.append("n")
    session.refresh()
    assert "send fewer" in session.messages.recent()[-1].text


def test_controls_crossfade_recomputes_no_gram_matrices(session, monkeypatch):
    session, stylizer, _ = session
    session.controls.crossfade_seconds = 1000.0
    show_frame(session, stylizer, 1)
    session.controls.styles[1][1].grams(StyleSize(64), stylizer.features.style_layers)
    monkeypatch.setattr(
        "vidstyle.stylizer.style.gram",
        lambda *given: pytest.fail("a style image was analysed again"),
    )
    press(session, stylizer, "n")
    session.controls._crossfade_start -= 250  # a quarter has passed
    show_frame(session, stylizer, 2)
    assert stylizer.style.weights == pytest.approx((0.75, 0.25), abs=0.05)  # 50 s


def test_session_keys_change_view(session):
    session, stylizer, window = session
    show_frame(session, stylizer, 1)
    assert window.shown[-1][1][0].endswith("steps  stripes")
    press(session, stylizer, "h")
    show_frame(session, stylizer, 2)
    assert window.shown[-1][1] == list(HELP)
    press(session, stylizer, "h")
    press(session, stylizer, "c")
    report = show_frame(session, stylizer, 3)
    image = window.shown[-1][0]
    assert image.shape == (48, 128, 3) and np.array_equal(image[:, :64], report.source.image)
    stylizer.settings = replace(stylizer.settings, size=96)  # output larger than the source
    show_frame(session, stylizer, 4)
    assert window.shown[-1][0].shape == (72, 192, 3)
    stylizer.settings = replace(stylizer.settings, size=None)
    show_frame(session, stylizer, 5)
    image = window.shown[-1][0]
    press(session, stylizer, "f")
    show_frame(session, stylizer, 20)
    assert np.array_equal(window.shown[-1][0], image) and "frozen" in window.shown[-1][1]


def test_session_keys_keep_parameters_in_range(session):
    session, stylizer, _ = session
    for _ in range(15):
        press(session, stylizer, "-")
        press(session, stylizer, "]")
    assert stylizer.settings.strength == 0 and stylizer.settings.style_scale == 10
    for _ in range(30):
        press(session, stylizer, "=")
        press(session, stylizer, "[")
    press(session, stylizer, "o")
    assert (
        stylizer.settings.strength == 1
        and stylizer.settings.style_scale == 0.1
        and stylizer.settings.original_colors
    )
    press(session, stylizer, "m")
    assert session._source.mirror
    session._source.area._load_people = lambda: None  # no download
    press(session, stylizer, "a")
    assert session.controls.state()["area"] == "person"
    session._source.area._load_faces = lambda: None
    before = session.controls.state()["faces"]
    press(session, stylizer, "k")
    assert {before, session.controls.state()["faces"]} == {"keep", "paint"}
    press(session, stylizer, "x")  # a key without an action


@pytest.mark.parametrize("key", ["q", "escape", "close"])
def test_session_quit_keys_close(session, key):
    session, _, window = session
    window.keys = [key]
    with pytest.raises(SessionClosed):
        session.refresh()


def test_session_saves_snapshot_and_recording(session, tmp_path):
    session, stylizer, window = session
    report = show_frame(session, stylizer, 1)
    press(session, stylizer, "s")
    (snapshot,) = tmp_path.glob("vidstyle-*.png")
    assert np.array_equal(cv2.imread(str(snapshot))[..., ::-1], report.frame.image)
    press(session, stylizer, "r")
    for number in (2, 3, 5):
        show_frame(session, stylizer, number)
    assert "recording" in window.shown[-1][1]
    session.close()
    (recording,) = tmp_path.glob("vidstyle-*.mp4")
    times = times_of(recording)  # the first frame too, where its writer was busy until the key
    assert [time - times[-3] for time in times[-3:]] == [0, Fraction(1, 25), Fraction(3, 25)]
    assert len(times) <= 4 and window.closed


def test_session_close_ends_everything_when_the_recording_thread_has_failed(
    session, tmp_path, monkeypatch
):
    session, stylizer, window = session
    outputs = [OutputRecorder(), OutputRecorder()]
    session.display.outputs, send = outputs, session.recorder.send

    def fail_at_last(frame):
        if frame.time == Fraction(5, 25):
            raise RuntimeError("an error of the recording thread")
        send(frame)

    monkeypatch.setattr(session.recorder, "send", fail_at_last)
    session.actions["record"]()
    for number in (1, 2, 4, 5):
        show_frame(session, stylizer, number)
    with pytest.raises(RuntimeError, match="an error of the recording thread"):
        session.close()
    assert window.closed and all(output.closed for output in outputs)
    (recording,) = tmp_path.glob("vidstyle-*.mp4")
    assert len(times_of(recording)) == 3  # those before the error
    session._writer.error = None  # it was raised already


def test_session_target_fps_is_at_most_camera_rate(session, monkeypatch):
    session, stylizer, _ = session
    for rate, expected in ((15.0, 15.0), (60.0, 30.0), (None, 30.0)):
        monkeypatch.setattr(type(session._source), "rate", rate)
        show_frame(session, stylizer, session.state.get("frames", 0) + 1)
        assert session._rate_controller.target_fps == expected


@pytest.mark.parametrize(("fps", "told"), [(4.2, 1), (29.0, 0)])
def test_session_tells_once_what_would_stylise_more_frames(session, monkeypatch, fps, told):
    monkeypatch.setattr(Display, "stylized_fps", fps)
    session, _, _ = session
    session._rate_controller.target_fps = 30.0
    session._start_time -= ADVICE_SECONDS
    for _ in range(3):
        session.refresh()
    texts = [message.text for message in session.messages.recent()]
    advice = [text for text in texts if text.startswith("4 of 30 frames per second")]
    assert len(advice) == told and all("a GPU" in text for text in advice)


def test_live_options_max_steps(camera, features, styles):
    stylizer = Stylizer(features, styles[0][1], QUICK)
    session = Session(LiveOptions(max_steps=3), camera, stylizer, styles)
    assert session.state["settings"]["steps"] == 3
    session.close()
    with pytest.raises(ValueError, match="steps is 0"):
        LiveOptions(max_steps=0)


def test_live_shows_camera_frames_in_window(camera, features, styles):
    before = threading.enumerate()
    window, stylizer = WindowRecorder(), Stylizer(features, styles[0][1], QUICK)
    window.key = lambda: "q" if len(window.shown) > 3 else None
    session = Session(LiveOptions(fps=20), camera, stylizer, styles, window)
    live(session, camera, stylizer)
    assert len(window.shown) > 3 and window.closed and session.display.timings.latency() > 0
    assert not [thread for thread in threading.enumerate() if thread not in before]


def test_live_ends_after_its_seconds(camera, features, styles):
    stylizer, begun = Stylizer(features, styles[0][1], QUICK), time.monotonic()
    session = Session(LiveOptions(seconds=0.2), camera, stylizer, styles)
    live(session, camera, stylizer)
    assert time.monotonic() - begun > 0.2


def test_session_styles_of_one_name_are_told_apart(camera, features, styles):
    (_, first), (_, second) = styles
    stylizer = Stylizer(features, first, QUICK)
    with closing(Session(LiveOptions(), camera, stylizer, [("x", first), ("x", second)])) as made:
        assert made.controls.names == ["x", "x 2"]


def test_controls_blend_has_no_temporal_weight_during_crossfade(session):
    session, stylizer, _ = session
    session.controls.crossfade_seconds = 1000.0
    show_frame(session, stylizer, 1)
    session.controls.blend([1, 3])
    show_frame(session, stylizer, 2)
    assert stylizer.settings.temporal_weight == 0
    session.controls.set(temporal_weight=7.0)
    assert stylizer.settings.temporal_weight == 0  # until the end of the crossfade
    session.controls._crossfade_start -= 1000
    show_frame(session, stylizer, 3)
    assert stylizer.settings.temporal_weight == 7 and stylizer.style.weights == (1, 3)
    press(session, stylizer, "n")
    assert session.controls.weights == [1, 0]  # the one after the heaviest


def test_controls_bypass_keeps_strength(session):
    session, stylizer, window = session
    session.controls.set(strength=0.5)
    press(session, stylizer, "b")
    report = show_frame(session, stylizer, 1)
    assert np.abs(window.shown[-1][0].astype(int) - report.source.image).max() <= 1
    press(session, stylizer, "+")
    assert stylizer.settings.strength == 0
    press(session, stylizer, "b")
    assert stylizer.settings.strength == 0.6
