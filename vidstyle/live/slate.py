"""What is shown in place of the painting while a camera gives no pictures."""

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import LiveSource

SLATE_SECONDS = 0.25
"""How often the slate is drawn anew."""

WORDS = {"silent": "camera silent", "lost": "camera lost"}
GREY, WHITE = 40, 230


class Slates:
    """Says when a slate is to be shown, and draws it.

    Args:
        source: what is looked at.
    """

    def __init__(self, source: LiveSource) -> None:
        self._source, self._shown = source, 0.0

    def due(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8] | None:
        """A slate, (H, W, 3) uint8, of ``size`` (width, height) or the source's; None while none is to be shown, or a new one."""
        status, now = self._source.status, time.monotonic()
        if status == "ok" or now - self._shown < SLATE_SECONDS:
            return None
        self._shown = now
        return slate(size or self._source.format.size, status, self._source.seconds_since_frame)


def slate(size: tuple[int, int], status: str, seconds: float) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: what is wrong with the camera, and for how long, in white on dark grey.

    Args:
        size: (width, height) in px.
        status: "silent" or "lost".
        seconds: since the last picture.
    """
    image = np.full((size[1], size[0], 3), GREY, np.uint8)
    _write_centred(image, WORDS[status], 0.42, 0.7, 0.16)
    _write_centred(image, f"no picture for {seconds:.0f} s", 0.62, 0.5, 0.08)
    return image


def _write_centred(
    image: NDArray[np.uint8], words: str, middle: float, most_width: float, most_height: float
) -> None:
    """Write a line, as large as fits. Shares of the picture: ``middle`` from the top, and the room for the line."""
    height, width = image.shape[:2]
    (text_width, text_height), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)
    scale = min(most_width * width / text_width, most_height * height / text_height)
    thickness = max(1, round(2 * scale))
    place = (
        round((width - scale * text_width) / 2),
        round(middle * height + scale * text_height / 2),
    )
    cv2.putText(
        image, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (WHITE,) * 3, thickness, cv2.LINE_AA
    )
