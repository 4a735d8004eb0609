"""Where frames come from: clips, still pictures, numbered pictures, standard input."""

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
from .images import is_numbered, is_still, numbered, numbers_of, read_image
from .stream_info import BT709, LIMITED, ColorInfo, VideoInfo

log = logging.getLogger(__name__)

PICTURE_COLOR = ColorInfo(BT709, LIMITED, BT709, BT709)
PICTURE_RATE = Fraction(25)


class Source(Protocol):
    """Yields frames in order of time, once; a context manager that closes itself."""

    @property
    def format(self) -> VideoInfo:
        """What is known before the first frame."""

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> "Source": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def skip(self, count: int) -> None:
        """Pass over so many frames, as if they had been read; before the first is."""

    def stop(self) -> None:
        """Let a reader that waits for more, in another thread, come to the end."""

    def close(self) -> None:
        """Release what is open. Calling it twice does no harm."""


def open_source(
    name: str | Path,
    start: Fraction | None = None,
    stop: Fraction | None = None,
    rate: Fraction | None = None,
    sdr: bool = False,
    apply_rotation: bool = False,
) -> Source:
    """A clip; by the ending of its name a still picture; numbered pictures; or what comes through a pipe.

    Args:
        name: a file, numbered pictures such as ``frame_%05d.png``, a URL, or ``-`` for standard input.
        start: where the part of the clip starts, in seconds from the start of the clip.
        stop: where it ends.
        rate: frames per second of numbered pictures (default: 25). Clips have their own.
        sdr: whether HDR is turned into standard range.
        apply_rotation: rotate frames as players show them, for outputs that cannot store a rotation.

    Raises:
        InputError: it cannot be read.
        ValueError: an empty part, or a rate that is none.
    """
    if start is not None and stop is not None and stop <= start:
        raise ValueError(f"the part from {float(start):g} s to {float(stop):g} s is empty")
    if rate is not None and not 0 < rate <= 1000:
        raise ValueError(
            f"the rate is {float(rate):g} frames per second: it must be above 0, and 1000 at most"
        )
    if not is_url(name) and is_still(name):
        return (
            ImageSequence(name, rate or PICTURE_RATE, start, stop)
            if is_numbered(name)
            else ImageSource(name)
        )
    return VideoFile(name, start, stop, sdr, apply_rotation)


class StatelessSource:
    """What sources have in common that read picture by picture, or hold them: nothing stays open."""

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
        """Pass over so many frames."""
        self._skipped = count

    def stop(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """Nothing is open."""


class ImageSource(StatelessSource):
    """A picture file: one frame at time 0."""

    def __init__(self, path: str | Path) -> None:
        self._frame = Frame(read_image(path))
        self.format = _format(self._frame.image, frames=1, path=Path(path))

    @classmethod
    def of(cls, frame: Frame) -> "ImageSource":
        """One frame of a clip as a still picture."""
        still = cls.__new__(cls)
        still._frame, still.format = frame, _format(frame.image, frames=1)
        return still

    def __iter__(self) -> Iterator[Frame]:
        if not self._skipped:
            yield self._frame


class ImageSequence(StatelessSource):
    """Numbered pictures as a clip: ``frame_%05d.png``, from the lowest number there is to the highest.

    Where numbers are missing the picture before stands for longer; a picture that cannot be read counts as missing.

    Args:
        pattern: names of the files, with one ``%d`` or ``%05d`` for their number.
        rate: frames per second.
        start: where the part starts, in seconds.
        stop: where it ends.

    Raises:
        InputError: no such file, or the first cannot be read.
    """

    def __init__(
        self,
        pattern: str | Path,
        rate: Fraction,
        start: Fraction | None = None,
        stop: Fraction | None = None,
    ) -> None:
        self._pattern, self._rate = Path(pattern), rate
        begin, end = start or Fraction(0), stop
        there = numbers_of(self._pattern)
        if not there:
            like = numbered(self._pattern, 1).name
            raise InputError(
                f"there is no file {pattern} nor numbered ones like {like}: check the name and the folder"
            )
        self._times = {
            number: (number - there[0]) / rate
            for number in there
            if (number - there[0]) / rate >= begin
            and (end is None or (number - there[0]) / rate < end)
        }
        if not self._times:
            raise InputError(f"{pattern} has no picture in the part asked for: choose another")
        numbers = list(self._times)
        self._begin, count = begin, numbers[-1] - numbers[0] + 1
        first = read_image(self._path(numbers[0]))
        self.format = _format(first, rate=rate, time_base=1 / rate, frames=len(numbers), path=None)
        if count > len(numbers):
            log.warning(
                "%s: %d numbers are missing; the picture before each stands for longer",
                pattern,
                count - len(numbers),
            )

    @property
    def files(self) -> list[Path]:
        """The pictures, in order."""
        return [self._path(number) for number in self._times]

    def _path(self, number: int) -> Path:
        return numbered(self._pattern, number)

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
            if image.shape != (like := self._like()) or (image.dtype == np.uint16) != (
                self.format.bit_depth > 8
            ):
                resized += 1
                image = _as(image, like, self.format.bit_depth)
            yield Frame(image, self._times[number] - self._begin, (following - number) / self._rate)
        if unread:
            log.warning(
                "%s: %d pictures could not be read and were passed over", self._pattern, unread
            )
        if resized:
            log.warning(
                "%s: %d pictures of another kind than the first were made like it",
                self._pattern,
                resized,
            )

    def _like(self) -> tuple[int, int, int]:
        width, height = self.format.size
        return height, width, 4 if self.format.alpha else 3


def _format(image: Image, **known: Any) -> VideoInfo:
    height, width, channels = image.shape
    depth = 16 if image.dtype == np.uint16 else 8
    return VideoInfo(
        (width, height), bit_depth=depth, alpha=channels == 4, color=PICTURE_COLOR, **known
    )


def _as(image: Image, shape: tuple[int, int, int], depth: int) -> Image:
    """A picture in the shape and depth of another."""
    if (image.dtype == np.uint16) != (depth > 8):
        image = (image >> 8).astype(np.uint8) if depth == 8 else image.astype(np.uint16) * 257
    image = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    opaque = np.full((*shape[:2], 1), np.iinfo(image.dtype).max, image.dtype)
    return np.ascontiguousarray(np.dstack([image, opaque])[..., : shape[2]])
