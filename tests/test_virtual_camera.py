"""Virtual camera: rate, colours, missing and removed devices; simulated, and with native code."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from conftest import chart, until, write_clip

from vidstyle import DeviceError, cli
from vidstyle.io.color import to_rgb
from vidstyle.io.stream_info import BT601, BT709, LIMITED, ColorInfo
from vidstyle.live.output_device import letterbox
from vidstyle.live.v4l2loopback import LOAD_COMMAND, diagnose, loopback_devices, remedy
from vidstyle.live.virtual_camera import (
    FFmpegConnection,
    PyVirtualCamConnection,
    VirtualCamera,
    describe_error,
    select_backend,
)


class SimulatedConnection:
    """A simulated device that keeps the images, and can fail."""

    def __init__(self, device="simulated"):
        self.device, self.images, self.broken, self.closed = device, [], False, False

    def send(self, i420):
        if self.broken:
            raise OSError("no such device")
        self.images.append(i420)

    def close(self):
        self.closed = True


@contextmanager
def running(camera):
    camera.open(None)
    try:
        yield camera
    finally:
        camera.close()


def rgb(i420, size, color=BT601):
    """Convert I420 to RGB as another program does."""
    frame = av.VideoFrame.from_ndarray(i420.reshape(size[1] * 3 // 2, size[0]), format="yuv420p")
    return to_rgb(frame, size, ColorInfo(color, LIMITED), VideoReformatter())


def test_virtual_camera_repeats_newest_frame():
    connection = SimulatedConnection()
    with running(
        VirtualCamera(None, (64, 48), 200, open_device=lambda *given: connection)
    ) as camera:
        until(lambda: len(connection.images) > 5)
        assert not rgb(connection.images[0], (64, 48)).any()  # black before the first
        camera.show(np.full((48, 64, 3), 250, np.uint8))
        until(lambda: rgb(connection.images[-1], (64, 48)).mean() > 245)
        count = len(connection.images)
        until(lambda: len(connection.images) > count + 5)
        assert connection.images[-1] is connection.images[-2]
        assert camera.device == "simulated"
    assert connection.closed and camera.device is None
    camera.close()


@pytest.mark.parametrize("matrix, color", [("601", BT601), ("709", BT709)])
def test_virtual_camera_colors_match_matrix(matrix, color):
    connection, image = SimulatedConnection(), chart()
    size = image.shape[1::-1]
    with running(VirtualCamera(None, size, 100, matrix, lambda *given: connection)) as camera:
        camera.show(image)
        until(
            lambda: (
                len(connection.images) > 2 and connection.images[-1][: size[0] * size[1]].max() > 16
            )
        )
    difference = np.abs(rgb(connection.images[-1], size, color).astype(int) - image)
    assert np.median(difference) <= 2  # flat patches; chroma is subsampled at their edges
    other = np.abs(
        rgb(connection.images[-1], size, BT709 if color == BT601 else BT601).astype(int) - image
    )
    assert other.max() > 10


def test_letterbox_keeps_aspect_ratio():
    wide = letterbox(np.full((10, 40, 4), 200, np.uint8), (64, 48))
    assert (
        wide.shape == (48, 64, 3)
        and (wide[16:32] == 200).all()
        and not wide[:16].any()
        and not wide[32:].any()
    )
    high = letterbox(np.full((200, 100, 3), 50000, np.uint16), (64, 48))
    assert (high[:, 20:44] == 195).all() and not high[:, :20].any() and not high[:, 44:].any()


def test_virtual_camera_retries_missing_device(monkeypatch, caplog):
    monkeypatch.setattr("vidstyle.live.output_device.RETRY_SECONDS", 0.01)
    connection, tries = SimulatedConnection(), []

    def open_device(*given):
        tries.append(given)
        if len(tries) < 5:
            raise DeviceError("v4l2loopback is not loaded: load it")
        return connection

    caplog.set_level("INFO")
    with running(VirtualCamera("/dev/video77", (64, 48), 100, open_device=open_device)):
        until(lambda: connection.images)
    assert tries[0] == ("/dev/video77", (64, 48), 100)
    assert caplog.text.count("no virtual camera: v4l2loopback is not loaded: load it") == 1
    assert "virtual camera simulated: 64x48 at 100 frames per second" in caplog.text


@pytest.mark.parametrize("how", ["error", "file"])
def test_virtual_camera_reopens_removed_device(monkeypatch, caplog, tmp_path, how):
    """Some backends raise an error; for others the device's file is checked."""
    monkeypatch.setattr("vidstyle.live.output_device.RETRY_SECONDS", 0.01)
    node = tmp_path / "video10"
    node.touch()
    connections = []

    def open_device(*given):
        if not node.exists():
            raise DeviceError("there is none: load it")
        connections.append(SimulatedConnection(str(node)))
        return connections[-1]

    with running(VirtualCamera(None, (64, 48), 100, open_device=open_device)):
        until(lambda: connections and connections[0].images)
        node.unlink()
        connections[0].broken = how == "error"
        until(lambda: connections[0].closed)
        node.touch()
        until(lambda: len(connections) > 1 and connections[-1].images)
    assert caplog.text.count("is gone") == 1


