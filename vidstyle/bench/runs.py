"""Painted clips and what they are compared with: ours, the naive start, and single frames with their least loss."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..flow.motion import Motion
from ..io.frame import Frame
from ..losses.objective import Objective
from ..stylizer.stylizer import Stylizer
from . import temporal_metrics, textbook


@dataclass(frozen=True, eq=False)
class ReferenceFrame:
    """One frame of a clip and what paintings of it are compared with.

    Args:
        number: in the clip.
        content: (1, 3, H, W).
        objective: without the temporal term.
        fresh: the frame painted on its own, (1, 3, H, W) on the CPU.
        least, shown: L*, and the same of what can be shown of its picture.
    """

    number: int
    content: Tensor
    objective: Objective
    fresh: Tensor
    least: float
    shown: float

    def loss(self, picture: Tensor) -> float:
        """The objective of a painting of this frame."""
        with torch.no_grad():
            return self.objective(picture.to(self.content.device)).total.item()

    def gap(self, picture: Tensor) -> float:
        """How far that lies above L*, in per cent."""
        return 100 * (self.loss(picture) / self.least - 1)

    def gap_to_shown(self, picture: Tensor) -> float:
        """The same for what can be shown."""
        return 100 * (self.loss(picture) / self.shown - 1)


@dataclass(eq=False)
class StylizedRun:
    """A painted clip: float pictures (1, 3, H, W) on the CPU; steps and seconds of each frame after the first."""

    pictures: list[Tensor] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def paint(
    stylizer: Stylizer, frames: Sequence[tuple[Frame, Motion]], steps: int | None = None
) -> StylizedRun:
    """Paint frames and keep what the stylizer holds rather than what it returns; ``steps`` as for the stylizer."""
    painted = StylizedRun()
    for frame, motion in frames:
        began = time.perf_counter()
        stylizer(frame, motion, steps)
        painted.seconds.append(time.perf_counter() - began)
        painted.pictures.append(stylizer.state()["picture"])
        painted.steps.append(len(stylizer.iterations))
    return painted


def paint_naively(
    stylizer: Stylizer, first: Tensor, contents: Sequence[Tensor], steps: int
) -> StylizedRun:
    """Previous picture, fresh Adam: PyTorch's own, nothing carried but the picture."""
    painted, picture = StylizedRun(), first.to(stylizer.features.device)
    for content in contents:
        began = time.perf_counter()
        picture, _ = textbook.adam(
            temporal_metrics.settling(stylizer.objective(content)), picture, steps
        )
        painted.seconds.append(time.perf_counter() - began)
        painted.pictures.append(picture.cpu())
        painted.steps.append(steps)
    return painted
