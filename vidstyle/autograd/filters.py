"""Filtering steps of the features: rectified responses, structure tensor products, strided
convolution and a smoothing filter."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.custom_ops import custom_op
from .padding import crop_or_pad

threshold_backward = torch.ops.aten.threshold_backward
"""The backward pass of ReLU; ``torch.where`` takes several times as long."""

SCHARR = (3 / 32, 10 / 32)
"""Scharr's (2000) smoothing weights across a derivative, outer and middle, for derivatives per
px."""


def rectified_responses(responses: Tensor, saturation: float) -> Tensor:
    """Half-wave rectification of both signs with a saturating response (Naka & Rushton 1966): r /
    (1 + r / saturation).

    Args:
        responses: (1, C, H, W), floating point.
        saturation: upper bound of a response, reached by half at a response of this size; infinity
            for none.

    Returns:
        (1, 2 C, H, W): first of the positive parts, then of the negative parts.
    """
    parts: Tensor = _RectifiedResponses.apply(responses, 1 / saturation)
    return parts


def rectified_responses_reference(responses: Tensor, saturation: float) -> Tensor:
    """``rectified_responses`` in plain PyTorch."""
    parts = torch.cat([responses, -responses], 1).clamp_min(0)
    return parts / (1 + parts / saturation)


class _RectifiedResponses(torch.autograd.Function):
    """A few operations per response, where autograd takes many for each of its signs."""

    @staticmethod
    def forward(ctx: Any, responses: Tensor, inverse_saturation: float) -> Tensor:
        ctx.inverse_saturation = inverse_saturation
        saturated = responses
        if inverse_saturation:
            saturated = responses / responses.abs().mul_(inverse_saturation).add_(1)
        ctx.save_for_backward(saturated)
        return F.relu_(torch.cat([saturated, -saturated], 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (saturated,) = ctx.saved_tensors
        positive, negative = gradients[0].chunk(2, 1)
        gradient = threshold_backward(positive, saturated, 0)
        gradient = gradient - threshold_backward(negative, -saturated, 0)
        if not ctx.inverse_saturation:
            return gradient, None
        # The derivative of the response r at its saturated value s is (1 - |s| / saturation)^2.
        factor = saturated.abs().mul_(-ctx.inverse_saturation).add_(1).square_()
        return factor.mul_(gradient), None


def structure_products(gray: Tensor) -> Tensor:
    """Products of the derivatives x and y that the structure tensor averages (Förstner & Gülch
    1987).

    Derivatives are Scharr's (2000), 3 x 3. Autograd would copy the whole image for each of their
    parts.

    Args:
        gray: (1, 1, H, W), sides of at least 3 px.

    Returns:
        (3, 1, H - 2, W - 2): x^2 - y^2, 2 x y, x^2 + y^2.
    """
    products: Tensor = _StructureProducts.apply(gray)
    return products


def structure_products_reference(gray: Tensor) -> Tensor:
    """``structure_products`` in plain PyTorch."""
    scharr = torch.outer(gray.new_tensor([3, 10, 3]) / 32, gray.new_tensor([-1, 0, 1]))[None, None]
    x, y = F.conv2d(gray, scharr), F.conv2d(gray, scharr.mT)
    return torch.cat([x.square() - y.square(), 2 * x * y, x.square() + y.square()])


class _StructureProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gray: Tensor) -> Tensor:
        x, y = _derivative(gray, 3, 2), _derivative(gray, 2, 3)
        ctx.save_for_backward(x, y)
        xx, yy = x.square(), y.square()
        return torch.cat([xx - yy, 2 * x * y, xx + yy])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        x, y = ctx.saved_tensors
        even, odd, energy = gradients[0].chunk(3)
        of_x = torch.addcmul((energy + even) * x, odd, y)
        of_y = torch.addcmul((energy - even) * y, odd, x)
        return _derivatives_transpose(2 * of_x, 2 * of_y)


def _derivative(gray: Tensor, along: int, across: int) -> Tensor:
    """Scharr's derivative along a dimension. Sums of slices are faster than a convolution of one
    channel."""
    length, width = gray.shape[along] - 2, gray.shape[across] - 2
    change = gray.narrow(along, 2, length) - gray.narrow(along, 0, length)
    outer = change.narrow(across, 0, width) + change.narrow(across, 2, width)
    return torch.add(SCHARR[0] * outer, change.narrow(across, 1, width), alpha=SCHARR[1])


def _empty_image(of_x: Tensor, of_y: Tensor) -> Tensor:
    return of_x.new_empty(*of_x.shape[:2], of_x.shape[2] + 2, of_x.shape[3] + 2)


@custom_op(_empty_image)
def _derivatives_transpose(of_x: Tensor, of_y: Tensor) -> Tensor:
    """The transposed derivative operators applied to the gradients of both derivatives: D_x^T of_x
    + D_y^T of_y."""
    height, width = of_x.shape[2:]
    gradient = of_x.new_zeros(*of_x.shape[:2], height + 2, width + 2)
    for slope, along, across in ((of_x, 3, 2), (of_y, 2, 3)):
        length, breadth = slope.shape[along], slope.shape[across]
        change = F.pad(SCHARR[0] * slope, (0, 2, 0, 0) if across == 3 else (0, 0, 0, 2))
        change.narrow(across, 1, breadth).add_(slope, alpha=SCHARR[1])
        change.narrow(across, 2, breadth).add_(slope, alpha=SCHARR[0])
        gradient.narrow(along, 2, length).add_(change)
        gradient.narrow(along, 0, length).sub_(change)
    return gradient


def unshuffle(filters: Tensor) -> Tensor:
    """Filters for ``strided_conv``: (C, 1, k, k) of an odd side k -> (C, 4, (k + 1) / 2, (k + 1) /
    2)."""
    return F.pixel_unshuffle(F.pad(filters, (0, 1, 0, 1)), 2)


def strided_conv(x: Tensor, unshuffled: Tensor) -> Tensor:
    """Convolution with stride 2, as one of stride 1 over the four phases of the image: half the
    time on a CPU.

    Args:
        x: (N, 1, H, W).
        unshuffled: filters from ``unshuffle``.

    Returns:
        (N, C, (H - k) // 2 + 1, (W - k) // 2 + 1).
    """
    height, width = x.shape[-2:]
    even = crop_or_pad(x, height + height % 2, width + width % 2)
    return F.conv2d(F.pixel_unshuffle(even, 2), unshuffled)


def strided_conv_reference(x: Tensor, filters: Tensor) -> Tensor:
    """``strided_conv`` in plain PyTorch, for filters that are not unshuffled: (C, 1, k, k)."""
    return F.conv2d(x, filters, stride=2)


def smooth(x: Tensor) -> Tensor:
    """The binomial filter 1, 2, 1 along both sides, with repeated borders. It is a symmetric linear
    operation, so the backward pass is the filter itself. Autograd of two ``F.avg_pool2d`` takes
    five times as long.

    Args:
        x: (N, C, H, W), floating point.

    Returns:
        (N, C, H, W).
    """
    smoothed: Tensor = _Smooth.apply(x)
    return smoothed


def smooth_reference(x: Tensor) -> Tensor:
    """``smooth`` in plain PyTorch."""
    return F.avg_pool2d(F.avg_pool2d(F.pad(x, [1] * 4, mode="replicate"), 2, 1), 2, 1)


class _Smooth(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _smoothed(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _smoothed(gradients[0])


@custom_op(torch.empty_like)
def _smoothed(x: Tensor) -> Tensor:
    for side in (-2, -1):
        length = x.shape[side]
        filtered = 0.5 * x
        filtered.narrow(side, 1, length - 1).add_(x.narrow(side, 0, length - 1), alpha=0.25)
        filtered.narrow(side, 0, length - 1).add_(x.narrow(side, 1, length - 1), alpha=0.25)
        for border in (0, length - 1):
            filtered.narrow(side, border, 1).add_(x.narrow(side, border, 1), alpha=0.25)
        x = filtered
    return x
