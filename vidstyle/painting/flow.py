"""Motion, the methods that find flow, and moving pictures along it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..media.frame import Image
from .tensors import constant

FLOW_PX = 512
"""Flow is computed on frames no longer than this: enough for half a pixel of any painting, and the cost is bounded."""

LEAST_PX = 16
"""DIS refuses sides below 12 px; narrower frames are stretched."""

RAFT_LEAST_PX = 128
"""RAFT's correlation pyramid needs at least this on either side (Teed & Deng 2020: four levels at an eighth of the size)."""

FlowMethod = Callable[[Image, Image], NDArray[np.float32]]
"""``method(frame, previous)`` of (H, W, 3) uint8 each -> (H, W, 2) float32: where each pixel of ``frame`` was, as (dx, dy) px.

It is called from several threads at once."""


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


def dis_flow(frame: Image, earlier: Image) -> NDArray[np.float32]:
    """Dense Inverse Search (Kroeger et al. 2016) through OpenCV. A ``FlowMethod``."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(0 if max(frame.shape) <= FLOW_PX // 2 else 1)
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (frame, earlier)]
    return np.asarray(method.calc(*greys, None), np.float32)  # type: ignore[call-overload]


class Raft:
    """RAFT (Teed & Deng 2020), torchvision's ``raft_large``. A ``FlowMethod``.

    Args:
        weights: torchvision's state dict.
        device: where it runs.

    Raises:
        RuntimeError: weights of something else.
    """

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device) -> None:
        from torchvision.models.optical_flow import raft_large

        self._network = raft_large()
        self._network.load_state_dict(dict(weights))
        self._network.requires_grad_(False).eval().to(device)
        self._device, self._alone = device, Lock()

    def __call__(self, frame: Image, earlier: Image) -> NDArray[np.float32]:
        """Flow of (H, W, 3) uint8 pictures of one size -> (H, W, 2) float32 px."""
        height, width = frame.shape[:2]
        below, right = (max(side, RAFT_LEAST_PX) + 7 & ~7 for side in (height, width))  # multiples of eight
        pair = [
            F.pad(torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1, pads, "replicate")
            for image, pads in ((image, (0, right - width, 0, below - height)) for image in (frame, earlier))
        ]
        with self._alone, torch.no_grad():  # while it runs it keeps correlations in itself
            flow = self._network(*pair)[-1][0, :, :height, :width]
        found: NDArray[np.float32] = flow.permute(1, 2, 0).cpu().numpy()
        return found


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Rescale (1, 2, H, W) to (width, height), displacements included."""
    width, height = size
    if (flow.shape[3], flow.shape[2]) == size:
        return flow
    scale = constant((width / flow.shape[3], height / flow.shape[2]), flow.device)[None, :, None, None]
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
    return _sample(picture, *places(flow), mode)


def warp_sharply(picture: Tensor, flow: Tensor) -> Tensor:
    """``warp`` for pictures that are moved again in every frame: what bicubic sampling blurs each time adds up.

    The picture is doubled by Lanczos filters first and then sampled bicubically, where its finest strokes are half as fine.

    Args:
        picture: (1, C, H, W) in [0, 1].
        flow: (1, 2, H, W) in px.

    Returns:
        (1, C, H, W) in [0, 1].
    """
    x, y = places(flow)
    return _sample(_doubled(picture), 2 * x, 2 * y, "bicubic").clamp(0, 1)  # pixel p of the picture is pixel 2 p of its double


LANCZOS = 5
"""Half width in px of the filter that finds the values between pixels (Lanczos: a sinc windowed by its own main lobe)."""

_PLACES = [place + 0.5 for place in range(-LANCZOS, LANCZOS)]
_SINCS = [math.sin(math.pi * x) / (math.pi * x) * math.sin(math.pi * x / LANCZOS) / (math.pi * x / LANCZOS) for x in _PLACES]
LANCZOS_TAPS = [tap / sum(_SINCS) for tap in _SINCS]


def _doubled(picture: Tensor) -> Tensor:
    """(1, C, H, W) -> (1, C, 2 H, 2 W) with the values halfway between pixels put in, borders repeated."""
    before, after = LANCZOS - 1, LANCZOS
    wide = torch.stack([picture, _between(F.pad(picture, [before, after, 0, 0], "replicate"), 3)], 4).flatten(3)
    return torch.stack([wide, _between(F.pad(wide, [0, 0, before, after], "replicate"), 2)], 3).flatten(2, 3)


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


def places(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row each pixel came from, (1, 1, H, W) each, in px."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=torch.float32)
    return columns + flow[:, :1], rows + flow[:, 1:]
