"""A layer: a stylised image with its content and its Adam state, which are warped together."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..flow.warp import warp, warp_sharp
from ..ops.pytree import register_dataclass
from ..ops.tensors import select
from ..optim.adam import AdamState, pyramid

MIN_MOTION_PX = 0.2
"""Pixels that moved by less since they were last warped are not resampled: so short a flow can be
noise."""


@register_dataclass
@dataclass(frozen=True, eq=False)
class Layer:
    """A stylised image and all that its optimisation goes on from.

    Args:
        image: (1, 3, H, W), the stylised frame at its working size.
        content: (1, 3, H, W), the frame itself, denoised.
        adam: state of the optimiser.
        residual_flow: (1, 2, H, W) px, the flow since each pixel was last warped: too short to warp
            by.
        reference: (1, 1, H, W), brightness that the image was stylised for, see
            ``gradual_change``.
    """

    image: Tensor
    content: Tensor
    adam: AdamState
    residual_flow: Tensor
    reference: Tensor

    @classmethod
    def at_rest(cls, image: Tensor, content: Tensor, adam: AdamState) -> "Layer":
        """A layer of a frame that was stylised from scratch."""
        return cls(
            image, content, adam, torch.zeros_like(image[:, :2]), content.mean(1, keepdim=True)
        )

    def warped(self, flow: Tensor, valid: Tensor) -> "Layer":
        """The layer, backward warped.

        Args:
            flow: (1, 2, H, W) px, from the present frame to that of the layer.
            valid: (1, 1, H, W) bool; pixels elsewhere are not warped.
        """
        flow = flow + warp(self.residual_flow, flow, "bilinear")
        moves = _is_motion(flow) & valid
        # Not on a GPU, which this question would stop: recorded graphs do all of the work anyway.
        if moves.device.type == "cpu" and not moves.any():
            return replace(self, residual_flow=flow * valid)
        weight = moves.to(flow)
        sharp = torch.cat([self.image, self.reference], 1)
        sharp = select(weight, warp_sharp(sharp, flow), sharp)
        image, reference = torch.split(sharp, [3, 1], 1)
        # The content is that of the present frame wherever it moves: its blur does not accumulate.
        content = select(weight, warp(self.content, flow).clamp(0, 1), self.content)
        adam = _warp_adam(self.adam, flow * weight)
        residual_flow = flow * (valid & ~moves)
        return Layer(image, content, adam, residual_flow, reference)

    def where(self, mask: Tensor, other: "Layer") -> "Layer":
        """This layer where the mask, (1, 1, H, W) bool or 0 and 1, is set; the other elsewhere."""
        mask = mask.to(self.image)
        return Layer(
            select(mask, self.image, other.image),
            select(mask, self.content, other.content),
            _select_adam(mask, self.adam, other.adam),
            select(mask, self.residual_flow, other.residual_flow),
            select(mask, self.reference, other.reference),
        )


def _is_motion(flow: Tensor) -> Tensor:
    """(1, 1, H, W) bool, where a flow is long enough to warp by."""
    return flow.square().sum(1, keepdim=True) >= MIN_MOTION_PX**2


def masked_adam(state: AdamState, mask: Tensor) -> AdamState:
    """The Adam state times a mask, (1, 1, H, W), averaged over the pixels of coarse scales."""
    return _map_scales(lambda tensor, share: tensor * share, mask, state)


def _select_adam(mask: Tensor, state: AdamState, other: AdamState) -> AdamState:
    """A state where the mask, (1, 1, H, W), is 1; coarse scales mix both states."""

    def mixed(tensor: Tensor, tensor_of_other: Tensor, share: Tensor) -> Tensor:
        return torch.lerp(tensor_of_other, tensor, share)

    return _map_scales(mixed, mask, state, other)


def _map_scales(function: Callable[..., Tensor], mask: Tensor, *states: AdamState) -> AdamState:
    """Apply a function to the tensors of states and to the mask at the scale of the tensors."""
    masks = pyramid(mask)
    squares = zip(*(state.exp_avg_sq for state in states), masks, strict=True)
    corrections = zip(*(state.bias_correction for state in states), masks, strict=True)
    return AdamState(
        function(*(state.exp_avg for state in states), mask),
        tuple(function(*scale) for scale in squares),
        tuple(function(*scale) for scale in corrections),
    )


def _warp_adam(state: AdamState, flow: Tensor) -> AdamState:
    """The Adam state, warped by the same flow as its image at all scales."""

    def moved(level: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        joined = warp(torch.cat(tensors, 1), flows[level] * 0.5**level, "bilinear")
        return torch.split(joined, [tensor.shape[1] for tensor in tensors], 1)

    flows = pyramid(flow)
    finest, *coarser = zip(state.exp_avg_sq, state.bias_correction, strict=True)
    exp_avg, *scale = moved(0, state.exp_avg, *finest)
    others = (moved(level, *each) for level, each in enumerate(coarser, 1))
    squares, corrections = zip(scale, *others, strict=True)
    return AdamState(exp_avg, squares, corrections)
