"""The preview window, on the main thread, through OpenCV."""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..media.frame import Image, to_8_bits

os.environ.setdefault("QT_LOGGING_RULES", "*=false")  # Qt would complain of the fonts that its wheel does not bring

TITLE = "vidstyle"
LINE_PX = 18
LEAST_WIDTH_PX = 640
"""Small pictures are shown enlarged to this width; the window may be resized all the same."""


class Window:
    """A resizable window that shows pictures and gives the keys that are pressed.

    Raises:
        DeviceError: there is no display. (OpenCV would end the whole process.)
    """

    def __init__(self, title: str = TITLE) -> None:
        check_display()
        self._title = title
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._scale = 0.0
        self._shape: tuple[int, ...] = ()

    def show(self, image: Image, lines: Sequence[str] = ()) -> None:
        """Show (H, W, 3 or 4) RGB, with lines of text in its upper left corner."""
        bgr = np.ascontiguousarray(to_8_bits(image)[..., 2::-1])
        if bgr.shape != self._shape:  # a picture of another shape, with its source beside it, would be squeezed
            height, width = bgr.shape[:2]
            self._scale = self._scale or max(1.0, LEAST_WIDTH_PX / width)
            cv2.resizeWindow(self._title, round(width * self._scale), round(height * self._scale))
            self._shape = bgr.shape
        cv2.imshow(self._title, with_text(bgr, lines))

    def key(self) -> str | None:
        """The key pressed since the last call; "close" where the window was closed."""
        code = cv2.pollKey()
        if cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            return "close"
        if code < 0:
            return None
        return "escape" if code & 0xFF == 27 else chr(code & 0xFF)

    def close(self) -> None:
        """Close it. Calling it twice does no harm."""
        cv2.destroyAllWindows()
        cv2.pollKey()


def with_text(bgr: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    """Lines of text on a picture, readable on any ground. Changes the picture given."""
    for number, line in enumerate(lines, 1):
        x, y = 6, LINE_PX * number
        for right, down, level in ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, 255)):  # white with a dark rim
            cv2.putText(bgr, line, (x + right, y + down), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (level,) * 3, 1, cv2.LINE_AA)
    return bgr


def check_display() -> None:
    """Find out whether a window can be opened at all.

    Raises:
        DeviceError: it cannot.
    """
    if not sys.platform.startswith("linux"):
        return
    display = os.environ.get("DISPLAY", "")
    if display.startswith(":"):
        path = Path("/tmp/.X11-unix") / f"X{display[1:].split('.')[0]}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            for address in (f"\0{path}", str(path)):
                try:
                    server.connect(address)
                    return
                except OSError:
                    continue
    elif display or os.environ.get("WAYLAND_DISPLAY"):
        return
    raise DeviceError("there is no display to open a window on: add --no-window")
