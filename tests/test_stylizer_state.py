"""What a stylizer carries from frame to frame: image, Adam state, learning rate."""

import numpy as np
import pytest
import torch
from conftest import QUICK, painter, scene

from vidstyle import Frame, Motion, Style
from vidstyle.optim.adam import BETA2, FAST_LR_DECAY, StepSize
from vidstyle.stylizer import stylizer
from vidstyle.stylizer.warm_start import MEAN_CORRECTION


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


def test_stylizer_init_content_and_noise_start_every_frame_cold(features, style):
    for init in ("content", "noise"):
        paint = painter(features, style, init=init)
        first, second = paint(Frame(scene())), paint(Frame(scene()))
        assert len(paint.iterations) == QUICK.initial_steps
        assert np.array_equal(first.image, second.image)


def test_stylizer_separate_states_within_each_other_stay_separate(features, style):
    paint = painter(features, style)
    with paint.separate_state():
        with paint.separate_state():
            pass
        assert paint.separate
    assert not paint.separate


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
    entered = scene()
    entered[:, :12] = 255 - entered[:, :12]  # or the background plate would know it
    paint(Frame(entered), Motion(flow, reliable), steps=1)
    after = paint.state()
    once = torch.tensor(1 - BETA2)  # the weight after a single step
    torch.testing.assert_close(after["bias_correction0"][..., :5], once.expand(1, 1, 48, 5))
    assert (after["bias_correction0"][..., 6:] > before["bias_correction0"].max()).all()
    kept = (after["image"][..., 6:] - before["image"][..., 1:-5]).abs().mean()
    assert (
        kept <= 2 * QUICK.learning_rate
    )  # a step is of the order of the learning rate at each of a few scales


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
        stylizer(Frame(scene()), steps=6)
        losses.append(stylizer.iterations[-1].style)
    assert losses[1] < losses[0]


WARM = {"mean_correction": MEAN_CORRECTION}

COLD_START, FULL_LR, RESTYLE, FAST_DECAY = (
    StepSize(0)[1:],
    StepSize(0, **WARM)[1:],
    StepSize(0, coarse_gain=1, chroma_gain=1, **WARM)[1:],
    StepSize(0, FAST_LR_DECAY, nesterov=1, **WARM)[1:],
)
"""How the learning rate falls, whether steps look ahead, how readily regions and colours change,
and how long first steps are."""


def rates_over(frames, features, style, monkeypatch, **settings):
    """The step size of each frame, and the stylizer after them."""
    paint, rates = painter(features, style, **settings), []
    plain = paint.step_runner
    monkeypatch.setattr(
        paint,
        "step_runner",
        lambda image, objective, steps, state, step_size, on_step: (
            rates.append(step_size[1:]) or plain(image, objective, steps, state, step_size, on_step)
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
    # Four at once, and one on each frame.
    assert rates == [COLD_START] + [FULL_LR] * 4 + [FAST_DECAY]
    again = painter(features, style, initial_steps=4, pyramid_levels=1, steps=1)
    again.load_state(paint.state())
    assert np.array_equal(again(Frame(scene(0.1))).image, paint(Frame(scene(0.1))).image)


def test_stylizer_learning_rate_is_full_again_after_a_change_of_size_or_style(
    features, style, monkeypatch
):
    monkeypatch.setattr(stylizer, "FULL_LR_STEPS", 3)
    large = scene(size=(88, 66))
    rates, paint = rates_over(
        [scene(), scene(), large, large, large, large],
        features,
        style,
        monkeypatch,
        pyramid_levels=1,
        steps=1,
    )
    assert rates[-5:] == [FAST_DECAY, FULL_LR, FULL_LR, FULL_LR, FAST_DECAY]
    paint.reset_learning_rate()
    paint(Frame(large))
    assert rates[-1] == RESTYLE


def test_stylizer_begins_anew_with_a_frame_of_another_shape(features, style):
    """A phone was rotated: the stretched image of before would be no start."""
    upright = Frame(np.ascontiguousarray(np.rot90(scene())))
    rotated, fresh = painter(features, style), painter(features, style)
    rotated(Frame(scene()))
    assert np.array_equal(rotated(upright).image, fresh(upright).image)
