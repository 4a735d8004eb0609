"""Engines: eager, compiled and recorded steps give the same frames, in every precision."""

import copy
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import scene, stripes

from vidstyle import DeviceError, Frame, Motion, Settings, Style, Stylizer
from vidstyle.bench import temporal_metrics
from vidstyle.bench.clips import View, camera_clip
from vidstyle.ops.tensors import to_tensor
from vidstyle.optim import cuda_graph
from vidstyle.optim.adam import AdamState, StepSize, adam
from vidstyle.optim.cuda_graph import GraphedFunction, compiled
from vidstyle.optim.runners import PreparedRunner, make_step_runner
from vidstyle.runtime.device import choose_precision
from vidstyle.stylizer.frame_setup import prepare_frame

CPU = torch.device("cpu")
FAST_SETTINGS = Settings(
    initial_steps=10,
    steps=2,
    pyramid_levels=1,
    precision="fp32",
    style_layers=("relu1_1", "oriented2"),
    content_layers=("relu2_1",),
)
"""Few layers, since compilers take their time for each."""

needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Plain:
    """An executable that runs its program eagerly, and counts how many were made."""

    made = 0

    def __init__(self, program, changing, inputs):
        type(self).made += 1
        self.program = program

    def __call__(self, changing, fixed, on_steps):
        losses = []
        for on_step in on_steps:
            on_step()
            *changing, loss = self.program([*changing, *fixed])
            losses.append(loss)
        return [*changing, *losses]


def fail(program, changing, inputs):
    raise RuntimeError("no compiler found\nat all")


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setattr(Plain, "made", 0)
    return Plain


def paint_some(stylizer, frames=3):
    return [stylizer(Frame(scene(number / 10))).image for number in range(frames)]


def test_prepared_runner_gives_the_frames_of_eager_steps(features, style, plain, monkeypatch):
    monkeypatch.setattr(
        "vidstyle.stylizer.stylizer.FULL_LR_STEPS", 3
    )  # frames after the first settle, and look ahead
    one, other = (Stylizer(features, style, FAST_SETTINGS) for _ in range(2))
    other.step_runner = PreparedRunner(plain)
    assert all(
        np.array_equal(a, b) for a, b in zip(paint_some(one), paint_some(other), strict=True)
    )
    assert [vars(i) for i in one.iterations] == [vars(i) for i in other.iterations]


def test_prepared_runner_uses_one_program_for_all_frames_styles_and_weights(features, style, plain):
    stylizer = Stylizer(features, style, FAST_SETTINGS)
    stylizer.step_runner = PreparedRunner(plain)
    paint_some(stylizer)
    stylizer.style = Style.from_images([scene(size=(64, 64))], features)
    paint_some(stylizer, 2)
    stylizer.settings = replace(
        FAST_SETTINGS,
        style_weight=2.0,
        content_weight=0.1,
        temporal_weight=1.0,
        strength=0.5,
        learning_rate=0.03,
    )
    paint_some(stylizer, 2)
    stylizer.reset()
    paint_some(stylizer, 1)
    stylizer.settings = replace(
        FAST_SETTINGS, style_weight=2, learning_rate=1
    )  # whole numbers are numbers too
    paint_some(stylizer, 1)
    assert plain.made == 1
    stylizer.settings = replace(FAST_SETTINGS, style_layers=("relu1_1",))
    paint_some(stylizer, 1)
    assert plain.made == 2


def test_program_cache_keeps_two_programs(features, style, plain):
    stylizer = Stylizer(features, style, FAST_SETTINGS)
    stylizer.step_runner = PreparedRunner(plain)
    for width in (64, 80, 96, 112):
        stylizer(Frame(scene(size=(width, 48))))
    assert plain.made == 4 and len(stylizer.step_runner._programs) == 2


class Again:
    """Stands in for ``CudaGraph``: ``replay`` calls the function and overwrites the outputs."""

    made = 0

    def __init__(self, function, inputs, device):
        type(self).made += 1
        self.inputs, self.function = [tensor.clone() for tensor in inputs], function
        self.outputs = function(self.inputs)

    def take(self, inputs):
        torch._foreach_copy_(self.inputs, inputs)

    def replay(self):
        torch._foreach_copy_(self.outputs, self.function(self.inputs))


