"""Warm start from the previous stylised frame and its Adam state, both warped by optical flow."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..flow.motion import Motion
from ..flow.warp import resize_flow, warp, warp_sharp
from ..ops.pytree import register_dataclass
from ..ops.tensors import reflect_crop
from ..optim.adam import FAST_LR_DECAY, AdamState, OptimResult, StepSize
from ..settings import Settings
from .denoise import denoise
from .iterations import Iteration, loss_decrease
from .state import StylizerState

MIN_MOTION_PX = 0.2
"""Pixels that moved by less since they were last warped are not resampled: so short a flow can be
noise."""

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

STROKE_GAIN = 0.5
"""Gain of the style's strokes in disoccluded regions. A frame's few steps would leave them flat,
and fast motion disoccludes whole regions in every frame; at a gain of 1 they flicker."""

MEDIAN_STRIDE_PX = 8
"""Distance in px of the positions whose median flow is taken for the camera's."""

LONG_TERM = (2, 4)
"""Distances in frames of the further stylised frames that fill disocclusions (Ruder et al. 2016,
section 4.3)."""


def flow_distances(settings: Settings) -> Sequence[int]:
    """Distances in frames, besides 1, of the earlier frames whose motion a stylizer needs."""
    return LONG_TERM if settings.long_term else ()


@register_dataclass
@dataclass(frozen=True, eq=False)
class WarmStart:
    """The start of a frame.

    Args:
        image: (1, 3, H, W) to start from: warped earlier stylised frames; in disoccluded regions
            the content in their colours, with strokes of the style.
        adam: the state of the optimiser, warped; zero in disoccluded regions.
        content: (1, 3, H, W), the frame, denoised.
        residual_flow, camera_translation: see ``StylizerState``.
        valid: (1, 1, H, W), 1 where ``image`` is a warped stylised frame, 0 in disoccluded regions.
        change: (2,), the disoccluded share of the frame, and the root mean square change of the
            content beyond motion.
    """

    image: Tensor
    adam: AdamState
    content: Tensor
    residual_flow: Tensor
    camera_translation: Tensor
    valid: Tensor
    change: Tensor


def warm_start(
    state: StylizerState,
    frame: Tensor,
    motion: Motion,
    strokes: Tensor,
    proposal: Tensor | None = None,
) -> WarmStart:
    """Warp the state of the previous frame to the present one.

    Args:
        state: after the previous frame.
        frame: (1, 3, H, W), the present frame.
        motion: from the present frame to earlier ones.
        strokes: (1, 3, H, W), fine detail of the style, added to disoccluded regions.
        proposal: (1, 3, H, W), a stylised version of the frame from which disoccluded regions
            start; None: they start from the content and the strokes.
    """
    state = state.resized(frame)
    valid = _valid_mask(motion, frame)
    image, content, adam = state.image, state.content, state.adam
    residual_flow, camera_translation = state.residual_flow, state.camera_translation
    if motion.flow is not None:
        flow = _resized_flow(motion.flow, frame)
        residual_flow = flow + warp(state.residual_flow, flow, "bilinear")
        camera_translation = camera_translation + _median(flow)
        moves = _is_motion(residual_flow) & valid
        both = torch.cat([image, content], 1)
        both = torch.where(moves, warp_sharp(both, residual_flow), both)
        image, content = both[:, :3], both[:, 3:]
        adam = _warp_adam(adam, torch.where(moves, residual_flow, 0))
        residual_flow = torch.where(moves | ~valid, 0, residual_flow)
    content = torch.where(valid, content, frame)
    denoised = torch.where(valid, denoise(content, frame), frame)
    change = torch.stack([1 - valid.float().mean(), (denoised - content).square().mean().sqrt()])
    adam = _mask_adam(adam, valid.to(frame))
    for distance, earlier in sorted(motion.earlier.items()):
        if distance - 2 < len(state.earlier) and state.earlier[distance - 2].shape == frame.shape:
            found = _valid_mask(earlier, frame) & ~valid
            warped = _warp_image(state.earlier[distance - 2], earlier)
            image = torch.where(found, warped, image)
            valid = valid | found
    if proposal is None:
        # The strokes move with the camera, so that those of strips disoccluded one after the other
        # join.
        x, y = camera_translation.round().long()
        moved_strokes = reflect_crop(strokes, frame.shape[-1], frame.shape[-2], x, y)
        proposal = _match_colors(image, content, valid, denoised) + STROKE_GAIN * moved_strokes
    image = torch.where(valid, image, proposal.to(frame).clamp(0, 1))
    return WarmStart(
        image, adam, denoised, residual_flow, camera_translation, valid.to(frame), change
    )


