"""How steady, faithful and prompt a painted clip is: plain functions of float pictures. README defines the words."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..flow.motion import Motion
from ..flow.warp import resize_flow, warp
from ..losses.objective import Objective
from ..metrics import correlation, squared_gradient
from . import textbook

EDGE_PX = 5
"""Edges are compared within this distance: a brush stroke does not follow an outline to the pixel."""


def flicker(pictures: Sequence[Tensor], motions: Sequence[Motion], first: int = 1) -> float:
    """Warping error (Lai et al. 2018): mean squared difference from the previous picture moved into place.

    Args:
        pictures: (1, 3, H, W) in [0, 1].
        motions: of each picture from the one before; cuts are passed over, and so is what is not reliable.
        first: the first picture compared with the one before it.
    """
    errors = [
        _flicker_map(pictures[i], pictures[i - 1], motions[i])
        for i in range(first, len(pictures))
        if not motions[i].cut
    ]
    return (
        torch.stack([(error * known).sum() / known.sum().clamp_min(1) for error, known in errors])
        .mean()
        .item()
    )


def _flicker_map(picture: Tensor, before: Tensor, motion: Motion) -> tuple[Tensor, Tensor]:
    """Squared difference per pixel and where it counts, (1, 1, H, W) each."""
    size = picture.shape[-1], picture.shape[-2]
    moved = before if motion.flow is None else warp(before, resize_flow(motion.flow, size))
    known = torch.ones_like(picture[:, :1])
    if motion.reliable is not None:
        known = (F.interpolate(motion.reliable, picture.shape[-2:]) > 0.5).float()
    return (picture - moved).square().mean(1, keepdim=True), known


def flicker_map(picture: Tensor, before: Tensor, motion: Motion) -> Tensor:
    """(H, W): the squared difference per pixel that ``flicker`` is the mean of, 0 where it does not count."""
    error, known = _flicker_map(picture, before, motion)
    return (error * known)[0, 0]


def without_small_motion(motion: Motion, still_px: float = 0.5) -> Motion:
    """The motion with everything shorter than ``still_px`` taken as still: for estimated flow, whose noise is no motion."""
    if motion.flow is None:
        return motion
    moves = motion.flow.square().sum(1, keepdim=True) > still_px**2
    return Motion(motion.flow * moves, motion.reliable, motion.cut)


def edge_alignment(painting: Tensor, content: Tensor, moving: Tensor) -> float:
    """How well a painting's edges lie on those of its frame: their correlation. Relative to a fresh painting's it is the lag.

    Args:
        painting, content: (1, 3, H, W).
        moving: (H, W) bool, where something moves; if nowhere, the whole picture counts.
    """
    if not moving[1:, 1:].any():
        moving = torch.ones_like(moving)
    return correlation(
        _edges(painting)[0, 0][moving[1:, 1:]], _edges(content)[0, 0][moving[1:, 1:]]
    )


def _edges(picture: Tensor) -> Tensor:
    return F.avg_pool2d(squared_gradient(picture).sqrt(), EDGE_PX, 1, EDGE_PX // 2)


def contrast(picture: Tensor) -> float:
    """Standard deviation of (1, 3, H, W)."""
    return picture.std().item()


def temporal_noise(pictures: Sequence[Tensor], first: int) -> float:
    """Mean squared difference of successive pictures from ``first`` on: what boils, where nothing moves."""
    return (
        torch.stack(
            [
                (b - a).square().mean()
                for a, b in zip(pictures[first:], pictures[first + 1 :], strict=False)
            ]
        )
        .mean()
        .item()
    )


def drift(pictures: Sequence[Tensor]) -> float:
    """Largest change of mean luminance (Rec. 709) against the first picture, relative to it."""
    weights = pictures[0].new_tensor([0.2126, 0.7152, 0.0722])[None, :, None, None]
    means = torch.stack([(picture * weights).sum(1).mean() for picture in pictures])
    return ((means / means[0] - 1).abs().max()).item()


def settling(objective: Objective) -> textbook.Settling:
    """Our objective for the textbook's optimisers."""

    def with_fixed_matches(picture: Tensor) -> textbook.Loss:
        ours = objective.with_fixed_matches(picture)
        return lambda picture: ours(picture).total

    return with_fixed_matches


def reference_objective(objective: Objective, content: Tensor) -> tuple[float, float]:
    """L*: what 300 iterations of L-BFGS with a line search (torch's, strong Wolfe) reach from the content.

    Returns:
        L* of the picture as it is, and of what can be shown of it: L-BFGS knows no bounds, and leaves [0, 1].
    """
    picture = textbook.lbfgs(settling(objective), content)
    with torch.no_grad():
        return objective(picture).total.item(), objective(picture.clamp(0, 1)).total.item()