def test_graphed_prepare_frame_is_recorded_once_and_gives_the_same_frames(
    features, style, monkeypatch
):
    monkeypatch.setattr(Again, "made", 0)
    monkeypatch.setattr(cuda_graph, "CudaGraph", Again)
    clip = camera_clip("pan", (64, 48), 5, lambda number: View(0.6 * number))
    pair = [Stylizer(features, style, FAST_SETTINGS) for _ in range(2)]
    pair[1]._prepare_frame = GraphedFunction(prepare_frame, CPU, fall_back=False)
    for number, (frame, motion) in enumerate(zip(clip.frames, clip.motions, strict=True)):
        if number == 3:
            for stylizer in pair:
                stylizer.style = Style.from_images([scene(size=(64, 64))], features)
                stylizer.settings = replace(
                    FAST_SETTINGS, style_weight=2.0, content_weight=0.1, strength=0.5
                )
        one, other = (stylizer(frame, motion).image for stylizer in pair)
        assert np.array_equal(one, other)
    assert Again.made == 1


def test_graphed_function_does_not_record_a_signature_that_comes_once(features, style, monkeypatch):
    """One frame of the clip is given without optical flow."""
    monkeypatch.setattr(Again, "made", 0)
    monkeypatch.setattr(cuda_graph, "CudaGraph", Again)
    clip = camera_clip("pan", (64, 48), 6, lambda number: View(0.6 * number))
    stylizer = Stylizer(features, style, FAST_SETTINGS)
    stylizer._prepare_frame = GraphedFunction(prepare_frame, CPU, fall_back=False)
    for number, (frame, motion) in enumerate(zip(clip.frames, clip.motions, strict=True)):
        stylizer(frame, Motion() if number == 3 else motion)
    assert Again.made == 1


def test_stylizer_settings_that_are_refused_change_nothing(features, style):
    stylizer = Stylizer(features, style, FAST_SETTINGS)
    before = stylizer._active_features
    with pytest.raises(DeviceError):
        stylizer.settings = replace(FAST_SETTINGS, precision="bf16", engine="graph")
    assert stylizer._active_features is before and stylizer.settings is FAST_SETTINGS
    stylizer.settings = replace(FAST_SETTINGS, precision="bf16")
    stylizer.settings = FAST_SETTINGS
    assert stylizer._active_features is before


def test_prepared_runner_falls_back_to_eager_steps_and_warns_once(features, style, caplog):
    one, other = (Stylizer(features, style, FAST_SETTINGS) for _ in range(2))
    other.step_runner = PreparedRunner(fail, fall_back=True)
    with caplog.at_level(logging.WARNING, "vidstyle"):
        assert all(
            np.array_equal(a, b) for a, b in zip(paint_some(one), paint_some(other), strict=True)
        )
    assert [record.getMessage() for record in caplog.records] == [
        "steps take longer: they cannot be prepared here (no compiler found)"
    ]


def test_prepared_runner_raises_an_error_with_a_remedy(features, style):
    stylizer = Stylizer(features, style, FAST_SETTINGS)
    stylizer.step_runner = PreparedRunner(fail)
    with pytest.raises(DeviceError, match=r"no compiler found.*engine='eager'"):
        paint_some(stylizer, 1)
    with pytest.raises(DeviceError, match="needs a CUDA device"):
        make_step_runner("graph", CPU)
    with pytest.raises(DeviceError, match="precision="):
        choose_precision("fp16", CPU)
    assert make_step_runner("auto", CPU) is make_step_runner("eager", CPU) is adam


def on_device(features, device):
    features = copy.deepcopy(features).to(device)
    return features, Style.from_images([stripes()], features)


