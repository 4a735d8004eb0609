"""Single frames of a clip and its masks, as players show them: upright, with square pixels."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from math import floor
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.frame import Frame, fit, rgb_8_bits
from ..io.mask_levels import Mask, has_transparency, mask_levels
from ..io.source import open_source

EARLIER_SECONDS = (0.0, 0.1, 0.5, 2.0)
"""Where a clip has no frame at or after a time, frames so much earlier are tried."""

CACHED_IMAGES = 256
"""Number of small images that are kept."""


def read_frame(path: Path, seconds: float = 0.0) -> Frame:
    """The first frame of a clip at or after a time, of 8 bits and without alpha.

    Behind the end it is one of the last frames.

    Raises:
        InputError: the file has no frame that can be read.
    """
    frame, aspect = _first_frame(path, seconds)
    return Frame(_square(rgb_8_bits(frame.image), aspect), frame.time)


def read_mask(path: Path, seconds: float = 0.0) -> Mask:
    """The mask of a picture, or of a clip at a time. Behind the end it is one of the last masks.

    Raises:
        InputError: the file has no frame that can be read.
    """
    frame, _ = _first_frame(path, seconds)
    return mask_levels(frame.image, has_transparency(frame.image))


def _first_frame(path: Path, seconds: float) -> tuple[Frame, float]:
    """The first frame at or after a time, and the aspect of its pixels. See ``read_frame``."""
    for earlier in (*EARLIER_SECONDS, seconds):
        # Rounded up, the time of a frame would be after it.
        start = Fraction(floor(max(0.0, seconds - earlier) * 1000 + 1e-6), 1000)
        with suppress(InputError), open_source(path, start or None, apply_rotation=True) as source:
            aspect = float(source.format.sample_aspect_ratio)
            for frame in source:
                return frame, aspect
    raise InputError(f"{path.name} has no frame that can be read: upload it again")


def reduced(image: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """(H, W, 3) or (H, W) uint8 with a long side of ``long_side`` px at most."""
    height, width = image.shape[:2]
    if max(width, height) <= long_side:
        return image
    size = fit((width, height), long_side)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _square(image: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """An image of pixels of ``aspect``, their width over their height, with square pixels."""
    height, width = image.shape[:2]
    shown = max(2, round(width * aspect))
    if shown == width or not 0.1 < aspect < 10:
        return image
    return cv2.resize(image, (shown, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


class ImageCache:
    """The last ``CACHED_IMAGES`` encoded images, by what they show."""

    def __init__(self) -> None:
        self._images: OrderedDict[object, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object, make: Callable[[], bytes]) -> bytes:
        """The image of a key, made by ``make`` where there is none."""
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
                return self._images[key]
        image = make()
        with self._lock:
            self._images[key] = image
            while len(self._images) > CACHED_IMAGES:
                self._images.popitem(last=False)
        return image
