"""A loss from outside the package is part of every frame's objective, in every engine."""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import scene, write_clip
from test_execution import Again, Plain, needs_compiler

from vidstyle import PRESETS, Frame, Loss, Settings, Stylizer, default_losses
from vidstyle.optim import cuda_graph
from vidstyle.optim.cuda_graph import GraphedFunction
from vidstyle.optim.runners import PreparedRunner
from vidstyle.stylizer.frame_setup import prepare_frame

EXAMPLE = Path(__file__).parent.parent / "examples" / "custom_loss.py"
SETTINGS = Settings(
    initial_steps=4,
    steps=2,
    pyramid_levels=1,
    precision="fp32",
    patch_weight=0,
    style_layers=("relu1_1",),
    content_layers=("relu2_1",),
)


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("custom_loss", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stylizer(features, style, example):
    """A stylizer with both losses of the example."""
    region = example.RegionContentLoss(example.center_mask())
    channels = example.ChannelStatisticsLoss()
    return lambda settings=SETTINGS: Stylizer(
        features,
        style,
        settings,
        lambda features, settings: {
            **default_losses(features, settings),
            channels: 0.5,
            region: 2.0,
        },
    )


def stylize_three(stylizer):
    images = [stylizer(Frame(scene(number / 10))).image for number in range(3)]
    return images, [iteration.losses for iteration in stylizer.iterations]


def test_custom_loss_example_runs_from_source_to_sink(example, style_file, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", count=3)
    settings = replace(PRESETS["draft"], initial_steps=2, steps=1)
    losses = example.main(clip, style_file, tmp_path / "out.mp4", settings=settings)
    assert (tmp_path / "out.mp4").stat().st_size > 0
    assert losses["channels"] > 0 and losses["region"] > 0


def test_stylizer_optimizes_a_custom_loss_in_every_frame(features, style):
    """A loss whose minimum is a red image outweighs all others: every frame becomes red."""

    @dataclass(frozen=True)
    class Red(Loss):
        name = "red"

        def __call__(self, image, activations, target):
            return (image - image.new_tensor([1.0, 0, 0]).view(1, 3, 1, 1)).square().mean()

    settings = replace(SETTINGS, initial_steps=60, steps=20, temporal_weight=0)
    made = Stylizer(features, style, settings, lambda *args: {**default_losses(*args), Red(): 1e4})
    first = made(Frame(scene()))
    blue = np.zeros_like(scene())
    blue[..., 2] = 255
    later = made(Frame(blue))
    for frame in (first, later):
        assert (np.abs(frame.image.astype(int) - (255, 0, 0)).mean((0, 1)) < 16).all()


def test_stylizer_uses_an_overridden_objective_for_every_frame(features, style):
    """The only term left is total variation, in the first frame and in later ones."""

    class Smooth(Stylizer):
        def objective(self, *args, **named):
            others = dict.fromkeys(("content", "style", "temporal", "orientation"), 0)
            return super().objective(*args, **named).reweighted(**others)

    smooth = Smooth(features, style, SETTINGS)
    for number in range(3):
        smooth(Frame(scene(number / 10)))
        for iteration in smooth.iterations:
            assert iteration.total == pytest.approx(
                SETTINGS.tv_weight * iteration.losses["tv"], rel=1e-5
            )


def test_prepared_runner_and_graphed_function_take_custom_targets(stylizer, monkeypatch):
    """A plain program stands in for a compiler, and a replayed function for a CUDA graph."""
    monkeypatch.setattr(cuda_graph, "CudaGraph", Again)
    monkeypatch.setattr(Again, "made", 0)
    monkeypatch.setattr(Plain, "made", 0)
    eager, graphed = stylizer(), stylizer()
    graphed.step_runner = PreparedRunner(Plain)
    graphed._prepare_frame = GraphedFunction(prepare_frame, torch.device("cpu"), fall_back=False)
    (images, losses), (others, other_losses) = map(stylize_three, (eager, graphed))
    assert all(np.array_equal(a, b) for a, b in zip(images, others, strict=True))
    assert losses == other_losses and losses[-1]["region"] > 0
    assert (Plain.made, Again.made) == (1, 1)


@needs_compiler
def test_stylizer_compiled_steps_take_custom_targets(stylizer):
    eager, compiled = stylizer(), stylizer(replace(SETTINGS, engine="compile"))
    (_, losses), (_, others) = map(stylize_three, (eager, compiled))
    for name, value in losses[-1].items():
        # Sums in another order, lifted by Adam where a gradient is about zero. The orientation of
        # an image that is nearly flat changes most by it.
        rel = 0.1 if name == "orientation" else 0.02
        assert others[-1][name] == pytest.approx(value, rel=rel), name
