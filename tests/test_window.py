"""The preview window: displays that are missing, closing, text."""

import cv2
import numpy as np
import pytest
from conftest import scene

from vidstyle import DeviceError
from vidstyle.live.window import DisplayCheck, Window, draw_text


@pytest.mark.parametrize(
    "display, wayland", [("", ""), (":4711", ""), ("nohost.invalid:0", ""), ("", "wayland-0")]
)
def test_window_without_display_names_remedy(monkeypatch, display, wayland, capfd):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("WAYLAND_DISPLAY", wayland)
    with pytest.raises(DeviceError, match="--no-window") as caught:
        Window()
    assert display in str(caught.value) and capfd.readouterr().err == ""


def test_display_check_times_out(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":4712")
    monkeypatch.setattr("vidstyle.live.window.PROBE_CODE", "import time; time.sleep(60)")
    monkeypatch.setattr("vidstyle.live.window.DISPLAY_SECONDS", 0.05)
    check = DisplayCheck()
    with pytest.raises(DeviceError, match="display :4712 cannot be reached"):
        check.wait()
    assert check._process.returncode is not None


@pytest.fixture
def opencv_window(monkeypatch):
    """Simulate OpenCV's windows; return the set of their names.

    Like version 5, OpenCV raises for a name that is not in the set.
    """
    windows = set()

    def visible(title, what):
        if title not in windows:
            raise cv2.error("NULL window")
        return 1.0

    monkeypatch.setattr("sys.platform", "darwin")  # without a display check
    monkeypatch.setattr(cv2, "namedWindow", lambda title, flags: windows.add(title))
    monkeypatch.setattr(cv2, "resizeWindow", lambda title, *size: visible(title, 0))
    monkeypatch.setattr(cv2, "imshow", lambda title, image: windows.add(title))
    monkeypatch.setattr(cv2, "getWindowProperty", visible)
    monkeypatch.setattr(cv2, "pollKey", lambda: -1)
    monkeypatch.setattr(cv2, "destroyAllWindows", windows.clear)
    return windows


def test_window_closed_by_button_stays_closed(opencv_window):
    window = Window()
    window.show(scene())
    assert window.key() is None
    opencv_window.clear()
    assert window.key() == "close"
    window.show(scene(size=(80, 60)))
    assert not opencv_window and window.key() == "close"
    window.close()


def test_draw_text_is_legible_on_any_background():
    for level in (0, 128, 255):
        drawn = draw_text(np.full((60, 200, 3), level, np.uint8), ["12.0 fps"])
        assert np.ptp(drawn) > 100
