"""The start of a live session: the window shows the camera while PyTorch loads."""

import threading
from fractions import Fraction

import pytest
from conftest import SECONDS, until, write_clip
from test_browser_camera import put
from test_camera import ENDLESS, Device
from test_live import WindowRecorder

from vidstyle import DeviceError
from vidstyle.live.browser_camera import BrowserCamera
from vidstyle.live.camera import Camera, PacedFile
from vidstyle.live.startup import SessionClosed, preview_while_loading
from vidstyle.runtime.worker import Worker


@pytest.fixture
def camera(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", count=50, rate=Fraction(50))
    with PacedFile(clip, loop=True) as source:
        yield source


@pytest.fixture
def silent_camera():
    """A camera whose device gives one frame, and the others from ``go_on.set()`` on."""
    device, go_on = Device([ENDLESS]), threading.Event()
    read = device.read
    device.read = lambda: read() if device.given < 1 or go_on.wait(SECONDS) else (False, None)
    with Camera(0, capture=device) as source:
        source.go_on = go_on
        yield source
        go_on.set()


def preview(source, window, load):
    """Call ``preview_while_loading``, which may not wait for the camera; return its thread."""
    thread = Worker(
        lambda worker: worker.queue.put(preview_while_loading(source, window, load)), "preview"
    )
    thread.join(SECONDS)
    assert not thread.is_alive(), "it waits for a camera that gives no frames"
    return thread


def test_preview_while_loading_shows_camera(camera):
    before = threading.enumerate()
    window, shown_three = WindowRecorder(), threading.Event()

    def load():
        assert shown_three.wait(SECONDS)
        return "loaded"

    def show(image, lines=()):
        window.shown.append((image, lines))
        if len(window.shown) == 3:
            shown_three.set()

    stand_in = type("Shown", (), {"show": staticmethod(show), "key": staticmethod(lambda: None)})
    assert preview_while_loading(camera, stand_in, load) == "loaded"
    assert window.shown[0][1] == ["loading"]
    assert next(iter(camera)).time > 0  # the iteration continues
    assert not [thread for thread in threading.enumerate() if thread not in before]


def test_preview_while_loading_raises_errors(camera):
    def fails():
        raise DeviceError("no such device: choose another")

    with pytest.raises(DeviceError, match="choose another"):
        preview_while_loading(camera, WindowRecorder(), fails)
    window = WindowRecorder(["q"])
    with pytest.raises(SessionClosed):  # the loader goes on until the window was asked for its keys
        preview_while_loading(camera, window, lambda: until(lambda: not window.keys))
    assert preview_while_loading(camera, None, lambda: 5) == 5


def test_preview_while_loading_does_not_wait_for_a_browser():
    window = WindowRecorder()
    with BrowserCamera((320, 180)) as source:
        # The page that a browser connects to is served by the session, after the loading.
        thread = preview(source, window, lambda: until(lambda: window.shown) and "loaded")
        thread.raise_error()
        assert thread.queue.get_nowait() == "loaded"
        put(source, 30)
        assert next(iter(source)).image.max() == 30  # the session gets its frames


def test_preview_while_loading_does_not_wait_for_an_unplugged_camera(silent_camera):
    window = WindowRecorder()
    thread = preview(silent_camera, window, lambda: until(lambda: window.shown) and "loaded")
    assert thread.queue.get_nowait() == "loaded"
    silent_camera.go_on.set()
    assert next(iter(silent_camera)).image.any()


def test_preview_while_loading_quits_while_the_camera_is_silent(silent_camera):
    window = WindowRecorder(["q"])
    thread = preview(silent_camera, window, lambda: until(lambda: not window.keys))
    assert isinstance(thread.error, SessionClosed)