def test_virtual_camera_rejects_invalid_arguments():
    for wrong in (
        {"size": (321, 180)},
        {"size": (320, 0)},
        {"matrix": "2020"},
        {"rate": 0},
        {"rate": float("nan")},
    ):
        with pytest.raises(ValueError, match=r"must be|use one of"):
            VirtualCamera(None, **wrong)


class Backend:
    """A backend of pyvirtualcam that keeps the images."""

    made: ClassVar = []

    def __init__(self, *, width, height, fps, fourcc, device, **rest):
        if device == "busy":
            raise RuntimeError("virtual camera output could not be started")
        self.given, self.images = (width, height, fps, device), []
        Backend.made.append(self)

    def send(self, frame):
        self.images.append(np.array(frame))

    def close(self):
        pass

    def device(self):
        return "fake camera"

    def native_fourcc(self):
        return None


def test_pyvirtualcam_connection_sends_i420():
    pyvirtualcam = pytest.importorskip("pyvirtualcam")
    pyvirtualcam.register_backend("fake", Backend)
    try:
        with running(
            VirtualCamera(
                None,
                (64, 48),
                50,
                open_device=lambda *given: PyVirtualCamConnection(*given, backend="fake"),
            )
        ) as camera:
            camera.show(np.full((48, 64, 3), (220, 20, 60), np.uint8))
            until(
                lambda: (
                    Backend.made
                    and Backend.made[-1].images
                    and Backend.made[-1].images[-1][: 64 * 48].max() > 16
                )
            )
            assert camera.device == "fake camera"
        assert Backend.made[-1].given == (64, 48, 50, None)
        assert (
            np.abs(rgb(Backend.made[-1].images[-1], (64, 48)).astype(int) - (220, 20, 60)).max()
            <= 2
        )
        with pytest.raises(RuntimeError, match="could not be started"):
            PyVirtualCamConnection("busy", (64, 48), 50, backend="fake")
    finally:
        del pyvirtualcam.camera.BACKENDS["fake"]


