"""The measures say what they should on pictures whose figures are known, and the bench runs from end to end."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import scene, stripes

from vidstyle import Frame, InputError, Motion, Style
from vidstyle.bench import temporal, temporal_metrics, textbook
from vidstyle.bench.clips import View, camera_clip
from vidstyle.bench.temporal import TemporalOptions
from vidstyle.flow.methods import dis_flow
from vidstyle.losses.objective import Losses
from vidstyle.ops.tensors import to_tensor


def test_a_clip_that_moves_as_it_should_does_not_flicker():
    clip = camera_clip("pan", (96, 64), 4, lambda n: View(2.5 * n))
    pictures = [to_tensor(frame.image) for frame in clip.frames]
    moving = temporal_metrics.flicker(pictures, clip.motions)
    assert moving < 1e-4 < 0.1 * temporal_metrics.flicker(pictures, [Motion()] * 4)


def test_flicker_is_the_mean_squared_difference_where_it_counts():
    one, other = torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5)
    known = torch.ones(1, 1, 8, 8)
    other[..., :4] = 1.0
    known[..., :4] = 0
    assert temporal_metrics.flicker(
        [one, other], [Motion(cut=True), Motion(None, known)]
    ) == pytest.approx(0.25)
    assert temporal_metrics.flicker_map(other, one, Motion(None, known)).sum() == pytest.approx(
        0.25 * 32
    )


def test_a_painting_that_trails_behind_has_a_lag():
    content, late = (to_tensor(scene(time, size=(96, 64))) for time in (1.0, 0.0))
    everywhere = torch.ones(64, 96, dtype=torch.bool)
    assert temporal_metrics.edge_alignment(content, content, everywhere) == pytest.approx(1)
    assert temporal_metrics.edge_alignment(late, content, everywhere) < 0.8


def test_drift_is_that_of_the_luminance():
    pictures = [torch.full((1, 3, 4, 4), value) for value in (0.5, 0.51, 0.47, 0.5)]
    assert temporal_metrics.drift(pictures) == pytest.approx(0.06)


def test_the_reference_is_a_minimum_and_what_can_be_shown_of_it_is_not_better():
    class Distance:
        goal = torch.full((1, 3, 4, 4), 1.5)  # out of reach for a picture

        def with_fixed_matches(self, picture):
            return self

        def __call__(self, picture):
            return Losses(*((picture - self.goal).square().mean(),) * 6)

    free, shown = temporal_metrics.reference_objective(Distance(), torch.zeros(1, 3, 4, 4))
    assert free == pytest.approx(0, abs=1e-6)
    assert shown == pytest.approx(0.25)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(textbook, "REFERENCE_ITERATIONS", textbook.REMATCH)
    monkeypatch.setattr(temporal, "NOISE_SETTLED_FRAME", 3)
    presets = {
        name: replace(settings, initial_steps=3, pyramid_levels=1)
        for name, settings in temporal.PRESETS.items()
    }
    monkeypatch.setattr(temporal, "PRESETS", presets)


def test_the_bench_measures_all_that_it_promises(features, tmp_path, capsys, quick):
    json_file, picture = tmp_path / "out.json", tmp_path / "flicker.png"
    style = Style.from_images([stripes()], features)
    temporal.temporal(TemporalOptions(None, 64, 8, 3, json_file, picture), style, dis_flow)
    document = json.loads(json_file.read_text())
    assert {"machine", "rows"} == set(document) and document["machine"]["processor"]
    assert all(
        set(row) == {"figure", "value", "unit", "target"} and np.isfinite(row["value"])
        for row in document["rows"]
    )
    figures = " ".join(row["figure"] for row in document["rows"])
    for word in (
        "flicker",
        "objective gap",
        "lag",
        "drift",
        "preset draft",
        "cut",
        "fade",
        "flash",
        "noise",
        "zoom",
    ):
        assert word in figures
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(document["rows"])
    assert cv2.imread(str(picture)).shape == (5 * 160, 5 * 320, 3)  # five clips, five pictures each


def test_the_bench_takes_a_clip_of_ones_own(features, monkeypatch, quick):
    frames = [Frame(scene(number / 10)) for number in range(9)]
    monkeypatch.setattr(temporal, "_own_frames", lambda bench: frames)
    rows = temporal.temporal(
        TemporalOptions(Path("mine.mp4"), 64, 9), Style.from_images([stripes()], features), dis_flow
    )
    assert any(row.figure.startswith("mine.mp4, 4 steps: flicker relative") for row in rows)


def test_a_clip_too_short_to_measure_is_refused(features, tmp_path):
    cv2.imwrite(str(tmp_path / "still.png"), scene())
    with pytest.raises(InputError, match="longer clip"):
        temporal.temporal(
            TemporalOptions(tmp_path / "still.png"),
            Style.from_images([stripes()], features),
            dis_flow,
        )
