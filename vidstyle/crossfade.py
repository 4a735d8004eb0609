"""A crossfade of two stylisations of the same frames that keeps their local contrast.

Two stylisations have different strokes at one place. Their mean has less contrast than either of
them, and shows both through each other: in the middle of a fade, gradient energy is 0.6 of theirs.
Variance-preserving blending (Heitz & Neyret 2018, there for textures) scales the deviations of the
mean from its local mean, so that their variance is between those of the two images.
"""

import numpy as np

from .flow.fields import Map, box_filter
from .io.frame import Image
from .stylizer.keyframe import smooth

WINDOW_SHARE = 0.05
"""Side of the window of local means, as a share of the short side of the image: some strokes."""

MIN_WINDOW_PX = 9
"""Least side of that window."""

MAX_GAIN = 1.6
"""Largest scale of the deviations. Independent strokes need the root of 2; more would be noise."""

NOISE_LEVELS = 1.0
"""Standard deviation, in 8-bit levels, that is not scaled: rounding in flat regions."""


def crossfade(first: Image, second: Image, position: float) -> Image:
    """An image of a crossfade.

    Args:
        first, second: (H, W, C) of one size and dtype, uint8 or uint16.
        position: 0 gives the first image, 1 the second. The weight of the second is ``smooth``.

    Returns:
        (H, W, C) of the same dtype. A fourth channel, alpha, is that of the first image. Pixels
        that are equal in both images, such as those outside a mask, do not change.
    """
    weight = np.float32(smooth(position))
    peak = np.iinfo(first.dtype).max
    side = max(MIN_WINDOW_PX, round(WINDOW_SHARE * min(first.shape[:2])))
    one, other = (image[..., :3].astype(np.float32) for image in (first, second))
    means = box_filter(one, side), box_filter(other, side)
    one, other = one - means[0], other - means[1]
    wanted = (1 - weight) * _variance(one, side) + weight * _variance(other, side)
    mixed = (1 - weight) * one + weight * other
    noise = np.float32((NOISE_LEVELS * peak / 255) ** 2)
    gain = np.sqrt((wanted + noise) / (_variance(mixed, side) + noise))
    mixed *= np.clip(gain, 1, MAX_GAIN)[..., None]
    mixed += (1 - weight) * means[0] + weight * means[1]
    image = first.copy()
    differ = (first[..., :3] != second[..., :3]).any(2, keepdims=True)
    np.copyto(image[..., :3], np.rint(mixed.clip(0, peak)), casting="unsafe", where=differ)
    return image


def _variance(deviations: Map, side_px: int) -> Map:
    """Mean square over the window and over channels, (H, W)."""
    return box_filter(np.square(deviations).mean(2), side_px)
