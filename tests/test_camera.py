"""Live sources: a simulated camera, cameras at an address."""

import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from threading import Event, Thread

import cv2
import numpy as np
import pytest
from conftest import SECONDS, until

from vidstyle import InputError, cli
from vidstyle.live.camera import Camera, open_camera
from vidstyle.live.capture import find_camera, list_cameras
from vidstyle.live.slate import SlateGenerator, draw_slate
from vidstyle.runtime.worker import Worker

ENDLESS = 100_000
"""Number of images that no test uses up, however busy the machine is."""


class Device:
    """A simulated camera with numbered images.

    The script has one number per opening: 0 fails, N gives N - 1 images until it is unplugged.
    """

    def __init__(self, script, seconds=0.01):
        self.script, self.seconds, self.opened, self.given = script, seconds, 0, 0

    def __call__(self, name):
        self.opened += 1
        self.there = self.script.pop(0) if self.script else 0
        return self

    def isOpened(self):  # noqa: N802 (OpenCV's name)
        return self.there > 0

    def read(self):
        if self.there <= 1:  # unplugged: OpenCV still reports it as open
            return False, None
        time.sleep(self.seconds)
        self.there -= 1
        self.given += 1
        return True, np.full((48, 64, 3), (1 + (self.given - 1) % 250, 0, 0), np.uint8)

    def set(self, *given):
        return True

    def get(self, *given):
        return 30.0

    def release(self):
        self.there = 0


def test_camera_frames_are_rgb_with_times():
    with Camera(0, capture=Device([ENDLESS])) as camera:
        assert camera.format.live and camera.format.size == (64, 48)
        frames = list(islice(camera, 3))
    red, green, numbers = np.array([frame.image[0, 0] for frame in frames]).T
    assert not red.any() and not green.any() and numbers.all()
    assert 0 <= frames[0].time < frames[1].time < frames[2].time < SECONDS


def test_camera_logs_actual_and_requested_format(caplog):
    caplog.set_level("INFO")
    device = Device([5])
    device.get = lambda what: {
        cv2.CAP_PROP_FPS: 15.0,
        cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter.fourcc(*"MJPG")),
    }[what]
    with Camera(0, (1280, 720), 30.0, capture=device):
        pass
    assert (
        "camera 0: 64x48 at 15 frames per second, MJPG (requested: 1280x720, 30 frames per second)"
        in caplog.text
    )


def listed(*cameras):
    class Listed:
        def __init__(self, index, name, path):
            self.index, self.name, self.path = index, name, path

    return lambda: [Listed(*each) for each in cameras]


def test_list_cameras_names_without_own_devices(monkeypatch, capsys):
    found = [
        (2, "HD Webcam", "/dev/video2"),
        (0, "HD Webcam", "/dev/video0"),
        (4, "vidstyle", "/dev/video4"),
        (6, "Cap", "/dev/video6"),
    ]
    both = [
        (number + backend, name, path) for backend in (1800, 200) for number, name, path in found
    ]
    monkeypatch.setattr("cv2_enumerate_cameras.enumerate_cameras", listed(*both))
    monkeypatch.setattr("sys.platform", "linux")
    assert list_cameras() == {
        "HD Webcam": "/dev/video0",
        "HD Webcam #2": "/dev/video2",
        "Cap": "/dev/video6",
    }
    assert cli.main(["info"]) == 0
    assert "camera /dev/video2: HD Webcam #2" in capsys.readouterr().out
    monkeypatch.setattr("sys.platform", "win32")
    assert list_cameras()["Cap"] == 206


def test_camera_name_is_found_under_new_number(monkeypatch):
    monkeypatch.setattr("vidstyle.live.capture.RETRY_SECONDS", (0.01,))
    monkeypatch.setattr("sys.platform", "linux")
    device, places = Device([3, ENDLESS]), []

    def capture(name):
        places.append(name)
        return device(name)

    def enumerate_cameras():  # it has another number after it was opened
        return listed((len(places), "HD Webcam", f"/dev/nothing{len(places)}"))()

    monkeypatch.setattr("cv2_enumerate_cameras.enumerate_cameras", enumerate_cameras)
    with Camera("webcam", capture=capture) as camera:
        frames = iter(camera)
        for _ in range(4):  # more than come before it is lost
            next(frames)
    assert places[:2] == ["/dev/nothing0", "/dev/nothing1"]


def test_find_camera_without_list_accepts_numbers(monkeypatch):
    def fails():
        raise OSError("no such driver")

    monkeypatch.setattr("cv2_enumerate_cameras.enumerate_cameras", fails)
    assert (
        list_cameras() == {}
        and find_camera(3) == 3
        and find_camera("rtsp://there") == "rtsp://there"
    )


