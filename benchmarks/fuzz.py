"""Throw damaged and hostile files at everything that is read: each is painted as far as it goes, or refused in one line.

    python benchmarks/fuzz.py [--cases 1000] [--seed 0] [--only N] [--keep FOLDER] [--json benchmarks/results/fuzz.json]

Cases run in a process of their own, which is replaced when it dies or takes longer than ten seconds. A case goes through all of
a render but the painting: source, sink, sound. It fails by any exception but a one-line ``VidstyleError``, by a crash, by taking
too long or too much memory, by leaving files open, by writing beside its output, by reaching another file than its own, by a
traceback that nobody catches, and by opening a network connection. The first cases are hand-made, then come whole files, which
must be painted, then damaged ones.
"""

import argparse
import contextlib
import json
import logging
import multiprocessing
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import av
import torch
from fuzz_files import KINDS, make_seeds, mended, mutate, open_job, send
from fuzz_watch import Watch
from hostile import BOTH, NEAR, hostile

import vidstyle as vs
from vidstyle.bench.results import machine
from vidstyle.features.weights import read_network
from vidstyle.io.images import is_image
from vidstyle.stylizer.warm_start import StylizerState

SECONDS, FRAMES = 10, 200
ADDRESS_BYTES = 8 << 30
"""Of memory that a case may ask for, used or not; the libraries themselves take some four."""

ENDINGS = (".mp4", ".mkv", ".mov", ".gif")


@dataclass(frozen=True)
class Case:
    """A file, and what may become of it."""

    kind: str
    name: str
    data: bytes
    allowed: tuple[str, ...] = BOTH
    group: str = ""


class Cases:
    """Cases by number: always the same for the same seed."""

    def __init__(self, seeds, seed, port):
        self._seeds, self._seed = seeds, seed
        self._first = [Case(*made, group="hostile") for made in hostile(seeds, port)]
        self._first += [
            Case(kind, f"case.{kind}", self._whole(kind), ("painted",))
            for kind in KINDS
            if kind != "state"
        ]

    def _whole(self, kind):
        return (self._seeds / f"seed.{kind}").read_bytes()

    def __len__(self):
        return len(self._first)

    def __getitem__(self, number):
        if number < len(self._first):
            return self._first[number]
        chance = random.Random(f"{self._seed} {number}")
        kind = chance.choice(KINDS)
        other = self._whole(chance.choice([kind for kind in KINDS if kind != "state"]))
        if kind == "state":
            chosen = chance.choice(sorted((self._seeds / "state.part").iterdir()))
            return Case(kind, chosen.name, mutate(chosen.read_bytes(), other, chance))
        data = mutate(self._whole(kind), other, chance)
        return Case(
            kind,
            f"case.{kind}",
            mended(data) if data[:4] == b"\x89PNG" and chance.random() < 0.8 else data,
        )


def go_through(case, file, folder, seeds):
    """All that a render does with a file, but the painting."""
    if case.kind == "state":
        with open_job(folder / "out" / "state.mp4", resume=True) as sink:
            if sink.resumed:
                with contextlib.suppress(
                    ValueError
                ):  # the state of another network is refused as a wrong call is
                    StylizerState.from_state(sink.resumed.state, torch.device("cpu"))
            send(sink, sink.resumed.frames if sink.resumed else 0)
        return
    if file.suffix == ".safetensors":
        read_network(file)
        return
    named = file.with_name("%03d.png") if case.kind == "numbered" else file
    ending = (
        file.suffix
        if case.kind != "numbered" and is_image(file)
        else random.Random(len(case.data)).choice(ENDINGS)
    )
    with (
        vs.open_source(named) as source,
        vs.open_sink(folder / "out" / f"out{ending}", source) as sink,
    ):
        for frame in islice(source, FRAMES):
            sink.send(frame)


