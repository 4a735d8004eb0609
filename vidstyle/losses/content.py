"""Content loss (Gatys et al. 2015): squared difference of activations, weighted by local detail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autograd.losses import weighted_squared_difference
from ..features.network import LAYOUT
from .base import FrameContext, Loss, Regions
from .text_mask import text_mask

MIN_VARIANCE = 1e-3
"""Floor of the variance of activations that the loss is divided by: a frame of one colour has
none."""

EPSILON = 1e-12
"""Floor of a divisor."""

DETAIL_WINDOW_PX = 7
"""Side of the window in which local detail is measured, in px of the activations."""

TEXT_GAIN = 6.75
"""Added weight of text, relative to the largest weight of anything else. With half of it small
letters are hard to read; with four times as much all of their ground is left without strokes."""


EMPHASIS_GAIN = 10.0
"""Added weight of what ``FrameContext.emphasis`` names, relative to the same. On small faces half
of it leaves a swirl in place of the eyes."""


class SpatialWeighting(NamedTuple):
    """Weight of a position as a function of the local detail of the content.

    Args:
        flat: weight without any detail. It approaches 1 as detail grows.
        detail: local detail relative to the mean at which the weight is half way between ``flat``
            and 1.
    """

    flat: float
    detail: float


SPATIAL_WEIGHTING = {
    "content": SpatialWeighting(0.1, 1.0),
    "edges": SpatialWeighting(0.0, 2.0),
    "mean color": SpatialWeighting(1.0, 1.0),
}
"""By ``Features.measured_property``. Subjects have more detail than what surrounds them: a face
keeps its features, and a sky gets strokes. Edges have no weight where the content has none, so that
strokes can form there; the edges with the strongest responses are cables and the rims of glasses.
The mean color has the same weight everywhere: otherwise all bright parts of a style gather in flat
regions."""


class ContentTarget(NamedTuple):
    """The target of one layer.

    Args:
        activations: (1, C, H, W) of the content.
        variance: of the activations, a scalar.
        weight_map: (1, 1, H, W), weight of each position. A region mask is multiplied with it.
    """

    activations: Tensor
    variance: Tensor
    weight_map: Tensor

    @classmethod
    def from_activations(
        cls,
        activations: Tensor,
        weighting: SpatialWeighting = SPATIAL_WEIGHTING["content"],
        weight: float = 1.0,
    ) -> "ContentTarget":
        """The target for these activations; ``weight``: of the whole layer."""
        exact = activations.float().contiguous(memory_format=LAYOUT)
        detail = torch.linalg.vector_norm(exact - _local_mean(exact), dim=1, keepdim=True).square()
        detail = _local_mean(detail / exact.shape[1])
        share = detail / (detail + weighting.detail * detail.mean()).clamp_min(EPSILON)
        weight_map = weight * (weighting.flat + (1 - weighting.flat) * share)
        values = exact.permute(0, 2, 3, 1).flatten()  # a view; ``var`` takes five times as long
        count = values.numel()
        variance = (values.dot(values) - count * values.mean().square()) / (count - 1)
        variance = variance.clamp_min(MIN_VARIANCE)
        return cls(activations, variance, weight_map.to(activations.dtype))

    def multiplied(self, factor: Tensor) -> "ContentTarget":
        """The same target with its weight map multiplied by another map, (1, 1, H', W')."""
        size = self.weight_map.shape[-2:]
        resized = F.interpolate(factor, size, mode="bilinear", align_corners=False)
        return self._replace(weight_map=self.weight_map * resized.to(self.weight_map.dtype))


def _local_mean(maps: Tensor) -> Tensor:
    """Separable box filter of ``DETAIL_WINDOW_PX``: convolutions of each channel on its own, which
    are faster than pooling in this memory format."""
    channels, window = maps.shape[1], DETAIL_WINDOW_PX
    taps = torch.full((channels, 1, window, 1), 1 / window, device=maps.device)
    padded = F.pad(maps, [window // 2] * 4, mode="replicate")
    columns = F.conv2d(padded, taps, groups=channels)
    return F.conv2d(columns, taps.transpose(2, 3), groups=channels)


def content_loss(activations: Tensor, target: ContentTarget) -> Tensor:
    """Weighted mean squared difference of activations divided by their variance, a scalar."""
    difference = weighted_squared_difference(activations, target.activations, target.weight_map)
    return difference / target.variance


@dataclass(frozen=True)
class ContentLoss(Loss):
    """Mean of ``content_loss`` over layers.

    Args:
        layer_weights: (layer, weight) pairs; weights are relative to their mean.
    """

    layer_weights: tuple[tuple[str, float], ...]
    name = "content"

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the pairs."""
        return tuple(layer for layer, _ in self.layer_weights)

    @property
    def content_layers(self) -> tuple[str, ...]:
        """The same layers."""
        return self.layers

    def target(self, frame: FrameContext) -> dict[str, ContentTarget]:
        """The target of each layer, from the activations of the content."""
        total = sum(weight for _, weight in self.layer_weights)
        gain = 1 + TEXT_GAIN * text_mask(frame.content)
        if frame.emphasis is not None:
            size = frame.emphasis.shape[-2:]
            resized = F.interpolate(gain, size, mode="bilinear", align_corners=False)
            gain = resized + EMPHASIS_GAIN * frame.emphasis
        return {
            layer: ContentTarget.from_activations(
                frame.activations[layer],
                SPATIAL_WEIGHTING[frame.features.measured_property(layer)],
                weight * len(self.layer_weights) / total,
            ).multiplied(gain)
            for layer, weight in self.layer_weights
        }

    def region_target(
        self, frame: FrameContext, style_targets: Sequence[Any], regions: Regions
    ) -> dict[str, ContentTarget]:
        """The target of each layer, with the content weights of the regions."""
        gains = regions.map_of(regions.content_gains)
        return {layer: part.multiplied(gains) for layer, part in self.target(frame).items()}

    def __call__(
        self,
        image: Tensor,
        activations: Mapping[str, Tensor],
        target: Mapping[str, ContentTarget],
    ) -> Tensor:
        """The mean of ``content_loss`` over layers."""
        losses = [content_loss(activations[layer], part) for layer, part in target.items()]
        return torch.stack(losses).mean()