def _median(flow: Tensor) -> Tensor:
    """Median of each component, (2,)."""
    sample = flow[0, :, ::MEDIAN_STRIDE_PX, ::MEDIAN_STRIDE_PX].flatten(1)
    return sample.kthvalue((sample.shape[1] + 1) // 2).values


def _match_colors(stylized: Tensor, content: Tensor, valid: Tensor, frame: Tensor) -> Tensor:
    """The frame in stylised colours: the least-squares affine map from content to them.

    In the colours of the source, disoccluded regions would stand out for some frames.

    Args:
        stylized, content, frame: (1, 3, H, W).
        valid: (1, 1, H, W) bool, where the map is fitted.
    """
    count = valid.sum() + 1
    inputs = torch.cat([content, torch.ones_like(content[:, :1])], 1) * valid
    colors, targets = inputs.flatten(2)[0], (stylized * valid).flatten(2)[0]
    # The ridge keeps the map of one flat colour, or of an empty mask, near to the identity.
    identity = torch.eye(4, 3, device=frame.device, dtype=frame.dtype)
    ridge = COLOR_RIDGE * torch.eye(4, device=frame.device, dtype=frame.dtype)
    products = colors @ colors.T / count + ridge
    # solve_ex, unlike solve, does not wait for a GPU.
    mapping, _ = torch.linalg.solve_ex(
        products, colors @ targets.T / count + COLOR_RIDGE * identity
    )
    mapped: Tensor = torch.einsum("oc,bohw->bchw", mapping[:3], frame) + mapping[3].view(1, 3, 1, 1)
    return mapped.clamp(0, 1)


def _valid_mask(motion: Motion, frame: Tensor) -> Tensor:
    """(1, 1, H, W) bool, True where the earlier frame shows what this frame shows."""
    if motion.reliable is None:
        return torch.ones_like(frame[:, :1], dtype=torch.bool)
    mask = motion.reliable.to(frame)
    return F.interpolate(mask, frame.shape[-2:], mode="bilinear", align_corners=False) > 0.5


def _resized_flow(flow: Tensor, frame: Tensor) -> Tensor:
    return resize_flow(flow.to(frame), (frame.shape[-1], frame.shape[-2]))


def _is_motion(flow: Tensor) -> Tensor:
    return flow.square().sum(1, keepdim=True) >= MIN_MOTION_PX**2


def _warp_image(image: Tensor, motion: Motion) -> Tensor:
    """An earlier stylised frame, warped where it moved."""
    if motion.flow is None:
        return image
    flow = _resized_flow(motion.flow, image)
    return torch.where(_is_motion(flow), warp_sharp(image, flow), image)


def _warp_adam(state: AdamState, flow: Tensor) -> AdamState:
    """The Adam state, warped by the same flow as its image at all scales."""

    def moved(tensor: Tensor) -> Tensor:
        return warp(tensor, resize_flow(flow, (tensor.shape[-1], tensor.shape[-2])), "bilinear")

    scales = [
        moved(torch.cat(scale, 1))
        for scale in zip(state.exp_avg_sq, state.bias_correction, strict=True)
    ]
    return AdamState(
        moved(state.exp_avg),
        tuple(scale[:, :3] for scale in scales),
        tuple(scale[:, 3:] for scale in scales),
    )


def _mask_adam(state: AdamState, mask: Tensor) -> AdamState:
    """The Adam state times a mask, (1, 1, H, W), averaged over the pixels of coarse scales."""
    masks: list[Tensor] = []
    for correction in state.bias_correction:  # each from the next finer one, to read fewer pixels
        size = correction.shape[-2], correction.shape[-1]
        masks.append(F.adaptive_avg_pool2d(masks[-1] if masks else mask, size))
    squares = (square * share for square, share in zip(state.exp_avg_sq, masks, strict=True))
    corrections = (x * share for x, share in zip(state.bias_correction, masks, strict=True))
    return AdamState(state.exp_avg * mask, tuple(squares), tuple(corrections))


def state_after(
    before: StylizerState,
    start: WarmStart,
    result: OptimResult,
    iterations: Sequence[Iteration],
    full_lr_steps: int,
    earlier_frames: int,
) -> StylizerState:
    """The state after a warm-started frame.

    Args:
        before: the state after the previous frame.
        start: where the frame started.
        result: of its last step.
        iterations: its losses; none for a frame that was only warped.
        full_lr_steps: steps at the full learning rate that were left before it.
        earlier_frames: number of stylised frames to keep.
    """
    loss, decrease = before.loss, before.loss_decrease
    if iterations:
        loss, decrease = iterations[-1].total, loss_decrease(before.loss, iterations)
    return StylizerState(
        result.image,
        result.state,
        start.content.clone(),  # the next replay of a recorded setup overwrites it
        start.residual_flow.clone(),
        start.camera_translation.clone(),
        loss=loss,
        loss_decrease=decrease,
        full_lr_steps=max(0, full_lr_steps - len(iterations)),
        restyle_steps=max(0, before.restyle_steps - len(iterations)),
        earlier=(before.image, *before.earlier)[:earlier_frames],
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
    return step_size._replace(coarse_gain=1, chroma_gain=1) if restyle_steps else step_size
