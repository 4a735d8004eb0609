"""Interrupt renders at random moments and check how they end and what files they leave.

    python benchmarks/interrupts.py [--interrupts 200] [--cold 20] [--seed 0] [--json FILE]

Most renders are forked from a process that has imported everything, so that most signals arrive
during the render itself; the ``--cold`` ones are started as a new Python process. It needs
``os.fork``.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import vidstyle as vs
from vidstyle import cli
from vidstyle.bench.results import machine

ROOT = Path(__file__).parent.parent
RATE, FRAMES = 12, 72
FLAGS = [
    "--working-size",
    "64",
    "--size",
    "96",
    "--initial-steps",
    "3",
    "--steps",
    "1",
    "--preset",
    "live",
]
FLAGS += ["--device", "cpu", "-y"]
END_SECONDS = 10.0
"""Time limit from the signal to the end of the process."""
OVER_SECONDS = 0.2
"""A render that exits with 0 within this time had finished when the signal arrived."""
GIVE_UP_SECONDS = 60.0
"""Time after which a render is killed and counts as a failure."""
BEFORE = b"the file of an earlier render"


def make_clip(path):
    """Write six seconds of the two sample clips in turn, with five cuts and so several segments."""
    names = ("boat", "balloons")
    shots = [
        [frame.image for frame in vs.open_source(ROOT / "samples" / "clips" / f"{name}.mp4")]
        for name in names
    ]
    images = [shots[number // 12 % 2][number % 12] for number in range(FRAMES)]
    with vs.VideoWriter(
        path, vs.VideoInfo(images[0].shape[1::-1], Fraction(RATE), Fraction(1, 1200))
    ) as writer:
        for number, image in enumerate(images):
            writer.send(vs.Frame(image, Fraction(number, RATE), Fraction(1, RATE)))


class Forked:
    """A forked process that calls a function; its interface is that of ``subprocess.Popen``."""

    def __init__(self, function):
        self.returncode = None
        self.pid = os.fork()
        if not self.pid:
            try:
                function()
                os._exit(0)
            except BaseException:  # noqa: BLE001 (no exception may reach the parent's code)
                traceback.print_exc()
                os._exit(1)

    def poll(self):
        """The exit code; None while the process runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def send_signal(self, number):
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def wait(process, seconds):
    """Wait at most ``seconds`` for a process to end; return whether it has ended."""
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    return process.poll() is not None