@pytest.mark.parametrize(
    ("engine", "device"),
    [
        pytest.param("compile", "cpu", marks=needs_compiler),
        pytest.param("compile", "cuda", marks=needs_gpu),
        pytest.param("graph", "cuda", marks=needs_gpu),
    ],
)
def test_stylizer_engines_agree(features, engine, device):
    """On one step, and over a clip of 30 frames in objective and flicker to 2 %."""
    features, style = on_device(features, device)
    # Compiled, patch matching takes as long as all the rest.
    fewest = replace(FAST_SETTINGS, patch_weight=0, orientation_weight=0)
    other = Stylizer(features, style, replace(fewest, engine=engine))
    clip = camera_clip("pan", (64, 48), 30, lambda number: View(0.6 * number))

    content = to_tensor(clip.frames[0].image, features.device)
    objective = other.objective(content, (content, torch.ones_like(content[:, :1])))
    start = torch.rand(content.shape, generator=torch.Generator().manual_seed(0)).to(
        features.device
    )
    eager = adam(start, objective, 1, AdamState.zero(start), StepSize(0.05))
    same = other.step_runner(start, objective, 1, AdamState.zero(start), StepSize(0.05))
    # Sums in another order; Adam divides by the gradient's own size, which lifts rounding where a
    # gradient is about zero.
    torch.testing.assert_close(same.image, eager.image, atol=2e-3, rtol=0)
    torch.testing.assert_close(
        torch.stack(list(same.losses[0].values())),
        torch.stack(list(eager.losses[0].values())),
        atol=1e-6,
        rtol=1e-4,
    )

    torch._dynamo.utils.counters.clear()
    reached, flickers = [], []
    for stylizer in (Stylizer(features, style, replace(fewest, engine="eager")), other):
        pictures = []
        for frame, motion in zip(clip.frames, clip.motions, strict=True):
            stylizer(frame, motion, steps=2)
            pictures.append(stylizer.state()["image"])
        reached.append(stylizer.iterations[-1].total)
        flickers.append(temporal_metrics.flicker(pictures, clip.motions, 6))
    assert (
        torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0
    )  # nothing was compiled again for first or later frames
    assert reached[1] == pytest.approx(reached[0], rel=0.02)
    assert flickers[1] == pytest.approx(flickers[0], rel=0.02)


@needs_compiler
def test_compiled_features_have_the_same_gradients(features):
    image = torch.rand(1, 3, 43, 61, generator=torch.Generator().manual_seed(0))

    def gradients(inputs):
        with torch.enable_grad():
            leaf = inputs[0].detach().requires_grad_(True)
            maps = features(leaf, ("tensor1", "tone"))
            return [torch.autograd.grad(x.square().sum(), leaf)[0] for x in maps.values()]

    same = compiled(gradients, [image])([image])
    for found, expected in zip(same, gradients([image]), strict=True):
        # Sums in another order: 1e-7 of the largest gradient is measured.
        limit = 1e-5 * expected.abs().max().item()
        torch.testing.assert_close(found, expected, atol=limit, rtol=0)


@needs_gpu
def test_step_runner_does_not_synchronize(features):
    features, style = on_device(features, "cuda")
    for engine in ("eager", "graph"):
        stylizer = Stylizer(features, style, replace(FAST_SETTINGS, engine=engine))
        paint_some(stylizer)
        content = to_tensor(scene(), features.device)
        objective = stylizer.objective(content, (content, torch.ones_like(content[:, :1])))
        moments = AdamState.zero(content)
        stylizer.step_runner(content, objective, 1, moments, StepSize(0.05))
        torch.cuda.set_sync_debug_mode("error")
        try:
            stylizer.step_runner(content, objective, 4, moments, StepSize(0.05))
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["scene", "black", "white", "noise"])
def test_stylizer_in_half_precision_has_the_same_losses_and_no_nan(
    features, style, precision, kind
):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    image = {
        "scene": scene(),
        "black": np.zeros_like(noise),
        "white": np.full_like(noise, 255),
        "noise": noise,
    }[kind]
    content = to_tensor(image)
    whole, half = (Stylizer(features, style, FAST_SETTINGS) for _ in range(2))
    half._active_features = features.in_precision(precision)
    before = content, torch.ones_like(content[:, :1])
    one, other = (stylizer.objective(content, before)(content) for stylizer in (whole, half))
    assert other["total"].item() == pytest.approx(
        one["total"].item(), rel=0.03
    )  # bfloat16 has 8 bits, and errors average out; least so for an image of one colour
    end = adam(content, half.objective(content, before), 5, AdamState.zero(content), StepSize(0.05))
    assert end.image.isfinite().all() and all(loss["total"].isfinite() for loss in end.losses)
    fine = adam(
        content, whole.objective(content, before), 5, AdamState.zero(content), StepSize(0.05)
    )
    reached = [
        whole.objective(content, before)(picture)["total"].item()
        for picture in (fine.image, end.image)
    ]
    assert reached[1] == pytest.approx(reached[0], rel=0.05, abs=1e-4)
