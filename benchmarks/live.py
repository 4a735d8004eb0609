"""How live is live: a clip at its own pace in place of a webcam, painted without a window, styles switched on the way.

python benchmarks/live.py [--frames 600] [--fps 30] [--json benchmarks/results/live-cpu.json]
"""

import argparse
import statistics
import threading
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import vidstyle as vs
from vidstyle.camera import PacedFile
from vidstyle.clips import object_clip
from vidstyle.device import open_files, resident_memory
from vidstyle.live import Session
from vidstyle.results import Row, machine, row_text, write_results
from vidstyle.show import FIRST_STEPS, Closed, Show

ROOT = Path(__file__).parent.parent
SIZE, CAMERA_FPS, STYLES = (320, 180), 30, ("strokes", "watercolor", "ink")
WARM_UP_FRAMES = 100
"""Until the pace is found: steps and size of the painting are chosen meanwhile."""

SWITCH_EVERY_FRAMES = 100


def make_clip(path):
    """Two seconds of something that moves before a still ground, there and back so that nothing jumps when it begins again."""
    frames = object_clip("object", SIZE, CAMERA_FPS, 4.3).frames
    images = [frame.image for frame in frames]
    images += images[-2:0:-1]
    with vs.VideoWriter(path, vs.Format(SIZE, Fraction(CAMERA_FPS), Fraction(1, 90000))) as writer:
        for number, image in enumerate(images):
            writer.send(vs.Frame(image, Fraction(number, CAMERA_FPS), Fraction(1, CAMERA_FPS)))


def watched(count, fps):
    """Paint so many frames; returns the session, when styles were switched, and (memory, open files) early and late."""
    features = vs.load_features("bundled", "auto")
    styles = [(name, vs.Style.from_images([ROOT / "samples" / "styles" / f"{name}.jpg"], features)) for name in STYLES]
    stylizer = vs.Stylizer(features, styles[0][1], replace(vs.PRESETS["live"], first_steps=FIRST_STEPS))
    switched, kept = [], []
    with TemporaryDirectory() as folder:
        make_clip(Path(folder) / "clip.mp4")
        with PacedFile(Path(folder) / "clip.mp4", loop=True) as camera:
            session = Session(Show(fps=fps), camera, stylizer, styles)
            last = 0

            def controls(stylizer, report):
                nonlocal last
                session(stylizer, report)
                if report.frames == last:
                    return
                last = report.frames
                if last > WARM_UP_FRAMES and last % SWITCH_EVERY_FRAMES == 0:
                    session.press("n")
                    switched.append(time.monotonic())
                if last in (WARM_UP_FRAMES * 2, count):
                    kept.append((resident_memory(features.device), open_files()))
                if last == count:
                    raise Closed

            try:
                vs.run(camera, stylizer, [session.recorder], controls)
            except Closed:
                session.close()
    return session, switched, kept, stylizer


def rows_of(session, switched, kept, stylizer):
    """The figures."""
    shown = list(session.shown)[WARM_UP_FRAMES:]
    intervals = [after[0] - before[0] for before, after in pairwise(shown)]
    median, slow = statistics.median(intervals), sorted(intervals)[int(0.95 * len(intervals))]
    late = statistics.median(when - there for when, there in shown)
    there = [moment for _, moment in shown]
    wrong = sum(after <= before for before, after in pairwise(there))
    gaps = [
        max(after[0] - before[0] for before, after in pairwise(shown) if moment - 1 < after[0] < moment + 2)
        for moment in switched
    ]
    left = sum(thread.name.startswith("vidstyle") for thread in threading.enumerate())
    (memory, files), (memory_after, files_after) = kept
    return [
        Row("frames per second", 1 / median),
        Row("painted at, long side", max(stylizer.paint_size(SIZE)), "px"),
        Row("latency added, of the median interval", late / median, "", "<= 1.5"),
        Row("latency added", 1000 * late, "ms"),
        Row("95th percentile of the interval over its median", slow / median, "", "<= 1.25"),
        Row("frames painted twice or shown out of order", wrong, "", "0"),
        Row("style switch: longest gap, in median intervals", max(gaps) / median, "", "<= 2"),
        Row(f"memory after {len(session.shown)} frames over after {2 * WARM_UP_FRAMES}", memory_after / memory, "", "<= 1.02"),
        Row("threads left", left, "", "0"),
        Row("open files more than before", files_after - files, "", "0"),
    ]


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = rows_of(*watched(args.frames, args.fps))
    for row in rows:
        print(row_text(row))
    if args.json:
        write_results(args.json, rows, machine(torch.device("cpu")))


if __name__ == "__main__":
    main()
