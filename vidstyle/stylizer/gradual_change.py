"""Gradual changes of the content: crossfades, fades, and objects that appear in place.

Optical flow sees no motion in a crossfade, so that the strokes of the old scene would stay on the
new one. Each pixel therefore keeps the brightness of the content that it was stylised for. Where
the texture of the present frame differs from it, the region is stylised as if it were disoccluded.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..ops.tensors import box_max, box_mean, opened, ramp, select

CHANGE_PER_CONTRAST = 0.6
"""Texture change, as a fraction of the contrast of a window, of another content."""

MIN_CHANGE = 3 / 255
"""Smallest texture change of another content, with pixels in [0, 1]: no noise is as large."""

MIN_FRAMES = 2.5
"""A gradual change is this many times as large as that of the last frame: rain, sparkling water and
strobe lights change as much in one frame."""

REFERENCE_GAIN = 0.05
"""Weight of the present frame in the brightness that is kept: slow turns of objects pass."""

WINDOW_PX = 9
"""Window in which textures are measured, one more than a power of two."""

OPENING_PX = 5
"""Window, odd, of the morphological opening: thinner regions are noise."""

FEATHER_PX = 17
"""Window of the ramp around a changed region, one more than a power of two. Neighbouring regions
change a few frames later, so that a hard edge would show until then."""

FEATHER_CHANGE = 0.3, 0.8
"""Texture change, relative to that of another content, at which the ramp begins and has its full
weight: neighbours at rest keep their strokes."""


class GradualChange(NamedTuple):
    """Where the content has become another one.

    Attributes:
        mask: (1, 1, H, W) bool.
        weight: (1, 1, H, W) in [0, 1] of a new start: 1 within the mask, with a ramp around it.
    """

    mask: Tensor
    weight: Tensor


def gradually_changed(reference: Tensor, content: Tensor, last_change: Tensor) -> GradualChange:
    """Where the content has become another one over several frames.

    Args:
        reference: (1, 1, H, W), brightness that the region was stylised for, warped.
        content: (1, 3, H, W), the present frame, denoised.
        last_change: (1, 3, H, W), the present frame minus the previous one, warped.

    Texture is the mean absolute deviation from the mean of the window: changes of light do not
    count.
    """
    gray = content.mean(1, keepdim=True)
    images = torch.cat([gray, reference, last_change.mean(1, keepdim=True)], 1)
    detail = images - box_mean(images, WINDOW_PX)
    detail = torch.cat([detail, detail[:, :1] - detail[:, 1:2]], 1)
    textures = torch.split(box_mean(detail.abs(), WINDOW_PX), 1, 1)
    of_frame, of_reference, of_last_change, change = textures
    limit = CHANGE_PER_CONTRAST * torch.maximum(of_frame, of_reference) + MIN_CHANGE
    changed = (change > limit) & (change > MIN_FRAMES * of_last_change)
    regions = opened(changed.to(gray), OPENING_PX)
    near = box_mean(box_max(regions, FEATHER_PX), FEATHER_PX)
    weight = torch.maximum(near * ramp(change / limit, FEATHER_CHANGE), regions)
    return GradualChange(regions > 0, weight)


def next_reference(reference: Tensor, content: Tensor, kept: Tensor) -> Tensor:
    """The brightness to keep, (1, 1, H, W).

    Args:
        reference, content: as for ``gradually_changed``.
        kept: (1, 1, H, W) bool or 0 and 1, not set where the frame is stylised from a new start.
    """
    gray = content.mean(1, keepdim=True)
    return select(kept, torch.lerp(reference, gray, REFERENCE_GAIN), gray)
