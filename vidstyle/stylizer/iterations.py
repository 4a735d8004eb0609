"""The losses of a frame's iterations, as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Size = tuple[int, int]
"""(width, height) in px."""


@dataclass(frozen=True)
class Iteration:
    """The losses before one step.

    Args:
        size: (width, height) px of the image at this iteration.
        losses: by name: ``total``, the weighted sum, and each loss without its weight.
    """

    size: Size
    losses: Mapping[str, float]

    @property
    def total(self) -> float:
        """The weighted sum."""
        return self.losses["total"]

    @property
    def content(self) -> float:
        """Content loss without its weight; 0 where the objective has none."""
        return self.losses.get("content", 0.0)

    @property
    def style(self) -> float:
        """Style loss without its weight; 0 where the objective has none."""
        return self.losses.get("style", 0.0)

    @property
    def temporal(self) -> float:
        """Temporal loss without its weight; 0 where the objective has none."""
        return self.losses.get("temporal", 0.0)


def fetch_iterations(losses: Sequence[tuple[Size, Mapping[str, Tensor]]]) -> list[Iteration]:
    """Copy all losses of a frame from the device at once: one wait for each frame."""
    rows = torch.stack([torch.stack(list(loss.values())) for _, loss in losses]).cpu().tolist()
    return [
        Iteration(size, dict(zip(loss, row, strict=True)))
        for (size, loss), row in zip(losses, rows, strict=True)
    ]


def loss_decrease(loss_before: float, iterations: Sequence[Iteration]) -> float:
    """Relative decrease of the total per step of a frame.

    Args:
        loss_before: of the previous frame, which a single step is compared with.
        iterations: of the frame.
    """
    several = len(iterations) > 1
    first, steps = (iterations[0].total, len(iterations) - 1) if several else (loss_before, 1)
    return (first - iterations[-1].total) / (first * steps) if first else 0.0
