"""What a good painting is: plain functions of feature maps, and the ``Objective`` that adds them up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .features import Features

FLAT = 1e-3
"""Floor of the energies we divide by, so that an all-black frame or style does not blow its loss up."""


def gram(maps: Tensor) -> Tensor:
    """Gram matrix of feature maps (Gatys et al. 2015): which features occur together, regardless of where.

    Args:
        maps: (1, C, H, W).

    Returns:
        (C, C), the products averaged over positions. The maps are scaled *before* the product: it cannot overflow
        in half precision then.
    """
    flat = maps.reshape(maps.shape[1], -1)
    scaled: Tensor = flat * flat.shape[1] ** -0.5
    return scaled @ scaled.T


def style_loss(matrix: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two Gram matrices, in units of the target's mean square. Scalar."""
    return (matrix - target).square().mean() / target.square().mean().clamp_min(FLAT**2)


def content_loss(maps: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two (1, C, H, W) maps, in units of the target's variance. Scalar."""
    return (maps - target).square().mean() / target.var().clamp_min(FLAT)


def total_variation(picture: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels (after Mahendran & Vedaldi 2015, beta = 2). Scalar."""
    across = (picture[..., :, 1:] - picture[..., :, :-1]).square().mean()
    return across + (picture[..., 1:, :] - picture[..., :-1, :]).square().mean()


def temporal_loss(picture: Tensor, before: Tensor, known: Tensor) -> Tensor:
    """Mean squared difference from the painting before (Ruder et al. 2016, eq. 7), where that is known. Scalar.

    Args:
        picture, before: (1, 3, H, W), the latter moved to its new place.
        known: (1, 1, H, W), 1 where it is of use, 0 where not.
    """
    return ((picture - before).square() * known).mean()


class Losses(NamedTuple):
    """Scalars. ``total`` is weighted; the others are not, and are means over their layers."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor
    temporal: Tensor


class Weights(NamedTuple):
    """Of each loss in the sum."""

    content: float
    style: float
    tv: float
    temporal: float = 0.0


@dataclass(frozen=True)
class Objective:
    """``objective(picture) -> Losses``: the function of the pixels that is minimised.

    Args:
        features: how to look at the picture.
        content: layer -> (1, C, H, W) maps of the content picture.
        grams: layer -> (C, C) Gram matrix of the style.
        weights: of the sum, see ``Weights``.
        before: the painting before in its new place and where it is known, as in ``temporal_loss``; None: no such term.
    """

    features: Features
    content: Mapping[str, Tensor]
    grams: Mapping[str, Tensor]
    weights: Weights
    before: tuple[Tensor, Tensor] | None = None

    def __call__(self, picture: Tensor) -> Losses:
        """Losses of (1, 3, H, W) RGB in [0, 1], differentiable with respect to it."""
        maps = self.features(picture, {*self.content, *self.grams})
        content = _mean([content_loss(maps[layer], target) for layer, target in self.content.items()], picture)
        style = _mean([style_loss(gram(maps[layer]), target) for layer, target in self.grams.items()], picture)
        tv = total_variation(picture)
        temporal = temporal_loss(picture, *self.before) if self.before else picture.new_zeros(())
        weights = self.weights
        total = weights.content * content + weights.style * style + weights.tv * tv + weights.temporal * temporal
        return Losses(total, content, style, tv, temporal)


def _mean(losses: list[Tensor], picture: Tensor) -> Tensor:
    return torch.stack(losses).mean() if losses else picture.new_zeros(())
