"""Time a render alone and next to busy programs, for several wait policies of idle threads.

python benchmarks/neighbours.py [--runs 3] [--json benchmarks/results/neighbours.json]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.runtime.limits import usable_cores

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 180
"""Renders that take longer are ended and count as this long."""

WAITS = {
    "asleep while others are busy, as vidstyle does": ({}, ()),
    "spinning for milliseconds, as PyTorch does": ({"GOMP_SPINCOUNT": "300000"}, ()),
    "asleep at once (`OMP_WAIT_POLICY=PASSIVE`)": ({"OMP_WAIT_POLICY": "PASSIVE"}, ()),
    "one thread (`--threads 1`)": ({}, ("--threads", "1")),
}
"""Label -> environment variables, flags. 300,000 spins are the default of GNU OpenMP."""

TARGETS = {"asleep while others are busy, as vidstyle does": "<= 3"}


def render_seconds(environment, flags, folder):
    """Wall time of the whole command, seconds; at most ``PATIENCE_SECONDS``."""
    clip, style = (
        ROOT / "samples" / "clips" / "boat.mp4",
        ROOT / "samples" / "styles" / "strokes.jpg",
    )
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "render",
        clip,
        style,
        "-o",
        Path(folder) / "out.mp4",
    ]
    command += ["--working-size", "192", "-q", "-y", *flags]
    environment_without_openmp = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    began = time.perf_counter()
    try:
        subprocess.run(
            [str(word) for word in command],
            env=environment_without_openmp | environment,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return float(PATIENCE_SECONDS)
    return time.perf_counter() - began


@contextmanager
def busy_loops(count):
    """Run ``count`` processes that compute without a pause."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cores = usable_cores()
    seconds = {name: {"alone": [], "busy": []} for name in WAITS}
    with TemporaryDirectory() as folder:
        render_seconds({}, (), folder)  # fills the page cache
        for _ in range(args.runs):  # in turns, so that a change of speed affects all of them
            for place, loops in (("alone", 0), ("busy", cores)):
                with busy_loops(loops):
                    for name, (environment, flags) in WAITS.items():
                        seconds[name][place].append(render_seconds(environment, flags, folder))
                        print(f"{name}, {place}: {seconds[name][place][-1]:.1f} s", file=sys.stderr)
    rows = []
    for name, places in seconds.items():
        alone, busy = (statistics.median(places[place]) for place in ("alone", "busy"))
        rows += [
            Row(f"{name}: alone", alone, "s"),
            Row(f"{name}: with {cores} busy programs", busy, "s"),
            Row(f"{name}: busy relative to alone", busy / alone, "", TARGETS.get(name, "")),
        ]
    for row in rows:
        print(row_text(row))
    if args.json:
        measured = {"cores": cores, "runs": args.runs, "patience_seconds": PATIENCE_SECONDS}
        write_results(args.json, rows, machine(torch.device("cpu")) | measured)


if __name__ == "__main__":
    main()
