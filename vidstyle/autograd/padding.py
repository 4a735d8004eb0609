"""Reflection padding with an in-place backward pass."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.custom_ops import custom_op

MIN_NUMEL_CUSTOM_PAD = 2**15
"""Elements from which the custom backward pass is faster than PyTorch's: below, the calls take
longer than the copies."""


def reflect_pad(x: Tensor, amount: int) -> Tensor:
    """Pad all four sides by reflection; by repeating the border where a side is not longer than
    ``amount``.

    The backward pass adds the reflected borders in place, where PyTorch's copies the whole
    gradient. It overwrites the gradient of the padded tensor, so only one operation may use the
    padded tensor.

    Args:
        x: (N, C, H, W), floating point.
        amount: px on each side.

    Returns:
        (N, C, H + 2 amount, W + 2 amount).
    """
    if x.is_cuda or x.numel() < MIN_NUMEL_CUSTOM_PAD or min(x.shape[-2:]) <= amount:
        return reflect_pad_reference(x, amount)
    padded: Tensor = _ReflectPad.apply(x, amount)
    return padded


def reflect_pad_reference(x: Tensor, amount: int) -> Tensor:
    """``reflect_pad`` in plain PyTorch."""
    return F.pad(x, [amount] * 4, mode="reflect" if min(x.shape[-2:]) > amount else "replicate")


class _ReflectPad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, amount: int) -> Tensor:
        ctx.amount = amount
        return F.pad(x, [amount] * 4, mode="reflect")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        _add_reflected_borders(gradients[0], ctx.amount)
        return gradients[0][..., ctx.amount : -ctx.amount, ctx.amount : -ctx.amount], None


@custom_op(mutates_args=["padded"])
def _add_reflected_borders(padded: Tensor, amount: int) -> None:
    for side in (-2, -1):
        length = padded.shape[side] - 2 * amount
        first, last = padded.narrow(side, 0, amount), padded.narrow(side, amount + length, amount)
        padded.narrow(side, amount + 1, amount).add_(first.flip(side))
        padded.narrow(side, length - 1, amount).add_(last.flip(side))


def crop_or_pad(x: Tensor, height: int, width: int) -> Tensor:
    """Crop (N, C, H, W) at the right and at the bottom to (height, width), or pad it with zeros
    there."""
    missing = (0, width - x.shape[-1], 0, height - x.shape[-2])
    return F.pad(x, missing) if any(missing) else x
