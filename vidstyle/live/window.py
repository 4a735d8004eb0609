"""The preview window, on the main thread, through OpenCV."""

import os
import subprocess
import sys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..io.frame import Image, to_8_bits

os.environ.setdefault(
    "QT_LOGGING_RULES", "*=false"
)  # Qt would complain of the fonts that its wheel does not bring

TITLE = "vidstyle"
LINE_PX = 18
LEAST_WIDTH_PX = 640
"""Small pictures are shown enlarged to this width; the window may be resized all the same."""


DISPLAY_SECONDS = 15.0
"""How long a display may take to answer: one at an address that is not there never does."""

OPEN_WINDOW = "import cv2, os; cv2.namedWindow('vidstyle', cv2.WINDOW_NORMAL); os._exit(0)"
"""Ends before the window appears."""

REMEDY = "add --no-window with something that takes the picture, such as -o FILE or --web"


class DisplayCheck:
    """Finds out whether a window can be opened, in a process of its own: OpenCV ends the whole process where it cannot.

    The process runs beside whatever comes next, until ``wait`` asks for its answer.

    Raises:
        DeviceError: there is no display.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if not sys.platform.startswith("linux"):
            return
        self._display = os.environ.get("DISPLAY", "")
        if not self._display and not os.environ.get("WAYLAND_DISPLAY"):
            raise DeviceError(f"there is no display to open a window on: {REMEDY}")
        nothing = subprocess.DEVNULL
        command = [sys.executable, "-P", "-c", OPEN_WINDOW]
        self._process = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)

    def wait(self) -> None:
        """Wait for the answer.

        Raises:
            DeviceError: no window can be opened.
        """
        if self._process is None:
            return
        try:
            failed = self._process.wait(DISPLAY_SECONDS) != 0
        except subprocess.TimeoutExpired:
            failed = True
        self.close()
        if failed and self._display:
            raise DeviceError(
                f"the display {self._display} cannot be reached or lets no window be opened: {REMEDY}"
            )
        if failed:
            raise DeviceError(
                f"windows need X11, which Wayland offers as XWayland, and DISPLAY is not set: {REMEDY}"
            )

    def close(self) -> None:
        """End the process. Calling it twice does no harm."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Window:
    """A resizable window that shows pictures and gives the keys that are pressed.

    Args:
        title: shown by the window manager.
        check: begun before; None: the display is checked now.

    Raises:
        DeviceError: no window can be opened.
    """

    def __init__(self, title: str = TITLE, check: DisplayCheck | None = None) -> None:
        (check or DisplayCheck()).wait()
        self._title = title
        self._closed = False
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._scale = 0.0
        self._shape: tuple[int, ...] = ()

    def show(self, image: Image, lines: Sequence[str] = ()) -> None:
        """Show (H, W, 3 or 4) RGB, with lines of text in its upper left corner. Nothing happens once it was closed."""
        if self._closed:  # OpenCV would open another one
            return
        bgr = np.ascontiguousarray(to_8_bits(image)[..., 2::-1])
        if (
            bgr.shape != self._shape
        ):  # a picture of another shape, with its source beside it, would be squeezed
            height, width = bgr.shape[:2]
            self._scale = self._scale or max(1.0, LEAST_WIDTH_PX / width)
            cv2.resizeWindow(self._title, round(width * self._scale), round(height * self._scale))
            self._shape = bgr.shape
        cv2.imshow(self._title, with_text(bgr, lines))

    def key(self) -> str | None:
        """The key pressed since the last call; "close" where the window was closed."""
        code = cv2.pollKey()
        try:
            self._closed = (
                self._closed or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
            )
        except cv2.error:  # OpenCV 5 knows no window of that name any more
            self._closed = True
        if self._closed:
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
        for right, down, level in (
            (-1, 0, 0),
            (1, 0, 0),
            (0, -1, 0),
            (0, 1, 0),
            (0, 0, 255),
        ):  # white with a dark rim
            cv2.putText(
                bgr,
                line,
                (x + right, y + down),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.45,
                (level,) * 3,
                1,
                cv2.LINE_AA,
            )
    return bgr
