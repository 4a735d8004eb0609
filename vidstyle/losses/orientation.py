"""Orientation loss: strokes follow the edges of the content.

It compares structure tensors (Förstner & Gülch 1987) of the image and the content, which hold the
local orientation as a vector of the doubled angle. Painterly rendering leads strokes along the edge
tangent flow in the same way (Kang et al. 2009, "Flow-Based Image Abstraction").
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import FrameContext, Loss

ORIENTATION_LAYERS = "tensor1", "tensor2"
"""Structure tensors of windows of 16 and 32 px."""

FAST_ORIENTATION_LAYERS = ("tensor2",)
"""The same with ``Settings.fast_style_layers``: what the style loss reads too costs nothing."""

MIN_SQUARED_COHERENCE = 0.01
"""Added to the squared length of an orientation before division: the direction of a shorter one is
noise."""


def orientation_loss(tensor: Tensor, target: Tensor) -> Tensor:
    """Mean over windows of one minus the cosine of both orientations, weighted by the coherence of
    the target, a scalar.

    Orientations are doubled angles: the loss is largest where strokes cross an edge at a right
    angle. The coherence of a structure tensor is small in windows of little energy, so flat regions
    count little, and strokes can take any direction there.

    Args:
        tensor, target: (1, 3, H, W) of the image and of the content, see ``structure``.
    """
    of_image, of_target = tensor[:, :2], target[:, :2]
    cosine = (of_image * of_target).sum(1) / (_norm(of_image) * _norm(of_target))
    coherence = of_target.square().sum(1).sqrt()
    return (coherence * (1 - cosine)).mean()


def _norm(orientation: Tensor) -> Tensor:
    return torch.sqrt(orientation.square().sum(1) + MIN_SQUARED_COHERENCE)


@dataclass(frozen=True)
class OrientationLoss(Loss):
    """Mean of ``orientation_loss`` over layers.

    Args:
        tensor_layers: structure tensors.
    """

    tensor_layers: tuple[str, ...] = ORIENTATION_LAYERS
    name = "orientation"

    @property
    def layers(self) -> tuple[str, ...]:
        """The structure tensors."""
        return self.tensor_layers

    @property
    def content_layers(self) -> tuple[str, ...]:
        """The same layers."""
        return self.tensor_layers

    def target(self, frame: FrameContext) -> dict[str, Tensor]:
        """The structure tensors of the content."""
        return {layer: frame.activations[layer] for layer in self.layers}

    def __call__(
        self, image: Tensor, activations: Mapping[str, Tensor], target: Mapping[str, Tensor]
    ) -> Tensor:
        """The mean of ``orientation_loss`` over layers."""
        losses = [orientation_loss(activations[layer], of) for layer, of in target.items()]
        return torch.stack(losses).mean()
