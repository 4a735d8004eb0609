"""Time one optimiser step, technique by technique, with the bundled features and with VGG-19.

    python benchmarks/steps.py [--json benchmarks/results/steps-cpu.json] [--compile]

Ratios compare between machines, times do not. VGG-19 has random weights, which take the same time.
"""

import argparse
import copy
import time
from dataclasses import replace
from pathlib import Path

import torch

import vidstyle as vs
from vidstyle.bench.fixtures import Fixture
from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.bench.speed import default_style_image, random_vgg19_features
from vidstyle.bench.step_bench import STEPS_PER_ROUND, stylizer_steps, textbook_steps
from vidstyle.bench.timing import median_seconds
from vidstyle.features import extractor as features_module
from vidstyle.io.frame import Frame
from vidstyle.io.images import read_image
from vidstyle.ops.tensors import to_image

ROOT = Path(__file__).parent.parent
SIZE = (320, 180)
INITIAL_STEPS = vs.Settings().initial_steps
STANDARD = vs.PRESETS["standard"]
REPEATS = 5
"""Rounds of one technique in succession, so that caches are warm as in a clip."""


def fixture_of(features):
    """The features with a drawn style image."""
    return Fixture(vs.Style.from_images([default_style_image()], features), "")


def rounds(compiled):
    """Label -> function that takes ``STEPS_PER_ROUND`` steps."""
    bundled, vgg19 = vs.load_features("bundled", "cpu"), random_vgg19_features("cpu")
    content = fixture_of(bundled).content(SIZE)
    made = {}
    for features, name in ((bundled, ""), (vgg19, "VGG-19, ")):
        fixture = fixture_of(features)

        def own_steps(preset="standard", fixture=fixture, **settings):
            return stylizer_steps(
                fixture.stylizer(replace(vs.PRESETS[preset], **settings)), content
            )

        made[f"{name}textbook"] = textbook_steps(fixture.textbook_loss(STANDARD, content), content)
        made[f"{name}float32"] = own_steps(precision="fp32")
        made[f"{name}bfloat16"] = own_steps(precision="bf16")
        if features is bundled:
            made["textbook, channels first"] = channels_first(features, content)
            made["fast style layers, bfloat16"] = own_steps(
                precision="bf16", fast_style_layers=True
            )
            made["draft, float32"] = own_steps("draft", precision="fp32")
            made["draft, bfloat16"] = own_steps("draft", precision="bf16")
            if compiled:
                made["bfloat16, compiled"] = own_steps(precision="bf16", engine="compile")
    return made


def channels_first(features, content):
    """Textbook steps with weights and feature maps in PyTorch's default memory format (NCHW)."""
    features = copy.deepcopy(features)
    features.network.to(memory_format=torch.contiguous_format)
    step = textbook_steps(fixture_of(features).textbook_loss(STANDARD, content), content)

    def run():
        layout, features_module.LAYOUT = features_module.LAYOUT, torch.contiguous_format
        try:
            step()
        finally:
            features_module.LAYOUT = layout

    return run


def repeated(take):
    """A function that calls ``take`` ``REPEATS`` times."""

    def run():
        for _ in range(REPEATS):
            take()

    return run


def coarse_to_fine():
    """Seconds of a first frame with pyramid levels, and at full size only to the same loss.

    The latter is None if three times as many steps do not reach that loss.
    """
    features = vs.load_features("bundled", "cpu")
    style = vs.Style.from_images([ROOT / "samples" / "styles" / "strokes.jpg"], features)
    image = read_image(ROOT / "samples" / "pictures" / "street.jpg")
    settings = vs.Settings(working_size=SIZE[0], initial_steps=INITIAL_STEPS)
    began = time.perf_counter()
    coarse = vs.Stylizer(features, style, settings)
    coarse(Frame(image))
    coarse_seconds, reached = time.perf_counter() - began, coarse.iterations[-1].total
    fine = vs.Stylizer(
        features, style, replace(settings, pyramid_levels=1, initial_steps=3 * INITIAL_STEPS)
    )
    stamps = []
    fine.on_iteration = lambda: stamps.append(time.perf_counter())
    fine(Frame(to_image(coarse.state()["content"])))
    there = next(
        (i for i, iteration in enumerate(fine.iterations) if iteration.total <= reached), None
    )
    return coarse_seconds, None if there is None else stamps[there] - stamps[0]


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--compile", action="store_true", help="measure the compiled step too, which takes minutes"
    )
    args = parser.parse_args()
    turns = {name: repeated(take) for name, take in rounds(args.compile).items()}
    steps = REPEATS * STEPS_PER_ROUND
    median = {
        name: seconds / steps
        for name, seconds in median_seconds(turns, torch.device("cpu")).items()
    }
    rows = [Row(f"step, {name}", 1000 * seconds, "ms") for name, seconds in median.items()]
    coarse, fine = coarse_to_fine()
    rows.append(Row("first frame, coarse to fine", coarse, "s"))
    if fine is not None:
        rows.append(Row("first frame, full size only, to the same loss", fine, "s"))
    print("\n".join(map(row_text, rows)))
    if args.json:
        write_results(
            args.json, rows, machine(torch.device("cpu")) | {"size": f"{SIZE[0]} x {SIZE[1]}"}
        )


if __name__ == "__main__":
    main()
