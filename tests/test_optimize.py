import torch

from vidstyle.painting import optimize
from vidstyle.painting.losses import Losses
from vidstyle.painting.optimize import BETA_MEAN, BETA_SQUARE, SETTLED, SLOWLY, SOON, Moments, Rate, adam, lbfgs

TARGET = torch.linspace(0.3, 0.7, 3 * 6 * 6).reshape(1, 3, 6, 6)


def bowl(picture):
    """A loss with its minimum at TARGET, steeper in some pixels than in others."""
    total = ((picture - TARGET).square() * torch.linspace(1, 5, 6)).sum()
    return Losses(*(total,) * 6)


def test_at_a_single_scale_it_is_torchs_adam_but_for_the_warm_up(monkeypatch):
    monkeypatch.setattr(optimize, "SCALES", 1)
    monkeypatch.setattr(optimize, "SETTLED", 1.0)
    ours = adam(torch.full_like(TARGET, 0.5), bowl, 12, Moments.zero(TARGET), Rate(0.01)).picture
    theirs = torch.full_like(TARGET, 0.5).requires_grad_(True)
    optimiser = torch.optim.Adam([theirs], lr=0.01, betas=(BETA_MEAN, BETA_SQUARE))
    for step in range(1, 13):
        optimiser.param_groups[0]["lr"] = 0.01 * (1 - BETA_MEAN**step)  # undoes the first moment's bias correction
        optimiser.zero_grad()
        bowl(theirs).total.backward()
        optimiser.step()
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-6, rtol=0)  # a few float32 roundings per step


def test_several_scales_bring_a_flat_region_up_sooner(monkeypatch):
    goal = torch.full((1, 3, 64, 64), 0.9)

    def loss_after(scales):
        monkeypatch.setattr(optimize, "SCALES", scales)
        far = lambda picture: Losses(*((picture - goal).square().mean(),) * 6)  # noqa: E731
        return far(adam(torch.zeros_like(goal), far, 10, Moments.zero(goal), Rate(0.02)).picture).total

    assert loss_after(5) < 0.5 * loss_after(1)


def test_carried_moments_make_two_runs_one():
    whole = adam(torch.zeros_like(TARGET), bowl, 10, Moments.zero(TARGET), Rate(0.02))
    first = adam(torch.zeros_like(TARGET), bowl, 4, Moments.zero(TARGET), Rate(0.02))
    second = adam(first.picture, bowl, 6, first.moments, Rate(0.02))
    torch.testing.assert_close(second.picture, whole.picture, atol=0, rtol=0)
    assert len(second.losses) == 6


def test_a_pixel_that_starts_afresh_steps_as_on_a_first_step(monkeypatch):
    monkeypatch.setattr(optimize, "SCALES", 1)
    old = adam(torch.zeros_like(TARGET), bowl, 10, Moments.zero(TARGET), Rate(0.02))
    known = torch.ones(1, 1, 6, 6)
    known[..., 2:4] = 0
    moments = old.moments
    moments = Moments(moments.mean * known, (moments.squares[0] * known,), (moments.weights[0] * known,))
    step = adam(old.picture, bowl, 1, moments, Rate(0.02)).picture - old.picture
    # A first step is a tenth (1 - BETA_MEAN) of the learning rate, whatever the size of the gradient; settled pixels,
    # whose weight is 1 - BETA_SQUARE after this step, give way by half of that weight.
    expected = 0.02 * (1 - BETA_MEAN) * (1 - (1 - optimize.SETTLED) * (1 - BETA_SQUARE))
    torch.testing.assert_close(step[..., 2:4].abs(), torch.full_like(step[..., 2:4], expected), atol=1e-5, rtol=0)


def test_later_frames_come_to_rest_sooner_than_a_fresh_painting(monkeypatch):
    """After twenty steps down an even slope, the next is of the settled size in the one, of more than half in the other."""
    monkeypatch.setattr(optimize, "SCALES", 1)
    slope = lambda picture: Losses(*(picture.mean(),) * 6)  # noqa: E731
    lengths = []
    for fall in (SLOWLY, SOON):
        before = adam(torch.ones_like(TARGET), slope, 20, Moments.zero(TARGET), Rate(0.01, fall))
        after = adam(before.picture, slope, 1, before.moments, Rate(0.01, fall))
        lengths.append((before.picture - after.picture).mean().item())
    full = 0.01 * (1 - BETA_MEAN**21)  # the first moment is not corrected for bias
    assert lengths[0] > 0.5 * full
    assert abs(lengths[1] - SETTLED * full) < 1e-5  # float32


def test_pixels_stay_in_range():
    picture = adam(torch.ones_like(TARGET), lambda p: Losses(*(-p.sum(),) * 6), 5, Moments.zero(TARGET), Rate(0.5)).picture
    assert picture.min() >= 0 and picture.max() <= 1


def test_even_a_single_lbfgs_step_moves_the_picture():
    minimum = lbfgs(torch.zeros_like(TARGET), bowl, 1)
    assert len(minimum.losses) == 1
    assert bowl(minimum.picture).total < minimum.losses[0].total


def test_lbfgs_counts_its_evaluations_and_returns_the_best():
    minimum = lbfgs(torch.zeros_like(TARGET), bowl, 15)
    assert len(minimum.losses) <= 15
    assert bowl(minimum.picture).total <= min(loss.total for loss in minimum.losses)
