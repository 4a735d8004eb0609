"""Sources whose frames have masks: where a frame is stylised, and its regions."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ..errors import InputError
from .files import PIPE
from .frame import Frame
from .mapped_source import mapped
from .mask_file import (
    ALPHA,
    PEOPLE,
    AlphaReader,
    FileReader,
    FoundReader,
    MaskFile,
    MaskFinder,
    MaskReader,
)
from .mask_levels import CODEC_NOISE
from .source import Source

log = logging.getLogger(__name__)

MAX_OVERLAP = 0.01
"""Share of a frame on which regions may overlap without a warning: soft edges do."""

FindPeople = Callable[[str], MaskFinder]
"""Makes the finder of people of a clip with this name, or raises an error."""


def with_masks(
    source: Source,
    mask: MaskFile,
    offset: Fraction = Fraction(0),
    find_people: FindPeople | None = None,
) -> Source:
    """A source whose frames have masks. It is closed if the mask cannot be used.

    A mask of another size is stretched to the frame's. Masks of a clip belong to the frames at the
    same time from the first frame of both files: with another rate, each lasts until the next, and
    the last one stays. Images of a sequence belong to the frames of the same number.

    Args:
        source: of the frames.
        mask: their mask.
        offset: time in seconds from the start of the source's file to the start of the source.
        find_people: for the masks ``person`` and ``background``.

    Raises:
        InputError: the mask cannot be read, or is all black or white; or frames without alpha.
    """
    reader = _make_readers(source, [mask], offset, find_people)[0]
    return mapped(source, lambda frame: replace(frame, mask=reader.mask_of(frame)), reader)


def with_regions(
    source: Source,
    masks: Sequence[MaskFile],
    offset: Fraction = Fraction(0),
    find_people: FindPeople | None = None,
) -> Source:
    """A source whose frames have regions, each with a mask as for ``with_masks``.

    Args:
        source: of the frames.
        masks: of each region.
        offset, find_people: as for ``with_masks``.

    Raises:
        InputError: as for ``with_masks``.
    """
    readers = _make_readers(source, masks, offset, find_people)
    warned = False

    def change(frame: Frame) -> Frame:
        nonlocal warned
        regions = np.stack([reader.mask_of(frame) for reader in readers])
        overlap = (regions.sum(0, dtype=np.int32) > 255 + CODEC_NOISE).mean()
        if overlap > MAX_OVERLAP and not warned:
            warned = True
            names = ", ".join(str(mask.path) for mask in masks)
            log.warning(
                "the regions %s overlap on %.0f %% of a frame: their styles are mixed there",
                names,
                100 * overlap,
            )
        return replace(frame, regions=regions)

    return mapped(source, change, *readers)


def _make_readers(
    source: Source,
    masks: Sequence[MaskFile],
    offset: Fraction,
    find_people: FindPeople | None,
) -> list[MaskReader]:
    """The reader of each mask. The source is closed if one cannot be read."""
    readers: list[MaskReader] = []
    try:
        people: MaskFinder | None = None
        for mask in masks:
            if str(mask.path) not in PEOPLE:
                readers.append(_make_reader(source, mask, offset))
                continue
            if find_people is None:
                raise InputError(f"{mask.path} is no file: name an image or a clip", "mask")
            # Several regions share one search.
            people = people or find_people(source.format.label)
            readers.append(FoundReader.of_people(people, mask))
    except BaseException:
        source.close()
        for reader in readers:
            reader.close()
        raise
    return readers


def _make_reader(source: Source, mask: MaskFile, offset: Fraction) -> MaskReader:
    """The reader of a mask that is no person's."""
    info = source.format
    if str(mask.path) == ALPHA:
        if not info.alpha:
            raise InputError(f"{info.label} has no alpha channel: name the file of a mask", "mask")
        return AlphaReader(mask.invert)
    if str(mask.path) == PIPE:
        raise InputError("a mask is read from a file, not from standard input", "mask")
    return FileReader(mask, offset, info)
