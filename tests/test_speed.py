"""The speed benchmark: its rows, its textbook baseline, timing and FLOP counting."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import FAST_SETTINGS, scene, stripes

from vidstyle import Frame, Settings, Style, Stylizer
from vidstyle.bench import baseline, fixtures, speed, temporal, textbook, timing
from vidstyle.bench.clips import View, camera_clip
from vidstyle.bench.fixtures import Fixture
from vidstyle.bench.op_count import OperationCounter
from vidstyle.bench.speed import SpeedOptions
from vidstyle.bench.timing import LoopedSource, time_clip
from vidstyle.cli import main
from vidstyle.ops.tensors import to_tensor


@pytest.fixture
def quick(monkeypatch):
    presets = {
        name: replace(settings, initial_steps=3, pyramid_levels=1)
        for name, settings in fixtures.PRESETS.items()
    }
    monkeypatch.setattr(fixtures, "PRESETS", presets)
    monkeypatch.setattr(textbook, "REFERENCE_ITERATIONS", 2)
    monkeypatch.setattr(textbook, "REMATCH_ITERATIONS", 2)
    monkeypatch.setattr(baseline, "NAIVE_MAX_STEPS", 2)
    monkeypatch.setattr(baseline, "NAIVE_FRAMES", 2)
    monkeypatch.setattr(speed, "MEMORY_FRAMES", (5, 12))
    monkeypatch.setattr(timing, "ROUNDS", 3)


def test_speed_measures_every_figure(features, tmp_path, capsys, quick):
    path = tmp_path / "speed.json"
    options = SpeedOptions(
        ((64, 48), (80, 64)), frames=7, precisions=("fp32",), baseline=True, memory=True, json=path
    )
    rows = speed.speed(options, Style.from_images([stripes()], features), "tiny")
    written = json.loads(path.read_text())
    assert [row["figure"] for row in written["rows"]] == [row.figure for row in rows]
    assert all(np.isfinite(row.value) for row in rows)
    figures = {row.figure: row for row in rows}
    for preset in ("draft", "standard"):
        for figure in (
            "median time per frame",
            "95th percentile",
            "end to end",
            "first frame",
            "peak memory",
            "stylizer idle",
            "step",
            "step relative to its features",
            "step relative to the textbook's in float32",
            "throughput of a step",
            "share of the convolutions' throughput",
            "flicker",
            "objective gap",
        ):
            assert f"64x48, tiny, auto, fp32, {preset}: {figure}" in figures
    for figure in (
        "tiny, auto, fp32, draft: exponent of time against pixels",
        "64x48, tiny, auto, standard: time per frame relative to 300 iterations of L-BFGS",
        "64x48, tiny, fp32, standard: time per frame relative to previous frame, fresh Adam",
        "tiny: resident memory after 12 frames relative to 5 frames",
    ):
        assert figure in figures
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(rows)


def test_textbook_loss_equals_objective(features):
    style = Style.from_images([stripes()], features)
    content = to_tensor(scene())
    for fast in (False, True):
        settings = Settings(fast_style_layers=fast, precision="fp32")
        own = Stylizer(features, style, settings).objective(content)
        plain = Fixture(style, "tiny").textbook_loss(settings, content)
        generator = torch.Generator().manual_seed(0)
        image = torch.rand(content.shape, generator=generator).requires_grad_(True)
        (loss, gradient), (plain_loss, plain_gradient) = (
            (loss.item(), torch.autograd.grad(loss, image)[0])
            for loss in (own(image)["total"], plain(image))
        )
        # The two sum in different orders in float32.
        assert loss == pytest.approx(plain_loss, rel=1e-5)
        atol = 1e-3 * plain_gradient.abs().max().item()
        torch.testing.assert_close(gradient, plain_gradient, atol=atol, rtol=0)


def test_time_clip_reports_each_frame(features):
    style = Style.from_images([stripes()], features)
    clip = camera_clip("pan", (64, 48), 8, View)
    settings = Settings(initial_steps=3, steps=1, precision="fp32", **FAST_SETTINGS)
    timed = time_clip(clip, Stylizer(features, style, settings))
    assert len(timed.images) == len(timed.timestamps) == len(timed.steps) == 8
    assert len(timed.frame_ms) == 8 - 1 - timing.WARM_UP_FRAMES and min(timed.frame_ms) > 0
    assert timed.frames_per_second > 0 and 0 <= timed.idle_fraction < 1
    assert timed.began < timed.timestamps[0] and timed.timestamps[-1] <= timed.ended


def test_looped_source_runs_forwards_and_backwards():
    frames = [Frame(np.full((4, 4, 3), level, np.uint8)) for level in range(3)]
    with LoopedSource(frames, 7) as source:
        assert [frame.image[0, 0, 0] for frame in source] == [0, 1, 2, 1, 0, 1, 2]
        assert source.format.frames == 7


def test_operation_counter_counts_forward_and_backward():
    one = torch.rand(4, 5, requires_grad=True)
    with OperationCounter() as counter:
        torch.autograd.grad((one @ torch.rand(5, 6)).sum(), one)
    assert (counter.flops, counter.conv_flops) == (2 * 2 * 4 * 5 * 6, 0)


def test_operation_counter_reruns_convolutions_alone():
    maps, filters = torch.rand(1, 2, 8, 8, requires_grad=True), torch.rand(3, 2, 3, 3)
    with OperationCounter() as counter:
        torch.autograd.grad(torch.nn.functional.conv2d(maps, filters).relu().sum(), maps)
    with OperationCounter() as again:
        counter.rerun_convolutions()
    assert again.flops == again.conv_flops == counter.conv_flops == 2 * 2 * (2 * 9) * 3 * 36


def test_bench_command_refuses_flags_of_the_other_benchmark(capsys):
    for flags in (
        ["--temporal", "--quick"],
        ["--size", "64"],
        ["--temporal"],
        ["--sizes", "10x10"],
        ["--presets", "fast"],
    ):
        with pytest.raises(SystemExit) as end:
            main(["bench", *flags])
        assert end.value.code == 2
    assert "choose out of draft" in capsys.readouterr().err


def test_bench_command_passes_options_to_the_speed_benchmark(monkeypatch, features_file):
    given = []
    monkeypatch.setattr(speed, "speed", lambda *arguments: given.append(arguments))
    for features in (str(features_file), speed.RANDOM_VGG19):
        main(["bench", "--quick", "--features", features, "--frames", "9", "--device", "cpu"])
    (options, style, name), (_, random_style, random_name) = given
    assert options == replace(speed.QUICK, frames=9)
    assert (name, random_name) == (str(features_file), speed.RANDOM_VGG19)
    assert style.features.network.shape != random_style.features.network.shape


def test_bench_command_passes_options_to_the_temporal_benchmark(
    monkeypatch, features_file, style_file
):
    given = []
    monkeypatch.setattr(temporal, "temporal", lambda *arguments: given.append(arguments))
    flags = ["--style", str(style_file), "--features", str(features_file), "--device", "cpu"]
    main(["bench", "--temporal", *flags, "--size", "64", "--drift-frames", "3", "--flow", "none"])
    ((options, _, flow),) = given
    assert (options.size, options.drift_frames, flow) == (64, 3, None)
