"""Single frames of a clip and its masks, as players show them: upright, with square pixels."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import takewhile
from math import floor, inf
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.files import changed_ns
from ..io.frame import Frame, fit, rgb_8_bits, square_pixels
from ..io.image_names import is_still
from ..io.mask_file import time_tolerance
from ..io.mask_levels import Mask, has_transparency, mask_levels
from ..io.source import open_source

EARLIER_SECONDS = (0.1, 0.5, 2.0, inf)
"""Where the last frame before a time is looked for: so much earlier, at last from the start on."""

KEPT_FRAMES, KEPT_PX = 16, 1440
"""Number of decoded frames that are kept, and the largest long side in px that they have: that of
the largest frame that the page asks for. They take 100 MB at most."""

Value = TypeVar("Value")


def read_frame(path: Path, seconds: float = 0.0) -> Frame:
    """The first frame of a clip at or after a time, of 8 bits and without alpha, with its time from
    the first frame, and its time in the file as ``source_time``. Behind the end it is the last one.

    Raises:
        InputError: the file has no frame that can be read.
    """
    found = next(_frames(path, seconds), None)
    for earlier in EARLIER_SECONDS:
        found = found or _last(_frames(path, seconds - earlier))
    if found is None:
        raise InputError(f"{path.name} has no frame that can be read: upload it again")
    frame, aspect = found
    return Frame(
        square_pixels(rgb_8_bits(frame.image), aspect), frame.time, source_time=frame.source_time
    )


def read_mask(path: Path, seconds: float = 0.0) -> Mask:
    """The mask of a picture, or of a clip for a frame at a time from the first one.

    As in a render it is the last one at or before the time, the first one where there is none.

    Raises:
        InputError: the file has no frame that can be read.
    """
    found, at = None, Fraction(seconds)
    for earlier in () if is_still(path) else EARLIER_SECONDS:
        frames = _frames(path, seconds - earlier)
        until = takewhile(
            lambda each: each[0].time <= at + time_tolerance(each[0].duration), frames
        )
        found = found or _last(until)
    if found is not None and found[0].image.shape[2] == 3:  # no frame of it has alpha
        return mask_levels(found[0].image, False)
    first = next(_frames(path, 0.0), None)
    if first is None:
        raise InputError(f"{path.name} has no frame that can be read: upload it again")
    frame, _ = found or first
    return mask_levels(frame.image, any(map(has_transparency, (first[0].image, frame.image))))


def _frames(path: Path, start: float) -> Iterator[tuple[Frame, float]]:
    """The frames of a clip at or after a time that can be read, each with its time from the first
    frame, its time in the file as ``source_time``, and the aspect of its pixels."""
    # Rounded up, the time of a frame would be after it.
    begin = Fraction(floor(max(0.0, start) * 1000 + 1e-6), 1000)
    with (
        suppress(InputError),
        open_source(path, begin or None, sdr=True, apply_rotation=True) as source,
    ):
        aspect = float(source.format.sample_aspect_ratio)
        for frame in source:
            time = frame.time + source.format.offset
            yield replace(frame, time=time - source.format.lead, source_time=time), aspect


def _last(frames: Iterable[Value]) -> Value | None:
    return next(iter(deque(frames, 1)), None)


def reduced(image: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """(H, W, 3) or (H, W) uint8 with a long side of ``long_side`` px at most."""
    height, width = image.shape[:2]
    if max(width, height) <= long_side:
        return image
    size = fit((width, height), long_side)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


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
