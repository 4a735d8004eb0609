"""Fuzz everything that reads files: each damaged or hostile file is read or refused with one line.

    python benchmarks/fuzz.py [--cases 1000] [--seed 0] [--only N] [--keep FOLDER] [--json FILE]

A case runs a render without its optimisation: source, sink, audio. Cases run in a child process,
which is replaced if it dies or takes longer than ``TIMEOUT_SECONDS``. A case fails if it

- raises an exception that is not a ``VidstyleError`` with one line, or crashes,
- takes too long or too much memory, or leaves files open,
- writes outside of its output folder, or opens a file that is not its own,
- prints a traceback, or opens a network connection.

The first cases are handwritten (``hostile.py``), then come intact files, which must be read, then
mutated ones.
"""

import argparse
import contextlib
import gc
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
from vidstyle.io.image_names import is_image
from vidstyle.stylizer.state import StylizerState

TIMEOUT_SECONDS = 10
"""Time limit of a case."""

MAX_FRAMES = 200
"""Frames of a file that are read at most."""

ADDRESS_BYTES = 8 << 30
"""Limit of a child's address space; the libraries alone reserve about four GiB."""

ENDINGS = (".mp4", ".mkv", ".mov", ".gif")


@dataclass(frozen=True)
class Case:
    """One file.

    Args:
        kind: one of ``KINDS``, or "clip" for a handwritten file.
        name: of the file.
        data: its content.
        allowed: permitted outcomes.
        group: name in the results; empty: the kind.
    """

    kind: str
    name: str
    data: bytes
    allowed: tuple[str, ...] = BOTH
    group: str = ""


class Cases:
    """Cases by number, reproducible: the same seed and number give the same case."""

    def __init__(self, seeds, seed, port):
        self._seeds, self._seed = seeds, seed
        self._first = [Case(*made, group="hostile") for made in hostile(seeds, port)]
        self._first += [
            Case(kind, f"case.{kind}", self._whole(kind), ("read",))
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


def process(case, file, folder, seeds):
    """Do what a render does with a file, without optimisation."""
    if case.kind == "state":
        with open_job(folder / "out" / "state.mp4", resume=True) as sink:
            if sink.resumed:
                with contextlib.suppress(ValueError):  # the state of another network
                    StylizerState.from_state_dict(sink.resumed.state, torch.device("cpu"))
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
        for frame in islice(source, MAX_FRAMES):
            sink.send(frame)


def write_case(case, folder, seeds):
    """Write the file and its neighbours into a new folder; return its path."""
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
    """The outcome of a case: ``read``, ``refused``, or ``FAILED: reason``."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        file = write_case(case, folder, seeds)
        outcome = "read"
        with watch.on(folder):
            try:
                process(case, file, folder, seeds)
            except vs.VidstyleError as error:
                message = str(error)
                outcome = (
                    "refused"
                    if message.isprintable() and ": " in message
                    else f"FAILED: not one line: {message!r}"
                )
            except BaseException as error:  # noqa: BLE001 (this is what the fuzzer searches)
                outcome = f"FAILED: {type(error).__name__}: {error}"
        wrong = watch.wrong(folder)
        if wrong:
            outcome = f"FAILED: {wrong} ({outcome})"
        if outcome in BOTH and outcome not in case.allowed:
            outcome = f"FAILED: {outcome}"
        return outcome.replace(str(folder), "")[:500]


def work(pipe, cases, seeds):
    """Child process: receive numbers of cases, send their outcomes."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    logging.getLogger("vidstyle").addHandler(logging.NullHandler())
    watch = Watch()
    gc.freeze()  # collections then skip the objects of all modules
    while True:
        pipe.send(outcome_of(cases[pipe.recv()], watch, seeds))


class Worker:
    """A child process that runs cases; a new one is started after a case that kills it."""

    def __init__(self, *arguments):
        self._arguments, self._process = arguments, None

    def run(self, number):
        """The outcome of case ``number``."""
        if self._process is None:
            self._pipe, child_pipe = multiprocessing.Pipe()
            self._process = multiprocessing.get_context("fork").Process(
                target=work, args=(child_pipe, *self._arguments), daemon=True
            )
            self._process.start()
            child_pipe.close()
        self._pipe.send(number)
        try:
            if self._pipe.poll(TIMEOUT_SECONDS):
                return self._pipe.recv()
            outcome = f"FAILED: takes longer than {TIMEOUT_SECONDS} s"
        except EOFError:
            outcome = "FAILED: the process died"
        self.end()
        return outcome

    def end(self):
        """Kill the child process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def fuzz(numbers, seed, keep=None, say=lambda line: None):
    """Run cases.

    Args:
        numbers: of the cases.
        seed: of the mutations.
        keep: folder for the files of failed cases; None: not kept.
        say: called with each line of progress.

    Returns:
        Kind -> outcome -> count; failures; seconds of the slowest case.
    """
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
                outcome = "FAILED: connects to an address in a file"
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
    parser.add_argument("--only", type=int, help="run only this case")
    parser.add_argument("--keep", type=Path, help="folder for the files of failed cases")
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
