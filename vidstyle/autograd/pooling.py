"""Average pooling, blur pooling and bilinear upsampling by a factor of two.

All functions keep the memory format of their input, in both directions. They accept float16,
bfloat16, float32 and float64.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.custom_ops import custom_op
from .padding import crop_or_pad

MIN_NUMEL_CUSTOM_RESAMPLE = 4096
"""Elements from which the custom operations are faster than PyTorch's: below, the calls take longer
than the work."""


def memory_format(channels_last: bool) -> torch.memory_format:
    """``torch.channels_last`` or ``torch.contiguous_format``."""
    return torch.channels_last if channels_last else torch.contiguous_format


def avg_pool2(x: Tensor) -> Tensor:
    """2 x 2 average pooling with stride 2. Forward and backward take a third of the time of
    ``F.avg_pool2d``.

    Args:
        x: (N, C, H, W). The last row or column of an odd side is left out.

    Returns:
        (N, C, H // 2, W // 2).
    """
    small = x.numel() < MIN_NUMEL_CUSTOM_RESAMPLE and min(x.shape[-2:]) > 1
    pooled: Tensor = avg_pool2_reference(x) if small else _AvgPool2.apply(x)
    return pooled


def avg_pool2_reference(x: Tensor) -> Tensor:
    """``avg_pool2`` in plain PyTorch, for sides of at least 2 px."""
    return F.avg_pool2d(x, 2)


class _AvgPool2(torch.autograd.Function):
    """The forward pass adds every second row and column; the backward pass only copies."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape, ctx.channels_last = x.shape, not x.is_contiguous()
        if ctx.channels_last and not x.is_cuda:
            return F.avg_pool2d(x, 2)  # as fast; only its backward pass is slow
        height, width = (side // 2 * 2 for side in x.shape[-2:])
        rows = x[..., 0:height:2, :width] + x[..., 1:height:2, :width]
        return (rows[..., 0::2] + rows[..., 1::2]) * 0.25

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        order = memory_format(ctx.channels_last)
        quarter = (0.25 * gradients[0]).contiguous(memory_format=order)
        if ctx.channels_last and not quarter.is_cuda:
            return crop_or_pad(F.interpolate(quarter, scale_factor=2), *ctx.shape[-2:])
        height, width = (side // 2 * 2 for side in ctx.shape[-2:])
        gradient = torch.empty(
            ctx.shape, dtype=quarter.dtype, device=quarter.device, memory_format=order
        )
        if ctx.shape[-2:] != (height, width):
            gradient.zero_()
        if quarter.is_cuda:  # one kernel; a CPU is faster with the copies below
            blocks: Tensor = gradient[..., :height, :width].unflatten(-2, (-1, 2))  # type: ignore[no-untyped-call]
            blocks.unflatten(-1, (-1, 2)).copy_(quarter[..., :, None, :, None])  # type: ignore[no-untyped-call]
            return gradient
        rows = torch.stack([quarter, quarter], -1).flatten(-2)
        gradient[..., 0:height:2, :width] = rows
        gradient[..., 1:height:2, :width] = rows
        return gradient


def avg_pool_ceil(x: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Average pooling whose last windows may be cut off by the border, where they are the mean of
    what is left of them.

    The compiler does not look into its backward pass: in PyTorch 2.14 the compiler's own gradient
    of such windows is wrong.

    Args:
        x: (N, C, H, W).
        kernel: (height, width) of a window in px, which is the stride too.

    Returns:
        (N, C, ceil(H / height), ceil(W / width)).
    """
    pooled: Tensor = _AvgPoolCeil.apply(x, *kernel)
    return pooled


def avg_pool_ceil_reference(x: Tensor, kernel: tuple[int, int]) -> Tensor:
    """``avg_pool_ceil`` in plain PyTorch."""
    return F.avg_pool2d(x, kernel, ceil_mode=True)


class _AvgPoolCeil(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int, width: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.kernel = height, width
        return avg_pool_ceil_reference(x, (height, width))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _ceil_backward(gradients[0], *ctx.saved_tensors, *ctx.kernel), None, None


def _empty_input(gradient: Tensor, x: Tensor, height: int, width: int) -> Tensor:
    return torch.empty_like(x)


@custom_op(_empty_input)
def _ceil_backward(gradient: Tensor, x: Tensor, height: int, width: int) -> Tensor:
    kernel = height, width
    found: Tensor = torch.ops.aten.avg_pool2d_backward(
        gradient, x, kernel, kernel, (0, 0), True, True, None
    )
    return found


def blur_pool2(x: Tensor) -> Tensor:
    """Blur pooling with stride 2 (Zhang 2019, "Making Convolutional Networks Shift-Invariant
    Again").

    The low-pass filter is the binomial 1, 3, 3, 1 along both sides, with repeated borders.
    Activations after it hardly depend on the position of the sampling grid, so they move with the
    image.

    Args:
        x: (N, C, H, W), sides of at least 2 px. The last row or column of an odd side is left out.

    Returns:
        (N, C, H // 2, W // 2).
    """
    pooled: Tensor = _BlurPool2.apply(x)
    return pooled


def blur_pool2_reference(x: Tensor) -> Tensor:
    """``blur_pool2`` in plain PyTorch."""
    channels, (height, width) = x.shape[1], (side // 2 * 2 for side in x.shape[-2:])
    padded = F.pad(x[..., :height, :width], [1] * 4, mode="replicate")
    return F.conv2d(padded, _binomial(channels, x.dtype).to(x.device), stride=2, groups=channels)


class _BlurPool2(torch.autograd.Function):
    """The transposed operation is bilinear upsampling by two, which has the same four weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape, ctx.channels_last = x.shape, not x.is_contiguous()
        return _blur_pooled(x, ctx.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        height, width = ctx.shape[-2:]
        return _upsampled(0.25 * gradients[0], height, width, ctx.channels_last)


def upsample2(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear upsampling by two, in a third of PyTorch's time on a CPU. It has no backward pass.

    Args:
        x: (N, C, H, W).
        height, width: of the result, in px: 2 H and 2 W, or 1 px more or less (zeros are added, or
            a row is cut off).

    Returns:
        (N, C, height, width).
    """
    return _upsampled(x, height, width, not x.is_contiguous())


def upsample2_reference(x: Tensor, height: int, width: int) -> Tensor:
    """``upsample2`` in plain PyTorch."""
    doubled = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return F.pad(doubled, (0, width - doubled.shape[-1], 0, height - doubled.shape[-2]))


def _empty(like: Tensor, height: int, width: int, channels_last: bool) -> Tensor:
    return torch.empty(
        (*like.shape[:2], height, width),
        dtype=like.dtype,
        device=like.device,
        memory_format=memory_format(channels_last),
    )


def _empty_half(x: Tensor, channels_last: bool) -> Tensor:
    return _empty(x, x.shape[-2] // 2, x.shape[-1] // 2, channels_last)


@custom_op(_empty_half)
def _blur_pooled(x: Tensor, channels_last: bool) -> Tensor:
    order = memory_format(channels_last)
    height, width = (side // 2 * 2 for side in x.shape[-2:])
    x = x[..., :height, :width].contiguous(memory_format=order)
    if channels_last and x.device.type == "cpu":
        return blur_pool2_reference(x)
    for side in (-2, -1):
        # The filter 1, 3, 3, 1: the mean of both elements of a pair, after each was interpolated by
        # a quarter towards its other neighbour.
        count = x.shape[side] // 2
        pairs: Tensor = x.unflatten(side, (count, 2))  # type: ignore[no-untyped-call]
        first, second = pairs.unbind(side)
        left, right = first.clone(memory_format=order), second.clone(memory_format=order)
        left.narrow(side, 1, count - 1).lerp_(second.narrow(side, 0, count - 1), 0.25)
        right.narrow(side, 0, count - 1).lerp_(first.narrow(side, 1, count - 1), 0.25)
        x = left.lerp_(right, 0.5)
    return x


@cache
def _binomial(channels: int, dtype: torch.dtype) -> Tensor:
    """(C, 1, 4, 4): 1, 3, 3, 1 along both sides, for a convolution of each channel on its own."""
    side = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return torch.outer(side, side).expand(channels, 1, 4, 4).to(dtype).contiguous()


@custom_op(_empty)
def _upsampled(x: Tensor, height: int, width: int, channels_last: bool) -> Tensor:
    order = memory_format(channels_last)
    if x.device.type != "cpu" or x.numel() < MIN_NUMEL_CUSTOM_RESAMPLE:
        x = x.contiguous(memory_format=order)
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return crop_or_pad(x, height, width)
    for side in (-2, -1):
        # Each element becomes a pair, interpolated by a quarter towards the neighbour on either
        # side.
        count = x.shape[side]
        shape = list(x.shape)
        shape[side] *= 2
        doubled = torch.empty(shape, dtype=x.dtype, memory_format=order)
        pairs: Tensor = doubled.unflatten(side, (count, 2))  # type: ignore[no-untyped-call]
        first, second = pairs.unbind(side)
        before, after = x.narrow(side, 0, count - 1), x.narrow(side, 1, count - 1)
        first.narrow(side, 0, 1).copy_(x.narrow(side, 0, 1))
        torch.lerp(after, before, 0.25, out=first.narrow(side, 1, count - 1))
        torch.lerp(before, after, 0.25, out=second.narrow(side, 0, count - 1))
        second.narrow(side, count - 1, 1).copy_(x.narrow(side, count - 1, 1))
        x = doubled
    return crop_or_pad(x, height, width)
