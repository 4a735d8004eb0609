"""Sources that do not wait: a scripted camera, and clips at their own pace."""

import time
from fractions import Fraction
from itertools import islice

import cv2
import numpy as np
import pytest
from conftest import scene, write_clip

from vidstyle import InputError, cli
from vidstyle.live.camera import Camera, PacedFile, cameras, find_camera, open_camera, slate


class Device:
    """A camera that gives numbered pictures, and is unplugged after some of them."""

    def __init__(self, script):
        self.script, self.opened, self.given = script, 0, 0

    def __call__(self, name):
        self.opened += 1
        self.there = self.script.pop(0) if self.script else 0
        return self

    def isOpened(self):  # noqa: N802 (OpenCV's name)
        return self.there > 0

    def read(self):
        if self.there <= 1:  # unplugged: OpenCV goes on saying that it is open
            return False, None
        self.there -= 1
        self.given += 1
        return True, np.full((48, 64, 3), (self.given % 250, 0, 0), np.uint8)

    def set(self, *given):
        return True

    def get(self, *given):
        return 30.0

    def release(self):
        self.there = 0


def test_a_camera_gives_rgb_frames_that_are_marked_with_their_time():
    with Camera(0, capture=Device([5])) as camera:
        assert camera.format.live and camera.format.size == (64, 48)
        frames = list(islice(camera, 3))
    assert [frame.image[0, 0].tolist() for frame in frames] == [[0, 0, 1], [0, 0, 2], [0, 0, 3]]
    assert frames[0].time <= frames[1].time <= frames[2].time < 5


def test_what_was_obtained_is_said_beside_what_was_asked_for(caplog):
    caplog.set_level("INFO")
    device = Device([5])
    device.get = lambda what: {cv2.CAP_PROP_FPS: 15.0, cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter.fourcc(*"MJPG"))}[what]
    with Camera(0, (1280, 720), 30.0, capture=device):
        pass
    assert "camera 0: 64x48 at 15 frames per second, MJPG (asked for: 1280x720, 30 frames per second)" in caplog.text


def listed(*cameras):
    class Listed:
        def __init__(self, index, name, path):
            self.index, self.name, self.path = index, name, path

    return lambda: [Listed(*each) for each in cameras]


def test_cameras_are_listed_by_name_without_our_own(monkeypatch, capsys):
    there = [
        (2, "HD Webcam", "/dev/video2"),
        (0, "HD Webcam", "/dev/video0"),
        (4, "vidstyle", "/dev/video4"),
        (6, "Cap", "/dev/video6"),
    ]
    both = [(number + backend, name, path) for backend in (1800, 200) for number, name, path in there]
    monkeypatch.setattr("cv2_enumerate_cameras.enumerate_cameras", listed(*both))
    monkeypatch.setattr("sys.platform", "linux")
    assert cameras() == {"HD Webcam": "/dev/video0", "HD Webcam #2": "/dev/video2", "Cap": "/dev/video6"}
    assert cli.main(["info"]) == 0
    assert "camera /dev/video2: HD Webcam #2" in capsys.readouterr().out
    monkeypatch.setattr("sys.platform", "win32")
    assert cameras()["Cap"] == 206


def test_a_camera_that_is_named_is_found_again_under_another_number(monkeypatch):
    monkeypatch.setattr("vidstyle.live.camera.AGAIN_SECONDS", (0.01,))
    monkeypatch.setattr("vidstyle.live.camera.SLATE_SECONDS", 0.02)
    monkeypatch.setattr("sys.platform", "linux")
    device, places = Device([3, 4]), []

    def capture(name):
        places.append(name)
        return device(name)

    monkeypatch.setattr("cv2_enumerate_cameras.enumerate_cameras", listed((0, "HD Webcam", "/dev/nothing0")))
    with Camera("webcam", capture=capture) as camera:
        frames = iter(camera)
        next(frames), next(frames)
        monkeypatch.setattr("cv2_enumerate_cameras.enumerate_cameras", listed((1, "HD Webcam", "/dev/nothing1")))
        for _ in range(4):
            next(frames)
    assert places[:2] == ["/dev/nothing0", "/dev/nothing1"]


def test_where_cameras_cannot_be_listed_numbers_still_do(monkeypatch):
    def fails():
        raise OSError("no such driver")

    monkeypatch.setattr("cv2_enumerate_cameras.enumerate_cameras", fails)
    assert cameras() == {} and find_camera(3) == 3 and find_camera("rtsp://there") == "rtsp://there"


def test_a_lost_camera_shows_a_slate_and_comes_back(monkeypatch):
    monkeypatch.setattr("vidstyle.live.camera.AGAIN_SECONDS", (0.01,))
    monkeypatch.setattr("vidstyle.live.camera.SLATE_SECONDS", 0.02)
    device = Device([3, 0, 0, 4])
    with Camera(0, capture=device) as camera:
        frames = list(islice(camera, 7))
    lost = [bool((frame.image == slate((64, 48), "camera lost")).all()) for frame in frames]
    assert lost[:2] == [False, False] and lost[2] and not lost[-1]
    assert camera.lost == 1 and device.opened >= 4


def test_a_camera_that_is_not_there_is_named():
    with pytest.raises(InputError, match="camera 7 cannot be opened") as caught:
        Camera(7, capture=Device([0]))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="camera nowhere cannot be opened"):
        open_camera("nowhere")


def test_a_mirrored_camera_shows_what_a_mirror_does(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), scene())
    path = write_clip(tmp_path / "clip.mp4", count=3, rate=Fraction(100))
    with PacedFile(path) as camera:
        camera.mirror = True
        mirrored = next(iter(camera)).image
    with PacedFile(path) as camera:
        assert np.array_equal(next(iter(camera)).image[:, ::-1], mirrored)


def test_a_clip_plays_at_its_own_pace_and_over_and_over(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=4, rate=Fraction(20))
    with PacedFile(path, loop=True) as camera:
        assert camera.format.live and camera.format.path is None
        frames = list(islice(camera, 10))
        passed = time.monotonic() - camera.began
    assert [frame.time for frame in frames] == [Fraction(number, 20) for number in range(10)]
    assert np.array_equal(frames[0].image, frames[4].image)
    assert passed >= 9 / 20  # never early; how late is the machine's affair


def test_a_stopped_camera_ends(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=4, rate=Fraction(1, 10))
    camera = PacedFile(path, loop=True)
    frames = iter(camera)
    next(frames)
    camera.stop()
    assert list(frames) == []
    camera.close()
