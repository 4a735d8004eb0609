"""Consistency as a taste: strokes that boil, or are locked."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import painter, scene

from vidstyle import Frame, Settings
from vidstyle.losses.temporal import TemporalLoss
from vidstyle.optim.adam import AdamState
from vidstyle.stylizer.boil import boiled
from vidstyle.stylizer.state import StylizerState

FLAT = np.full((96, 128, 3), 120, np.uint8)


def weight(paint, **changes):
    losses = paint.losses(paint.features, Settings(**changes))
    return next(value for loss, value in losses.items() if isinstance(loss, TemporalLoss))


def test_temporal_scales_the_temporal_weight(features, style):
    paint = painter(features, style)
    assert weight(paint) == Settings().temporal_weight
    assert weight(paint, temporal=0.0) == 0
    assert weight(paint, temporal=0.25, temporal_weight=4.0) == 2
    assert weight(paint, temporal=1.0) == pytest.approx(8 * weight(paint))


def test_boil_strength_comes_from_temporal_or_boil():
    assert Settings().boil_strength == Settings(temporal=1.0).boil_strength == 0
    assert Settings(temporal=0.0).boil_strength == 1
    assert Settings(boil=8.0).boil_strength == 0.6
    assert Settings(boil=8.0, temporal=0.0).boil_strength == 1


def drawn_state(content, seed=0):
    """A state whose image is noise, over a content of (H, W, 3) uint8."""
    height, width = content.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, height, width, generator=generator)
    shown = torch.from_numpy(content).permute(2, 0, 1)[None].float() / 255
    return StylizerState.initial(image, AdamState.zero(image), shown)


def test_strokes_are_displaced_once_for_each_drawing():
    settings = Settings(boil=8.0)
    state = drawn_state(FLAT)
    moved = boiled(state, Frame(FLAT, Fraction(1, 8)), settings)
    assert moved.drawing == 1 and moved.loss_decrease == 1
    assert (moved.image - state.image).abs().mean() > 0.1
    assert boiled(moved, Frame(FLAT, Fraction(3, 16)), settings) is moved
    again = boiled(moved, Frame(FLAT, Fraction(1, 4)), settings)
    assert again.drawing == 2 and (again.image - moved.image).abs().mean() > 0.1
    assert boiled(state, Frame(FLAT, Fraction(1, 8)), Settings()) is state
    same = boiled(state, Frame(FLAT, Fraction(0), source_time=Fraction(1, 8)), settings)
    assert torch.equal(same.image, moved.image)
    other = boiled(state, Frame(FLAT, Fraction(1, 8)), replace(settings, seed=1))
    assert not torch.equal(other.image, moved.image)


def test_displacements_do_not_add_up():
    """After many drawings a ramp is as far from its place as after one, not many times as far."""
    state = drawn_state(FLAT)
    ramp = torch.linspace(0, 1, 128).expand(1, 3, 96, 128).contiguous()
    state = replace(state, frame=replace(state.frame, image=ramp))
    settings, distances = Settings(temporal=0.0), []
    for number in range(1, 30):
        state = boiled(state, Frame(FLAT, Fraction(number, 12)), settings)
        distances.append((state.image - ramp).abs().mean().item())
    assert np.mean(distances[-5:]) < 2.5 * np.mean(distances[:5])  # the square root of 29 is 5.4


def test_strokes_on_edges_and_at_borders_stay():
    content = FLAT.copy()
    content[:, 64:] = 220
    state = drawn_state(content)
    moved = boiled(state, Frame(content, Fraction(1, 2)), Settings(temporal=0.0))
    change = (moved.image - state.image).abs().mean((0, 1, 2))
    assert change[62:66].max() < 0.04 < 0.2 < change[24:40].mean()
    assert change[0] < 0.02


def test_boiling_frames_change_from_drawing_to_drawing_only(features, style):
    """A clip at rest: 24 frames per second, on threes."""
    gray = np.full((48, 64, 3), 110, np.uint8)
    gray[10:20, 20:40] = 200
    changes = {}
    for name, settings in (("boil", {"boil": 8.0}), ("plain", {})):
        paint = painter(features, style, initial_steps=40, **settings)
        images = [paint(Frame(gray, Fraction(n, 24))).image.astype(int) for n in range(9)]
        changes[name] = [np.abs(b - a).mean() for a, b in pairwise(images)]
    new = [changes["boil"][n] for n in (2, 5)]
    within = [changes["boil"][n] for n in (0, 1, 3, 4, 6, 7)]
    assert min(new) > 2 * max(within)
    assert min(new) > 2 * max(changes["plain"][2:])


def test_drawing_is_kept_in_a_checkpoint(features, style):
    settings = {"boil": 8.0}
    whole = painter(features, style, **settings)
    frames = [Frame(scene(), Fraction(n, 24)) for n in range(5)]
    for frame in frames[:4]:
        whole(frame)
    resumed = painter(features, style, **settings)
    resumed.load_state(whole.state())
    assert np.array_equal(whole(frames[4]).image, resumed(frames[4]).image)
    assert resumed.state()["numbers"][-1] == 1
