import platform
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import scene, stripes, tiny_network

from vidstyle import DeviceError, Frame, Motion, Settings, Style, Stylizer, load_features
from vidstyle.features.weights import bundled_features
from vidstyle.ops.color import match_color_statistics
from vidstyle.ops.tensors import to_image, to_tensor
from vidstyle.optim import adam
from vidstyle.optim.adam import BETA2, FAST_LR_DECAY, StepSize
from vidstyle.stylizer import memory_check, stylizer

QUICK = Settings(initial_steps=6, steps=2, precision="fp32")  # the same on every machine


def painter(features, style, **changes):
    return Stylizer(features, style, replace(QUICK, **changes))


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


def test_warm_start_reaches_the_loss_of_a_cold_start_in_fewer_steps(features, style):
    warm = painter(features, style, initial_steps=60, pyramid_levels=1)
    warm(Frame(scene(0.0)))
    warm(Frame(scene(0.1)), steps=5)
    cold = painter(features, style, initial_steps=60, pyramid_levels=1)
    cold(Frame(scene(0.1)))
    reached = warm.iterations[-1].total
    needed = next(
        (i for i, iteration in enumerate(cold.iterations, 1) if iteration.total <= reached), 61
    )
    assert len(warm.iterations) == 5
    assert needed > 4 * len(warm.iterations)


def test_stylizer_carries_the_adam_state_from_frame_to_frame(features, style):
    paint = painter(features, style)
    paint(Frame(scene()))
    before = paint.state()["bias_correction0"]
    paint(Frame(scene(0.1)), steps=3)
    # The weight is 1 - BETA_SQUARE ** steps: three more steps of the same count.
    torch.testing.assert_close(1 - paint.state()["bias_correction0"], (1 - before) * BETA2**3)


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
    paint = painter(features, style, initial_steps=6, pyramid_levels=3)
    paint(Frame(scene(size=(160, 120))))
    assert [i.size for i in paint.iterations] == [(58, 44)] * 2 + [(96, 72)] * 2 + [(160, 120)] * 2


def test_stylizer_init_content_and_noise_start_every_frame_cold(features, style):
    for init in ("content", "noise"):
        paint = painter(features, style, init=init)
        first, second = paint(Frame(scene())), paint(Frame(scene()))
        assert len(paint.iterations) == QUICK.initial_steps
        assert np.array_equal(first.image, second.image)


def test_stylizer_reset_makes_the_next_frame_a_first_frame(features, style):
    used, new = painter(features, style), painter(features, style)
    used(Frame(scene()))
    used.reset()
    assert used.state() == {}
    assert np.array_equal(used(Frame(scene(0.5))).image, new(Frame(scene(0.5))).image)


def test_stylizer_load_state_continues_from_a_state(features, style):
    whole, one, two = (painter(features, style) for _ in range(3))
    for time in (0, 0.1):
        whole(Frame(scene(time)))
        one(Frame(scene(time)))
    two.load_state(one.state())
    assert np.array_equal(two(Frame(scene(0.2))).image, whole(Frame(scene(0.2))).image)


def test_stylizer_load_state_refuses_a_wrong_state(features, style):
    paint = painter(features, style)
    with pytest.raises(ValueError, match="lacks"):
        paint.load_state({"image": torch.zeros(1, 3, 4, 4)})
    paint(Frame(scene()))
    state = paint.state()
    with pytest.raises(ValueError, match="belong together"):
        paint.load_state(state | {"image": torch.zeros(1, 3, 4, 4)})


def test_stylizer_starts_cold_after_a_cut(features, style):
    paint, fresh = painter(features, style), painter(features, style)
    paint(Frame(scene()))
    after = paint(Frame(scene(2)), Motion(cut=True))
    assert np.array_equal(after.image, fresh(Frame(scene(2))).image)