def test_camera_is_lost_until_next_frame(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("vidstyle.live.capture.RETRY_SECONDS", (0.01, 0.02))
    monkeypatch.setattr("vidstyle.live.slate.SLATE_SECONDS", 30.0)
    monkeypatch.setattr("vidstyle.live.camera.SILENT_SECONDS", SECONDS)
    device, unplug, plug_in = Device([3, 0, 1, 1, 0, ENDLESS]), Event(), Event()  # 1: without image
    give = device.read
    device.read = lambda: (device.there > 1 or unplug.wait(SECONDS)) and give()

    def capture(name):
        return (not device.opened or plug_in.wait(SECONDS)) and device(name)

    with Camera(0, capture=capture) as camera:
        slates = SlateGenerator(camera)
        assert camera.status == "ok" and slates.next_slate() is None
        unplug.set()
        until(lambda: camera.status == "lost")
        assert camera.loss_count == 1
        with monkeypatch.context() as frozen:
            frozen.setattr(Camera, "seconds_since_frame", 7.0)
            slate = slates.next_slate((320, 180))
        assert np.array_equal(slate, draw_slate((320, 180), "lost", 7.0))
        assert slates.next_slate() is None  # at intervals
        plug_in.set()
        frames = iter(camera)
        while next(frames).image[0, 0, 2] < 4:
            pass
        assert camera.status == "ok" and camera.seconds_since_frame < SECONDS
    assert device.opened == 6 and caplog.text.count("is lost") == caplog.text.count("is back") == 1


def test_camera_retries_with_backoff(monkeypatch, caplog):
    waits = []
    monkeypatch.setattr("vidstyle.live.capture.RETRY_SECONDS", (0.01, 0.02, 0.04))
    device, unplug = Device([3, *[1] * 1000]), Event()
    give = device.read
    device.read = lambda: (device.there > 1 or unplug.wait(SECONDS)) and give()
    with Camera(0, capture=device) as camera:
        event = camera._capture._thread.stopped
        monkeypatch.setattr(
            event, "wait", lambda seconds: waits.append(seconds) or time.sleep(seconds)
        )
        unplug.set()
        until(lambda: len(waits) > 4)
        assert camera.status == "lost"
    assert waits[-3:] == [0.04] * 3 and device.opened <= len(waits) + 2
    assert caplog.text.count("is lost") == 1 and "is back" not in caplog.text


def test_camera_without_frames_is_silent_and_stops(monkeypatch):
    monkeypatch.setattr("vidstyle.live.camera.SILENT_SECONDS", 0.05)
    monkeypatch.setattr("vidstyle.live.capture.CLOSE_SECONDS", 0.05)
    go_on = Event()
    device = Device([100])
    device.get = lambda what: 0.0
    give = device.read
    device.read = lambda: give() if device.given < 3 else (go_on.wait(SECONDS), None)
    with Camera(0, capture=device) as camera:
        frames = Worker(lambda stage: [stage.put(frame) for frame in camera], "frames", newest=True)
        until(lambda: camera.status == "silent")
        assert draw_slate((320, 180), "silent", 2).std() > 20
        camera.stop()
        frames.join(SECONDS)
        assert not frames.is_alive()
    go_on.set()


def test_camera_measures_rate():
    device = Device([ENDLESS], seconds=0.02)  # reports 30 fps, and gives 50 at most
    with Camera(0, capture=device) as camera:
        assert camera.rate == 30
        until(lambda: camera.rate != 30)
        assert camera.rate < 50.5


def test_camera_missing_is_named():
    with pytest.raises(InputError, match="camera 7 cannot be opened") as caught:
        Camera(7, capture=Device([0]))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="camera nowhere cannot be opened"):
        open_camera("nowhere")


def test_camera_missing_writes_one_line():
    # OpenCV tries several backends, and writes a warning for each.
    code = "from vidstyle.live.camera import Camera; Camera(61)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout == "" and "OpenCV" not in result.stderr and "WARN" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith(
        "vidstyle.errors.InputError: camera 61 cannot be opened"
    )


class CameraServer(BaseHTTPRequestHandler):
    """A camera at an address: three images and then silence; none at the path /mute."""

    gone = Event()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        for level in (60, 120, 180) if self.path != "/mute" else ():
            data = cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1].tobytes()
            self.wfile.write(
                b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                + data
                + b"\r\n"
            )
        self.gone.wait(SECONDS)

    def log_message(self, *given):
        pass


@pytest.fixture
def camera_server():
    CameraServer.gone.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), CameraServer)
    server.daemon_threads = True
    serving = Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    yield f"http://someone:secret@127.0.0.1:{server.server_port}"
    CameraServer.gone.set()
    server.shutdown()
    serving.join()
    server.server_close()


def test_network_camera_process_ends_on_close(camera_server, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("vidstyle.live.camera.SILENT_SECONDS", 0.05)
    monkeypatch.setattr("vidstyle.live.camera.OPEN_SECONDS", SECONDS)
    with Camera(f"{camera_server}/camera.mjpg") as camera:
        assert camera.format.size == (64, 48)
        frame = next(iter(camera))
        assert np.ptp(frame.image) <= 4 and frame.image.max() >= 56
        until(lambda: camera.status == "silent")
        process = camera._capture._device._process
        assert process.args[-1] == "vidstyle.live.network_camera"
    assert process.poll() is not None and camera._capture.ended
    assert (
        "secret" not in caplog.text
        and "camera http://127.0.0.1:" in caplog.text
        and "is lost" not in caplog.text
    )


def test_network_camera_without_answer_times_out(camera_server, monkeypatch, capfd, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("vidstyle.live.camera.OPEN_SECONDS", 0.7)
    monkeypatch.setattr("vidstyle.live.camera.WAIT_MESSAGE_SECONDS", 0.1)
    with pytest.raises(
        InputError,
        match=r"camera http://127.0.0.1:\d+/mute gave no frame in 0.7 s: check the address",
    ) as caught:
        Camera(f"{camera_server}/mute")
    assert "secret" not in str(caught.value) + caplog.text
    assert caplog.text.count("waiting for camera http://127.0.0.1:") == 1
    assert capfd.readouterr().err == ""
