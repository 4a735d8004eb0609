"""Warping of images and flow fields by optical flow."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.tensors import constant


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Rescale (1, 2, H, W) to (width, height), displacements included."""
    width, height = size
    if (flow.shape[3], flow.shape[2]) == size:
        return flow
    scale = constant((width / flow.shape[3], height / flow.shape[2]), flow.device)[
        None, :, None, None
    ]
    return F.interpolate(flow, (height, width), mode="bilinear", align_corners=False) * scale


def warp(picture: Tensor, flow: Tensor, mode: str = "bicubic") -> Tensor:
    """Fetch every pixel from where the flow says it was.

    Args:
        picture: (1, C, H, W).
        flow: (1, 2, H, W) in px, as in ``Motion``.
        mode: "bicubic", or "bilinear" where overshoot would harm. Borders repeat.

    Returns:
        (1, C, H, W).
    """
    return _sample(picture, *sample_positions(flow), mode)


def warp_sharp(picture: Tensor, flow: Tensor) -> Tensor:
    """``warp`` for pictures that are moved again in every frame: what bicubic sampling blurs each time adds up.

    The picture is doubled by Lanczos filters first and then sampled bicubically, where its finest strokes are half as fine.

    Args:
        picture: (1, C, H, W) in [0, 1].
        flow: (1, 2, H, W) in px.

    Returns:
        (1, C, H, W) in [0, 1].
    """
    x, y = sample_positions(flow)
    return _sample(_doubled(picture), 2 * x, 2 * y, "bicubic").clamp(
        0, 1
    )  # pixel p of the picture is pixel 2 p of its double


LANCZOS = 5
"""Half width in px of the filter that finds the values between pixels (Lanczos: a sinc windowed by its own main lobe)."""


_PLACES = [place + 0.5 for place in range(-LANCZOS, LANCZOS)]


_SINCS = [
    math.sin(math.pi * x)
    / (math.pi * x)
    * math.sin(math.pi * x / LANCZOS)
    / (math.pi * x / LANCZOS)
    for x in _PLACES
]


LANCZOS_TAPS = [tap / sum(_SINCS) for tap in _SINCS]


def _doubled(picture: Tensor) -> Tensor:
    """(1, C, H, W) -> (1, C, 2 H, 2 W) with the values halfway between pixels put in, borders repeated."""
    before, after = LANCZOS - 1, LANCZOS
    wide = torch.stack(
        [picture, _between(F.pad(picture, [before, after, 0, 0], "replicate"), 3)], 4
    ).flatten(3)
    return torch.stack(
        [wide, _between(F.pad(wide, [0, 0, before, after], "replicate"), 2)], 3
    ).flatten(2, 3)


def _between(padded: Tensor, side: int) -> Tensor:
    """The values halfway between neighbours along a side. Sums of moved copies are quicker than a convolution of one channel."""
    length = padded.shape[side] - 2 * LANCZOS + 1
    between = torch.zeros_like(padded.narrow(side, 0, length))
    for number, tap in enumerate(LANCZOS_TAPS):
        between.add_(padded.narrow(side, number, length), alpha=tap)
    return between


def _sample(picture: Tensor, x: Tensor, y: Tensor, mode: str) -> Tensor:
    """The picture's values at columns ``x`` and rows ``y``, (1, 1, H, W) each, in its own px; borders repeat."""
    height, width = picture.shape[-2:]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)[:, 0]
    return F.grid_sample(picture, grid, mode=mode, padding_mode="border", align_corners=False)


def sample_positions(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row each pixel came from, (1, 1, H, W) each, in px."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=torch.float32)
    return columns + flow[:, :1], rows + flow[:, 1:]
