"""Convolution and ReLU in one cuDNN kernel, with a backward pass for the image alone."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

threshold_backward = torch.ops.aten.threshold_backward
"""The backward pass of ReLU."""


def conv_relu(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Convolution with stride 1 followed by ReLU, for fixed weights: no gradients of weights and
    biases.

    Args:
        x: (N, C, H, W) on a CUDA device.
        convolution: with a bias, stride 1, no dilation, one group.

    Returns:
        (N, channels, H', W').
    """
    activations: Tensor = _ConvReLU.apply(
        x, convolution.weight, convolution.bias, convolution.padding
    )
    return activations


def conv_relu_reference(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """``conv_relu`` in plain PyTorch, on any device."""
    return F.relu(convolution(x))


class _ConvReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int]
    ) -> Tensor:
        activations: Tensor = torch.cudnn_convolution_relu(
            x, weight, bias, (1, 1), padding, (1, 1), 1
        )
        ctx.save_for_backward(x, weight, activations)
        ctx.padding = padding
        return activations

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        x, weight, activations = ctx.saved_tensors
        gradient = threshold_backward(gradients[0], activations, 0)
        ones, image_only = (1, 1), (True, False, False)
        of_inputs = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, ones, ctx.padding, ones, False, (0, 0), 1, image_only
        )
        return of_inputs[0], None, None, None
