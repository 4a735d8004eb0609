"""Style loss (Gatys et al. 2015): squared difference of the Gram matrices of activations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autograd.losses import flatten_matrices, gram_loss, gram_of_rows, gram_rows
from .base import FrameContext, Loss, Regions, StyleSize, StyleStatistics

MIN_RMS = 1e-3
"""Floor of the root mean square of a Gram matrix that the loss is divided by: a black style image
has 0."""

MIN_SHARE = 1e-6
"""Floor of a region's share of a frame, as a divisor."""


def gram(activations: Tensor) -> Tensor:
    """Gram matrix of activations: mean products of channels, a statistic that keeps no positions.

    Args:
        activations: (1, C, H, W), float32 or half precision.

    Returns:
        (C, C) float32, the products averaged over positions.
    """
    return gram_of_rows(*gram_rows(activations))


class StyleTarget(NamedTuple):
    """Gram matrices of several layers.

    Args:
        grams: all elements in one vector.
        weights: of each squared difference, of the same shape.
    """

    grams: Tensor
    weights: Tensor

    @classmethod
    def from_grams(
        cls,
        grams: Mapping[str, Tensor],
        layer_weights: Mapping[str, float] = MappingProxyType({}),
    ) -> "StyleTarget":
        """The target for these matrices, each weighted by 1 / its mean square.

        Args:
            grams: layer -> (C, C).
            layer_weights: relative to their sum; 1 for a layer that it lacks.
        """
        total = sum(layer_weights.get(layer, 1.0) for layer in grams)
        weights = [
            (
                layer_weights.get(layer, 1.0)
                / (total * matrix.numel() * matrix.square().mean().clamp_min(MIN_RMS**2))
            ).expand(matrix.numel())
            for layer, matrix in grams.items()
        ]
        return cls(flatten_matrices(grams.values()), torch.cat(weights))


class RegionStyleTarget(NamedTuple):
    """Gram matrices of the regions of a frame (Gatys et al. 2017, section 4.1).

    Args:
        targets: of each region.
        masks: (1, R, H, W), see ``Regions``.
    """

    targets: tuple[StyleTarget, ...]
    masks: Tensor


def style_loss(activations: Sequence[Tensor], target: StyleTarget) -> Tensor:
    """Weighted mean over layers of the relative squared difference of Gram matrices, a scalar.

    Args:
        activations: (1, C, H, W) of each layer, in the order of the target's matrices.
    """
    return gram_loss(*target, *activations)


def region_style_loss(activations: Sequence[Tensor], target: RegionStyleTarget) -> Tensor:
    """``style_loss`` of each region, weighted by its share of the frame, a scalar.

    The activations are multiplied by the root of the mask, so that a Gram matrix is the weighted
    mean over the region. A pixel has the gradient that it has in a frame of one style.

    Args:
        activations: (1, C, H, W) of each layer, in the order of the target's matrices.
    """
    shares = target.masks.mean((0, 2, 3))
    weights = [
        (
            F.adaptive_avg_pool2d(target.masks, (maps.shape[-2], maps.shape[-1])) / _column(shares)
        ).sqrt()
        for maps in activations
    ]
    losses = [
        style_loss(
            [
                maps * weight[:, number : number + 1].to(maps.dtype)
                for maps, weight in zip(activations, weights, strict=True)
            ],
            own,
        )
        for number, own in enumerate(target.targets)
    ]
    return torch.dot(shares, torch.stack(losses))


def _column(shares: Tensor) -> Tensor:
    """Shares, (R,), as divisors of masks, (1, R, 1, 1), above 0 for an empty region."""
    return shares.clamp_min(MIN_SHARE)[None, :, None, None]


@dataclass(frozen=True)
class StyleLoss(Loss):
    """``style_loss`` of some layers.

    Args:
        layer_weights: (layer, weight) pairs; weights are relative to their sum.
    """

    layer_weights: tuple[tuple[str, float], ...]
    name = "style"

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the pairs."""
        return tuple(layer for layer, _ in self.layer_weights)

    def style_target(self, style: StyleStatistics, size: StyleSize) -> StyleTarget:
        """The Gram matrices of the style images."""
        return StyleTarget.from_grams(style.grams(size, self.layers), dict(self.layer_weights))

    def region_target(
        self, frame: FrameContext, style_targets: Sequence[StyleTarget], regions: Regions
    ) -> RegionStyleTarget:
        """The Gram matrices of each region's style."""
        return RegionStyleTarget(tuple(style_targets), regions.masks)

    def __call__(
        self,
        image: Tensor,
        activations: Mapping[str, Tensor],
        target: StyleTarget | RegionStyleTarget,
    ) -> Tensor:
        """``style_loss`` of the image's activations, or that of each region."""
        maps = [activations[layer] for layer in self.layers]
        if isinstance(target, RegionStyleTarget):
            return region_style_loss(maps, target)
        return style_loss(maps, target)
