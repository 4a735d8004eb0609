"""Mask files, and the readers that give each frame its mask."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ..errors import InputError
from .files import PIPE, is_url
from .frame import Frame, Image, to_8_bits
from .frame_times import frame_times, nearest
from .image_names import is_numbered, is_still
from .mask_levels import Mask, has_transparency, mask_levels
from .source import ImageSource, open_source
from .stream_info import VideoInfo

log = logging.getLogger(__name__)

ALPHA = "alpha"
"""Name of a mask that is the alpha of the frames themselves."""

PERSON, BACKGROUND = "person", "background"
"""Names of masks that a model finds: people, and all else."""

PEOPLE = PERSON, BACKGROUND

NAMES = ALPHA, *PEOPLE
"""Masks that are no files."""

ASPECT_TOLERANCE = 0.01
"""Relative difference of aspect ratios from which a mask is said to be stretched."""

TIME_TOLERANCE_SECONDS = Fraction(1, 200)
"""A mask so little later than a frame belongs to it: Matroska rounds timestamps to milliseconds."""

UNIFORM = {0: "nothing", 255: "everything"}
"""Level of a mask that is the same everywhere -> what it selects."""

REMEDY = "draw white inside and black elsewhere, or leave the mask out"


def time_tolerance(frame_seconds: Fraction) -> Fraction:
    """``TIME_TOLERANCE_SECONDS``, and at most half a frame."""
    return min(TIME_TOLERANCE_SECONDS, frame_seconds / 2)


@dataclass(frozen=True)
class MaskFile:
    """The mask of a clip or an image.

    Args:
        path: a clip, a still image or an image sequence: its alpha, or its luma where it is opaque.
            ``alpha``: the alpha of the frames to be stylised. ``person``, ``background``: found in
            them.
        invert: stylise where the mask is black.
    """

    path: str | Path
    invert: bool = False

    def absolute(self) -> "MaskFile":
        """The same mask by its absolute path, for other processes."""
        if str(self.path) in NAMES or is_url(self.path):
            return self
        return replace(self, path=Path(self.path).absolute())


class MaskReader(Protocol):
    """Gives the mask of each frame of a clip, which it gets in order."""

    def mask_of(self, frame: Frame) -> Mask:
        """The mask of a frame."""

    def close(self) -> None:
        """There are no more frames."""


class MaskFinder(MaskReader, Protocol):
    """Finds the masks in the frames themselves."""

    memory_frames: int
    """Number of frames before a frame that its mask depends on."""


class FoundReader:
    """The masks of a finder."""

    def __init__(self, finder: MaskFinder, invert: bool = False) -> None:
        self._finder, self._invert = finder, invert
        self.memory_frames = finder.memory_frames

    @classmethod
    def of_people(cls, finder: MaskFinder, mask: MaskFile) -> "FoundReader":
        """The masks of a finder of people, for a mask with a name of ``PEOPLE``."""
        return cls(finder, mask.invert != (str(mask.path) == BACKGROUND))

    def mask_of(self, frame: Frame) -> Mask:
        """The mask of a frame."""
        mask = self._finder.mask_of(frame)
        return 255 - mask if self._invert else mask

    def close(self) -> None:
        """There are no more frames."""
        self._finder.close()


class AlphaReader:
    """The alpha of each frame."""

    def __init__(self, invert: bool) -> None:
        self._invert = invert

    def mask_of(self, frame: Frame) -> Mask:
        """The mask of a frame.

        Raises:
            ValueError: the frame has no alpha.
        """
        if frame.image.shape[2] < 4:
            raise ValueError("the image has no alpha channel: give an array as its mask")
        alpha = to_8_bits(frame.image)[..., 3]
        return np.ascontiguousarray(255 - alpha if self._invert else alpha)

    def close(self) -> None:
        """Nothing is open."""


class FileReader:
    """Reads the masks of a file in step with the frames of a clip.

    Args:
        mask: the file.
        offset: time in seconds added to that of a frame.
        info: of the clip; None: the file is a still image, and the frames are not rotated.

    Raises:
        InputError: the file cannot be read, or a still image is all black or all white.
    """

    def __init__(
        self, mask: MaskFile, offset: Fraction = Fraction(0), info: VideoInfo | None = None
    ) -> None:
        self._path, self._invert, self._offset = mask.path, mask.invert, offset
        self._quarters = 0 if info is None else info.rotation // 90
        self._numbered = info if info and is_numbered(mask.path) else None
        self._times: Sequence[Fraction] | None = None
        self._levels: set[int] = set()  # lowest and highest of the masks of all frames
        rate = self._numbered.rate if self._numbered else None
        self._source = open_source(mask.path, rate=rate, apply_rotation=True)
        # The first frames of both files belong together, whatever sound begins before them.
        self._offset += self._source.format.lead - (0 if info is None else info.lead)
        self._frames = iter(self._source)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        """Read the first frame.

        Raises:
            InputError: there is none, or a still image is all black or all white.
        """
        self._next: Frame | None = next(self._frames, None)
        if self._next is None:
            raise InputError(f"the mask {self._path} has no frame: name another", "mask")
        self._uses_alpha = False
        self._mask, self._end = self._read(self._next.image), Fraction(0)
        self._begin = Fraction(-1)
        self._fitted: Mask | None = None
        self._stretched = False
        if isinstance(self._source, ImageSource):
            self._check_not_uniform()

    def mask_of(self, frame: Frame) -> Mask:
        """The mask of a frame: that of the same time, or the last one before."""
        time = self._time_of(frame)
        while (later := self._next) and (
            later.time <= time + time_tolerance(later.time - self._begin)
        ):
            self._mask, self._fitted = self._read(later.image), None
            self._begin, self._end = later.time, later.time + later.duration
            self._next = next(self._frames, None)
        if self._next is None and self._end and time > self._end:
            log.warning(
                "the mask %s ends at %.2f s: its last frame stays", self._path, float(self._end)
            )
            self._end = Fraction(0)
        height, width = frame.image.shape[:2]
        if self._fitted is None or self._fitted.shape != (height, width):
            self._fitted = self._fit(width, height)
            self._levels |= {int(self._fitted.min()), int(self._fitted.max())}
        return self._fitted

    def _time_of(self, frame: Frame) -> Fraction:
        """The time of a frame in the file of masks.

        Images of a sequence belong to the frames of their number: with a variable rate these have
        other times.
        """
        time = frame.time + self._offset
        if self._numbered is None:
            return time
        if self._times is None:
            self._times = frame_times(self._numbered)
        rate, lead = self._source.format.rate, self._numbered.lead
        return nearest(self._times, time + lead) / rate if self._times and rate else time

    def close(self) -> None:
        """Close the file, and tell of masks that were all black or all white in all frames."""
        for level, what in UNIFORM.items():
            if self._levels == {level}:
                log.warning("the mask %s selects %s in all frames: %s", self._path, what, REMEDY)
        self._levels = set()
        self._frames, self._next = iter(()), None  # an iterator keeps the decoder
        self._source.close()

    def _read(self, image: Image) -> Mask:
        # A clip may be opaque at first: what it shows may fill the frame.
        self._uses_alpha = self._uses_alpha or has_transparency(image)
        mask = mask_levels(image, self._uses_alpha)
        mask = 255 - mask if self._invert else mask
        # The frames may be stored as players do not show them.
        return np.rot90(mask, -self._quarters)

    def _fit(self, width: int, height: int) -> Mask:
        rows, columns = self._mask.shape
        stretch = abs(columns * height / (rows * width) - 1)
        if stretch > ASPECT_TOLERANCE and not self._stretched:
            self._stretched = True
            log.warning(
                "the mask %s (%dx%d) is stretched to %dx%d",
                self._path,
                columns,
                rows,
                width,
                height,
            )
        return fit_mask(self._mask, (width, height))

    def _check_not_uniform(self) -> None:
        """Refuse a still mask that selects nothing or everything.

        Raises:
            InputError: it is all black or all white.
        """
        for level, what in UNIFORM.items():
            if (self._mask == level).all():
                raise InputError(f"the mask {self._path} selects {what}: {REMEDY}", "mask")


def fit_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask stretched to (width, height) px."""
    way = cv2.INTER_AREA if mask.shape[1] > size[0] else cv2.INTER_LINEAR
    return cv2.resize(mask, size, interpolation=way).astype(np.uint8)


def read_mask(path: str | Path, frame: Frame, info: VideoInfo) -> Mask:
    """A mask that is drawn on one frame, of the size of the frame.

    Args:
        path: a still image.
        frame: of a clip.
        info: of the clip.

    Raises:
        InputError: the mask cannot be read, or is all black or white.
    """
    if str(path) == PIPE:
        raise InputError("a mask is read from a file, not from standard input", "mask")
    reader = FileReader(MaskFile(path), -frame.time, info)
    try:
        return reader.mask_of(frame)
    finally:
        reader.close()


def still_reader(mask: MaskFile) -> MaskReader:
    """The reader of a mask that does not change.

    Raises:
        InputError: it is no still image, cannot be read, or is all black or all white.
    """
    if not is_still(mask.path) or is_numbered(mask.path):
        raise InputError(
            f"the mask {mask.path} is no still image: name an image, person or background; masks "
            "that are clips are for vidstyle render",
            "mask",
        )
    return FileReader(mask)
