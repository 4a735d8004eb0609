"""Total variation loss (Mahendran & Vedaldi 2015, beta = 2): it smooths the image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..autograd.losses import squared_total_variation
from .base import Loss


@dataclass(frozen=True)
class TotalVariationLoss(Loss):
    """Mean squared difference of neighbouring pixels."""

    name = "tv"

    def __call__(self, image: Tensor, activations: Mapping[str, Tensor], target: Any) -> Tensor:
        """``squared_total_variation`` of the image."""
        return squared_total_variation(image)
