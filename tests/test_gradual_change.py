"""Crossfades are told from light, noise and sudden changes."""

from itertools import pairwise

import torch
from conftest import QUICK, scene

from vidstyle import Frame, Stylizer
from vidstyle.flow.motion import Motion
from vidstyle.ops.tensors import to_tensor
from vidstyle.stylizer.gradual_change import gradually_changed, next_reference

SIZE = 96, 64
COUNT = 12


def share_restarted(frames):
    """The largest share of the frame that starts again in one of the frames."""
    reference, shares = frames[0].mean(1, keepdim=True), []
    for before, frame in pairwise(frames):
        changed = gradually_changed(reference, frame, frame - before).mask
        reference = next_reference(reference, frame, ~changed)
        shares.append(changed.float().mean().item())
    return max(shares)


def scenes():
    """Two scenes of other textures."""
    one = to_tensor(scene(size=SIZE))
    return one, one.flip(3).roll(20, 2)


def test_gradually_changed_finds_a_crossfade():
    old, new = scenes()
    assert share_restarted([torch.lerp(old, new, n / COUNT) for n in range(COUNT + 1)]) > 0.05


def test_gradually_changed_weight_fades_into_regions_that_change_less():
    """The left half of the frame changes fully, the right half a little, and the top not at all."""
    old, new = scenes()
    share = torch.full((1, 1, SIZE[1], SIZE[0]), 0.3)
    share[..., : SIZE[0] // 2] = 1
    share[:, :, : SIZE[1] // 2] = 0
    frame = torch.lerp(old, new, share)
    mask, weight = gradually_changed(old.mean(1, keepdim=True), frame, torch.zeros_like(frame))
    assert mask.any() and (weight[mask] == 1).all()
    assert ((weight > 0.1) & (weight < 0.9)).any()
    assert weight[:, :, : SIZE[1] // 2 - 16].max() == 0  # the texture windows overlap the border


def test_gradually_changed_ignores_light_noise_and_sudden_changes():
    old, new = scenes()
    torch.manual_seed(0)
    light = [old * (1 - 0.5 * n / COUNT) for n in range(COUNT)]
    noise = [(old + 0.03 * torch.randn_like(old)).clamp(0, 1) for _ in range(COUNT)]
    flicker = [new if n % 3 == 2 else old for n in range(COUNT)]
    for frames in (light, noise, flicker):
        # A scene that is back after a flicker looks gradual at some pixels.
        assert share_restarted(frames) < 0.02


def test_stylizer_starts_regions_again_in_a_crossfade(features, style):
    frames = [
        Frame((255 * torch.lerp(*scenes(), n / COUNT)[0].permute(1, 2, 0)).byte().numpy())
        for n in range(COUNT + 1)
    ]
    stylizer = Stylizer(features, style, QUICK)
    weights = []
    for frame in frames:
        stylizer(frame, Motion(torch.zeros(1, 2, SIZE[1], SIZE[0])))
        weights.append(stylizer.state()["bias_correction0"])
    restarted = [(now < before).float().mean().item() for before, now in pairwise(weights)]
    assert restarted[0] == 0 and max(restarted) > 0.05
