"""Warm start from the previous stylised frame and its Adam state, both warped by optical flow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..flow.motion import Motion
from ..flow.warp import affine_flow, resize_flow, warp
from ..ops.pytree import register_dataclass, tensors_in, with_tensors
from ..ops.tensors import box_max, box_mean, resize, select
from ..optim.adam import FAST_LR_DECAY, OptimResult, StepSize
from .background import Background, shows_background
from .denoise import denoise
from .gradual_change import gradually_changed, next_reference
from .iterations import Iteration, loss_decrease
from .layer import Layer, masked_adam
from .state import StylizerState

FULL_BUDGET_DISOCCLUSION = 0.05
"""Above this disoccluded fraction, a frame takes the maximum number of steps."""

FULL_BUDGET_CHANGE = 0.02
"""Above this root mean square change of the content beyond its motion, with pixels in [0, 1], a
frame takes the maximum number of steps."""

FULL_BUDGET_DECREASE = 0.01
"""Above this relative decrease of the loss per step in the previous frame, a frame takes all its
steps."""

COLOR_RIDGE = 1e-3
"""Regularisation towards the source's colours of the colour map of disoccluded regions, relative to
a mean square of 1."""

JOIN_PX = 5
"""Window over which the difference at the boundary of a proposal is smoothed, in px, one more than
a power of two."""

JOIN_FADE = 0.05
"""Share of pixels that are kept, in that window, below which the difference fades."""

FEATHER_PX = 3
"""Window, odd, one more than a power of two, of the blend at the boundary of a proposal. The part
of it within the pixels that are kept flickers with the mask."""

RESTYLED = 0.05
"""Value of ``Motion.restyled`` from which on a pixel is new: soft edges of a mask hold both styles.
"""

STROKE_PX = 17
"""Window whose mean is no stroke, in px, one more than a power of two."""

EDGE_PX = 5
"""Window in which edges of the content are measured, in px, one more than a power of two."""

MIN_POWER = 1e-6
"""Floor of the mean square of strokes, with pixels in [0, 1]: a flat frame has none."""

MEAN_CORRECTION = 0.7
"""``StepSize.mean_correction`` of a warm-started frame: disoccluded regions have few frames to get
strokes. With 1 they get grain in styles that have none."""


@register_dataclass
@dataclass(frozen=True, eq=False)
class WarmStart:
    """The start of a frame.

    Args:
        frame: the previous frame, warped. Its image is what to start from: in disoccluded regions
            the background plate, the proposal, or the content in stylised colours with strokes of
            the previous frame. Its content is the present frame, denoised. The Adam state is
            zero where neither frame nor plate has one.
        background: for ``StylizerState``.
        valid: (1, 1, H, W), 1 where the image is an earlier stylised frame, 0 elsewhere.
        change: (2,), the share of the frame that is not valid, and the root mean square change of
            the content beyond motion.
    """

    frame: Layer
    background: Background
    valid: Tensor
    change: Tensor


def warm_start(
    state: StylizerState,
    frame: Tensor,
    motion: Motion,
    proposal: Tensor | None = None,
) -> WarmStart:
    """Warp the state of the previous frame to the present one.

    Args:
        state: after the previous frame.
        frame: (1, 3, H, W), the present frame.
        motion: from the present frame to the previous one.
        proposal: (1, 3, H, W), a stylised version of the frame from which disoccluded regions
            start; None: see ``WarmStart``.
    """
    state = state.resized(frame)
    valid = _valid_mask(motion, frame)
    layer, background = state.frame, state.background
    if motion.flow is not None:
        flow = _resized_flow(motion.flow, frame)
        background, camera = background.updated(layer), torch.zeros_like(flow)
        if motion.restyled is not None:
            background = background.forgotten()
        layer = layer.warped(flow, valid)
        if motion.camera is not None:
            camera = affine_flow(motion.camera.to(flow), motion.flow.shape[-2:], flow.shape[-2:])
            background = background.warped(camera)
        shown = torch.where(valid, shows_background(flow, camera), background.known == 0)
        background = replace(background, shown=shown.to(frame))
        uncovered = ~valid & background.matches(frame)
        layer = background.layer.where(uncovered, layer)
        valid = valid | uncovered
    kept = valid.to(frame)
    content = select(kept, layer.content, frame)
    denoised = select(kept, denoise(content, frame), frame)
    reference = select(kept, layer.reference, frame.mean(1, keepdim=True))
    changed = gradually_changed(reference, denoised, frame - content)
    valid = valid & ~changed.mask
    kept = valid.to(frame)
    content, denoised = (select(kept, each, frame) for each in (content, denoised))
    reference = next_reference(reference, denoised, kept)
    change = torch.stack([1 - kept.mean(), (denoised - content).square().mean().sqrt()])
    if proposal is None:
        colors = _fit_colors(layer.image, content, valid)
        strokes = _strokes(state.frame, colors, motion)
        proposal = (_map_colors(colors, denoised) + strokes).clamp(0, 1)
        image = select(kept, layer.image, proposal)
    else:
        proposal = proposal.to(frame)
        image = _joined(layer.image, proposal, kept)
    image = torch.lerp(image, proposal, changed.weight)
    adam = masked_adam(layer.adam, kept)
    layer = Layer(image, denoised, adam, layer.residual_flow, reference)
    return WarmStart(layer, background, kept, change)


def _joined(image: Tensor, proposal: Tensor, valid: Tensor) -> Tensor:
    """Join the warped image and the proposal without a visible seam.

    Both are stylisations of the present frame, so their difference at the boundary is one of
    strokes and tone. It is smoothed and added to the proposal, and fades with the distance from the
    boundary (after Poisson image editing, Perez et al. 2003, but in closed form). A rim of
    ``FEATHER_PX`` is a blend of both.

    Args:
        image, proposal: (1, 3, H, W).
        valid: (1, 1, H, W), 1 where the image is kept.

    Returns:
        (1, 3, H, W); within [0, 1] where both are.
    """
    near = box_mean(box_mean(valid, JOIN_PX), JOIN_PX)
    difference = box_mean(box_mean((image - proposal) * valid, JOIN_PX), JOIN_PX)
    shifted = (proposal + difference / (near + JOIN_FADE)).clamp(0, 1)
    inside = -box_max(-valid, FEATHER_PX)
    return torch.lerp(shifted, image, box_mean(inside, FEATHER_PX))


def _fit_colors(stylized: Tensor, content: Tensor, valid: Tensor) -> Tensor:
    """The least-squares affine map from the colours of the content to the stylised ones.

    In the colours of the source, disoccluded regions would stand out for some frames.

    Args:
        stylized, content: (1, 3, H, W).
        valid: (1, 1, H, W) bool, where the map is fitted.

    Returns:
        (4, 3): a row for each channel of the content, and a constant.
    """
    count = valid.sum() + 1
    inputs = torch.cat([content, torch.ones_like(content[:, :1])], 1) * valid
    colors, targets = inputs.flatten(2)[0], (stylized * valid).flatten(2)[0]
    # The ridge keeps the map of one flat colour, or of an empty mask, near to the identity.
    identity = torch.eye(4, 3, device=content.device, dtype=content.dtype)
    ridge = COLOR_RIDGE * torch.eye(4, device=content.device, dtype=content.dtype)
    products = colors @ colors.T / count + ridge
    # solve_ex, unlike solve, does not wait for a GPU.
    mapping: Tensor = torch.linalg.solve_ex(
        products, colors @ targets.T / count + COLOR_RIDGE * identity
    )[0]
    return mapping


def _map_colors(mapping: Tensor, frame: Tensor) -> Tensor:
    mapped: Tensor = torch.einsum("oc,bohw->bchw", mapping[:3], frame) + mapping[3].view(1, 3, 1, 1)
    return mapped.clamp(0, 1)


def _strokes(layer: Layer, colors: Tensor, motion: Motion) -> Tensor:
    """Strokes of the previous stylised frame, warped also where the flow is not reliable.

    They are its fine detail without that of the content. They move with the scene, so that fast
    objects, which each frame disoccludes, keep strokes. Strips that enter at a border get those of
    the opposite side, which join from frame to frame. At edges of the content that are stronger
    than strokes they fade: what the colour map leaves there would be a second outline, beside that
    of the object.

    Args:
        layer: of the previous frame.
        colors: see ``_fit_colors``.
        motion: to the previous frame.

    Returns:
        (1, 3, H, W), around 0.
    """
    content = _map_colors(colors, layer.content)
    detail = layer.image - content
    detail = detail - box_mean(box_mean(detail, STROKE_PX), STROKE_PX)
    edges = (content - box_mean(content, EDGE_PX)).square().mean(1, keepdim=True)
    power = detail.square().mean().clamp_min(MIN_POWER)
    detail = detail * (power / (power + box_mean(edges, EDGE_PX)))
    if motion.flow is None:
        return detail
    return warp(detail, _resized_flow(motion.flow, detail), "bilinear", wrap=True)


def _valid_mask(motion: Motion, frame: Tensor) -> Tensor:
    """(1, 1, H, W) bool, True where the previous frame shows what this frame shows, in the same
    style."""
    valid = torch.ones_like(frame[:, :1], dtype=torch.bool)
    if motion.reliable is not None:
        mask = motion.reliable.to(frame)
        valid = F.interpolate(mask, frame.shape[-2:], mode="bilinear", align_corners=False) > 0.5
    if motion.restyled is not None:
        size = frame.shape[-1], frame.shape[-2]
        valid = valid & (resize(motion.restyled.to(frame), size) < RESTYLED)
    return valid


def _resized_flow(flow: Tensor, frame: Tensor) -> Tensor:
    return resize_flow(flow.to(frame), (frame.shape[-1], frame.shape[-2]))


def state_after(
    before: StylizerState,
    start: WarmStart,
    result: OptimResult,
    iterations: Sequence[Iteration],
    full_lr_steps: int,
) -> StylizerState:
    """The state after a warm-started frame.

    Args:
        before: the state after the previous frame.
        start: where the frame started.
        result: of its last step.
        iterations: its losses; none for a frame that was only warped.
        full_lr_steps: steps at the full learning rate that were left before it.
    """
    loss, decrease = before.loss, before.loss_decrease
    if iterations:
        loss, decrease = iterations[-1].total, loss_decrease(before.loss, iterations)
    layer = start.frame
    made = layer.content, layer.residual_flow, layer.reference, start.background
    if result.image.is_cuda:  # the next replay of a recorded setup overwrites the tensors
        made = with_tensors(made, [tensor.clone() for tensor in tensors_in(made)])
    content, residual_flow, reference, background = made
    return StylizerState(
        Layer(result.image, content, result.state, residual_flow, reference),
        background,
        loss=loss,
        loss_decrease=decrease,
        full_lr_steps=max(0, full_lr_steps - len(iterations)),
        restyle_steps=max(0, before.restyle_steps - len(iterations)),
        drawing=before.drawing,
    )


def step_budget(start: WarmStart, loss_decrease: float, steps: int) -> int:
    """The number of steps of a frame, from 1 to ``steps``.

    All steps are taken where much is disoccluded or changed, or the loss still falls. The number
    depends on tensors alone, not on time: a clip gives the same frames on any machine.
    """
    disoccluded, changed = start.change.tolist()
    need: float = max(
        disoccluded / FULL_BUDGET_DISOCCLUSION,
        changed / FULL_BUDGET_CHANGE,
        loss_decrease / FULL_BUDGET_DECREASE,
    )
    return 1 + round((steps - 1) * min(1.0, need))


def warm_step_size(lr: float, full_lr_steps: int, restyle_steps: int) -> StepSize:
    """The step size of a warm-started frame.

    Args:
        lr: learning rate.
        full_lr_steps: steps still to be taken at the full learning rate; 0: it decays fast, with
            Nesterov momentum.
        restyle_steps: steps still to be taken towards another style, in which coarse scales and
            chromatic channels change as much as fine ones and grey.
    """
    step_size = StepSize(lr) if full_lr_steps else StepSize(lr, FAST_LR_DECAY, nesterov=1)
    step_size = step_size._replace(mean_correction=MEAN_CORRECTION)
    return step_size._replace(coarse_gain=1, chroma_gain=1) if restyle_steps else step_size
