"""Metrics of temporal consistency and fidelity of a stylised clip, as functions of float images.

Notation: ``x_t`` is stylised frame t, ``c_t`` its content, ``W`` the backward warp by optical flow,
``m_t`` the mask of pixels whose flow is valid (no occlusion), ``L_t`` the objective of frame t
without its temporal term, ``s_t`` frame t stylised from a cold start.

==================  ============================================================================
flicker             mean over t of ``sum(m_t (x_t - W(x_{t-1}))^2) / sum(m_t)``: the warping error
                    of Lai et al. 2018 (Learning Blind Video Temporal Consistency, ECCV), with the
                    occlusion mask of Ruder et al. 2016 (Artistic Style Transfer for Videos, GCPR)
objective gap       ``100 (L_t(x_t) / L* - 1)`` in per cent; ``L*`` is the loss after 300 iterations
                    of L-BFGS (Liu and Nocedal 1989), the optimiser of Gatys et al. 2016
lag                 mean of ``corr(e(x_t), e(c_t))`` divided by mean of ``corr(e(s_t), e(c_t))``,
                    each over the moving pixels; ``e`` is the edge strength (gradient magnitude,
                    box-filtered), ``corr`` Pearson's correlation. 1: no lag. Own definition
gradient energy     mean squared gradient of ``x_t`` divided by that of ``s_t``: less than 1 is
                    blur. Own definition
contrast            standard deviation of ``x_t`` divided by that of ``s_t``
temporal noise      mean of ``(x_t - x_{t-1})^2`` in a clip without motion
drift               ``max |Y(x_t) / Y(x_0) - 1|`` in a still clip; ``Y`` is the mean Rec. 709 luma
==================  ============================================================================
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..flow.motion import Motion
from ..flow.warp import resize_flow, warp
from ..losses.objective import Objective
from ..metrics import correlation, squared_gradient
from . import textbook

EDGE_BOX_PX = 5
"""Side of the box filter on edge strengths, px: strokes need not follow an outline exactly."""


def flicker(images: Sequence[Tensor], motions: Sequence[Motion], first: int = 1) -> float:
    """Warping error (Lai et al. 2018): mean squared difference from the warped previous image.

    Args:
        images: (1, 3, H, W) float in [0, 1] each.
        motions: of each image from the previous one. Cuts and invalid pixels are left out.
        first: index of the first image to compare with its predecessor.

    Returns:
        In squared units of the pixel range.
    """
    errors = [
        _squared_error(images[i], images[i - 1], motions[i])
        for i in range(first, len(images))
        if not motions[i].cut
    ]
    means = [(error * valid).sum() / valid.sum().clamp_min(1) for error, valid in errors]
    return torch.stack(means).mean().item()


def _squared_error(image: Tensor, previous: Tensor, motion: Motion) -> tuple[Tensor, Tensor]:
    """Squared difference from the warped previous image and the mask, (1, 1, H, W) each."""
    size = image.shape[-1], image.shape[-2]
    warped = previous if motion.flow is None else warp(previous, resize_flow(motion.flow, size))
    valid = torch.ones_like(image[:, :1])
    if motion.reliable is not None:
        valid = (F.interpolate(motion.reliable, image.shape[-2:]) > 0.5).float()
    return (image - warped).square().mean(1, keepdim=True), valid


def flicker_map(image: Tensor, previous: Tensor, motion: Motion) -> Tensor:
    """(H, W) float: squared difference per pixel, of which ``flicker`` is the mean; 0 if masked."""
    error, valid = _squared_error(image, previous, motion)
    return (error * valid)[0, 0]


def without_small_motion(motion: Motion, still_px: float = 0.5) -> Motion:
    """The motion with flow vectors shorter than ``still_px`` set to 0: noise of estimated flow."""
    if motion.flow is None:
        return motion
    moves = motion.flow.square().sum(1, keepdim=True) > still_px**2
    return replace(motion, flow=motion.flow * moves)


def edge_alignment(
    image: Tensor, content: Tensor, moving: Tensor, box_px: int = EDGE_BOX_PX
) -> float:
    """Pearson's correlation of an image's edge strengths with those of its content.

    Args:
        image, content: (1, 3, H, W) float in [0, 1].
        moving: (H, W) bool, the pixels to compare; if no pixel is set, all pixels are compared.
        box_px: side of the box filter on edge strengths, odd.
    """
    if not moving[1:, 1:].any():
        moving = torch.ones_like(moving)
    inner = moving[1:, 1:]
    strengths = (_edge_strength(each, box_px)[0, 0][inner] for each in (image, content))
    return correlation(*strengths)


def _edge_strength(image: Tensor, box_px: int) -> Tensor:
    """Gradient magnitude, box-filtered: (1, 1, H - 1, W - 1)."""
    return F.avg_pool2d(squared_gradient(image).sqrt(), box_px, 1, box_px // 2)


def contrast(image: Tensor) -> float:
    """Standard deviation of all values of an image, (1, 3, H, W)."""
    return image.std().item()


def temporal_noise(images: Sequence[Tensor], first: int) -> float:
    """Mean squared difference of successive images from index ``first`` on, without any warp."""
    pairs = zip(images[first:], images[first + 1 :], strict=False)
    return torch.stack([(b - a).square().mean() for a, b in pairs]).mean().item()


def drift(images: Sequence[Tensor]) -> float:
    """Largest relative deviation of mean luma (Rec. 709) from that of the first image."""
    weights = images[0].new_tensor([0.2126, 0.7152, 0.0722])[None, :, None, None]
    means = torch.stack([(image * weights).sum(1).mean() for image in images])
    return ((means / means[0] - 1).abs().max()).item()


def textbook_losses(objective: Objective) -> textbook.LossFactory:
    """An objective in the form that the textbook's optimisers take."""

    def with_fixed_matches(image: Tensor) -> textbook.Loss:
        fixed = objective.with_fixed_targets(image)
        return lambda image: fixed(image)["total"]

    return with_fixed_matches


def reference_objective(objective: Objective, content: Tensor) -> tuple[float, float]:
    """L*: the objective after 300 iterations of L-BFGS from the content (``textbook.lbfgs``).

    Args:
        objective: of one frame, without temporal term.
        content: (1, 3, H, W) float in [0, 1].

    Returns:
        L* of the result, and the objective of the result clamped to [0, 1]: L-BFGS has no bounds,
        so that a part of its gain lies in values that no display can show.
    """
    image = textbook.lbfgs(textbook_losses(objective), content)
    with torch.no_grad():
        return objective(image)["total"].item(), objective(image.clamp(0, 1))["total"].item()
