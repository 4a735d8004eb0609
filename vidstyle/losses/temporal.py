"""Temporal loss (Ruder et al. 2016, eq. 7): difference from the warped previous stylised frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from ..autograd.losses import weighted_squared_difference
from .base import FrameContext, Loss, Regions


class TemporalTarget(NamedTuple):
    """The previous stylised frame, and in uncovered ground the background plate.

    Args:
        image: (1, 3, H, W), warped by optical flow.
        weight_map: (1, 1, H, W), 1 where it is valid, 0 in disoccluded regions and where the style
            is changing.
    """

    image: Tensor
    weight_map: Tensor


def temporal_loss(image: Tensor, target: TemporalTarget) -> Tensor:
    """Weighted mean squared difference of pixels, a scalar."""
    return weighted_squared_difference(image, target.image, target.weight_map)


@dataclass(frozen=True)
class TemporalLoss(Loss):
    """``temporal_loss`` where a previous stylised frame is known."""

    name = "temporal"

    def target(self, frame: FrameContext) -> TemporalTarget | None:
        """The warped previous stylised frame; None for a first frame."""
        if frame.previous is None or frame.valid is None:
            return None
        return TemporalTarget(frame.previous, frame.valid)

    def region_target(
        self, frame: FrameContext, style_targets: Sequence[Any], regions: Regions
    ) -> TemporalTarget | None:
        """The same, less in regions with smaller temporal weights."""
        target = self.target(frame)
        if target is None:
            return None
        gains = regions.map_of(regions.temporal_gains)
        return target._replace(weight_map=target.weight_map * gains)

    def __call__(
        self, image: Tensor, activations: Mapping[str, Tensor], target: TemporalTarget
    ) -> Tensor:
        """``temporal_loss`` of the image."""
        return temporal_loss(image, target)
