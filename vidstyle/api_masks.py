"""Masks, regions and faces of images in memory, as ``stylize``, ``stylize_video`` and ``stream``
take them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .api_arguments import MASK_KEYWORDS
from .conversions import to_mask
from .face_choices import KEEP, check_faces
from .face_models import load_face_model
from .faces import FaceMasks
from .features.extractor import Features
from .io.frame import Frame
from .io.mask_file import (
    ALPHA,
    PEOPLE,
    AlphaReader,
    FoundReader,
    MaskFile,
    MaskFinder,
    MaskReader,
    fit_mask,
    still_reader,
)
from .io.mask_levels import Mask
from .person import PersonMasks, load_person_model
from .regions import region_settings
from .styles import to_style
from .stylizer.regions import Region, check_content_weights
from .stylizer.stylizer import Stylizer


class ImageMasks:
    """Gives frames their mask, and those of their regions.

    Args:
        mask: where frames are stylised: (H, W) array, PyTorch tensor or PIL image, white where they
            are; a function from the image, (H, W, 3 or 4) uint8 or uint16, to one of these; a still
            image's path; ``"alpha"``, ``"person"`` or ``"background"``; None: everywhere, or where
            the mask of a ``Frame`` says.
        mask_invert: stylise where the mask is black.
        regions: see ``RenderOptions``; ``mask`` is one of the same kinds, ``style`` as for
            ``stylize``.
        person_model: see ``RenderOptions``.

    Attributes:
        faces: gives frames emphasis on faces; None: nothing does.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.
        InputError: a mask cannot be read.
        FeaturesError: see ``load_person_model``.
    """

    def __init__(
        self,
        mask: Any = None,
        mask_invert: bool = False,
        regions: Sequence[Mapping[str, Any]] = (),
        person_model: str | Path | None = None,
    ) -> None:
        if mask_invert and mask is None:
            raise ValueError("mask_invert works with a mask only: give mask")

        @cache  # regions share one search
        def find_people() -> MaskFinder:
            model = None if person_model is None else Path(person_model)
            return PersonMasks(load_person_model(model))

        self.faces: FaceMasks | None = None
        self._tables = [(table, region_settings(table)) for table in regions]
        for table in regions:
            if table.get("mask") is None:
                raise ValueError("a region has no mask: give an image that is white in it")
        self._mask = None if mask is None else _reader(mask, mask_invert, find_people)
        self._regions = [
            _reader(table["mask"], table.get("invert", False), find_people) for table in regions
        ]

    def add_regions(self, stylizer: Stylizer) -> None:
        """Give a stylizer the regions.

        Raises:
            InputError, TypeError, ValueError: see ``to_style`` and ``check_content_weights``.
        """
        stylizer.regions = tuple(
            Region(_style_of(table.get("style"), stylizer.features), settings)
            for table, settings in self._tables
        )
        check_content_weights(stylizer.regions, stylizer.settings.content_weight)

    def applied(self, frame: Frame) -> Frame:
        """The frame with its masks, and with emphasis on faces."""
        if self._mask is not None:
            frame = replace(frame, mask=self._mask.mask_of(frame))
        if self._regions:
            masks = [reader.mask_of(frame) for reader in self._regions]
            frame = replace(frame, regions=np.stack(masks))
        if self.faces is not None and frame.emphasis is None:
            frame = self.faces.applied(frame)
        return frame


def split_masks(
    keywords: Mapping[str, Any], still: bool = False
) -> tuple[ImageMasks, dict[str, Any]]:
    """(masks and faces, all other keywords) of the functions of ``api``.

    Args:
        keywords: of a function.
        still: it takes a single image.

    Raises:
        As ``ImageMasks``, ``check_faces`` and ``load_face_model``.
    """
    given = {name: value for name, value in keywords.items() if name in MASK_KEYWORDS}
    others = {name: value for name, value in keywords.items() if name not in given}
    faces, model = given.pop("faces", KEEP), given.pop("face_model", None)
    check_faces(faces, model)
    masks = ImageMasks(**given)
    if faces == KEEP:
        masks.faces = FaceMasks(load_face_model(None if model is None else Path(model), still))
    return masks, others


def _style_of(style: Any, features: Features) -> Any:
    return None if style is None else to_style(style, features)


def _reader(mask: Any, invert: bool, find_people: Callable[[], MaskFinder]) -> MaskReader:
    if not isinstance(mask, (str, Path)):
        return _GivenReader(mask, invert)
    file = MaskFile(mask, invert)
    if str(mask) in PEOPLE:
        return FoundReader.of_people(find_people(), file)
    return AlphaReader(invert) if str(mask) == ALPHA else still_reader(file)


class _GivenReader:
    """The masks that an argument or a function gives."""

    def __init__(self, mask: Any, invert: bool) -> None:
        self._given, self._invert = mask, invert
        if not callable(mask):
            to_mask(mask)  # errors are raised now

    def mask_of(self, frame: Frame) -> Mask:
        """The mask of a frame, stretched to its size."""
        given = self._given(frame.image) if callable(self._given) else self._given
        mask = to_mask(given)
        mask = 255 - mask if self._invert else mask
        same = mask.shape == frame.image.shape[:2]
        return mask if same else fit_mask(mask, frame.size)

    def close(self) -> None:
        """Nothing is open."""
