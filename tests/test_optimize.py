import torch

from vidstyle.ops.color import opponent_matrix
from vidstyle.optim import adam as adam_module
from vidstyle.optim.adam import (
    BETA1,
    BETA2,
    FAST_LR_DECAY,
    MIN_LR_FRACTION,
    SLOW_LR_DECAY,
    AdamState,
    StepSize,
    adam,
)
from vidstyle.optim.lbfgs import lbfgs

TARGET = torch.linspace(0.3, 0.7, 3 * 6 * 6).reshape(1, 3, 6, 6)


def bowl(image):
    """A loss with its minimum at TARGET, steeper in some pixels than in others."""
    total = ((image - TARGET).square() * torch.linspace(1, 5, 6)).sum()
    return {"total": total}


def test_adam_at_one_scale_is_torchs_adam_of_opponent_colors_but_for_the_warm_up(monkeypatch):
    monkeypatch.setattr(adam_module, "PYRAMID_SCALES", 1)
    monkeypatch.setattr(adam_module, "MIN_LR_FRACTION", 1.0)
    ours = adam(
        torch.full_like(TARGET, 0.5),
        bowl,
        12,
        AdamState.zero(TARGET),
        StepSize(0.01, chroma_gain=0.3),
    ).image
    axes = opponent_matrix(torch.device("cpu"))
    theirs = [(axes @ torch.full((3, 36), 0.5))[[axis]].requires_grad_(True) for axis in range(3)]
    shares = 1.0, 0.3, 0.3
    optimiser = torch.optim.Adam(
        [{"params": axis} for axis in theirs], lr=0.01, betas=(BETA1, BETA2)
    )
    shown = lambda: (axes.T @ torch.cat(theirs)).view_as(TARGET)  # noqa: E731
    for step in range(1, 13):
        for group, share in zip(optimiser.param_groups, shares, strict=True):
            group["lr"] = (
                0.01 * share * (1 - BETA1**step)
            )  # undoes the first moment's bias correction
        optimiser.zero_grad()
        bowl(shown())["total"].backward()
        optimiser.step()
    torch.testing.assert_close(
        ours, shown().detach(), atol=1e-6, rtol=0
    )  # a few float32 roundings per step


def test_adam_with_nesterov_is_nadam(monkeypatch):
    """The step follows the mean after one more gradient like the present (Dozat 2016, alg. 2)."""
    monkeypatch.setattr(adam_module, "PYRAMID_SCALES", 1)
    tilted = torch.linspace(-1, 2, TARGET.numel()).reshape(TARGET.shape)
    slopes = (tilted, tilted.flip(-1))
    mean = square = weight = torch.zeros(())
    image, state = torch.full_like(TARGET, 0.5), AdamState.zero(TARGET)
    expected, axes = image, opponent_matrix(torch.device("cpu"))
    for slope in slopes:
        linear = lambda image, slope=slope: {"total": (image * slope).sum()}  # noqa: E731
        step = adam(image, linear, 1, state, StepSize(0.01, 0.0, 1.0, chroma_gain=0.3))
        image, state = step.image, step.state
        gradient = torch.einsum("oc,bchw->bohw", axes, slope)
        mean = BETA1 * mean + (1 - BETA1) * gradient
        square = BETA2 * square + (1 - BETA2) * gradient.square()
        weight = BETA2 * weight + 1 - BETA2
        direction = (BETA1 * mean + (1 - BETA1) * gradient) / (square / weight).sqrt()
        shares = torch.tensor([1.0, 0.3, 0.3]).view(1, 3, 1, 1)
        expected = expected - 0.01 * torch.einsum("oc,bohw->bchw", axes, shares * direction)
    torch.testing.assert_close(image, expected, atol=1e-6, rtol=0)  # float32


def test_adam_at_several_scales_changes_a_flat_region_in_fewer_steps(monkeypatch):
    goal = torch.full((1, 3, 64, 64), 0.9)

    def loss_after(scales):
        monkeypatch.setattr(adam_module, "PYRAMID_SCALES", scales)
        far = lambda image: {"total": (image - goal).square().mean()}  # noqa: E731
        return far(
            adam(torch.zeros_like(goal), far, 16, AdamState.zero(goal), StepSize(0.06)).image
        )["total"]

    assert loss_after(5) < 0.5 * loss_after(1)


