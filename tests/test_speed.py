"""The speed bench runs from end to end, and what it compares with is the same objective."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import scene, stripes

from vidstyle import Frame, Settings, Style, Stylizer
from vidstyle.bench import baseline, fixtures, speed, textbook, timing
from vidstyle.bench.clips import View, camera_clip
from vidstyle.bench.fixtures import Fixture
from vidstyle.bench.op_count import Operations
from vidstyle.bench.speed import SpeedOptions
from vidstyle.bench.timing import Looped, through_files
from vidstyle.cli import main
from vidstyle.ops.tensors import to_tensor


@pytest.fixture
def quick(monkeypatch):
    presets = {
        name: replace(settings, initial_steps=3, pyramid_levels=1)
        for name, settings in fixtures.PRESETS.items()
    }
    monkeypatch.setattr(fixtures, "PRESETS", presets)
    monkeypatch.setattr(textbook, "REFERENCE_ITERATIONS", textbook.REMATCH)
    monkeypatch.setattr(baseline, "NAIVE_STEPS", 4)
    monkeypatch.setattr(speed, "MEMORY_FRAMES", (5, 12))
    monkeypatch.setattr(timing, "ROUNDS", 4)


def test_the_bench_measures_all_that_it_promises(features, tmp_path, capsys, quick):
    path = tmp_path / "speed.json"
    bench = SpeedOptions(
        ((64, 48), (96, 64)), frames=9, precisions=("fp32",), baseline=True, memory=True, json=path
    )
    rows = speed.speed(bench, Style.from_images([stripes()], features), "tiny")
    written = json.loads(path.read_text())
    assert [row["figure"] for row in written["rows"]] == [row.figure for row in rows]
    assert all(np.isfinite(row.value) for row in rows)
    figures = {row.figure: row for row in rows}
    for preset in ("draft", "standard"):
        for figure in (
            "median time per frame", "95th percentile", "end to end", "first frame", "peak memory", "painter idle", "step",
            "step relative to that", "step relative to the textbook's in float32", "within a step",
            "share of the convolutions' throughput", "flicker", "objective gap",
        ):  # fmt: skip
            assert f"64x48, tiny, auto, fp32, {preset}: {figure}" in figures
    assert "tiny, auto, fp32, draft: exponent of time against pixels" in figures
    assert (
        "64x48, tiny, auto, standard: time per frame relative to 300 iterations of L-BFGS"
        in figures
    )
    assert "64x48, tiny, fp32, standard: time per frame relative to that" in figures
    assert "tiny: resident memory after 12 frames over after 5" in figures
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(rows)


def test_the_textbook_has_the_same_objective_and_gradient(features):
    style = Style.from_images([stripes()], features)
    content = to_tensor(scene())
    for few in (False, True):
        settings = Settings(fast_style_layers=few, precision="fp32")
        ours = Stylizer(features, style, settings).objective(content)
        theirs = Fixture(style, "tiny").textbook_loss(settings, content)
        gradients = []
        picture = torch.rand(
            content.shape, generator=torch.Generator().manual_seed(0)
        ).requires_grad_(True)
        for loss in (ours(picture).total, theirs(picture)):
            gradients.append((loss.item(), torch.autograd.grad(loss, picture)[0]))
        assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
        # float32 sums in another order
        torch.testing.assert_close(
            gradients[0][1], gradients[1][1], atol=1e-3 * gradients[1][1].abs().max().item(), rtol=0
        )


def test_a_clip_through_files_keeps_its_frames_and_their_times_apart(features):
    style = Style.from_images([stripes()], features)
    clip = camera_clip("pan", (64, 48), 8, View)
    found = through_files(
        clip, Stylizer(features, style, Settings(initial_steps=3, steps=1, precision="fp32"))
    )
    assert len(found.images) == len(found.stamps) == len(found.steps) == 8
    assert len(found.milliseconds) == 8 - 1 - timing.WARM_UP_FRAMES and min(found.milliseconds) > 0
    assert found.frames_per_second > 0 and 0 <= found.idle < 1
    assert found.began < found.stamps[0] and found.stamps[-1] <= found.ended


def test_a_looped_source_goes_back_and_forth():
    frames = [Frame(np.full((4, 4, 3), level, np.uint8)) for level in range(3)]
    with Looped(frames, 7) as source:
        assert [frame.image[0, 0, 0] for frame in source] == [0, 1, 2, 1, 0, 1, 2]
        assert source.format.frames == 7


def test_operations_are_counted_forward_and_backward():
    one = torch.rand(4, 5, requires_grad=True)
    with Operations() as work:
        torch.autograd.grad((one @ torch.rand(5, 6)).sum(), one)
    assert (work.all, work.convolved) == (2 * 2 * 4 * 5 * 6, 0)


def test_the_convolutions_can_be_done_again_on_their_own():
    maps, filters = torch.rand(1, 2, 8, 8, requires_grad=True), torch.rand(3, 2, 3, 3)
    with Operations() as work:
        torch.autograd.grad(torch.nn.functional.conv2d(maps, filters).relu().sum(), maps)
    with Operations() as again:
        work.convolve()
    assert again.all == again.convolved == work.convolved == 2 * 2 * (2 * 9) * 3 * 36


def test_flags_of_one_bench_do_not_go_with_the_other(capsys):
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
