"""The motion between two frames of a clip."""

from dataclasses import dataclass

from torch import Tensor

from ..ops.pytree import register_dataclass


@register_dataclass
@dataclass(frozen=True, eq=False)
class Motion:
    """Motion from a frame to an earlier one: optical flow, occlusion mask and shot boundary.

    Args:
        flow: (1, 2, H, W) float32: displacement of each pixel of *this* frame to its position in
            the earlier frame, (dx, dy) in px of an image of W x H. It is rescaled for images of
            other sizes. None: no motion.
        reliable: validity mask, (1, 1, H, W) float32 in [0, 1]: 0 where the earlier frame does
            not show this pixel (disocclusion). None: 1 everywhere.
        camera: (2, 3) float32, affine map of pixels of this frame to their position in the earlier
            frame as far as the camera alone moves, in px like ``flow``. None: the camera rests.
        restyled: (1, 1, H, W) float32 in [0, 1], of any size: 1 where the style is another than
            that of the earlier frame, which is not used there. None: nowhere.
        cut: this frame is the first of a shot; earlier frames are not used.
        reverse: motion from the earlier frame to this one, whose ``flow`` displaces pixels of the
            earlier frame; None: not computed.
    """

    flow: Tensor | None = None
    reliable: Tensor | None = None
    camera: Tensor | None = None
    restyled: Tensor | None = None
    cut: bool = False
    reverse: "Motion | None" = None
