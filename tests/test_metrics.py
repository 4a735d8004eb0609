import numpy as np
import pytest
import torch
from conftest import scene, stripes

from vidstyle.metrics import colors_only, evaluate, stroke_coherence, style_distance
from vidstyle.ops.tensors import to_tensor


@pytest.fixture
def content():
    return to_tensor(scene(size=(320, 240)))


@pytest.fixture
def style():
    grain = np.random.default_rng(0).normal(0, 12, (256, 256, 1))  # nothing is as clean as a sine
    return to_tensor(np.clip(stripes((256, 256)) + grain, 0, 255).astype(np.uint8))


def test_evaluate_of_the_content_gives_style_1_and_structure_1(content, style):
    figures = evaluate(content, content, style)
    assert figures.style == pytest.approx(1) and figures.structure == pytest.approx(1)


def test_evaluate_of_the_style_gives_style_0_and_no_structure(content, style):
    figures = evaluate(style, content, style)
    assert figures.style == pytest.approx(0, abs=1e-6) and abs(figures.structure) < 0.3
    assert figures.strokes == pytest.approx((1, 1, 1, 1)) and figures.energy == pytest.approx(1)


def test_evaluate_gives_noise_few_strokes_and_blur_little_energy(content, style):
    noise = torch.rand(style.shape, generator=torch.Generator().manual_seed(0))
    assert evaluate(noise, content, style).strokes[0] < 0.4
    blurred = torch.nn.functional.avg_pool2d(style, 9, 1, 4)
    assert evaluate(blurred, content, style).energy < 0.5


def test_stroke_coherence_is_higher_for_long_than_for_crossed_strokes():
    slanted = to_tensor(stripes((128, 128)))
    assert stroke_coherence(slanted)[0] > 0.95  # one direction everywhere: 1 but for the border
    assert stroke_coherence((slanted + slanted.flip(-1)) / 2)[0] < 0.6


def test_colors_only_has_the_colours_of_the_style_and_the_edges_of_the_content(content, style):
    control = colors_only(content, style)
    torch.testing.assert_close(
        control.mean((2, 3)), style.mean((2, 3)), atol=0.02, rtol=0
    )  # what is clipped is lost
    figures = evaluate(control, content, style)
    assert figures.structure > 0.7 and figures.style < 1


def test_style_distance_is_the_same_in_every_run(content, style):
    assert style_distance(content, style) == style_distance(content, style)
