"""Loss of painted keyframes: each frame is held to the painting that is warped to it."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .base import FrameContext, Loss
from .temporal import TemporalTarget, temporal_loss


@dataclass(frozen=True)
class PaintedLoss(Loss):
    """``temporal_loss`` of the image and the painting, weighted by its alpha."""

    name = "painted"

    def target(self, frame: FrameContext) -> TemporalTarget | None:
        """The painting and its alpha; None where the frame has none."""
        if frame.painted is None:
            return None
        return TemporalTarget(frame.painted[:, :3], frame.painted[:, 3:])

    def __call__(
        self, image: Tensor, activations: Mapping[str, Tensor], target: TemporalTarget
    ) -> Tensor:
        """``temporal_loss`` of the image."""
        return temporal_loss(image, target)