def test_stylizer_warps_the_previous_image_and_its_adam_state(features, style):
    paint = painter(features, style)
    paint(Frame(scene()))
    before = paint.state()
    flow = torch.zeros(1, 2, 48, 64)
    flow[:, 0] = -5  # everything moved 5 px to the right
    reliable = torch.ones(1, 1, 48, 64)
    reliable[..., :5] = 0  # what entered at the left edge
    paint(Frame(scene()), Motion(flow, reliable), steps=1)
    after = paint.state()
    once = torch.tensor(1 - BETA2)  # the weight after a single step
    torch.testing.assert_close(after["bias_correction0"][..., :5], once.expand(1, 1, 48, 5))
    assert (after["bias_correction0"][..., 6:] > before["bias_correction0"].max()).all()
    kept = (after["image"][..., 6:] - before["image"][..., 1:-5]).abs().mean()
    assert (
        kept <= 2 * QUICK.learning_rate
    )  # a step is of the order of the learning rate at each of a few scales


def test_stylizer_working_size_and_size(features, style):
    paint = painter(features, style, size=128, working_size=64)
    painted = paint(Frame(scene(size=(320, 240))))
    assert painted.size == (128, 96)
    assert paint.iterations[-1].size == (64, 48)
    assert paint.working_size((320, 240)) == (64, 48)


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


def test_stylizer_reset_learning_rate_speeds_up_a_change_of_style(features, style):
    """After as many steps towards another style the style loss is lower."""
    other, losses = Style.from_images([scene(3.0)], features), []
    for reset in (False, True):
        stylizer = painter(features, style, steps=6)
        for _ in range(12):
            stylizer(Frame(scene()))
        stylizer.style = other
        if reset:
            stylizer.reset_learning_rate()
        for _ in range(2):
            stylizer(Frame(scene()), steps=6)
        losses.append(stylizer.iterations[-1].style)
    assert losses[1] < losses[0]


FULL_LR, RESTYLE, FAST_DECAY = (
    StepSize(0)[1:],
    StepSize(0, coarse_gain=1, chroma_gain=1)[1:],
    StepSize(0, FAST_LR_DECAY, nesterov=1)[1:],
)
"""How the learning rate falls, whether steps look ahead, and how readily regions and colours
change."""


def rates_over(frames, features, style, monkeypatch, **settings):
    """The step size of each frame, and the stylizer after them."""
    paint, rates = painter(features, style, **settings), []
    plain = paint.step_runner
    monkeypatch.setattr(
        paint,
        "step_runner",
        lambda *args, step_size, **kwargs: (
            rates.append(step_size[1:]) or plain(*args, step_size=step_size, **kwargs)
        ),
    )
    for frame in frames:
        paint(Frame(frame))
    return rates, paint


def test_stylizer_learning_rate_decays_fast_after_enough_steps_at_full_size(
    features, style, monkeypatch
):
    monkeypatch.setattr(stylizer, "FULL_LR_STEPS", 8)
    rates, paint = rates_over(
        [scene()] * 6, features, style, monkeypatch, initial_steps=4, pyramid_levels=1, steps=1
    )
    assert rates == [FULL_LR] * 5 + [FAST_DECAY]  # four fresh ones, and one on each frame
    again = painter(features, style, initial_steps=4, pyramid_levels=1, steps=1)
    again.load_state(paint.state())
    assert np.array_equal(again(Frame(scene(0.1))).image, paint(Frame(scene(0.1))).image)


def test_stylizer_learning_rate_is_full_again_after_a_change_of_size_or_style(
    features, style, monkeypatch
):
    monkeypatch.setattr(stylizer, "FULL_LR_STEPS", 3)
    small = np.ascontiguousarray(scene()[::2, ::2])
    rates, paint = rates_over(
        [scene(), scene(), small, small, small, small],
        features,
        style,
        monkeypatch,
        pyramid_levels=1,
        steps=1,
    )
    assert rates[-5:] == [FAST_DECAY, FULL_LR, FULL_LR, FULL_LR, FAST_DECAY]
    paint.reset_learning_rate()
    paint(Frame(small))
    assert rates[-1] == RESTYLE


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
        lambda self, size_px, names: layers.append(set(names)) or grams(self, size_px, names),
    )
    return layers


def test_stylizer_uses_the_chosen_layers(features, frame, asked):
    style = Style.from_images([stripes()], features)  # of which nothing is in the cache
    paint = painter(features, style, style_layers=("relu1_1",), content_layers=("relu2_1",))
    paint(frame)
    assert asked and all(layers == {"relu1_1"} for layers in asked)
    assert paint.iterations[0].content == 0  # it starts from the content


