"""Time one step of the optimisation: the bundled features, all layers and few, against VGG-19 at the same size.

    python benchmarks/steps.py [--json benchmarks/results/steps-cpu.json]

Compare the ratios; the times themselves are this machine's. VGG-19 has random weights here, which cost the same.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

import vidstyle as vs
from vidstyle.features import VGG19, Features, Network
from vidstyle.frame import to_image
from vidstyle.results import Row, machine, row_text, write_results
from vidstyle.weights import VGG19_DEEPEST, VGG19_STYLE

SIZE = (180, 320)
ROUNDS = 15


def steps():
    """Name -> a function that takes one step: evaluates the objective and its gradient."""
    vgg19 = Features(Network(VGG19, VGG19_DEEPEST), content_layers=("relu4_2",), style_layers=VGG19_STYLE)
    bundled = vs.load_features("bundled", "cpu")
    generator = torch.Generator().manual_seed(0)
    content, style = (torch.rand(1, 3, *SIZE, generator=generator) for _ in range(2))

    def step_of(features, **settings):
        stylizer = vs.Stylizer(features, vs.Style.from_images([to_image(style)], features), vs.Settings(**settings))
        objective = stylizer.objective(content)

        def step():
            picture = content.clone().requires_grad_(True)
            torch.autograd.grad(objective(picture).total, picture)

        return step

    return {"VGG-19": step_of(vgg19), "all layers": step_of(bundled), "few layers": step_of(bundled, few_layers=True)}


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    timed = {name: (step, []) for name, step in steps().items()}
    for _ in range(ROUNDS):  # in turn, so that a machine that slows down slows all of them
        for step, seconds in timed.values():
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
    median = {name: statistics.median(seconds[1:]) for name, (_, seconds) in timed.items()}
    rows = [
        Row(f"step, {name}", 1000 * seconds, "ms", "<= 60" if name == "few layers" else "") for name, seconds in median.items()
    ]
    for name, target in (("all layers", "<= 0.25"), ("few layers", "<= 0.125")):
        rows.append(Row(f"step, {name}, relative to VGG-19", median[name] / median["VGG-19"], "", target))
    print("\n".join(map(row_text, rows)))
    if args.json:
        write_results(args.json, rows, machine(torch.device("cpu")) | {"size": f"{SIZE[1]} x {SIZE[0]}"})


if __name__ == "__main__":
    main()
