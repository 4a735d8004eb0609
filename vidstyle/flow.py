"""Motion between two source frames, and moving pictures along it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Motion:
    """How the previous frame became this one.

    Args:
        flow: (1, 2, H, W) float32, or None for no motion: where each pixel of *this* frame was in the previous one,
            as (dx, dy) in px of a picture of W x H (any size; it is rescaled).
        reliable: (1, 1, H, W) float32 in [0, 1]; 0 where this frame shows what the previous one did not. None: 1
            everywhere.
        cut: a new shot begins here: nothing of the previous frame is of use.
    """

    flow: Tensor | None = None
    reliable: Tensor | None = None
    cut: bool = False


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Rescale (1, 2, H, W) to (width, height), displacements included."""
    width, height = size
    scale = flow.new_tensor([width / flow.shape[3], height / flow.shape[2]])[None, :, None, None]
    return F.interpolate(flow, (height, width), mode="bilinear", align_corners=False) * scale


def warp(picture: Tensor, flow: Tensor, mode: str = "bicubic") -> Tensor:
    """Fetch every pixel from where the flow says it was.

    Args:
        picture: (1, C, H, W).
        flow: (1, 2, H, W) in px, as in ``Motion``.
        mode: "bicubic" for pictures, "bilinear" where overshoot would harm. Borders repeat.

    Returns:
        (1, C, H, W).
    """
    height, width = picture.shape[-2:]
    rows = torch.arange(height, device=picture.device, dtype=torch.float32)
    columns = torch.arange(width, device=picture.device, dtype=torch.float32)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    across, down = (x + flow[0, 0] + 0.5) / width * 2 - 1, (y + flow[0, 1] + 0.5) / height * 2 - 1
    grid = torch.stack([across, down], -1)[None]
    return F.grid_sample(picture, grid, mode=mode, padding_mode="border", align_corners=False)
