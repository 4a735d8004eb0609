"""Hand-written autograd functions agree with the plain expressions that they replace."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vidstyle.autograd import convolution, filters, padding, pooling

FORMATS = (torch.contiguous_format, torch.channels_last)


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def assert_agree(function, reference, x, **tolerances):
    """Values, and gradients of a random weighted sum."""
    results = []
    for each in (function, reference):
        leaf = x.detach().clone().requires_grad_(True)
        value = each(leaf)
        outer = rand(*value.shape, seed=9, dtype=value.dtype)
        results.append([value, torch.autograd.grad(value, leaf, outer)[0]])
    torch.testing.assert_close(*results, **tolerances)


@pytest.fixture(params=["small", "large"])
def numel(request, monkeypatch):
    """PyTorch's operations, which small tensors use, or the custom ones of large tensors."""
    threshold = 0 if request.param == "large" else math.inf
    monkeypatch.setattr(pooling, "MIN_NUMEL_CUSTOM_RESAMPLE", threshold)
    monkeypatch.setattr(padding, "MIN_NUMEL_CUSTOM_PAD", threshold)


@pytest.mark.usefixtures("numel")
@pytest.mark.parametrize("size", [(6, 8), (7, 8), (6, 9), (5, 5)])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_avg_pool2_agrees_with_its_reference(size, memory_format):
    x = rand(2, 3, *size).contiguous(memory_format=memory_format)
    assert_agree(pooling.avg_pool2, pooling.avg_pool2_reference, x)
    assert torch.autograd.gradcheck(pooling.avg_pool2, x.requires_grad_(True))


@pytest.mark.usefixtures("numel")
def test_avg_pool2_of_one_row_is_empty_and_has_no_gradient():
    x = rand(2, 3, 1, 2).requires_grad_(True)
    assert pooling.avg_pool2(x).shape == (2, 3, 0, 1)
    assert torch.autograd.gradcheck(pooling.avg_pool2, x)


@pytest.mark.parametrize("kernel", [(8, 8), (1, 4), (3, 1)])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_avg_pool_ceil_agrees_with_its_reference(kernel, memory_format):
    x = rand(2, 3, 9, 18).contiguous(memory_format=memory_format)
    assert_agree(
        lambda x: pooling.avg_pool_ceil(x, kernel),
        lambda x: pooling.avg_pool_ceil_reference(x, kernel),
        x,
    )


@pytest.mark.usefixtures("numel")
@pytest.mark.parametrize("size", [(2, 2), (3, 2), (6, 8), (7, 8), (6, 9), (5, 5)])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_blur_pool2_agrees_with_its_reference(size, memory_format):
    x = rand(2, 3, *size).contiguous(memory_format=memory_format)
    assert_agree(pooling.blur_pool2, pooling.blur_pool2_reference, x)
    assert pooling.blur_pool2(x).is_contiguous(memory_format=memory_format)
    assert torch.autograd.gradcheck(pooling.blur_pool2, x.requires_grad_(True))


def test_blur_pool2_reference_has_the_binomial_filter_of_the_paper():
    impulse = torch.zeros(1, 1, 8, 8)
    impulse[..., 3, 3] = 1
    weights = torch.tensor([0.0, 3.0, 1.0, 0.0]) / 8  # of 1, 3, 3, 1: the two that reach pixel 3
    expected = torch.outer(weights, weights)[None, None]
    torch.testing.assert_close(pooling.blur_pool2_reference(impulse), expected)


def test_blur_pool2_removes_frequencies_above_the_new_nyquist_limit():
    wave = torch.cos(2 * math.pi / 3 * torch.arange(48.0)).expand(1, 1, 48, 48)
    pooled = pooling.blur_pool2(wave)[..., 4:-4]
    # The filter's gain is cos(60 deg)^3 = 0.125; average pooling leaves 0.5.
    assert pooled.abs().max() < 0.13 * wave.abs().max()


@pytest.mark.usefixtures("numel")
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (6, 8)])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_upsample2_agrees_with_its_reference(size, extra, memory_format):
    x = rand(1, 3, *size).contiguous(memory_format=memory_format)
    height, width = 2 * size[0] + extra, 2 * size[1]
    upsampled = pooling.upsample2(x, height, width)
    torch.testing.assert_close(upsampled, pooling.upsample2_reference(x, height, width))


