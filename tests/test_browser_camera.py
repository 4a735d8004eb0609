"""The camera of a browser as a live source, without a browser: frames are put in by hand."""

import numpy as np
import pytest
from conftest import times_of

from vidstyle import Frame
from vidstyle.io.stream_info import VideoInfo
from vidstyle.live.browser_camera import INSTRUCTION, BrowserCamera
from vidstyle.live.recorder import Recorder
from vidstyle.live.slate import SlateGenerator, draw_lines


def put(camera, level, size=(640, 360), now=None):
    """Put a grey frame, whose conversion gives the size that is asked for."""
    now = camera.start_time + level / 100 if now is None else now
    camera.put(size, lambda wanted: np.full((wanted[1], wanted[0], 3), level, np.uint8), now)


def test_browser_camera_gives_the_newest_frame_only():
    with BrowserCamera() as camera:
        for level in (10, 20, 30):
            put(camera, level)
        frames = iter(camera)
        frame = next(frames)
        assert frame.image.max() == 30 and float(frame.time) == pytest.approx(0.3, abs=1e-4)
        put(camera, 40)
        assert next(frames).image.max() == 40 and camera.newest.image.max() == 40
        camera.stop()
        assert list(frames) == []


@pytest.mark.parametrize(
    "size, expected",
    [
        ((640, 360), (640, 360)),
        ((320, 180), (640, 360)),  # a slow connection
        ((426, 240), (640, 360)),
        ((360, 640), (360, 640)),  # a phone held upright
        ((480, 640), (480, 640)),
        ((1920, 1080), (640, 360)),
        ((2, 1000), (2, 640)),
    ],
)
def test_browser_camera_follows_the_aspect_ratio_and_keeps_the_long_side(size, expected):
    with BrowserCamera() as camera:
        put(camera, 10, size)
        assert next(iter(camera)).size == camera.format.size == expected


def test_browser_camera_mirrors():
    with BrowserCamera((4, 2)) as camera:
        camera.mirror = True
        row = np.arange(4, dtype=np.uint8)
        camera.put((4, 2), lambda size: np.tile(row[None, :, None], (2, 1, 3)), 0.0)
        assert next(iter(camera)).image[0, :, 0].tolist() == [3, 2, 1, 0]


def test_browser_camera_status_follows_the_connection():
    with BrowserCamera() as camera:
        assert camera.status == "lost" and camera.instruction == INSTRUCTION
        camera.connect()
        assert camera.status == "ok" and camera.instruction is None and camera.rate is None
        for number in range(12):
            put(camera, number, now=camera.start_time - 10 + number / 25)
        assert camera.rate == pytest.approx(25)
        assert camera.status == "silent"
        camera.disconnect()
        assert camera.status == "lost" and not camera._newest


def test_slate_shows_the_instruction_until_a_browser_is_connected():
    with BrowserCamera((320, 180)) as camera:
        slate = SlateGenerator(camera).next_slate()
        assert np.array_equal(slate, draw_lines((320, 180), *INSTRUCTION)) and slate.std() > 20
        camera.connect()
        assert SlateGenerator(camera).next_slate() is None


def test_recorder_goes_on_when_a_phone_is_rotated(tmp_path):
    from vidstyle.io.source import open_source

    with Recorder(VideoInfo((64, 36))) as recorder:
        recorder.start(tmp_path / "out.mp4")
        for number, size in enumerate([(64, 36), (36, 64), (36, 64), (64, 36)]):
            image = np.full((size[1], size[0], 3), 200, np.uint8)
            recorder.send(Frame(image, time=VideoInfo((1, 1)).time_base * 3000 * number))
    assert len(times_of(tmp_path / "out.mp4")) == 4
    with open_source(tmp_path / "out.mp4") as source:
        images = [frame.image for frame in source]
    assert (
        images[0][18, 2].min() > 180 and images[1][18, 2].max() < 40
    )  # black beside the upright one
    assert images[1][18, 32].min() > 180
