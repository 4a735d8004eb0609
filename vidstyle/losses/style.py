"""Style loss (Gatys et al. 2015): squared difference of the Gram matrices of activations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from ..autograd.losses import flatten_matrices, gram_loss, gram_of_rows, gram_rows
from .base import Loss, StyleStatistics

MIN_RMS = 1e-3
"""Floor of the root mean square of a Gram matrix that the loss is divided by: a black style image
has 0."""


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


def style_loss(activations: Sequence[Tensor], target: StyleTarget) -> Tensor:
    """Weighted mean over layers of the relative squared difference of Gram matrices, a scalar.

    Args:
        activations: (1, C, H, W) of each layer, in the order of the target's matrices.
    """
    return gram_loss(*target, *activations)


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

    def style_target(self, style: StyleStatistics, size_px: int) -> StyleTarget:
        """The Gram matrices of the style images."""
        return StyleTarget.from_grams(style.grams(size_px, self.layers), dict(self.layer_weights))

    def __call__(
        self, image: Tensor, activations: Mapping[str, Tensor], target: StyleTarget
    ) -> Tensor:
        """``style_loss`` of the image's activations."""
        return style_loss([activations[layer] for layer in self.layers], target)
