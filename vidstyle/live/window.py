"""The preview window, through OpenCV, on the main thread."""

import os
import subprocess
import sys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..io.frame import Image, to_8_bits

# Qt would warn of fonts that OpenCV's wheel does not include.
os.environ.setdefault("QT_LOGGING_RULES", "*=false")

TITLE = "vidstyle"

LINE_PX, TEXT_LEFT_PX, TEXT_SCALE = 18, 6, 0.45
"""Line height and left margin of the text in px, and its size for ``cv2.putText``."""

MIN_WINDOW_WIDTH_PX = 640
"""Narrower frames are shown enlarged to this width at first; the user may resize the window."""

DISPLAY_SECONDS = 15.0
"""Time limit in seconds for the display to answer; one at an unreachable address never does."""

PROBE_CODE = """
import cv2, os
try:
    cv2.namedWindow("vidstyle", cv2.WINDOW_OPENGL)
except cv2.error as error:
    os._exit(error.code != cv2.Error.OpenGlNotSupported)
os._exit(0)
"""
"""Program that ends with status 0 if a window can be opened.

OpenCV's wheels lack OpenGL: they connect to the display, and fail before the window appears.
"""

REMEDY = "add --no-window with an output, such as -o FILE or --web"


class DisplayCheck:
    """Checks in a process whether a window can be opened: on failure OpenCV aborts the process.

    The process runs in parallel until ``wait``.

    Raises:
        DeviceError: no display is configured.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if not sys.platform.startswith("linux"):
            return
        self._display = os.environ.get("DISPLAY", "")
        if not self._display and not os.environ.get("WAYLAND_DISPLAY"):
            raise DeviceError(f"no display is available for a window: {REMEDY}")
        devnull = subprocess.DEVNULL
        command = [sys.executable, "-P", "-c", PROBE_CODE]
        self._process = subprocess.Popen(command, stdin=devnull, stdout=devnull, stderr=devnull)

    def wait(self) -> None:
        """Wait for the result, for up to ``DISPLAY_SECONDS``.

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
            message = f"the display {self._display} cannot be reached, or rejects windows"
            raise DeviceError(f"{message}: {REMEDY}")
        if failed:
            message = "windows need X11, which Wayland offers as XWayland, and DISPLAY is not set"
            raise DeviceError(f"{message}: {REMEDY}")

    def close(self) -> None:
        """Kill the process. Further calls have no effect."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Window:
    """A resizable window that shows frames and receives key presses. Only for the main thread.

    Args:
        title: shown by the window manager.
        check: a check that was started earlier; None: the display is checked now.

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
        """Show a frame with lines of text; do nothing after the window was closed.

        Args:
            image: (H, W, 3 or 4) RGB.
            lines: drawn in the upper left corner.
        """
        if self._closed:  # OpenCV would open a new window
            return
        bgr = np.ascontiguousarray(to_8_bits(image)[..., 2::-1])
        if bgr.shape != self._shape:  # else a frame of another shape would be distorted
            height, width = bgr.shape[:2]
            self._scale = self._scale or max(1.0, MIN_WINDOW_WIDTH_PX / width)
            cv2.resizeWindow(self._title, round(width * self._scale), round(height * self._scale))
            self._shape = bgr.shape
        cv2.imshow(self._title, draw_text(bgr, lines))

    def key(self) -> str | None:
        """Return the key pressed since the last call; "close" if the window was closed."""
        code = cv2.pollKey()
        try:
            visible = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # raised by OpenCV 5 for a window that was closed
            visible = False
        self._closed = self._closed or not visible
        if self._closed:
            return "close"
        if code < 0:
            return None
        return "escape" if code & 0xFF == 27 else chr(code & 0xFF)

    def close(self) -> None:
        """Close the window. Further calls have no effect."""
        cv2.destroyAllWindows()
        cv2.pollKey()


def draw_text(bgr: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    """Draw lines of white text with a black outline into an image, and return the image.

    Args:
        bgr: (H, W, 3) uint8, modified in place.
        lines: drawn from the upper left corner downwards.
    """
    outline = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0))
    for number, line in enumerate(lines, 1):
        for dx, dy, level in (*outline, (0, 0, 255)):
            cv2.putText(
                bgr,
                line,
                (TEXT_LEFT_PX + dx, LINE_PX * number + dy),
                cv2.FONT_HERSHEY_SIMPLEX,
                TEXT_SCALE,
                (level,) * 3,
                1,
                cv2.LINE_AA,
            )
    return bgr
