"""Boil: strokes that change from drawing to drawing, as in animation by hand (after "line boil").

The strokes of the previous stylised frame are displaced by a smooth random field, a new one for
each drawing, and optimised from there. Near to edges of the content there is no displacement, so
that things keep their outlines. Fields do not add up: each is subtracted again.
"""

import math
from dataclasses import replace
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from ..flow.warp import warp_sharp
from ..io.frame import Frame
from ..ops.tensors import box_max, box_mean, ramp
from ..settings import Settings
from .state import StylizerState

MAX_DISPLACEMENT = 0.010
"""Standard deviation of the displacement at full strength, as a fraction of the long side. Twice as
much smears strokes more than a few steps can repair."""

GRAIN = 0.1
"""Distance of independent displacements, as a fraction of the long side."""

DRAWINGS_PER_SECOND = 12
"""Drawings per second where ``Settings.boil`` is 0: animation on twos."""

EDGE_CHANGE = 0.02, 0.08
"""Change of brightness from pixel to pixel, in [0, 1], at which the displacement falls, and at
which there is none."""

EDGE_PX = 9
"""Window, one more than a power of two, over which edges are dilated and smoothed."""

SMOOTHING_PX = 9
"""Window, one more than a power of two, over which the displacement falls towards edges."""

SEED_STEP = 1_000_003
"""Difference of the seeds of one drawing for two seeds: more than a clip has drawings."""

BORDER = 0.06
"""Width of the border of the image in which the displacement falls to 0, as a fraction of the long
side."""


def boiled(state: StylizerState, frame: Frame, settings: Settings) -> StylizerState:
    """The state that the frame starts from: with displaced strokes where a drawing begins.

    Args:
        state: after the previous frame.
        frame: its ``clip_time`` says which drawing it belongs to, and the drawing says how strokes
            are displaced.
        settings: ``boil``, ``temporal`` and ``seed``.
    """
    strength, number = settings.boil_strength, drawing_number(frame, settings)
    if not strength or number == state.drawing:
        return state
    layer = state.frame
    field = _field(number, settings.seed, layer.image) - _field(
        state.drawing, settings.seed, layer.image
    )
    image = warp_sharp(layer.image, strength * _mobility(layer.content) * field)
    # All steps are taken for a new drawing.
    return replace(state, frame=replace(layer, image=image), drawing=number, loss_decrease=1.0)


def drawing_number(frame: Frame, settings: Settings) -> int:
    """The number of the drawing that a frame belongs to, from 0."""
    return math.floor(frame.clip_time * Fraction(settings.boil or DRAWINGS_PER_SECOND))


def _field(number: int, seed: int, image: Tensor) -> Tensor:
    """The displacement of a drawing, (1, 2, H, W) px."""
    height, width = image.shape[-2:]
    side = max(height, width)
    # On the CPU: the same field for every device.
    generator = torch.Generator().manual_seed((SEED_STEP * seed + number) % 2**63)
    cells = max(2, round(height / (GRAIN * side))), max(2, round(width / (GRAIN * side)))
    coarse = torch.randn(1, 2, *cells, generator=generator).to(image)
    field = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return MAX_DISPLACEMENT * side * field


def _mobility(content: Tensor) -> Tensor:
    """How far strokes may be displaced, (1, 1, H, W) from 0 to 1: less near to edges and borders.

    Args:
        content: (1, 3, H, W).
    """
    gray = content.mean(1, keepdim=True)
    across = F.pad((gray[..., 1:] - gray[..., :-1]).abs(), [0, 1])
    down = F.pad((gray[..., 1:, :] - gray[..., :-1, :]).abs(), [0, 0, 0, 1])
    edges = box_mean(box_max(box_mean(across + down, 3), EDGE_PX), EDGE_PX)
    free = box_mean(1 - ramp(edges, EDGE_CHANGE), SMOOTHING_PX)
    height, width = content.shape[-2:]
    rows, columns = (
        torch.minimum(torch.arange(side), torch.arange(side).flip(0)) for side in (height, width)
    )
    distance = torch.minimum(rows[:, None], columns).to(content)
    return free * (distance / (BORDER * max(height, width))).clamp(0, 1)
