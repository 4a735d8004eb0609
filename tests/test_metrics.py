import numpy as np
import pytest
import torch
from conftest import scene, stripes

from vidstyle.metrics import colors_only, contour_recall, evaluate, stroke_coherence, style_distance
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


def test_evaluate_of_a_style_that_is_the_content_has_no_share(content):
    figures = evaluate(content, content, content)
    assert np.isnan(figures.style) and figures.energy == pytest.approx(1)
    flat = torch.zeros_like(content)
    assert np.isnan(evaluate(content, content, flat).energy)


def blocks(*squares, size=(320, 240)):
    """Squares of 80 px, each (x, y, grey), on a grey ground with grain."""
    image = np.full((size[1], size[0], 3), 120.0)
    for x, y, grey in squares:
        image[y : y + 80, x : x + 80] = grey
    grain = np.random.default_rng(1).normal(0, 6, image.shape)
    return to_tensor(np.clip(image + grain, 0, 255).astype(np.uint8))


def test_contour_recall_misses_a_faint_thing_that_vanishes():
    both = blocks((40, 60, 220), (180, 30, 140))
    only_the_strong = blocks((40, 60, 220))
    only_the_faint = blocks((180, 30, 140))
    assert contour_recall(both, both) == pytest.approx(1)
    # Each is half of the contours, whatever its contrast.
    assert contour_recall(only_the_strong, both) == pytest.approx(0.5, abs=0.15)
    assert contour_recall(only_the_faint, both) == pytest.approx(0.5, abs=0.15)


def test_contour_recall_is_about_0_for_strokes_everywhere():
    content, strokes = blocks((40, 60, 220)), to_tensor(stripes((320, 240)))
    assert abs(contour_recall(strokes, content)) < 0.2
    assert contour_recall(content, torch.full_like(content, 0.5)) == 1  # nothing to lose


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
