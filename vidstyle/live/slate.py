"""The slate: the image shown instead of the stylised frame while the camera gives no frames."""

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import LiveSource

SLATE_SECONDS = 0.25
"""Interval in seconds at which a new slate is drawn."""

TITLES = {"silent": "camera silent", "lost": "camera lost"}
"""Camera status -> first line of the slate."""

LONG_NOTE = 24
"""Number of characters from which the small line may have most of the image's width."""

BACKGROUND, FOREGROUND = 40, 230
"""Grey levels (0 to 255) of the slate and of its text."""


class SlateGenerator:
    """Draws a slate at regular intervals while a source gives no frames.

    Args:
        source: the source whose status is observed.
    """

    def __init__(self, source: LiveSource) -> None:
        self._source, self._last_drawn = source, 0.0

    def next_slate(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8] | None:
        """Return a new slate, (H, W, 3) uint8 RGB.

        Args:
            size: (width, height) in px; None: the source's.

        Returns:
            None while the source gives frames, or if the last slate is younger than
            ``SLATE_SECONDS``.
        """
        status, now = self._source.status, time.monotonic()
        if status == "ok" or now - self._last_drawn < SLATE_SECONDS:
            return None
        self._last_drawn = now
        size = size or self._source.format.size
        if self._source.instruction:
            return draw_lines(size, *self._source.instruction)
        return draw_slate(size, status, self._source.seconds_since_frame)


def draw_slate(size: tuple[int, int], status: str, seconds: float) -> NDArray[np.uint8]:
    """Draw the camera's status and the time since its last frame, in white on dark grey.

    Args:
        size: (width, height) in px.
        status: "silent" or "lost".
        seconds: since the last frame.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return draw_lines(size, TITLES[status], f"no frame for {seconds:.0f} s")


def draw_lines(size: tuple[int, int], title: str, note: str) -> NDArray[np.uint8]:
    """Draw a large and a small line of text, in white on dark grey.

    Args:
        size: (width, height) in px.
        title: the large line.
        note: the small line.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    image = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    _draw_centered(image, title, 0.42, 0.7, 0.16)
    _draw_centered(image, note, 0.62, 0.5 if len(note) < LONG_NOTE else 0.84, 0.08)
    return image


def _draw_centered(
    image: NDArray[np.uint8], text: str, center: float, max_width: float, max_height: float
) -> None:
    """Draw a line of text into the image, as large as fits.

    ``center`` (from the top), ``max_width`` and ``max_height`` are fractions of the image's size.
    """
    height, width = image.shape[:2]
    font = cv2.FONT_HERSHEY_SIMPLEX
    (text_width, text_height), _ = cv2.getTextSize(text, font, 1.0, 2)
    scale = min(max_width * width / text_width, max_height * height / text_height)
    thickness = max(1, round(2 * scale))
    x = round((width - scale * text_width) / 2)
    y = round(center * height + scale * text_height / 2)
    cv2.putText(image, text, (x, y), font, scale, (FOREGROUND,) * 3, thickness, cv2.LINE_AA)
