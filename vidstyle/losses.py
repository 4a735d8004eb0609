"""What a good painting is: plain functions of feature maps, and the ``Objective`` that adds them up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from .features import Features

FLAT = 1e-3
"""Floor of the energies we divide by, so that an all-black frame or style does not blow its loss up."""


def gram(maps: Tensor, shift: int = 0) -> Tensor:
    """Gram matrix of feature maps (Gatys et al. 2015): which features occur together, regardless of where.

    Args:
        maps: (1, C, H, W).
        shift: take the products with the maps moved by so many px down, and across, as well (Berger & Memisevic 2016):
            they tell how a stroke goes on. Less where a map is no larger.

    Returns:
        (C, C), the products averaged over positions; with a shift (C, 3 C): unmoved, moved down, moved across. The maps
        are scaled *before* the product: it cannot overflow in half precision then.
    """
    maps = maps[0]
    height, width = maps.shape[-2:]
    down, across = min(shift, height - 1), min(shift, width - 1)
    # Each product over all it can see: what one leaves out at a border, another still steers.
    pairs = [(maps, maps)]
    if shift:
        pairs += [(maps[:, : height - down], maps[:, down:]), (maps[..., : width - across], maps[..., across:])]
    return torch.cat([_mean_product(here.flatten(1), there.flatten(1)) for here, there in pairs], 1)


def _mean_product(here: Tensor, there: Tensor) -> Tensor:
    scale = here.shape[1] ** -0.5
    product: Tensor = (here * scale) @ (there * scale).T
    return product


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
        grams: layer -> Gram matrix of the style, as ``gram`` makes it with the features' shift.
        layer_weights: of each style layer in their mean; 1 where not given.
        weights: of the sum, see ``Weights``.
        before: the painting before in its new place and where it is known, as in ``temporal_loss``; None: no such term.
    """

    features: Features
    content: Mapping[str, Tensor]
    grams: Mapping[str, Tensor]
    weights: Weights
    before: tuple[Tensor, Tensor] | None = None
    layer_weights: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, picture: Tensor) -> Losses:
        """Losses of (1, 3, H, W) RGB in [0, 1], differentiable with respect to it."""
        maps = self.features(picture, {*self.content, *self.grams})
        content = _mean({layer: content_loss(maps[layer], target) for layer, target in self.content.items()}, picture)
        grams = {layer: gram(maps[layer], self.features.shift(layer)) for layer in self.grams}
        style_losses = {layer: style_loss(grams[layer], target) for layer, target in self.grams.items()}
        style = _mean(style_losses, picture, self.layer_weights)
        tv = total_variation(picture)
        temporal = temporal_loss(picture, *self.before) if self.before else picture.new_zeros(())
        weights = self.weights
        total = weights.content * content + weights.style * style + weights.tv * tv + weights.temporal * temporal
        return Losses(total, content, style, tv, temporal)


def _mean(losses: Mapping[str, Tensor], picture: Tensor, weights: Mapping[str, float] = MappingProxyType({})) -> Tensor:
    total = sum(weights.get(layer, 1.0) for layer in losses)
    return sum((weights.get(layer, 1.0) / total * loss for layer, loss in losses.items()), picture.new_zeros(()))