@pytest.mark.usefixtures("numel")
@pytest.mark.parametrize("amount", [1, 2, 5, 7])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_reflect_pad_agrees_with_its_reference(amount, memory_format):
    x = rand(2, 3, 7, 6, dtype=torch.float32).contiguous(memory_format=memory_format)
    kernels = rand(4, 3, 3, 3, seed=1, dtype=torch.float32)
    assert_agree(
        lambda x: F.conv2d(padding.reflect_pad(x, amount), kernels),
        lambda x: F.conv2d(padding.reflect_pad_reference(x, amount), kernels),
        x,
    )


def test_crop_or_pad_cuts_and_fills_with_zeros():
    x = rand(1, 2, 3, 4)
    torch.testing.assert_close(padding.crop_or_pad(x, 2, 4), x[..., :2, :])
    torch.testing.assert_close(padding.crop_or_pad(x, 4, 3), F.pad(x[..., :3], (0, 0, 0, 1)))


@pytest.mark.parametrize("saturation", [3.0, math.inf])
def test_rectified_responses_agree_with_their_reference(saturation):
    responses = 8 * rand(1, 3, 5, 6) - 4
    function, reference = (
        lambda x, f=f: f(x, saturation)
        for f in (filters.rectified_responses, filters.rectified_responses_reference)
    )
    assert_agree(function, reference, responses)
    assert torch.autograd.gradcheck(function, responses.requires_grad_(True))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 2), (6, 7)])
def test_smooth_agrees_with_its_reference(size):
    x = rand(2, 3, *size)
    assert_agree(filters.smooth, filters.smooth_reference, x)
    assert torch.autograd.gradcheck(filters.smooth, x.requires_grad_(True))


@pytest.mark.parametrize("size", [(3, 3), (3, 5), (6, 4), (9, 9)])
def test_structure_products_agree_with_their_reference(size):
    gray = rand(1, 1, *size)
    assert_agree(filters.structure_products, filters.structure_products_reference, gray)
    assert torch.autograd.gradcheck(filters.structure_products, gray.requires_grad_(True))


@pytest.mark.parametrize("size", [(30, 31), (31, 30), (33, 41), (40, 40)])
def test_strided_conv_agrees_with_its_reference(size):
    kernels = rand(4, 1, 11, 11, seed=1)
    assert_agree(
        lambda x: filters.strided_conv(x, filters.unshuffle(kernels)),
        lambda x: filters.strided_conv_reference(x, kernels),
        rand(3, 1, *size),
    )


@pytest.mark.parametrize("border", [0, 1])
def test_conv_relu_backward_agrees_with_its_reference(border, monkeypatch):
    # A CPU lacks cuDNN's kernel. In its place stand the same operations; the backward pass is
    # tested.
    def kernel(x, weight, bias, stride, padding, dilation, groups):
        return F.relu(F.conv2d(x, weight, bias, stride, padding, dilation, groups))

    monkeypatch.setattr(torch, "cudnn_convolution_relu", kernel)
    layer = nn.Conv2d(3, 4, 3, padding=border, dtype=torch.float64).requires_grad_(False)
    function, reference = (
        lambda x, f=f: f(x, layer) for f in (convolution.conv_relu, convolution.conv_relu_reference)
    )
    assert_agree(function, reference, 2 * rand(2, 3, 6, 5) - 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("memory_format", FORMATS)
def test_conv_relu_on_cuda_agrees_with_its_reference(memory_format):
    layer = nn.Conv2d(3, 4, 3, padding=1, device="cuda").requires_grad_(False)
    x = (2 * rand(2, 3, 6, 5, dtype=torch.float32) - 1).cuda()
    with torch.backends.cudnn.flags(allow_tf32=False):
        values = [
            f(x.contiguous(memory_format=memory_format), layer)
            for f in (convolution.conv_relu, convolution.conv_relu_reference)
        ]
    torch.testing.assert_close(*values)
