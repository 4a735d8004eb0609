"""Background plate: the static scene as it was last stylised, without the objects in front of it.

Ground that an object uncovers then gets the strokes back that it had before, where a stylisation
from other starts would differ. The plate covers the present frame alone: what the camera leaves
behind is forgotten.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..flow.warp import sample_positions, warp
from ..ops.pytree import register_dataclass
from ..ops.tensors import box_max, box_mean
from .layer import Layer

MAX_DEVIATION_PX = 0.7
"""Pixels whose flow is this near to the camera's belong to the background."""

OUTLINE_PX = 7
"""Window, odd, by which objects are grown: pixels at an outline mix object and background."""

ALIKE_PATCH_PX = 5
"""Window, one more than a power of two, over which the content of plate and frame is compared."""

MAX_CONTENT_DIFFERENCE = 10 / 255
"""Mean absolute difference up to which the plate shows what the frame shows, with pixels in [0, 1].
Sensor noise and slow changes of light pass."""


@register_dataclass
@dataclass(frozen=True, eq=False)
class Background:
    """The background plate in the coordinates of a frame.

    Args:
        layer: of the frames that showed the background last.
        known: (1, 1, H, W), 1 where one of them did, 0 elsewhere.
        shown: (1, 1, H, W), 1 where the last frame shows the background, 0 where an object does.
    """

    layer: Layer
    known: Tensor
    shown: Tensor

    @classmethod
    def initial(cls, layer: Layer) -> "Background":
        """The plate after a first frame: nothing is known, since nothing has moved yet."""
        nowhere = torch.zeros_like(layer.image[:, :1])
        return cls(layer, nowhere, nowhere)

    def updated(self, frame: Layer) -> "Background":
        """The plate after the frame of ``shown`` has been stylised."""
        layer = frame.where(self.shown, self.layer)
        return replace(self, layer=layer, known=torch.maximum(self.known, self.shown))

    def forgotten(self) -> "Background":
        """The plate after a change of style: nothing is known."""
        return replace(self, known=torch.zeros_like(self.known))

    def warped(self, camera: Tensor) -> "Background":
        """The plate in the coordinates of the present frame.

        Args:
            camera: flow of the camera to the frame before, (1, 2, H, W) px.
        """
        height, width = camera.shape[-2:]
        x, y = sample_positions(camera)
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        known = (warp(self.known, camera, "bilinear") > 0.5) & inside
        layer = self.layer.warped(camera, inside)
        return replace(self, layer=layer, known=known.to(self.known))

    def matches(self, frame: Tensor) -> Tensor:
        """(1, 1, H, W) bool, where the plate shows what a frame, (1, 3, H, W), shows."""
        difference = (self.layer.content - frame).abs().mean(1, keepdim=True)
        alike = box_mean(difference, ALIKE_PATCH_PX) < MAX_CONTENT_DIFFERENCE
        return alike & (self.known > 0)


def shows_background(flow: Tensor, camera: Tensor) -> Tensor:
    """(1, 1, H, W) bool, False at objects and near their outlines.

    Args:
        flow, camera: (1, 2, H, W) px.
    """
    moves = (flow - camera).square().sum(1, keepdim=True) > MAX_DEVIATION_PX**2
    return box_max(moves.to(flow), OUTLINE_PX) == 0
