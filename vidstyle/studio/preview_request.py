"""What a preview paints: a frame with its masks, and what decides how it looks."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..face_choices import KEEP
from ..faces import frame_with_faces
from ..io.files import changed_ns
from ..io.frame import Frame, rgb_8_bits
from ..io.mask_file import MaskFile, fit_mask
from ..keyframes import KeyframeEntry
from ..regions import RegionEntry
from ..settings import Settings
from .frames import reduced

UNSEEN: Mapping[str, Any] = MappingProxyType(
    {
        "strength": 1.0,
        "original_colors": False,
        "temporal": 0.5,
        "steps": 1,
        "initial_steps": 1,
        "working_size": None,
    }
)
"""Settings that the optimised image of a preview does not depend on: those of the blend with the
frame, those of later frames, and those that a preview has of its own. Name -> any value."""


class PreviewRequest(NamedTuple):
    """What to paint: a frame of a clip in a style.

    Args:
        clip: file.
        seconds: time of the frame.
        style: file.
        settings: of the render.
        keyframes, regions: of the render, in which each keyframe has one style at most.
        mask: where the frame is painted; None: all of it.
        faces: one of ``FACES_CHOICES``.
    """

    clip: Path
    seconds: float
    style: Path
    settings: Settings
    keyframes: tuple[KeyframeEntry, ...] = ()
    regions: tuple[RegionEntry, ...] = ()
    mask: MaskFile | None = None
    faces: str = KEEP

    def with_faces(self, frame: Frame) -> Frame:
        """A frame of the clip with emphasis on faces, if they are kept."""
        return frame_with_faces(frame) if self.faces == KEEP else frame

    def frame_key(self) -> object:
        """What the frame and its masks depend on."""
        masks = [*([self.mask] if self.mask else []), *(each.mask for each in self.regions)]
        files = [self.clip, *(Path(each.path) for each in masks)]
        regions = [each.mask for each in self.regions]
        what = self.clip, self.seconds, self.mask, regions, self.faces
        return repr(what), tuple(map(changed_ns, files))

    def key(self) -> object:
        """What the optimised image depends on: equal for requests that give the same one."""
        styles = [self.style, *(each.style for each in self.regions)]
        styles += [path for each in self.keyframes for path in each.styles]
        same = self._replace(settings=replace(self.settings, **UNSEEN))
        return repr(same), self.frame_key(), tuple(map(changed_ns, styles))


def prepared(
    frame: Frame, settings: Settings, long_side: int, steps: int
) -> tuple[Frame, Settings]:
    """A frame reduced to a long side in px, and settings to paint it at that size."""
    image = reduced(rgb_8_bits(frame.image), long_side)
    size = image.shape[1], image.shape[0]
    mask, regions = frame.mask, frame.regions
    small = Frame(
        image,
        mask=None if mask is None else fit_mask(mask, size),
        regions=None if regions is None else np.stack([fit_mask(each, size) for each in regions]),
        emphasis=None if frame.emphasis is None else fit_mask(frame.emphasis, size),
    )
    return small, replace(settings, working_size=long_side, initial_steps=steps, compare="no")
