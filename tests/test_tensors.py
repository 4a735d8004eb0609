"""Image tensors: filters of OpenCV and PyTorch agree; selection by mask; resampling of frames."""

import numpy as np
import pytest
import torch
from conftest import scene

from vidstyle import Frame, Settings
from vidstyle.ops.tensors import (
    box_max,
    box_mean,
    constant,
    resize,
    select,
    to_image,
    to_resized_image,
    to_resized_tensor,
    to_tensor,
)
from vidstyle.stylizer.output import output_image


@pytest.mark.parametrize("shape", [(1, 3, 37, 53), (2, 1, 5, 4), (1, 2, 64, 1)])
@pytest.mark.parametrize("side", [3, 5, 17])
def test_box_filters_agree_on_cpu_and_elsewhere(shape, side):
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for function in (box_mean, box_max):
        # float64 takes the operations of PyTorch, as a GPU does; float32 is exact to 1e-7 here.
        other = function(image.double(), side).float()
        torch.testing.assert_close(function(image, side), other, rtol=0, atol=1e-6)


def test_box_mean_of_one_colour_is_that_colour_up_to_the_borders():
    flat = torch.full((1, 3, 20, 30), 0.7)
    torch.testing.assert_close(box_mean(flat, 9), flat, rtol=0, atol=1e-6)


def test_select_takes_pixels_exactly():
    generator = torch.Generator().manual_seed(0)
    image, other = torch.rand(2, 1, 3, 9, 9, generator=generator)
    mask = torch.rand(1, 1, 9, 9, generator=generator) > 0.5
    assert torch.equal(select(mask, image, other), torch.where(mask, image, other))


@pytest.mark.parametrize("size", [(64, 48), (150, 100)])
def test_to_resized_tensor_is_within_two_levels_of_the_exact_one(size):
    image = scene(size=(128, 96))
    exact = resize(to_tensor(image), size)
    # Both passes of the resampling are rounded, and ringing is clipped between them.
    assert (to_resized_tensor(image, size) - exact).abs().max() <= 2 / 255
    with_alpha = np.dstack([image, image[..., :1]])
    assert torch.equal(to_resized_tensor(with_alpha, size), to_resized_tensor(image, size))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(128, 96), (64, 48)])
def test_to_resized_tensor_takes_read_only_arrays_without_a_warning(size):
    image = scene(size=(128, 96))
    read_only = np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)
    assert torch.equal(to_resized_tensor(read_only, size), to_resized_tensor(image, size))


def test_constant_made_in_inference_mode_is_of_use_to_autograd():
    numbers = (0.25, 0.5, 0.8125)  # of no other test: constants are kept
    with torch.inference_mode():
        constant(numbers, torch.device("cpu"))
    leaf = torch.ones(3, requires_grad=True)
    (leaf * constant(numbers, torch.device("cpu"))).sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == list(numbers)


def test_to_resized_tensor_keeps_the_depth_of_16_bits():
    deep = scene(size=(128, 96)).astype(np.uint16) * 257
    assert torch.equal(to_resized_tensor(deep, (64, 48)), resize(to_tensor(deep), (64, 48)))


@pytest.mark.parametrize("size", [(64, 48), (300, 200)])
def test_to_resized_image_is_within_three_levels_of_the_exact_one(size):
    image = to_tensor(scene(size=(128, 96))) * 0.9 + 0.05
    exact = to_image(resize(image, size)).astype(int)
    # Pixels are rounded before each of the two passes and after them.
    assert np.abs(to_resized_image(image, size).astype(int) - exact).max() <= 3
    deep = to_resized_image(image, size, deep=True)
    assert np.array_equal(deep, to_image(resize(image, size), deep=True))


def test_output_image_of_a_plain_frame_is_that_of_a_blended_one():
    source = scene(size=(192, 144))
    stylized = to_tensor(scene(1.0, size=(96, 72)))
    plain = output_image(stylized, Frame(source), (192, 144), Settings())
    everywhere = np.full(source.shape[:2], 255, np.uint8)
    masked = output_image(stylized, Frame(source, mask=everywhere), (192, 144), Settings())
    # One of the two is rounded before it is resampled.
    assert np.abs(plain.astype(int) - masked).max() <= 3
