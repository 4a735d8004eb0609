"""Motion, the methods that find flow, and moving pictures along it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Motion:
    """How an earlier frame became this one.

    Args:
        flow: (1, 2, H, W) float32, or None for no motion: where each pixel of *this* frame was in the earlier one,
            as (dx, dy) in px of a picture of W x H (any size; it is rescaled).
        reliable: (1, 1, H, W) float32 in [0, 1]; 0 where this frame shows what the earlier one did not. None: 1
            everywhere.
        cut: a new shot begins here: nothing of the earlier frames is of use.
        earlier: the same from frames further back: how many frames -> motion. The previous frame is not among them.
    """

    flow: Tensor | None = None
    reliable: Tensor | None = None
    cut: bool = False
    earlier: Mapping[int, "Motion"] = field(default_factory=dict)
