"""Frames for other programs: NDI for real where cyndilib is installed; Spout and Syphon with
substitutes that have the documented signatures."""
# ruff: noqa: N802, N803 (names of SpoutGL)

import json
import sys
import threading
from contextlib import closing
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from color_patches import PATCHES, color_patches, column_centers
from conftest import stripes, until, write_clip
from page_session import PageSession

from vidstyle import DeviceError
from vidstyle.live.spout import GL_RGBA, SpoutOutput
from vidstyle.live.syphon import SyphonOutput

SIZE = (64, 48)


class Receiver:
    """Substitutes for SpoutGL and syphon-python, whose calls arrive in ``images`` and ``calls``."""

    def __init__(self):
        self.images, self.calls, self.accepts = [], [], True

    def spout(self):
        outer, module = self, ModuleType("SpoutGL")

        class SpoutSender:
            def __init__(self):
                self.thread = threading.get_ident()

            def setSenderName(self, name):
                outer.calls.append(("name", name))

            def sendImage(self, pixels, width, height, glFormat, invert, hostFbo):
                assert threading.get_ident() == self.thread and glFormat == GL_RGBA and not invert
                view = memoryview(pixels)
                assert view.c_contiguous and view.nbytes == width * height * 4
                outer.images.append(np.frombuffer(view, np.uint8).reshape(height, width, 4).copy())
                return outer.accepts

            def setFrameSync(self, name):
                outer.calls.append(("sync", name))

            def releaseSender(self):
                outer.calls.append(("released", ""))

        module.SpoutSender = SpoutSender
        return {"SpoutGL": module}

    def syphon(self):
        outer, main = self, threading.get_ident()

        class SyphonMetalServer:
            def __init__(self, name, device=None, command_queue=None):
                self.device = object()
                outer.calls.append(("name", name))

            def publish_frame_texture(self, texture, region=None, size=None, is_flipped=False):
                assert is_flipped
                outer.images.append(texture.image)

            def stop(self):
                outer.calls.append(("released", ""))

        class SyphonServerDirectory:
            run_loop_interval = 1.0

            def update_run_loop(self):
                assert threading.get_ident() == main and not self.run_loop_interval
                outer.calls.append(("run loop", ""))

        def create_mtl_texture(device, width, height, pixel_format=70):
            return SimpleNamespace(size=(width, height), image=None)

        def copy_bytes_to_mtl_texture(data, texture):
            assert isinstance(data, bytes)
            width, height = texture.size
            texture.image = np.frombuffer(data, np.uint8).reshape(height, width, 4)

        modules = {name: ModuleType(name) for name in ("syphon", "syphon.utils")}
        raw = modules["syphon.utils.raw"] = ModuleType("syphon.utils.raw")
        modules["syphon"].SyphonMetalServer = SyphonMetalServer
        modules["syphon"].SyphonServerDirectory = SyphonServerDirectory
        raw.create_mtl_texture = create_mtl_texture
        raw.copy_bytes_to_mtl_texture = copy_bytes_to_mtl_texture
        return modules


SYSTEMS = {"spout": ("win32", SpoutOutput), "syphon": ("darwin", SyphonOutput)}


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture(params=SYSTEMS)
def output(request, receiver, monkeypatch):
    """An open output on the system for which it was made."""
    system, make = SYSTEMS[request.param]
    monkeypatch.setattr(f"vidstyle.live.{request.param}.sys.platform", system)
    for name, module in getattr(receiver, request.param)().items():
        monkeypatch.setitem(sys.modules, name, module)
    made = make("", 30)
    made.open(None)
    with closing(made):
        yield made


def test_shared_output_sends_rgba(output, receiver):
    image = color_patches(SIZE)
    output.show(image)
    until(lambda: len(receiver.images) > 1)  # the last image is repeated
    assert np.array_equal(receiver.images[-1][..., :3], image)
    assert (receiver.images[-1][..., 3] == 255).all()
    assert output.device == "vidstyle" and ("name", "vidstyle") in receiver.calls
    wide = np.zeros((48, 128, 3), np.uint8)
    wide[:] = 200
    output.show(wide)  # side by side: the size of a texture stays
    until(lambda: tuple(receiver.images[-1][24, 32]) == (200, 200, 200, 255))
    assert receiver.images[-1].shape == (48, 64, 4) and not receiver.images[-1][0, 0, :3].any()
    output.close()
    assert receiver.calls[-1] == ("released", "")