def test_adam_state_carried_makes_two_runs_one():
    whole = adam(torch.zeros_like(TARGET), bowl, 10, AdamState.zero(TARGET), StepSize(0.02))
    first = adam(torch.zeros_like(TARGET), bowl, 4, AdamState.zero(TARGET), StepSize(0.02))
    second = adam(first.image, bowl, 6, first.state, StepSize(0.02))
    torch.testing.assert_close(second.image, whole.image, atol=0, rtol=0)
    assert len(second.losses) == 6


def test_adam_state_of_zero_in_a_region_gives_first_steps_there(monkeypatch):
    monkeypatch.setattr(adam_module, "PYRAMID_SCALES", 1)
    old = adam(torch.zeros_like(TARGET), bowl, 10, AdamState.zero(TARGET), StepSize(0.02))
    valid = torch.ones(1, 1, 6, 6)
    valid[..., 2:4] = 0
    state = old.state
    state = AdamState(
        state.exp_avg * valid, (state.exp_avg_sq[0] * valid,), (state.bias_correction[0] * valid,)
    )
    step = adam(old.image, bowl, 1, state, StepSize(0.02, chroma_gain=0.3)).image - old.image
    # A first step is a tenth (1 - BETA1) of the learning rate, whatever the size of the gradient;
    # settled pixels,
    # whose weight is 1 - BETA2 after this step, give way by half of that weight. Colours have their
    # share of it.
    expected = 0.02 * (1 - BETA1) * (1 - (1 - adam_module.MIN_LR_FRACTION) * (1 - BETA2))
    axes, shares = opponent_matrix(torch.device("cpu")), torch.tensor([1.0, 0.3, 0.3]).view(3, 1, 1)
    along = torch.einsum("oc,bchw->bohw", axes, step)[..., 2:4]
    torch.testing.assert_close(along.abs(), (expected * shares).expand_as(along), atol=1e-5, rtol=0)


def test_adam_fast_decay_shortens_steps_sooner_than_slow_decay(monkeypatch):
    """After twenty steps the fast decay is at its minimum, the slow decay above a half."""
    monkeypatch.setattr(adam_module, "PYRAMID_SCALES", 1)
    slope = lambda image: {"total": image.mean()}  # noqa: E731
    lengths = []
    for fall in (SLOW_LR_DECAY, FAST_LR_DECAY):
        before = adam(
            torch.ones_like(TARGET), slope, 20, AdamState.zero(TARGET), StepSize(0.01, fall)
        )
        after = adam(before.image, slope, 1, before.state, StepSize(0.01, fall))
        lengths.append((before.image - after.image).mean().item())
    full = (
        0.01 * (1 - BETA1**21) / 3**0.5
    )  # the first moment is not corrected for bias; three channels share a grey step
    assert lengths[0] > 0.5 * full
    assert abs(lengths[1] - MIN_LR_FRACTION * full) < 1e-5  # float32


def test_adam_keeps_pixels_in_range():
    image = adam(
        torch.ones_like(TARGET),
        lambda p: {"total": -p.sum()},
        5,
        AdamState.zero(TARGET),
        StepSize(0.5),
    ).image
    assert image.min() >= 0 and image.max() <= 1


def test_lbfgs_moves_the_image_in_a_single_step():
    minimum = lbfgs(torch.zeros_like(TARGET), bowl, 1)
    assert len(minimum.losses) == 1
    assert bowl(minimum.image)["total"] < minimum.losses[0]["total"]


def test_lbfgs_counts_its_evaluations_and_returns_the_best_image():
    minimum = lbfgs(torch.zeros_like(TARGET), bowl, 15)
    assert len(minimum.losses) <= 15
    assert bowl(minimum.image)["total"] <= min(loss["total"] for loss in minimum.losses)
