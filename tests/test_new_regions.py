"""Metrics of what comes into view, on images whose figures are known."""

import numpy as np
import pytest
import torch
from conftest import stripes

from vidstyle import Motion, Style
from vidstyle.bench import new_regions
from vidstyle.bench.clips import View, camera_clip, crossfade_clip, object_clip
from vidstyle.bench.new_regions import (
    NewRegionsBench,
    masked_coherence,
    masked_energy,
    pixel_ages,
)
from vidstyle.bench.runs import ClipRunner
from vidstyle.flow.methods import dis_flow
from vidstyle.settings import Settings

SIZE = 64, 32


def test_pixel_ages_of_a_pan_rise_from_the_border():
    clip = camera_clip("pan", SIZE, 4, lambda n: View(4.0 * n))
    row = pixel_ages(clip.motions, SIZE)[3][16]
    assert (row[-4:] == 0).all() and (row[-8:-4] == 1).all() and (row[-12:-8] == 2).all()
    assert (row[:-12] > 900).all()


def test_pixel_ages_without_motion_stay():
    assert all((age > 900).all() for age in pixel_ages([Motion()] * 3, SIZE))


def test_masked_energy_looks_at_the_mask_alone():
    image = torch.zeros(1, 3, 16, 16)
    image[..., ::2, 8:] = 1
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[:, :6] = True
    assert masked_energy(image, mask) == 0 < masked_energy(image, ~mask)


def test_masked_coherence_is_one_for_parallel_strokes():
    image = torch.zeros(1, 3, 32, 32)
    image[..., ::4] = 1
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[8:-8, 8:-8] = True
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert masked_coherence(image, mask) == pytest.approx(1, abs=1e-3)
    assert masked_coherence(noise, mask) < 0.5


def test_crossfade_clip_ends_with_the_other_scene():
    frames = [frame.image.astype(int) for frame in crossfade_clip("fade", SIZE, 10, 6).frames]
    assert np.array_equal(frames[0], frames[2]) and np.array_equal(frames[6], frames[9])
    middle = (frames[0] + frames[6]) / 2
    assert np.abs(frames[4] - middle).max() <= 1


def test_object_clip_stands_before_a_given_background():
    back = np.full((SIZE[1], SIZE[0], 3), 200, np.float32)
    clip = object_clip("object", SIZE, 2, 2.0, back=back)
    assert (clip.frames[0].image[~clip.moving[0]] == 200).all()


def test_new_regions_bench_measures_every_figure(features, monkeypatch):
    quick = Settings(initial_steps=2, steps=1, patch_weight=0)
    monkeypatch.setattr("vidstyle.bench.runs.PRESETS", {"standard": quick, "draft": quick})
    monkeypatch.setattr(new_regions, "PRESETS", {"standard": quick, "draft": quick})
    rows = {}
    runner = ClipRunner(Style.from_images([stripes()], features), 64, dis_flow)
    bench = NewRegionsBench(runner, lambda name, value, *_: rows.update({name: value}), SIZE, 12)
    bench.measure()
    for figure in (
        "fast pan, file: newly visible regions, first frame: gradient energy",
        "walker, live: newly visible regions, after 5 frames: strokes",
        "walker: uncovered ground, RMS relative to other ground",
        "flat ground: drag per frame",
        "resting scene, noise of 6 levels: discarded",
        "crossfade: edges of the new scene, one frame after it",
    ):
        assert np.isfinite(rows[figure])
    assert rows["flat ground: drag per frame"] <= 0.05
