"""Colours as a whole: their moments, and pictures led to those of others."""

import numpy as np
import pytest
import torch
from conftest import scene, stripes

from vidstyle import Style
from vidstyle.ops.color import (
    MIN_STD,
    color_statistics,
    match_color_statistics,
    opponent_matrix,
    toward_style_colors,
)
from vidstyle.ops.tensors import to_tensor


@pytest.fixture
def content():
    return to_tensor(scene(size=(96, 64)))


def soft(level, amplitude, seed=0):
    """A picture whose colours stay clear of black and white, where they would be cut off."""
    noise = np.random.default_rng(seed).normal(0, 1, (64, 64, 3)) @ np.array(
        [[1, 0.6, 0.2], [0, 0.8, 0.3], [0, 0, 0.5]]
    )
    return to_tensor((np.array(level) + amplitude * noise).clip(0, 255).astype(np.uint8))


def test_opponent_matrix_is_orthonormal():
    basis = opponent_matrix(torch.device("cpu"))
    assert torch.allclose(basis @ basis.T, torch.eye(3), atol=1e-6)


def test_color_statistics_hold_means_and_do_not_depend_on_size():
    picture = soft((120, 90, 60), 20)
    moments = color_statistics(picture)
    grey = picture.sum(1).mean() / 3**0.5
    assert (
        moments.shape == (4, 4)
        and moments[0, 0] == pytest.approx(1)
        and moments[0, 1] == pytest.approx(grey.item(), abs=1e-5)
    )
    large = torch.nn.functional.interpolate(to_tensor(scene(size=(128, 96))), scale_factor=4)
    small = to_tensor(scene(size=(128, 96)))
    assert torch.allclose(
        color_statistics(large), color_statistics(small), atol=2e-3
    )  # but for what resampling rounds off at edges


def test_match_color_statistics_sets_mean_and_standard_deviation():
    ours, theirs = soft((90, 120, 140), 30, 1), soft((150, 110, 70), 18, 2)
    led, wanted = (
        color_statistics(match_color_statistics(ours, color_statistics(theirs))),
        color_statistics(theirs),
    )
    assert torch.allclose(led[0], wanted[0], atol=0.01)
    # The floor of the spread holds it back: sqrt(0.2 ** 2 / (0.2 ** 2 + 0.1 ** 2)) = 0.89 of what
    # is wanted for these greys.
    spread, wanted_spread = (
        (led - torch.outer(led[0], led[0])).diag()[1:].sqrt(),
        (wanted - torch.outer(wanted[0], wanted[0])).diag()[1:].sqrt(),
    )
    assert (spread > 0.7 * wanted_spread).all() and (spread < 1.02 * wanted_spread).all()


def test_toward_style_colors_is_half_way_and_keeps_unlike_colours_apart():
    style = color_statistics(to_tensor(stripes((64, 64))))
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    found, matched = toward_style_colors(image, style), match_color_statistics(image, style)
    torch.testing.assert_close(found, (image + matched) / 2)
    # Red and blue of one brightness: the style has hardly any reds.
    pair = torch.zeros(1, 3, 32, 32)
    pair[:, 0, :, :16], pair[:, 2, :, 16:] = 0.8, 0.8
    apart = [(x[..., 0] - x[..., -1]).norm() for x in (pair, toward_style_colors(pair, style))]
    assert apart[1] > 0.4 * apart[0]


def test_match_color_statistics_keeps_the_order_of_greys(content):
    style = soft((60, 80, 160), 25)
    ramp = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64).contiguous()
    grey = match_color_statistics(ramp, color_statistics(style)).sum(1)[0, 0]
    assert (grey.diff() >= 0).all() and grey[-1] > grey[0]


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_match_color_statistics_does_not_amplify_noise(level):
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) / 255
    flat = torch.full((1, 3, 64, 64), level)
    wild = to_tensor(stripes())
    assert match_color_statistics(flat, color_statistics(wild)).std(dim=(2, 3)).max() < 1e-4
    noisy = match_color_statistics((flat + noise).clamp(0, 1), color_statistics(wild))
    assert (
        noisy.isfinite().all() and noisy.std(dim=(2, 3)).max() < 10 / 255
    )  # one level of noise; the most it may grow is 1 / MIN_STD


def test_match_color_statistics_of_a_grey_style_removes_colour(content):
    grey = to_tensor(stripes().mean(2, keepdims=True).repeat(3, 2).astype(np.uint8))
    led = match_color_statistics(content, color_statistics(grey))
    assert (led.amax(1) - led.amin(1)).max() < 0.02 < (content.amax(1) - content.amin(1)).max()
    assert min(MIN_STD) > 0


def test_style_colours_of_a_blend_are_the_weighted_mean(features):
    one, other = stripes(), scene(size=(64, 64))
    blend = Style.from_images([one, other], features, [3.0, 1.0])
    wanted = sum(
        share * color_statistics(to_tensor(image[2:-2, 2:-2]))
        for share, image in ((0.75, one), (0.25, other))
    )
    assert torch.allclose(blend.color_statistics(), wanted, atol=1e-6)
    again = Style.blend(
        [Style.from_images([one], features), Style.from_images([other], features)], [3.0, 1.0]
    )
    assert torch.allclose(again.color_statistics(), wanted, atol=1e-6)
