"""Backward warping of image tensors by optical flow."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.tensors import constant

LANCZOS_RADIUS_PX = 5
"""Radius of the Lanczos window, a sinc windowed by the main lobe of a wider sinc."""


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a flow field and scale its displacements, bilinear.

    Args:
        flow: (1, 2, H, W) in px.
        size: (width, height) in px.
    """
    width, height = size
    if (flow.shape[3], flow.shape[2]) == size:
        return flow
    scale = constant((width / flow.shape[3], height / flow.shape[2]), flow.device)
    resized = F.interpolate(flow, (height, width), mode="bilinear", align_corners=False)
    return resized * scale[None, :, None, None]


def affine_flow(matrix: Tensor, size: Sequence[int], new_size: Sequence[int]) -> Tensor:
    """The flow of an affine map of pixels, resized.

    Args:
        matrix: (2, 3), in px of an image of (H, W) = ``size``.
        size, new_size: (H, W).

    Returns:
        (1, 2, H, W) float32 px of the new size.
    """
    (height, width), (new_height, new_width) = size, new_size
    across, down = width / new_width, height / new_height
    x = (torch.arange(new_width, device=matrix.device) + 0.5) * across - 0.5
    y = (torch.arange(new_height, device=matrix.device)[:, None] + 0.5) * down - 0.5
    moved = matrix[:, :1, None] * x + matrix[:, 1:2, None] * y + matrix[:, 2:, None]
    return torch.stack([(moved[0] - x) / across, (moved[1] - y) / down])[None]


def warp(image: Tensor, flow: Tensor, mode: str = "bicubic", wrap: bool = False) -> Tensor:
    """Backward warping: the value of each pixel at its displaced position.

    Args:
        image: (1, C, H, W).
        flow: (1, 2, H, W) in px, as in ``Motion``.
        mode: ``bicubic``; ``bilinear`` does not overshoot.
        wrap: outside of the image comes its opposite side; else the border repeats.

    Returns:
        (1, C, H, W).
    """
    x, y = sample_positions(flow)
    if wrap:
        x, y = x.remainder(image.shape[-1]), y.remainder(image.shape[-2])
    return _sample(image, x, y, mode)


def warp_sharp(image: Tensor, flow: Tensor) -> Tensor:
    """Backward warping for images that are warped again in every frame.

    The blur of bicubic interpolation would accumulate. The image is first upsampled by two with a
    Lanczos filter, then sampled bicubically: its finest detail is then twice as coarse as the
    sampling grid.

    Args:
        image: (1, C, H, W) in [0, 1].
        flow: (1, 2, H, W) in px.

    Returns:
        (1, C, H, W), clipped to [0, 1].
    """
    x, y = sample_positions(flow)
    # Pixel p of the image is pixel 2 p of the upsampled image.
    return _sample(_lanczos_upsample2(image), 2 * x, 2 * y, "bicubic").clamp(0, 1)


def sample_positions(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Displaced position of each pixel: column and row, (1, 1, H, W) each, in px."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=torch.float32)
    return columns + flow[:, :1], rows + flow[:, 1:]


def _sample(image: Tensor, x: Tensor, y: Tensor, mode: str) -> Tensor:
    """Values at columns ``x`` and rows ``y``, (1, 1, H, W) each, in px of the image."""
    height, width = image.shape[-2:]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)[:, 0]
    return F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=False)


def _lanczos_taps() -> list[float]:
    """Weights of the 2 * radius neighbours of a position halfway between two pixels; sum 1."""
    offsets = [math.pi * (n + 0.5) for n in range(-LANCZOS_RADIUS_PX, LANCZOS_RADIUS_PX)]
    windowed = [
        math.sin(x) / x * math.sin(x / LANCZOS_RADIUS_PX) / (x / LANCZOS_RADIUS_PX) for x in offsets
    ]
    return [tap / sum(windowed) for tap in windowed]


LANCZOS_TAPS = _lanczos_taps()


def _lanczos_upsample2(image: Tensor) -> Tensor:
    """(1, C, H, W) -> (1, C, 2 H, 2 W): values halfway between pixels are added. Borders repeat."""
    before, after = LANCZOS_RADIUS_PX - 1, LANCZOS_RADIUS_PX
    columns = _halfway(F.pad(image, [before, after, 0, 0], "replicate"), 3)
    wide = torch.stack([image, columns], 4).flatten(3)
    rows = _halfway(F.pad(wide, [0, 0, before, after], "replicate"), 2)
    return torch.stack([wide, rows], 3).flatten(2, 3)


def _halfway(padded: Tensor, side: int) -> Tensor:
    """Values halfway between neighbours along a dimension.

    Sums of slices are faster than a convolution of one channel.
    """
    length = padded.shape[side] - 2 * LANCZOS_RADIUS_PX + 1
    values = torch.zeros_like(padded.narrow(side, 0, length))
    for number, tap in enumerate(LANCZOS_TAPS):
        values.add_(padded.narrow(side, number, length), alpha=tap)
    return values
