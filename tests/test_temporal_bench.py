"""Temporal metrics on images whose figures are known, and the temporal benchmark end to end."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import scene, stripes

from vidstyle import Frame, InputError, Motion, Style
from vidstyle.bench import (
    new_regions,
    runs,
    still_scenes,
    temporal,
    temporal_metrics,
    textbook,
)
from vidstyle.bench.clips import View, camera_clip
from vidstyle.bench.temporal import TemporalOptions
from vidstyle.flow.methods import dis_flow
from vidstyle.ops.tensors import to_tensor


def test_flicker_is_zero_for_a_clip_that_follows_its_motion():
    clip = camera_clip("pan", (96, 64), 4, lambda n: View(2.5 * n))
    images = [to_tensor(frame.image) for frame in clip.frames]
    # 1e-4: rounding to 8 bits and bilinear sampling
    moving = temporal_metrics.flicker(images, clip.motions)
    assert moving < 1e-4 < 0.1 * temporal_metrics.flicker(images, [Motion()] * 4)


def test_flicker_is_the_mean_squared_difference_of_valid_pixels():
    one, other = torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5)
    valid = torch.ones(1, 1, 8, 8)
    other[..., :4] = 1.0
    valid[..., :4] = 0
    motion = Motion(None, valid)
    flicker = temporal_metrics.flicker([one, other], [Motion(cut=True), motion])
    assert flicker == pytest.approx(0.25)
    assert temporal_metrics.flicker_map(other, one, motion).sum() == pytest.approx(0.25 * 32)


def test_edge_alignment_falls_with_lag():
    content, late = (to_tensor(scene(time, size=(96, 64))) for time in (1.0, 0.0))
    everywhere = torch.ones(64, 96, dtype=torch.bool)
    assert temporal_metrics.edge_alignment(content, content, everywhere) == pytest.approx(1)
    assert temporal_metrics.edge_alignment(late, content, everywhere) < 0.8


def test_drift_is_the_largest_relative_change_of_luma():
    images = [torch.full((1, 3, 4, 4), value) for value in (0.5, 0.51, 0.47, 0.5)]
    assert temporal_metrics.drift(images) == pytest.approx(0.06)


def test_reference_objective_is_a_minimum_without_and_with_bounds():
    class Distance:
        goal = torch.full((1, 3, 4, 4), 1.5)  # outside of [0, 1]

        def with_fixed_targets(self, image):
            return self

        def __call__(self, image):
            return {"total": (image - self.goal).square().mean()}

    best, clamped = temporal_metrics.reference_objective(Distance(), torch.zeros(1, 3, 4, 4))
    assert best == pytest.approx(0, abs=1e-6)
    assert clamped == pytest.approx(0.25)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(textbook, "REFERENCE_ITERATIONS", 2)
    monkeypatch.setattr(textbook, "REMATCH_ITERATIONS", 2)
    monkeypatch.setattr(temporal, "FIRST_MEASURED_FRAME", 2)
    monkeypatch.setattr(still_scenes, "FIRST_NOISE_FRAME", 2)
    monkeypatch.setattr(still_scenes, "NOISE_FRAMES", 2)
    monkeypatch.setattr(temporal, "CURVE_STEPS", (1,))
    monkeypatch.setattr(temporal, "SCENES", 2)
    presets = {
        name: replace(settings, initial_steps=2, pyramid_levels=1)
        for name, settings in temporal.PRESETS.items()
    }
    for module in (temporal, runs, still_scenes, new_regions):
        monkeypatch.setattr(module, "PRESETS", presets)


def test_temporal_measures_every_figure(features, tmp_path, capsys, quick):
    json_file, picture = tmp_path / "out.json", tmp_path / "flicker.png"
    style = Style.from_images([stripes()], features)
    temporal.temporal(TemporalOptions(None, 64, 5, 2, json_file, picture), style, dis_flow)
    document = json.loads(json_file.read_text())
    assert {"machine", "rows"} == set(document) and document["machine"]["processor"]
    assert all(
        set(row) == {"figure", "value", "unit", "target"} and np.isfinite(row["value"])
        for row in document["rows"]
    )
    figures = {row["figure"] for row in document["rows"]}
    for figure in (
        "pan, 4 steps: flicker",
        "slow pan, 2 steps: objective gap",
        "zoom and rotation, 2 steps: objective gap to cold starts",
        "light, 1 steps: contrast relative to cold starts",
        "object in 2 scenes, 4 steps: lag",
        "still: drift of mean luminance over 2 frames",
        "preset draft, pan: flicker",
        "cut: mean difference of the first frame from a cold start",
        "fade: RMS difference of the frames before and after",
        "flash: mean luminance of the last frame relative to a cold start",
        "noise: temporal noise relative to the source's",
        "flat ground: drag per frame",
    ):
        assert figure in figures
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(document["rows"])
    assert cv2.imread(str(picture)).shape == (5 * 160, 5 * 320, 3)  # five clips, five images each


def test_temporal_measures_a_clip_of_the_user(features, monkeypatch, quick):
    frames = [Frame(scene(number / 10)) for number in range(4)]
    monkeypatch.setattr(temporal, "_read_frames", lambda clip, count: frames)
    options = TemporalOptions(Path("mine.mp4"), 64, 4)
    rows = temporal.temporal(options, Style.from_images([stripes()], features), dis_flow)
    assert any(row.figure.startswith("mine.mp4, 4 steps: flicker relative") for row in rows)


def test_temporal_refuses_a_clip_that_is_too_short(features, tmp_path):
    cv2.imwrite(str(tmp_path / "still.png"), scene())
    options = TemporalOptions(tmp_path / "still.png")
    style = Style.from_images([stripes()], features)
    with pytest.raises(InputError, match="give a clip of 8 or more"):
        temporal.temporal(options, style, dis_flow)
