"""Time one step of the optimisation: what each technique bought, and the bundled features against VGG-19.

    python benchmarks/steps.py [--json benchmarks/results/steps-cpu.json] [--compile]

Compare the ratios; the times themselves are this machine's. VGG-19 has random weights here, which cost the same.
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
IN_A_ROW = 5
"""Rounds taken of one kind before the next one's turn: in a clip, too, a step finds in the caches what the one before left."""


def fixture_of(features):
    """Features that look at a drawn picture."""
    return Fixture(vs.Style.from_images([default_style_image()], features), "")


def rounds(compiled):
    """Name -> a function that takes ``STEPS_PER_ROUND`` steps."""
    bundled, vgg19 = vs.load_features("bundled", "cpu"), random_vgg19_features("cpu")
    content = fixture_of(bundled).content(SIZE)
    made = {}
    for features, name in ((bundled, ""), (vgg19, "VGG-19, ")):
        fixture = fixture_of(features)

        def ours(preset="standard", fixture=fixture, **settings):
            return stylizer_steps(
                fixture.stylizer(replace(vs.PRESETS[preset], **settings)), content
            )

        made[f"{name}textbook"] = textbook_steps(fixture.textbook_loss(STANDARD, content), content)
        made[f"{name}float32"] = ours(precision="fp32")
        made[f"{name}bfloat16"] = ours(precision="bf16")
        if features is bundled:
            made["textbook, channels first"] = apart(features, content)
            made["fast style layers, bfloat16"] = ours(precision="bf16", fast_style_layers=True)
            made["draft, float32"] = ours("draft", precision="fp32")
            made["draft, bfloat16"] = ours("draft", precision="bf16")
            if compiled:
                made["bfloat16, compiled"] = ours(precision="bf16", engine="compile")
    return made


def apart(features, content):
    """Textbook steps with every channel's plane by itself in memory, weights too, as PyTorch has it by default."""
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


def in_a_row(take):
    """``take``, several times."""

    def run():
        for _ in range(IN_A_ROW):
            take()

    return run


def coarse_to_fine():
    """Seconds that a first frame takes in three sizes, and at full size alone to the same loss."""
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
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--compile", action="store_true", help="compile the step too, which takes minutes"
    )
    args = parser.parse_args()
    turns = {name: in_a_row(take) for name, take in rounds(args.compile).items()}
    steps = IN_A_ROW * STEPS_PER_ROUND
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
