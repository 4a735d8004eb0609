"""Sources: clips, still images, image sequences and standard input."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import cv2
import numpy as np

from ..errors import InputError
from .decode import VideoFile
from .files import is_url
from .frame import Frame, Image
from .image_names import existing_numbers, image_path, is_numbered, is_still
from .images import read_image
from .stream_info import BT709, LIMITED, ColorInfo, VideoInfo

log = logging.getLogger(__name__)

IMAGE_COLOR = ColorInfo(BT709, LIMITED, BT709, BT709)
IMAGE_SEQUENCE_RATE = Fraction(25)


class Source(Protocol):
    """Yields frames once, in order of time; a context manager that closes itself."""

    @property
    def format(self) -> VideoInfo:
        """Properties of the frames, known before the first one."""

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> "Source": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def skip(self, count: int) -> None:
        """Skip frames. Call it before the first frame is read."""

    def stop(self) -> None:
        """End a blocked reader in another thread."""

    def close(self) -> None:
        """Release all resources. May be called twice."""


def open_source(
    name: str | Path,
    start: Fraction | None = None,
    stop: Fraction | None = None,
    rate: Fraction | None = None,
    sdr: bool = False,
    apply_rotation: bool = False,
) -> Source:
    """Open a clip, a still image or an image sequence, by its name, or standard input.

    Args:
        name: a file, an image sequence such as ``frame_%05d.png``, a URL, or ``-``.
        start: start of the part, in seconds from the start of the clip.
        stop: end of the part.
        rate: frames per second of an image sequence (default: 25).
        sdr: whether HDR is converted to standard dynamic range.
        apply_rotation: rotate frames as players show them, for outputs that cannot store a
            rotation.

    Raises:
        InputError: it cannot be read.
        ValueError: an empty part, or an invalid rate.
    """
    if start is not None and stop is not None and stop <= start:
        raise ValueError(f"the part from {float(start):g} s to {float(stop):g} s is empty")
    if rate is not None and not 0 < rate <= 1000:
        raise ValueError(
            f"the rate is {float(rate):g} frames per second: it must be above 0, and 1000 at most"
        )
    if not is_url(name) and is_still(name):
        return (
            ImageSequence(name, rate or IMAGE_SEQUENCE_RATE, start, stop)
            if is_numbered(name)
            else ImageSource(name)
        )
    return VideoFile(name, start, stop, sdr, apply_rotation)


class StatelessSource:
    """Base of sources without open files."""

    _skipped = 0

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is open."""

    def skip(self, count: int) -> None:
        """Skip frames."""
        self._skipped = count

    def stop(self) -> None:
        """Nothing blocks."""

    def close(self) -> None:
        """Nothing is open."""


class ImageSource(StatelessSource):
    """A still image: one frame at time 0."""

    def __init__(self, path: str | Path) -> None:
        self._frame = Frame(read_image(path))
        self.format = _format(self._frame.image, frames=1, path=Path(path))

    @classmethod
    def of(cls, frame: Frame) -> "ImageSource":
        """A frame of a clip as a still image."""
        still = cls.__new__(cls)
        still._frame, still.format = frame, _format(frame.image, frames=1)
        return still

    def __iter__(self) -> Iterator[Frame]:
        if not self._skipped:
            yield self._frame


class ImageSequence(StatelessSource):
    """An image sequence as a clip: ``frame_%05d.png``, from its lowest number to its highest.

    Where a number is missing, or an image cannot be read, the previous image lasts longer.

    Args:
        pattern: file names, with one ``%d`` or ``%05d`` for the number.
        rate: frames per second.
        start: start of the part in seconds.
        stop: end of the part.

    Raises:
        InputError: there is no such file, or the first cannot be read.
    """

    def __init__(
        self,
        pattern: str | Path,
        rate: Fraction,
        start: Fraction | None = None,
        stop: Fraction | None = None,
    ) -> None:
        self._pattern, self._rate = Path(pattern), rate
        begin = start or Fraction(0)
        there = existing_numbers(self._pattern)
        if not there:
            like = image_path(self._pattern, 1).name
            raise InputError(
                f"there is no file {pattern} nor an image sequence like {like}: "
                "check the name and the folder"
            )
        self._times = {
            number: (number - there[0]) / rate
            for number in there
            if (number - there[0]) / rate >= begin
            and (stop is None or (number - there[0]) / rate < stop)
        }
        if not self._times:
            raise InputError(f"{pattern} has no image in this part: choose another")
        numbers = list(self._times)
        self._begin, count = begin, numbers[-1] - numbers[0] + 1
        first = read_image(self._path(numbers[0]))
        if stop is None and count > len(numbers):  # the end does not follow from the count
            stop = self._times[numbers[-1]] + 1 / rate
        known = {"rate": rate, "time_base": 1 / rate, "start": begin, "stop": stop}
        self.format = _format(first, frames=len(numbers), name=str(pattern), **known)
        if count > len(numbers):
            log.warning(
                "%s: %d numbers are missing; the image before each lasts longer",
                pattern,
                count - len(numbers),
            )

    @property
    def files(self) -> list[Path]:
        """The images, in order."""
        return [self._path(number) for number in self._times]

    def _path(self, number: int) -> Path:
        return image_path(self._pattern, number)

    def __iter__(self) -> Iterator[Frame]:
        numbers = list(self._times)
        resized = unread = 0
        for number, following in zip(numbers, [*numbers[1:], numbers[-1] + 1], strict=True):
            try:
                image = read_image(self._path(number), warn=log.debug)
            except InputError as error:
                log.debug("%s", error)
                unread += 1
                continue
            if self._skipped:
                self._skipped -= 1
                continue
            if image.shape != (like := self._frame_shape()) or (image.dtype == np.uint16) != (
                self.format.bit_depth > 8
            ):
                resized += 1
                image = _convert(image, like, self.format.bit_depth)
            yield Frame(image, self._times[number] - self._begin, (following - number) / self._rate)
        if unread:
            log.warning("%s: %d images could not be read and were skipped", self._pattern, unread)
        if resized:
            log.warning(
                "%s: %d images of another size or depth were converted to the first one's",
                self._pattern,
                resized,
            )

    def _frame_shape(self) -> tuple[int, int, int]:
        width, height = self.format.size
        return height, width, 4 if self.format.alpha else 3


def _format(image: Image, **known: Any) -> VideoInfo:
    height, width, channels = image.shape
    depth = 16 if image.dtype == np.uint16 else 8
    return VideoInfo(
        (width, height), bit_depth=depth, alpha=channels == 4, color=IMAGE_COLOR, **known
    )


def _convert(image: Image, shape: tuple[int, int, int], depth: int) -> Image:
    """An image in another shape and bit depth."""
    if (image.dtype == np.uint16) != (depth > 8):
        image = (image >> 8).astype(np.uint8) if depth == 8 else image.astype(np.uint16) * 257
    image = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    opaque = np.full((*shape[:2], 1), np.iinfo(image.dtype).max, image.dtype)
    return np.ascontiguousarray(np.dstack([image, opaque])[..., : shape[2]])
