"""Single frames of a clip and its masks, as players show them: upright, with square pixels."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from math import floor
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.files import changed_ns
from ..io.frame import Frame, fit, rgb_8_bits
from ..io.mask_levels import Mask, has_transparency, mask_levels
from ..io.source import open_source

EARLIER_SECONDS = (0.0, 0.1, 0.5, 2.0)
"""Where a clip has no frame at or after a time, frames so much earlier are tried."""

KEPT_FRAMES, KEPT_PX = 16, 1440
"""Number of decoded frames that are kept, and the largest long side in px that they have: that of
the largest frame that the page asks for. They take 100 MB at most."""

Value = TypeVar("Value")


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


class Recent(Generic[Value]):
    """The last values by their keys: the least recently used are dropped (LRU).

    Several threads may use it. Of threads that want the same value one makes it, and the others
    wait for it.

    Args:
        limit: number of values that are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._values: OrderedDict[object, Future[Value]] = OrderedDict()

    def get(self, key: object, make: Callable[[], Value]) -> Value:
        """The value of a key, made by ``make`` where there is none; what it raises."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            else:
                mine = self._values[key] = Future()
                while len(self._values) > self._limit:
                    self._values.popitem(last=False)
        if found is not None:
            return found.result()
        try:
            mine.set_result(make())
        except BaseException as error:
            mine.set_exception(error)
            with self._lock:
                if self._values.get(key) is mine:
                    del self._values[key]
            raise
        return mine.result()


_FRAMES: Recent[Frame] = Recent(KEPT_FRAMES)


def recent_frame(path: Path, seconds: float) -> Frame:
    """As ``read_frame``, of ``KEPT_PX`` at most: the page and its previews want the same frames
    again and again, and at once.

    Raises:
        InputError: the file has no frame that can be read.
    """

    def make() -> Frame:
        frame = read_frame(path, seconds)
        return replace(frame, image=reduced(rgb_8_bits(frame.image), KEPT_PX))

    return _FRAMES.get((path, changed_ns(path), round(seconds, 3)), make)