def test_spout_output_that_takes_no_image_is_retried(receiver, monkeypatch, caplog):
    monkeypatch.setattr("vidstyle.live.output_device.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("vidstyle.live.spout.sys.platform", "win32")
    monkeypatch.setitem(sys.modules, "SpoutGL", receiver.spout()["SpoutGL"])
    receiver.accepts = False
    output = SpoutOutput("show", 30)
    output.open(None)
    with closing(output):
        output.show(stripes())
        until(lambda: receiver.calls.count(("name", "show")) > 2)
        receiver.accepts = True
        until(lambda: ("sync", "show") in receiver.calls)
    assert "Spout takes no image: update the driver of the graphics card" in caplog.text


def test_syphon_output_without_metal_names_a_remedy(receiver, monkeypatch, caplog):
    monkeypatch.setattr("vidstyle.live.syphon.sys.platform", "darwin")
    modules = receiver.syphon()

    def without_device(name):
        raise AttributeError("'NoneType' object has no attribute 'newCommandQueue'")

    modules["syphon"].SyphonMetalServer = without_device
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    output = SyphonOutput("", 30)
    output.open(None)
    with closing(output):
        output.show(stripes())
        until(lambda: "Syphon needs Metal, which this machine lacks: use --ndi" in caplog.text)


@pytest.mark.parametrize("name", SYSTEMS)
def test_shared_output_names_system_and_package(name, monkeypatch):
    system, make = SYSTEMS[name]
    monkeypatch.setattr(f"vidstyle.live.{name}.sys.platform", "linux")
    with pytest.raises(DeviceError, match=r"exists on (Windows|macOS) only: use --"):
        make("", 30)
    monkeypatch.setattr(f"vidstyle.live.{name}.sys.platform", system)
    for module in ("SpoutGL", "syphon"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DeviceError, match=rf"pip install 'vidstyle\[{name}\]'"):
        make("", 30)


def test_ndi_output_names_the_package_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "vidstyle.live.ndi", raising=False)
    monkeypatch.setitem(sys.modules, "cyndilib.sender", None)
    with pytest.raises(DeviceError, match=r"pip install 'vidstyle\[ndi\]'"):
        __import__("vidstyle.live.ndi")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the output exists here")
def test_live_command_names_the_system_of_an_output(vidstyle, tmp_path):
    clip = write_clip(tmp_path / "camera.mp4")
    for flag, words in (("--spout", "Windows only"), ("--syphon", "macOS only")):
        code, _, err = vidstyle("live", "--camera", clip, "--no-window", flag)
        assert code == 1 and words in err and len(err.splitlines()) == 1


@pytest.fixture
def ndi(tmp_path, monkeypatch):
    """The package cyndilib, whose runtime looks for sources on this machine only."""
    network = {"ndi": {"networks": {"ips": "127.0.0.1"}}}
    (tmp_path / "ndi-config.v1.json").write_text(json.dumps(network))
    monkeypatch.setenv("NDI_CONFIG_DIR", str(tmp_path))
    return pytest.importorskip("cyndilib")


class NdiReceiver:
    """Receives the source of a name; ``image`` is its newest frame, (H, W, 4) RGBA, or None."""

    def __init__(self, name):
        from cyndilib.finder import Finder
        from cyndilib.receiver import Receiver
        from cyndilib.video_frame import VideoFrameSync
        from cyndilib.wrapper.ndi_recv import RecvBandwidth, RecvColorFormat

        self._name, self._finder = name, Finder()
        self._finder.open()
        self._receiver = Receiver(
            color_format=RecvColorFormat.RGBX_RGBA, bandwidth=RecvBandwidth.highest
        )
        self._frame = VideoFrameSync()
        self._receiver.frame_sync.set_video_frame(self._frame)
        until(self._find)

    def _find(self):
        self._finder.wait_for_sources(0.1)
        for source in self._finder:
            if source.stream_name == self._name:
                self._receiver.set_source(source)
                return True
        return False

    @property
    def image(self):
        self._receiver.frame_sync.capture_video()
        size = self._frame.yres, self._frame.xres, 4
        return np.frombuffer(self._frame, np.uint8).reshape(size).copy() if size[0] else None

    def close(self):
        self._receiver.disconnect()
        self._finder.close()


def test_ndi_output_is_received_with_its_colors(ndi):
    from vidstyle.live.ndi import NdiOutput

    image = color_patches((320, 176))
    output = NdiOutput("vidstyle-colors", 25)
    output.open(None)
    with closing(output):
        output.show(image)
        until(lambda: output.device)
        with closing(NdiReceiver("vidstyle-colors")) as receiver:
            until(lambda: receiver.image is not None)
            found = column_centers(receiver.image)
    # Two conversions between RGB and 8-bit YUV, and NDI's codec; a wrong matrix is off by 20.
    assert np.abs(found[:, :3] - PATCHES).max() <= 12


def test_ndi_output_of_a_session_follows_its_frames(ndi, page_camera, features, style):
    from vidstyle.live.ndi import NdiOutput

    running = PageSession(NdiOutput("vidstyle-session", 25), page_camera, features, style)
    with (
        closing(running.session),
        running.stylizing(),
        closing(NdiReceiver("vidstyle-session")) as receiver,
    ):
        until(lambda: receiver.image is not None)
        first = receiver.image.astype(int)
        assert first.shape == (48, 64, 4)
        until(lambda: np.abs(receiver.image - first).max() > 30)
