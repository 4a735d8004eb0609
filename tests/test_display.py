"""The display of a live session: reprojection of the last stylised frame to the camera's frames."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from test_live import OutputRecorder, WindowRecorder

from vidstyle import Frame
from vidstyle.live.camera import LiveSource
from vidstyle.live.display import Display
from vidstyle.live.reprojection import Reprojection
from vidstyle.live.timing import FrameTimings

RATE = 30


def textured(size=(96, 64), seed=0):
    """(H, W, 3) uint8: smooth random texture, which optical flow can follow."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + 4 * (blurred - blurred.mean()), 0, 255).astype(np.uint8)


def frame(number, image):
    return Frame(image, Fraction(number, RATE), Fraction(1, RATE))


@pytest.mark.parametrize("size", [(96, 64), (640, 48), (24, 400)])
def test_reprojection_moves_stylized_frame_along(size):
    source = textured(size)
    moved = np.roll(source, 3, 1)
    stylized = 255 - source
    image = Reprojection(frame(0, source), frame(0, stylized)).at(frame(1, moved))
    inside = np.s_[4:-4, 8:-8]
    error = np.abs(image.astype(int) - (255 - moved))[inside].mean()
    before = np.abs(stylized.astype(int) - (255 - moved))[inside].mean()
    assert image.shape == stylized.shape and error < 0.5 * before


def test_reprojection_leaves_noise_at_rest():
    source = textured()
    noise = np.random.default_rng(1).normal(0, 3, source.shape)
    noisy = np.clip(source + noise, 0, 255).astype(np.uint8)
    stylized = textured(seed=2)
    image = Reprojection(frame(0, source), frame(0, stylized)).at(frame(1, noisy))
    # A window whose noise happens to fit a flow may move by a fraction of a pixel.
    assert np.abs(image.astype(int) - stylized).mean() < 0.5


def test_reprojection_shows_what_is_new_in_the_colours_of_the_style():
    source = textured()
    stylized = 255 - source
    new = source.copy()
    new[20:44, 40:64] = 60  # an object that was not there
    image = Reprojection(frame(0, source), frame(0, stylized)).at(frame(1, new)).astype(int)
    assert np.abs(image[26:38, 46:58] - 195).max() < 40
    assert np.abs(image[:, 4:24] - stylized[:, 4:24]).mean() < 2


def test_reprojection_shows_another_scene_after_a_cut():
    source, other = textured(), np.flip(textured(seed=3), 2)
    other = np.clip(1.5 * other.astype(int) - 64, 0, 255).astype(np.uint8)
    reprojection = Reprojection(frame(0, source), frame(0, 255 - source))
    image = reprojection.at(frame(1, other)).astype(int)
    assert np.corrcoef(image.ravel(), 255 - other.ravel())[0, 1] > 0.6
    smaller = frame(1, textured((32, 32)))  # the camera has another size now
    assert np.array_equal(reprojection.at(smaller), 255 - source)


@pytest.mark.parametrize("channels, dtype", [(4, np.uint8), (3, np.uint16)])
def test_reprojection_keeps_channels_and_dtype(channels, dtype):
    source = textured()
    stylized = np.dstack([source] * 2)[..., :channels].astype(dtype)
    image = Reprojection(frame(0, source), frame(0, stylized)).at(frame(1, np.roll(source, 2, 1)))
    assert image.shape == stylized.shape and image.dtype == dtype


def test_reprojection_shows_the_camera_frame_outside_of_its_mask():
    source = textured()
    moved, mask = np.roll(source, 3, 1), np.zeros((64, 96), np.uint8)
    mask[:, 48:] = 255
    reprojection = Reprojection(frame(0, source), frame(0, 255 - source))
    image = reprojection.at(replace(frame(1, moved), mask=mask)).astype(int)
    assert np.abs(image[:, :48] - moved[:, :48]).max() <= 1
    assert np.abs(image[:, 52:88] - (255 - moved[:, 52:88])).mean() < 10


class StillSource(LiveSource):
    """A camera of which a test sets the newest frame."""

    rate = float(RATE)
    seconds_since_frame = 0.0


@pytest.fixture
def display():
    source, recorded = StillSource(), []
    window, output = WindowRecorder(), OutputRecorder()
    made = Display(source, window, [output], lambda: ["line"], recorded.append)
    return made, source, window, output, recorded