def lay_out(case, folder, seeds):
    """Put the file, and what belongs to it or lies near, into a new folder; returns its path."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    if case.kind == "state":
        shutil.copytree(seeds / "state.part", folder / "out" / "state.part")
        file = folder / "out" / "state.part" / case.name
    else:
        file = folder / "in" / (case.name if case.kind != "numbered" else "002.png")
        for name in NEAR if case.group else ():
            shutil.copy(seeds / f"seed.{name.split('.')[1]}", folder / "in" / name)
        for number in (1, 3) if case.kind == "numbered" else ():
            shutil.copy(seeds / "seed.png", folder / "in" / f"{number:03}.png")
    file.write_bytes(case.data)
    return file


def outcome_of(case, watch, seeds):
    """What becomes of a case: ``painted``, ``refused``, or ``FAILED: `` and why."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        file = lay_out(case, folder, seeds)
        outcome = "painted"
        with watch.on(folder):
            try:
                go_through(case, file, folder, seeds)
            except vs.VidstyleError as error:
                said = str(error)
                outcome = (
                    "refused"
                    if said.isprintable() and ": " in said
                    else f"FAILED: not one line: {said!r}"
                )
            except BaseException as error:  # noqa: BLE001 (that is what is looked for)
                outcome = f"FAILED: {type(error).__name__}: {error}"
        wrong = watch.wrong(folder)
        if wrong:
            outcome = f"FAILED: {wrong} ({outcome})"
        if outcome in BOTH and outcome not in case.allowed:
            outcome = f"FAILED: {outcome}"
        return outcome.replace(str(folder), "")[:500]


def work(pipe, cases, seeds):
    """The worker: takes numbers of cases, gives what became of them."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    logging.getLogger("vidstyle").addHandler(logging.NullHandler())
    watch = Watch()
    while True:
        pipe.send(outcome_of(cases[pipe.recv()], watch, seeds))


class Worker:
    """A process that runs cases, replaced when one kills it."""

    def __init__(self, *given):
        self._given, self._process = given, None

    def run(self, number):
        """What becomes of a case."""
        if self._process is None:
            self._pipe, theirs = multiprocessing.Pipe()
            self._process = multiprocessing.get_context("fork").Process(
                target=work, args=(theirs, *self._given), daemon=True
            )
            self._process.start()
            theirs.close()
        self._pipe.send(number)
        try:
            if self._pipe.poll(SECONDS):
                return self._pipe.recv()
            outcome = f"FAILED: takes longer than {SECONDS} s"
        except EOFError:
            outcome = "FAILED: the process died"
        self.end()
        return outcome

    def end(self):
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def fuzz(numbers, seed, keep=None, say=lambda line: None):
    """Run cases; returns (kind -> outcome -> count, failures, seconds of the slowest)."""
    counts, failures, slowest = {}, [], 0.0
    with tempfile.TemporaryDirectory() as made, socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        seeds = Path(made)
        make_seeds(seeds)
        cases = Cases(seeds, seed, server.getsockname()[1])
        worker = Worker(cases, seeds)
        for done, number in enumerate(numbers, 1):
            began = time.perf_counter()
            outcome, case = worker.run(number), cases[number]
            slowest = max(slowest, time.perf_counter() - began)
            with contextlib.suppress(BlockingIOError):
                server.accept()[0].close()
                outcome = "FAILED: connects to an address that a file names"
            kind = case.group or case.kind
            counts.setdefault(kind, Counter())[outcome.split(":")[0]] += 1
            if outcome.startswith("FAILED"):
                failures.append(
                    {
                        "case": number,
                        "kind": kind,
                        "name": ascii(case.name)[1:-1],
                        "outcome": outcome,
                    }
                )
                say(f"case {number} ({kind}, {case.name!r}): {outcome}")
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{seed}_{number}_{ascii(case.name)[1:-1]}").write_bytes(case.data)
            if done % 100 == 0:
                say(f"{done} cases, {len(failures)} failures")
        worker.end()
    return counts, failures, slowest


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone")
    parser.add_argument("--keep", type=Path, help="a folder for the files that fail")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    numbers = range(args.cases) if args.only is None else [args.only]
    counts, failures, slowest = fuzz(
        numbers, args.seed, args.keep, lambda line: print(line, file=sys.stderr)
    )
    total = Counter()
    for kind in sorted(counts):
        print(
            f"{kind}: "
            + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts[kind].items()))
        )
        total.update(counts[kind])
    print(f"{sum(total.values())} cases: {dict(total)}, the slowest took {slowest:.2f} s")
    if args.json:
        made_on = machine(torch.device("cpu")) | {
            "ffmpeg": av.ffmpeg_version_info,
            **{name: version(name) for name in ("av", "numpy", "opencv-python", "safetensors")},
        }
        found = {
            "seed": args.seed,
            "cases": len(numbers),
            "slowest_seconds": round(slowest, 2),
            "kinds": counts,
            "failures": failures,
        }
        args.json.write_text(json.dumps({"machine": made_on, **found}, indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
