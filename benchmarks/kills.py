"""Kill renders at random moments, resume each, and compare with an uninterrupted render.

python benchmarks/kills.py [--kills 20] [--seed 0] [--json benchmarks/results/kills.json]
"""

import argparse
import json
import random
import subprocess
import sys
import time
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import vidstyle as vs
from vidstyle.bench.results import machine

ROOT = Path(__file__).parent.parent
RATE, ROUNDS = 12, 3
FLAGS = ["--working-size", "160", "--initial-steps", "10", "--steps", "2", "--preset", "final"]


def make_clip(path):
    """Write the two sample clips in turn, three times: 144 frames with five cuts."""
    names = ("boat", "balloons") * ROUNDS
    frames = [
        frame.image
        for name in names
        for frame in vs.open_source(ROOT / "samples" / "clips" / f"{name}.mp4")
    ]
    with vs.VideoWriter(
        path, vs.VideoInfo(frames[0].shape[1::-1], Fraction(RATE), Fraction(1, 1200))
    ) as writer:
        for number, image in enumerate(frames):
            writer.send(vs.Frame(image, Fraction(number, RATE), Fraction(1, RATE)))


def render(clip, output, *more):
    """Start the command ``vidstyle render``."""
    style = ROOT / "samples" / "styles" / "strokes.jpg"
    command = [sys.executable, "-m", "vidstyle", "render", clip, style, "-o", output, *FLAGS, *more]
    return subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL)


def digest_of(path):
    """SHA-256 of all decoded frames with their times, and the number of frames."""
    digest, count = sha256(), 0
    with vs.open_source(path) as source:
        for frame in source:
            digest.update(f"{frame.time} {frame.duration}".encode() + frame.image.tobytes())
            count += 1
    return digest.hexdigest(), count


def killed_and_resumed(folder, clip, seconds):
    """Kill a render after ``seconds`` and resume it to its end.

    Returns:
        The row of the results, ``digest_of`` the output, and the names of all files in the folder;
        None if the render was complete before it was killed.
    """
    output = folder / "out.mp4"
    process = render(clip, output)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if output.exists():
        return None
    segments = list((folder / "out.part").glob("0*[0-9].mp4"))
    kept = sum(digest_of(segment)[1] for segment in segments)  # fails if one cannot be decoded
    if render(clip, output, "--resume").wait() != 0:
        raise SystemExit(f"could not resume after a kill at {seconds:.2f} s")
    row = {"killed_after_seconds": round(seconds, 3), "frames_in_whole_segments": kept}
    return row, digest_of(output), sorted(path.name for path in folder.iterdir())


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    chance, rows = random.Random(args.seed), []
    with TemporaryDirectory() as name:
        clip, whole = Path(name) / "in.mp4", Path(name) / "whole.mp4"
        make_clip(clip)
        began = time.perf_counter()
        if render(clip, whole).wait() != 0:
            raise SystemExit("the uninterrupted render failed")
        length, expected = time.perf_counter() - began, digest_of(whole)
        longest = length
        while len(rows) < args.kills:
            seconds = chance.uniform(0, longest)
            with TemporaryDirectory(dir=name) as folder:
                found = killed_and_resumed(Path(folder), clip, seconds)
            if found is None:  # renders are faster now than the uninterrupted one was
                longest = seconds
                continue
            row, result, left = found
            rows.append(
                {**row, "identical": result == expected, "nothing_left_over": left == ["out.mp4"]}
            )
            print(f"{len(rows)}/{args.kills}: {rows[-1]}", file=sys.stderr)
    same = sum(row["identical"] and row["nothing_left_over"] for row in rows)
    print(
        f"{same} of {len(rows)} have the {expected[1]} frames of the uninterrupted render, "
        f"which took {length:.1f} s"
    )
    if args.json:
        summary = {"seed": args.seed, "frames": expected[1], "identical": same, "kills": rows}
        made_on = machine(torch.device("cpu"))
        args.json.write_text(json.dumps({"machine": made_on, **summary}, indent=1) + "\n")
    return 0 if same == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