def test_select_backend_without_pyvirtualcam(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    monkeypatch.setattr("sys.platform", "linux")
    assert select_backend() is FFmpegConnection
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(DeviceError, match=r"pip install 'vidstyle\[virtualcam\]'"):
        select_backend()


@pytest.fixture
def system(monkeypatch, tmp_path):
    """Return a function that creates files of a simulated Linux system."""
    monkeypatch.setattr("vidstyle.live.v4l2loopback.SYSTEM_ROOT", tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.release", lambda: "6.1")

    def create_file(path, text=""):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return create_file


def test_remedy_names_missing_part_on_linux(system, monkeypatch):
    assert "has no modules" in remedy("")
    system("lib/modules/6.1/modules.dep")
    assert "sudo apt install v4l2loopback-dkms" in remedy("")
    system("lib/modules/6.1/updates/dkms/v4l2loopback.ko.xz")
    assert remedy("") == f"v4l2loopback is not loaded: {LOAD_COMMAND}"
    system("sys/firmware/efi/efivars/SecureBoot-8be4", "\6\0\0\0\1")
    assert "mokutil" in remedy("")
    system("sys/module/v4l2loopback/parameters/debug", "0")
    assert "loaded without a device" in remedy("")
    system("sys/devices/virtual/video4linux/video4/name", "other")
    system("sys/devices/virtual/video4linux/video10/name", "Vidstyle\n")
    assert loopback_devices() == ["/dev/video10", "/dev/video4"]
    assert "has no file" in remedy("cannot open /dev/video10")
    system("dev/video10")
    system("dev/video4")
    assert "another program uses it" in remedy(
        "/dev/video10: busy"
    ) and "/dev/video10, /dev/video4" in remedy("/dev/video99")
    assert [line.split(":")[1].split(",")[0] for line in diagnose()] == [" ready", " ready"]
    system("sys/module/v4l2loopback/parameters/exclusive_caps", "Y,N")
    assert "opens only once" in remedy("/dev/video10") and all(
        "opens only once" in line for line in diagnose()
    )
    system("sys/class/misc/v4l2loopback/dev", "10:1")
    assert "opens only once" not in remedy("/dev/video10")
    monkeypatch.setattr("os.access", lambda *given: False)
    assert "sudo usermod -aG video" in remedy("/dev/video10")


@pytest.mark.parametrize("platform, words", [("win32", "OBS"), ("darwin", "allow its extension")])
def test_remedy_on_other_systems(monkeypatch, platform, words):
    monkeypatch.setattr("sys.platform", platform)
    assert words in remedy("not found") and words in next(iter(diagnose()))
    assert "only one program can use it" in remedy("virtual camera output could not be started")


def test_describe_error_replaces_message_of_pyvirtualcam(system):
    error = RuntimeError(
        "'v4l2loopback' backend: No v4l2 loopback device found at /dev/video[0-99]. "
        "Did you run ...?"
    )
    assert describe_error(error) == remedy("") and "\n" not in describe_error(RuntimeError("a\nb"))


def test_live_command_without_device_warns_once(tmp_path, monkeypatch, capsys, features_file):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vidstyle.live.v4l2loopback.SYSTEM_ROOT", tmp_path)
    write_clip(tmp_path / "clip.mp4", count=25)
    flags = [
        "--features",
        str(features_file),
        "--working-size",
        "64",
        "--no-window",
        "--device",
        "cpu",
        "--virtual-camera",
    ]
    assert cli.main(["live", "ink", "--camera", "clip.mp4", "-o", "out.mp4", *flags]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "virtual" in line]
    assert (
        len(lines) == 1
        and lines[0].startswith("no virtual camera: ")
        and (tmp_path / "out.mp4").exists()
    )


NATIVE = """
import sys, time
import numpy as np
from vidstyle.live.virtual_camera import PyVirtualCamConnection, VirtualCamera
camera = VirtualCamera("/dev/video42", (64, 48), 50, open_device=PyVirtualCamConnection)
camera.open(None)
camera.show(np.full((48, 64, 3), (220, 20, 60), np.uint8))
end = time.monotonic() + 60
while not (camera.device and camera.sent > 3) and time.monotonic() < end:
    time.sleep(0.01)
assert camera.device == "/dev/video42", camera._last_warning
camera.close()
print(camera.sent)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("gcc"), reason="needs Linux and gcc"
)
def test_pyvirtualcam_native_code_writes_frames(tmp_path):
    """With a preloaded library that simulates the kernel module."""
    pytest.importorskip("pyvirtualcam")
    source, library, written = (
        Path(__file__).parent / "vcam" / "shim.c",
        tmp_path / "shim.so",
        tmp_path / "written",
    )
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    env = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "VCAM_DEVICE": "/dev/video42",
        "VCAM_FILE": str(written),
    }
    result = subprocess.run(
        [sys.executable, "-c", NATIVE], env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    images = np.fromfile(written, np.uint8).reshape(-1, 64 * 48 * 3 // 2)
    assert len(images) == int(result.stdout) > 3
    assert np.abs(rgb(images[-1], (64, 48)).astype(int) - (220, 20, 60)).max() <= 2
