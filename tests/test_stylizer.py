"""A stylizer frame by frame: sizes, colours, layers, losses."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import QUICK, painter, scene, stripes, tiny_network

from vidstyle import Frame, Settings, Style, Stylizer, load_features
from vidstyle.features.weights import bundled_features
from vidstyle.io.images import bundled_styles
from vidstyle.ops.color import toward_style_colors
from vidstyle.ops.tensors import to_image, to_tensor
from vidstyle.optim import adam
from vidstyle.stylizer import stylizer
from vidstyle.stylizer.sizes import content_scale


def test_stylizer_keeps_time_and_size_of_a_frame_and_changes_its_look(features, style, frame):
    painted = painter(features, style)(frame)
    assert (painted.time, painted.duration, painted.size) == (
        frame.time,
        frame.duration,
        frame.size,
    )
    assert painted.image.dtype == np.uint8
    assert np.abs(painted.image.astype(int) - frame.image).mean() > 5


def test_stylizer_gives_the_same_bytes_for_the_same_seed(features, style):
    def paint(seed):
        paint = painter(features, style, init="noise", seed=seed)
        return [paint(Frame(scene(time))).image for time in (0, 0.1)]

    first, again, other = paint(1), paint(1), paint(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_stylizer_computes_style_targets_once(features, monkeypatch):
    style = Style.from_images([stripes()], features)
    paint = painter(features, style)
    paint(Frame(scene()))
    looked = []
    monkeypatch.setattr(
        features,
        "forward",
        lambda image, layers, run=features.forward: (
            looked.append(image.shape) or run(image, layers)
        ),
    )
    paint(Frame(scene(0.1)))
    assert looked == [(1, 3, 48, 64)] * (
        2 + QUICK.steps
    )  # the content and where it starts, then one look per step


def test_stylizer_takes_as_many_steps_as_set(features, style):
    paint = painter(features, style, initial_steps=7, steps=3, pyramid_levels=2)
    paint(Frame(scene()))
    assert [i.size for i in paint.iterations] == [
        (64, 48)
    ] * 7  # a coarser level would be too small to look at
    paint(Frame(scene()))
    assert len(paint.iterations) == 3
    paint(Frame(scene()), steps=1)
    assert len(paint.iterations) == 1
    with pytest.raises(ValueError, match="at least 1"):
        paint(Frame(scene()), steps=0)


def test_stylizer_optimizes_pyramid_levels_coarse_to_fine(features, style):
    paint = painter(features, style, initial_steps=61, pyramid_levels=3)
    paint(Frame(scene(size=(160, 120))))
    sizes = [i.size for i in paint.iterations]
    assert sizes == [(58, 44)] * 20 + [(96, 72)] * 20 + [(160, 120)] * 21


def test_stylizer_with_few_steps_has_fewer_pyramid_levels(features, style):
    """With 20 steps or more on each level, so that coarse strokes do not cover what they show."""
    paint = painter(features, style, initial_steps=45, pyramid_levels=5)
    paint(Frame(scene(size=(160, 120))))
    assert [i.size for i in paint.iterations] == [(96, 72)] * 22 + [(160, 120)] * 23


def test_stylizer_working_size_and_size(features, style):
    paint = painter(features, style, size=128, working_size=64)
    painted = paint(Frame(scene(size=(320, 240))))
    assert painted.size == (128, 96)
    assert paint.iterations[-1].size == (64, 48)
    assert paint.working_size((320, 240)) == (64, 48)


@pytest.mark.parametrize(
    ("working", "scale", "side"), [(64, 1.0, 64), (64, 0.5, 32), (2048, 1.0, 768), (2048, 0.5, 384)]
)
def test_flow_side_follows_the_working_size_up_to_a_limit(features, style, working, scale, side):
    paint = painter(features, style, working_size=working, flow_scale=scale)
    assert paint.flow_px((4096, 2048)) == side


def test_stylizer_keeps_odd_sizes(features, style):
    assert painter(features, style)(Frame(scene(size=(65, 47)))).size == (65, 47)


def test_stylizer_accepts_other_sizes_settings_and_styles_between_frames(features, style):
    paint = painter(features, style)
    paint(Frame(scene()))
    assert paint(Frame(scene(size=(80, 60)))).size == (80, 60)
    paint.settings = replace(paint.settings, strength=0.0)
    assert np.array_equal(paint(Frame(scene())).image, scene())
    paint.style = Style.from_images([scene(size=(64, 64))], features)
    paint.settings = QUICK
    assert not np.array_equal(paint(Frame(scene())).image, scene())


def test_stylizer_strength_blends_with_the_source(features, style, frame):
    full, half = (painter(features, style, strength=s)(frame).image.astype(int) for s in (1.0, 0.5))
    assert np.abs(half - (full + frame.image) / 2).max() <= 1  # two roundings


def test_stylizer_original_colors_keep_the_color_differences_of_the_source(features, style):
    grey = np.repeat(scene()[..., :1], 3, axis=2) // 2 + 60  # mid greys: nothing clips
    painted = painter(features, style, original_colors=True)(Frame(grey)).image.astype(int)
    assert np.ptp(painted, axis=2).max() <= 1
    assert np.abs(painted - grey).mean() > 3


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_stylizer_keeps_depth_and_alpha(features, style, kind):
    image = scene().astype(kind) * (257 if kind == np.uint16 else 1)
    assert np.array_equal(to_image(to_tensor(image), deep=kind == np.uint16), image)
    alpha = np.linspace(0, np.iinfo(kind).max, 64).astype(kind)[None, :, None].repeat(48, 0)
    painted = painter(features, style)(Frame(np.dstack([image, alpha]))).image
    assert painted.dtype == kind and painted.shape == (48, 64, 4)
    assert np.array_equal(painted[..., 3:], alpha)
    assert len(np.unique(painted[..., :3])) > (256 if kind == np.uint16 else 50)


def test_stylizer_compare_shows_the_source_next_to_the_stylized_frame(features, style):
    alone = painter(features, style)(Frame(scene())).image
    beside = painter(features, style, compare="beside")(Frame(scene())).image
    below = painter(features, style, compare="below")(
        Frame(np.dstack([scene(), scene()[..., :1]]))
    ).image
    assert np.array_equal(beside[:, :64], scene()) and np.array_equal(beside[:, 64:], alone)
    assert np.array_equal(below[:48, :, :3], scene()) and np.array_equal(below[48:, :, :3], alone)
    assert np.array_equal(below[48:, :, 3], scene()[..., 0])


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 3)), "picture"])
def test_frame_refuses_what_is_not_an_image(image):
    with pytest.raises((TypeError, ValueError)):
        Frame(image)
    with pytest.raises(ValueError, match="shape"):
        Frame(np.zeros((4, 4), np.uint8))


def test_stylizer_refuses_unknown_layers_and_foreign_styles(features, style):
    with pytest.raises(ValueError, match="relu7_1"):
        painter(features, style, style_layers=("relu7_1",))
    other = bundled_features(tiny_network(1))
    with pytest.raises(ValueError, match="other features"):
        Stylizer(other, style)


@pytest.fixture
def asked(monkeypatch):
    """The layers of each style target that is asked for."""
    layers = []
    grams = Style.grams
    monkeypatch.setattr(
        Style,
        "grams",
        lambda self, size, names: layers.append(set(names)) or grams(self, size, names),
    )
    return layers


def test_stylizer_uses_the_chosen_layers(features, frame, asked):
    style = Style.from_images([stripes()], features)  # of which nothing is in the cache
    paint = painter(features, style, style_layers=("relu1_1",), content_layers=("relu2_1",))
    paint(frame)
    assert asked and all(layers == {"relu1_1"} for layers in asked)
    assert paint.iterations[0].content == 0  # it starts from the content


def test_stylizer_starts_the_first_frame_with_colors_nearer_to_the_style(features, style, frame):
    paint = painter(features, style, initial_steps=1, pyramid_levels=1, learning_rate=1e-6)
    painted = to_tensor(paint(frame).image)
    assert torch.allclose(
        painted,
        toward_style_colors(to_tensor(frame.image), style.color_statistics()),
        atol=2 / 255,
    )  # the step, and rounding
    known = painter(
        features, style, initial_steps=1, pyramid_levels=1, learning_rate=1e-6, original_colors=True
    )(frame)
    difference = to_tensor(known.image) - to_tensor(frame.image)
    assert (
        difference.amax(1) - difference.amin(1)
    ).median() < 3 / 255  # its own colours are kept where that is wished for


def test_stylizer_uses_fast_style_layers_where_set(features, frame, asked):
    few = Style.from_images([stripes()], features)
    painter(features, few, fast_style_layers=True)(frame)
    assert asked and all(layers == set(features.fast_style_layers) for layers in asked)


@pytest.mark.parametrize("fill", [0, 255])
def test_stylizer_keeps_the_losses_of_a_blank_frame_finite(features, style, fill):
    paint = painter(features, style)
    for _ in range(3):
        paint(Frame(np.full((48, 64, 3), fill, np.uint8)))
    assert all(np.isfinite(i.total) for i in paint.iterations)


@pytest.mark.parametrize("init", ["noise", "content"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_stylizer_loss_falls_as_promised_on_a_224_px_pair(init, optimizer):
    features = load_features("bundled", "cpu")
    style = Style.from_images([bundled_styles()["strokes"]], features)
    settings = Settings(init=init, optimizer=optimizer, pyramid_levels=1, initial_steps=30)
    paint = Stylizer(features, style, settings)
    paint(Frame(scene(size=(224, 224)), Fraction(0)))
    totals = [iteration.total for iteration in paint.iterations]
    assert [iteration.size for iteration in paint.iterations] == [(224, 224)] * 30
    for number, share in ((10, 0.45), (20, 0.26), (30, 0.18)):
        assert totals[number - 1] <= share * totals[0]


@pytest.mark.parametrize(("side", "factor"), [(1024, 1), (512, 1), (320, 2), (256, 2.8), (64, 2.8)])
def test_stylizer_gives_the_content_more_weight_in_small_images(features, style, side, factor):
    """Their strokes are larger beside a face."""
    weights = []
    for size in (side, 512):
        paint = Stylizer(features, style, QUICK)
        objective = paint.objective(torch.zeros(1, 3, size // 2, size))
        weights += [
            weight
            for loss, weight in zip(objective.losses, objective.weights, strict=True)
            if loss.name == "content"
        ]
    assert weights[0] == pytest.approx(factor * weights[1], rel=0.05)


def test_stylizer_gives_the_content_its_full_weight_at_the_full_size_alone(
    features, style, monkeypatch
):
    """At level 1 of 3 it is a third of the weight: coarse strokes come first."""
    paint = painter(features, style, initial_steps=60, pyramid_levels=3)
    weights = []

    def noted(image, objective, *args, **named):
        named_weights = zip(objective.losses, objective.weights, strict=True)
        weights.append({loss.name: weight for loss, weight in named_weights})
        return minimize(image, objective, *args, **named)

    minimize = adam.adam
    monkeypatch.setattr(stylizer, "adam", noted)
    monkeypatch.setattr(paint, "step_runner", noted)
    paint(Frame(scene(size=(160, 120))))
    full = QUICK.content_weight * content_scale((160, 120))
    levels = [level["content"] for level in weights[::2]]  # a level is matched anew at half time
    assert levels == pytest.approx([full / 3, 2 * full / 3, full])
    assert [level["style"] for level in weights] == [QUICK.style_weight] * 6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stylizer_paints_the_same_in_inference_mode(precision):
    def painted():
        loaded = load_features("bundled", "cpu")
        paint = painter(loaded, Style.from_images([stripes()], loaded), precision=precision)
        return [paint(Frame(scene(time))).image for time in (0, 0.1)]

    with torch.inference_mode():
        within = painted()
    assert all(np.array_equal(a, b) for a, b in zip(within, painted(), strict=True))


def test_stylizers_in_two_threads_share_features_and_style(features):
    """Both give the frames that each gives alone; statistics of the style are not cached before."""
    settings = [{}, {"init": "noise", "style_scale": 0.7, "patch_weight": 0}]

    def frames(style, changes):
        paint = painter(features, style, **changes)
        return [paint(Frame(scene(number / 10))).image for number in range(4)]

    alone = [frames(Style.from_images([stripes()], features), changes) for changes in settings]
    shared = Style.from_images([stripes()], features)
    with ThreadPoolExecutor(len(settings)) as pool:
        together = list(pool.map(lambda changes: frames(shared, changes), settings))
    for expected, actual in zip(alone, together, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(expected, actual, strict=True))