def add(display, source, number, now, image=None):
    """The camera's frame, and a stylised version of it."""
    image = textured() if image is None else image
    source.newest = frame(number, image)
    display.add(source.newest, frame(number, 255 - image), now)


def test_display_shows_each_camera_frame_once(display):
    display, source, window, output, recorded = display
    assert not display.refresh(0.0) and not window.shown
    add(display, source, 0, 0.0)
    assert display.refresh(0.0) and not display.refresh(0.01)
    for number in range(1, 5):  # the stylizer is slow: no other stylised frame comes
        source.newest = frame(number, np.roll(textured(), number, 1))
        assert display.refresh(number / RATE)
    assert len(window.shown) == len(output.shown) == len(recorded) == 5
    assert [each.time for each in recorded] == [Fraction(number, RATE) for number in range(5)]
    assert window.shown[0][1] == ["line"]
    assert not np.array_equal(output.shown[0], output.shown[4])  # it moves with the camera


def test_display_never_goes_back_in_time(display):
    display, source, _, _, recorded = display
    for number in (0, 1):
        add(display, source, number, number / RATE)
        display.refresh(number / RATE)
    source.newest = frame(4, textured())
    display.refresh(4 / RATE)
    own = frame(2, textured())
    display.add(own, frame(2, 255 - textured()), 5 / RATE)  # of an earlier frame of the camera
    display.refresh(5 / RATE)
    times = [each.time for each in recorded]
    assert times == sorted(times) and times[-1] == Fraction(4, RATE)


def test_display_shows_stylized_frames_as_they_are_if_they_keep_up(display, monkeypatch):
    display, source, _, output, _ = display
    now = 100.0
    monkeypatch.setattr("vidstyle.live.timing.time", SimpleNamespace(monotonic=lambda: now))
    for number in range(12):
        image = np.roll(textured(), number, 1)
        add(display, source, number, now + number / RATE, image)
        source.newest = frame(number + 1, np.roll(textured(), number + 1, 1))
        display.refresh(number / RATE)
    assert display.keeps_up()
    assert np.array_equal(output.shown[-1], 255 - np.roll(textured(), 11, 1))


def test_display_freeze_keeps_image_and_goes_on_recording(display):
    display, source, _, output, recorded = display
    add(display, source, 0, 0.0)
    display.refresh(0.0)
    display.actions["freeze"]()
    source.newest = frame(1, np.roll(textured(), 5, 1))
    display.refresh(1 / RATE)
    assert len(output.shown) == 1 and len(recorded) == 2 and display.frozen


def test_display_side_by_side_shows_the_camera_frame_of_the_moment(display):
    display, source, _, output, _ = display
    display.actions["side_by_side"]()
    add(display, source, 0, 0.0)
    moved = np.roll(textured(), 5, 1)
    source.newest = frame(1, moved)
    display.refresh(1 / RATE)
    width = moved.shape[1]
    assert np.array_equal(output.shown[-1][:, :width], moved)


def test_frame_timings_window_of_recent_frames(monkeypatch):
    timings, now = FrameTimings(recent=3), 100.0
    monkeypatch.setattr("vidstyle.live.timing.time", SimpleNamespace(monotonic=lambda: now))
    for moment in (0, 10, 10.1, 10.2):
        timings.add(now - 10.2 + moment, now)
    assert timings.fps() == pytest.approx(10)


def test_live_source_announces_frames(tmp_path):
    from conftest import write_clip

    from vidstyle.live.camera import PacedFile

    with PacedFile(write_clip(tmp_path / "clip.mp4", count=3, rate=Fraction(50))) as source:
        assert source.newest is None
        frames = list(source)
    assert source.newest is frames[-1] and source.arrived.is_set()


def test_frame_timings_fps_decreases_without_frames(monkeypatch):
    timings, now = FrameTimings(), 100.0
    monkeypatch.setattr("vidstyle.live.timing.time", SimpleNamespace(monotonic=lambda: now))
    assert timings.fps() == timings.latency() == 0 and timings.summary() == ""
    for number in range(11):  # ten intervals of 0.1 s, the last frame 9 s ago
        timings.add(now - 10 + number / 10, now - 10 + number / 10 - 0.25)
    # 1 s of frames, and 9 s minus two intervals since the last one.
    assert timings.fps() == pytest.approx(10 / 9.8)
    assert timings.latency() == pytest.approx(0.25)
    assert timings.summary().startswith("10.0 frames per second, latency 250 ms; 95th percentile")
