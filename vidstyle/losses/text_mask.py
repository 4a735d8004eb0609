"""Text mask: where an image shows text, titles and other thin marks on flat ground.

Text is detected by morphology: a top-hat transform (the image without its opening) leaves marks
that are thinner than a stroke of a letter. In a window with text the transform has two values, one
on the ground and one on the letters. Foliage, grain and brush strokes have all values between.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.tensors import box_mean, opened, ramp

STROKE_FRACTION = 0.021
"""Maximum width of a stroke of a letter, as a fraction of the long side of the image. The content
loss keeps broader strokes by itself."""

MIN_STROKE_PX = 3
"""Least maximum width of a stroke in px."""

WINDOW_CELLS = 5
"""Side of the window whose distribution is measured, in cells of about two fifths of a stroke."""

NOISE = 0.03
"""Marks with less contrast are ignored; in units of the range of the image."""

BIMODALITY = 0.86, 0.94
"""``E[t^2]^2 / (E[t] E[t^3])`` of the top-hat transform t at which the mask rises from 0 to 1. Two
values, one of them 0, have 1 (Cauchy and Schwarz); equally frequent values 0.89; exponentially
distributed ones 0.67."""

FLAT_BIMODALITY = 0.78, 0.86
"""The same on flat ground: small letters that are blurred by sampling have values between, but so
have few other marks on flat ground."""

FLAT_GROUND = 0.15, 0.05
"""Standard deviation of the ground, relative to the contrast, between which ``BIMODALITY`` turns
into ``FLAT_BIMODALITY``."""

FLAT_COVERAGE = 0.45, 0.35
"""Share of the window that marks cover between which the same holds: noise has flat ground too."""

CONTRAST = 0.12, 0.3
"""Contrast of letters to their ground at which the mask rises from 0 to 1."""

COVERAGE = 0.04, 0.1
"""Share of the window that letters cover at which the mask rises from 0 to 1: a single speck is no
text."""

MAX_COVERAGE = 0.6, 0.5
"""Share of the window at which the mask falls to 0, and below which it is 1: noise covers two
thirds."""

GROUND_VARIATION = 0.35, 0.15
"""Standard deviation of the ground, relative to the contrast, at which the mask rises from 0 to
1."""

EPSILON = 1e-9
"""Floor of a divisor."""


def text_mask(image: Tensor) -> Tensor:
    """1 at text and other thin marks of high contrast on flat ground, 0 elsewhere.

    Args:
        image: (1, 3, H, W) in [0, 1].

    Returns:
        (1, 1, H', W') in [0, 1], at a lower resolution.
    """
    lightness = image.float().mean(1, keepdim=True)
    longest = max(image.shape[-2:])
    stroke = max(MIN_STROKE_PX, 2 * round(STROKE_FRACTION * longest / 2) + 1)
    marks = _bright_marks(torch.cat([lightness, 1 - lightness]), stroke)
    return marks.amax(0, keepdim=True)


def _bright_marks(lightness: Tensor, stroke_px: int) -> Tensor:
    """The masks of marks that are brighter than their ground, of (N, 1, H, W)."""
    ground = opened(lightness, stroke_px)
    marks = (lightness - ground - NOISE).clamp_min(0)
    squares = marks.square()
    cell = -(-(2 * stroke_px + 1) // WINDOW_CELLS)
    moments = (
        F.avg_pool2d(moment, cell, ceil_mode=True, count_include_pad=False)
        for moment in (marks, squares, squares * marks, ground, ground.square())
    )
    cells = torch.cat(tuple(moments), 1)
    m1, m2, m3, mean, square = torch.split(box_mean(cells, WINDOW_CELLS), 1, 1)
    contrast = m3 / m2.clamp_min(EPSILON)
    coverage = m1 / contrast.clamp_min(EPSILON)
    variation = (square - mean**2).clamp_min(0).sqrt() / contrast.clamp_min(EPSILON)
    bimodality = m2**2 / (m1 * m3).clamp_min(EPSILON)
    flat = ramp(variation, FLAT_GROUND) * ramp(coverage, FLAT_COVERAGE)
    return (
        torch.lerp(ramp(bimodality, BIMODALITY), ramp(bimodality, FLAT_BIMODALITY), flat)
        * ramp(contrast + NOISE, CONTRAST)
        * ramp(coverage, COVERAGE)
        * ramp(coverage, MAX_COVERAGE)
        * ramp(variation, GROUND_VARIATION)
    )