def render(clip, folder, cold):
    """Start a render."""
    style = ROOT / "samples" / "styles" / "strokes.jpg"
    words = ["render", str(clip), str(style), "-o", str(folder / "out.mp4"), *FLAGS]
    if cold:
        with (folder.parent / f"{folder.name}.log").open("w") as log:
            return subprocess.Popen([sys.executable, "-m", "vidstyle", *words], stderr=log)

    def run():
        log = os.open(folder.parent / f"{folder.name}.log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 2)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.argv = ["vidstyle", *words]
        try:
            cli.program()
        except SystemExit as leaving:
            sys.stderr.flush()
            os._exit(leaving.code or 0)

    return Forked(run)


def interrupted(process, after, number):
    """Send a signal to a render after ``after`` seconds.

    Returns:
        Its exit code, seconds from the signal to its end, and whether it ended before the signal.
    """
    wait(process, after)
    over = process.poll() is not None
    sent = time.monotonic()
    process.send_signal(number)
    if not wait(process, GIVE_UP_SECONDS):
        process.send_signal(signal.SIGKILL)
        wait(process, GIVE_UP_SECONDS)
    return process.returncode, time.monotonic() - sent, over


def frames_of(path):
    """Number of frames of a file; 0 if it does not exist, None if it cannot be decoded."""
    if not path.exists():
        return 0
    with suppress(vs.VidstyleError), vs.open_source(path) as source:
        count = sum(1 for _ in source)
        return count if source.format.frames in (None, count) else None
    return None


def verdict(row, folder, log):
    """Failures of one render, as text; empty if there are none."""
    wrong = []
    existing = row.pop("existing")
    row["frames_in_part"] = frames_of(folder / "out.part.mp4")
    output = folder / "out.mp4"
    kept = existing and output.exists() and output.read_bytes() == BEFORE
    whole = not kept and output.exists() and frames_of(output) == FRAMES
    row["whole"] = whole
    before_the_handler = (-signal.SIGINT, -signal.SIGTERM)
    if row["seconds"] > END_SECONDS:
        wrong.append(f"took {row['seconds']:.1f} s to end")
    over = row["exit_code"] == 0 and whole and (row["over_before"] or row["seconds"] < OVER_SECONDS)
    if not (row["exit_code"] == 130 or over or row["exit_code"] in before_the_handler):
        wrong.append(f"exit code {row['exit_code']}")
    if row["frames_in_part"] is None:
        wrong.append("its partial file cannot be played")
    if existing and not (kept or whole):
        wrong.append("an existing file was destroyed")
    if not existing and output.exists() and not whole:
        wrong.append("an incomplete file has the name of the output")
    if "Traceback" in log.read_text():
        wrong.append("a traceback")
    unexpected = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if unexpected - {"out.mp4", "out.part.mp4", "out.part"}:
        wrong.append(f"left {sorted(unexpected)}")
    return wrong


def one(folder, clip, chance, length, cold):
    """Interrupt one render; return its row, without the verdict."""
    folder.mkdir()
    existing = chance.random() < 0.5
    if existing:
        (folder / "out.mp4").write_bytes(BEFORE)
    kind = chance.choice([signal.SIGINT, signal.SIGTERM])
    after = chance.uniform(0, length)
    code, seconds, over = interrupted(render(clip, folder, cold), after, kind)
    return {
        "after_seconds": round(after, 3),
        "signal": kind.name,
        "cold": cold,
        "exit_code": code,
        "seconds": round(seconds, 3),
        "over_before": over,
        "existing": existing,
    }


def length_of(clip, folder, cold):
    """Seconds of an uninterrupted render."""
    folder.mkdir()
    began = time.monotonic()
    process = render(clip, folder, cold)
    if not wait(process, 10 * GIVE_UP_SECONDS) or process.returncode != 0:
        log = folder.parent / f"{folder.name}.log"
        raise SystemExit(f"the uninterrupted render failed: {log.read_text()}")
    return time.monotonic() - began


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interrupts", type=int, default=200)
    parser.add_argument("--cold", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    import vidstyle.features.weights
    import vidstyle.render_job  # noqa: F401 (forked renders need no import)

    # Shells start background processes with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chance, rows = random.Random(args.seed), []
    with TemporaryDirectory() as name:
        clip = Path(name) / "in.mp4"
        wait(Forked(lambda: make_clip(clip)), GIVE_UP_SECONDS)
        lengths = {
            cold: length_of(clip, Path(name) / f"undisturbed-{cold}", cold)
            for cold in (False, True)
        }
        folders = [Path(name) / str(number) for number in range(args.interrupts)]
        # Nothing is decoded between two forks: a fork does not copy the decoder's threads.
        for number, folder in enumerate(folders):
            cold = number >= args.interrupts - args.cold
            rows.append(one(folder, clip, chance, lengths[cold], cold))
            print(f"{number + 1}/{args.interrupts}: {rows[-1]}", file=sys.stderr)
        for row, folder in zip(rows, folders, strict=True):
            row["wrong"] = verdict(row, folder, folder.parent / f"{folder.name}.log")
            for wrong in row["wrong"]:
                print(f"{folder.name}: {wrong}: {row}", file=sys.stderr)
    well = sum(not row["wrong"] for row in rows)
    slowest = max(row["seconds"] for row in rows)
    print(
        f"{well} of {len(rows)} interrupted renders ended correctly; "
        f"the slowest took {slowest:.1f} s to end"
    )
    if args.json:
        summary = {
            "seed": args.seed,
            "frames": FRAMES,
            "well": well,
            "slowest_seconds": slowest,
            "interrupts": rows,
        }
        args.json.write_text(
            json.dumps({"machine": machine(torch.device("cpu")), **summary}, indent=1) + "\n"
        )
    return 0 if well == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