def test_stylizer_starts_the_first_frame_with_the_color_statistics_of_the_style(
    features, style, frame
):
    paint = painter(features, style, initial_steps=1, pyramid_levels=1, learning_rate=1e-6)
    painted = to_tensor(paint(frame).image)
    assert torch.allclose(
        painted,
        match_color_statistics(to_tensor(frame.image), style.color_statistics()),
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


def test_stylizer_out_of_memory_names_the_remedy(features, style, frame, monkeypatch):
    monkeypatch.setattr(memory_check, "free_memory", lambda device: 1000)
    with pytest.raises(DeviceError, match="smaller working_size"):
        painter(features, style)(frame)
    big = Frame(np.zeros((1000, 2000, 3), np.uint8))
    monkeypatch.setattr(memory_check, "free_memory", lambda device: 1_000_000_000)
    with pytest.raises(DeviceError, match="working_size=") as error:
        painter(features, style, working_size=2000)(big)
    fits = int(re.search(r"working_size=(\d+) would fit", str(error.value))[1])
    assert 500 < fits < 1000  # 2.4 kB for each of 2,000,000 px, and the file's own
    monkeypatch.setattr(Stylizer, "_stylize_initial", lambda self, content, steps: content)
    assert painter(features, style, working_size=fits)(big).size == (2000, 1000)
    monkeypatch.undo()

    def burst(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(adam, "adam_step", burst)
    with pytest.raises(DeviceError, match="smaller working_size"):
        painter(features, style)(frame)


def test_stylizer_asks_for_free_memory_once_per_size(features, style, frame, monkeypatch):
    paint = painter(features, style)
    small = Frame(frame.image[:32, :48])
    for each in (frame, small):
        paint(each)
    monkeypatch.setattr(
        memory_check, "free_memory", lambda device: 0
    )  # another program has taken all since
    for each in (frame, small, frame):
        paint(each)


def test_stylizer_counts_the_memory_of_the_size_before_as_free(features, style, frame, monkeypatch):
    paint = painter(features, style)
    paint(frame)
    monkeypatch.setattr(memory_check, "free_memory", lambda device: 0)
    paint(Frame(frame.image[:32, :48]))  # which fits into what the larger frame needed
    with pytest.raises(DeviceError, match="out of memory"):
        paint(Frame(np.zeros((200, 300, 3), np.uint8)))


@pytest.mark.parametrize("init", ["noise", "content"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_stylizer_loss_falls_as_promised_on_a_224_px_pair(init, optimizer):
    features = load_features("bundled", "cpu")
    style = Style.from_images([stripes((224, 224))], features)
    settings = Settings(init=init, optimizer=optimizer, pyramid_levels=1, initial_steps=30)
    paint = Stylizer(features, style, settings)
    paint(Frame(scene(size=(224, 224)), Fraction(0)))
    totals = [iteration.total for iteration in paint.iterations]
    assert [iteration.size for iteration in paint.iterations] == [(224, 224)] * 30
    for number, share in ((10, 0.48), (20, 0.28), (30, 0.20)):
        assert totals[number - 1] <= share * totals[0]


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="this C library has a mind of its own"
)
def test_keep_freed_memory_lets_the_next_step_use_it(features, style):
    resource = pytest.importorskip("resource")
    Stylizer(features, style)

    def pages_cleared():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**22)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    # 16 MiB are 4096 pages, and so large that they would be given back each time.
    assert min(pages_cleared() for _ in range(5)) < 400


def test_stylizer_gives_the_content_its_full_weight_at_the_full_size_alone(
    features, style, monkeypatch
):
    """At level 1 of 3 it is a third of the weight: coarse strokes come first."""
    paint = painter(features, style, initial_steps=3, pyramid_levels=3)
    weights = []

    def noted(image, objective, *args, **named):
        named_weights = zip(objective.losses, objective.weights, strict=True)
        weights.append({loss.name: weight for loss, weight in named_weights})
        return minimize(image, objective, *args, **named)

    minimize = adam.adam
    monkeypatch.setattr(stylizer, "adam", noted)
    monkeypatch.setattr(paint, "step_runner", noted)
    paint(Frame(scene(size=(160, 120))))
    full = QUICK.content_weight
    assert [level["content"] for level in weights] == pytest.approx([full / 3, 2 * full / 3, full])
    assert [level["style"] for level in weights] == [QUICK.style_weight] * 3


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
