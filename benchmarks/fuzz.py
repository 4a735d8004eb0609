"""Throw damaged and hostile files at everything that is read: each is painted as far as it goes, or refused in one line.

    python benchmarks/fuzz.py [--cases 1000] [--seed 0] [--only N] [--keep FOLDER] [--json benchmarks/results/fuzz.json]

Cases run in a process of their own, which is replaced when it dies or takes longer than ten seconds. A case goes through all of
a render but the painting: source, sink, sound. It fails by any exception but a one-line ``VidstyleError``, by a crash, by taking
too long or too much memory, by leaving files open, by writing beside its output, and by opening a network connection.
"""

import argparse
import contextlib
import gc
import io
import json
import logging
import multiprocessing
import random
import resource
import shutil
import socket
import sys
import time
from collections import Counter
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
import torch

import vidstyle as vs
from vidstyle.features import Network, NetworkShape
from vidstyle.results import machine
from vidstyle.weights import read_network, write_network

SECONDS, MEMORY_BYTES, FRAMES = 10, 6 << 30, 60
CLIPS = {
    "mp4": "libx264",
    "mov": "libx264",
    "mkv": "libx264",
    "webm": "libvpx-vp9",
    "ts": "libx264",
    "avi": "mpeg4",
    "flv": "flv",
    "gif": "gif",
    "nut": "ffv1",
    "y4m": "wrapped_avframe",
}
PICTURES = ("png", "jpg", "webp", "bmp", "tif")
KINDS = (*CLIPS, *PICTURES, "deep.png", "safetensors", "state")


def drawn(number):
    """(48, 64, 3) uint8: a disc on a gradient."""
    y, x = np.mgrid[:48, :64]
    image = np.stack([x * 4, y * 5, np.full_like(x, 90)], -1)
    image[(x - 16 - 2 * number) ** 2 + (y - 24) ** 2 < 100] = (230, 60, 40)
    return image.astype(np.uint8)


def make_seeds(folder):
    """One whole file of each kind."""
    for ending, codec in CLIPS.items():
        container = {"y4m": "yuv4mpegpipe", "mkv": "matroska", "ts": "mpegts"}.get(ending, ending)
        with av.open(str(folder / f"seed.{ending}"), "w", format=container) as output:
            video = output.add_stream(codec, rate=25)
            video.width, video.height = 64, 48
            video.pix_fmt = {"gif": "rgb8", "ffv1": "bgr0"}.get(codec, "yuv420p")
            sound = (
                output.add_stream("libopus" if ending == "webm" else "aac", rate=48000, layout="mono")
                if ending in SOUND
                else None
            )
            if ending == "mkv":
                output.add_attachment("notes.txt", "text/plain", b"hello")
                output.set_chapters(
                    [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}]
                )
            for number in range(12):
                frame = av.VideoFrame.from_ndarray(drawn(number), "rgb24").reformat(format=video.pix_fmt)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(video.encode(frame))
                if sound:
                    block = av.AudioFrame.from_ndarray(
                        np.zeros((1, 1920), np.float32), "flt" if ending == "webm" else "fltp", "mono"
                    )
                    block.sample_rate, block.pts, block.time_base = 48000, 1920 * number, Fraction(1, 48000)
                    output.mux(sound.encode(block))
            for stream in filter(None, (video, sound)):
                output.mux(stream.encode(None))
    for ending in PICTURES:
        cv2.imwrite(str(folder / f"seed.{ending}"), drawn(0))
    cv2.imwrite(str(folder / "seed.deep.png"), np.dstack([drawn(0), drawn(1)[..., :1]]).astype(np.uint16) * 257)
    shape = NetworkShape((4, 4, 4, 4, 4), (1, 1, 1, 1, 1), (0.45,) * 3, (0.25,) * 3)
    write_network(folder / "seed.safetensors", Network(shape).state_dict(), shape)
    with contextlib.suppress(KeyboardInterrupt), open_job(folder / "state.mp4", resume=False) as sink:
        for number in range(20):
            if number and number % 5 == 0:
                sink.checkpoint(vs.Checkpoint(number, 1, {"picture": torch.rand(1, 3, 8, 8)}))
            sink.send(vs.Frame(drawn(number), Fraction(number, 25), Fraction(1, 25)))
        raise KeyboardInterrupt  # leaves the folder of segments


SOUND = ("mp4", "mov", "mkv", "webm", "ts", "avi", "flv", "nut")


def open_job(path, resume):
    """A sink as a render opens it, or goes on with."""
    source = vs.Format((64, 48), Fraction(25), Fraction(1, 12800))
    return vs.VideoWriter(path, source, vs.Encoding(), {"steps": 1}, resume)


def mutate(data, other, chance):
    """The bytes, damaged in one to four of the usual ways."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place, length = chance.randrange(max(1, len(data))), chance.choice((1, 4, 16, 200, 2000))
        if chance.random() < 0.4:  # headers are where it hurts
            place = chance.randrange(min(len(data), 400) or 1)
        way = chance.randrange(8)
        if way == 0:
            for _ in range(chance.choice((1, 8, 64))):
                data[chance.randrange(len(data) or 1) : 0] = b"" if data else b"x"
                where = chance.randrange(len(data))
                data[where] ^= 1 << chance.randrange(8)
        elif way == 1:
            data[place : place + length] = chance.randbytes(length)
        elif way == 2:
            data[place : place + length] = bytes([chance.choice((0, 255))]) * length
        elif way == 3:
            del data[place : place + length]
        elif way == 4:
            data[place:place] = data[place : place + length]
        elif way == 5:
            del data[place:]
        elif way == 6:
            number = chance.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 60000, chance.getrandbits(32)))
            data[place : place + 4] = number.to_bytes(4, chance.choice(("big", "little")))
        else:
            data[place:] = other[chance.randrange(max(1, len(other))) :]
        data = data or bytearray(b"\0")
    return bytes(data)


def hostile(number, port):
    """(name, bytes) of the hand-made files: they name other files, addresses, or are far larger than they look."""
    address, secret = f"http://127.0.0.1:{port}/a.ts", "seed.mp4"
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    session = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    session += "a=rtpmap:96 H264/90000\n"
    dash = "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period><AdaptationSet><Representation>"
    dash += f"<BaseURL>{address}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 40]}}).encode()
    png = bytearray(cv2.imencode(".png", drawn(0))[1].tobytes())
    side = 60000
    png[16:24] = side.to_bytes(4, "big") * 2
    sides = (54).to_bytes(4, "little") + (40).to_bytes(4, "little") + side.to_bytes(4, "little") * 2
    files = [
        ("list.m3u8", playlist.format(address)),
        ("list.m3u8", playlist.format(secret)),
        ("list.mp4", playlist.format(address)),
        ("concat.ffconcat", f"ffconcat version 1.0\nfile '{secret}'\nfile '{address}'\n"),
        ("concat.mkv", f"ffconcat version 1.0\nfile '{address}'\n"),
        ("session.sdp", session),
        ("session.mp4", session),
        ("page.mp4", f"<html><img src='{address}'></html>"),
        ("drawing.png", f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{address}'/></svg>"),
        ("huge.png", bytes(png)),
        ("huge.bmp", b"BM" + bytes(8) + sides + b"\1\0\x18\0" + bytes(24)),
        ("huge.y4m", f"YUV4MPEG2 W{side} H{side} F25:1 C420\nFRAME\n" + "x" * 1000),
        ("long.safetensors", (1 << 40).to_bytes(8, "little") + b"{}"),
        ("beyond.safetensors", len(header).to_bytes(8, "little") + header + bytes(16)),
        ("pickle.safetensors", b"\x80\x04cos\nsystem\n(S'touch seed.owned'\ntR."),
        ("dash.mpd.mp4", dash),
    ]
    if number >= len(files):
        return None
    name, data = files[number]
    return name, data.encode() if isinstance(data, str) else data


def case(number, seed, seeds, port):
    """(kind, name, bytes) of a case: always the same for the same seed."""
    made = hostile(number, port)
    if made:
        return "hostile", *made
    chance = random.Random(f"{seed} {number}")
    kind = chance.choice(KINDS)
    other = (seeds / f"seed.{chance.choice([k for k in KINDS if k != 'state'])}").read_bytes()
    if kind == "state":
        parts = sorted(path for path in (seeds / "state.part").iterdir())
        chosen = chance.choice(parts)
        return kind, chosen.name, mutate(chosen.read_bytes(), other, chance)
    return kind, f"case.{kind}", mutate((seeds / f"seed.{kind}").read_bytes(), other, chance)


def go_through(kind, file, folder, seeds):
    """All that a render does with a file, but the painting."""
    if kind == "state":
        shutil.copytree(seeds / "state.part", folder / "out" / "state.part")
        shutil.copy(file, folder / "out" / "state.part" / file.name)
        with open_job(folder / "out" / "state.mp4", resume=True) as sink:
            begins = sink.resumed.frames if sink.resumed else 0
            if sink.resumed:
                stylizer_state(sink.resumed.state)
            for number in range(begins, 20):
                sink.send(vs.Frame(drawn(number), Fraction(number, 25), Fraction(1, 25)))
        return
    if file.suffix == ".safetensors":
        read_network(file)
        return
    ending = ".png" if file.suffix[1:] in PICTURES else random.Random(file.stat().st_size).choice((".mp4", ".mkv"))
    with vs.open_source(file) as source, vs.open_sink(folder / "out" / f"out{ending}", source) as sink:
        for frame in islice(source, FRAMES):
            sink.send(frame)


def stylizer_state(state):
    """What a stylizer makes of a state: it is refused as a wrong call is."""
    from vidstyle.warmstart import Memory

    with contextlib.suppress(ValueError):
        Memory.from_state(state, torch.device("cpu"))


def work(pipe, seeds, seed, port):
    """The worker: takes numbers of cases, gives what became of them."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    torch.set_num_threads(1)
    logging.getLogger("vidstyle").addHandler(logging.NullHandler())
    handles = Path("/proc/self/fd")
    while True:
        number = pipe.recv()
        kind, name, data = case(number, seed, seeds, port)
        with TemporaryDirectory() as made:
            folder = Path(made)
            (folder / "out").mkdir()
            (folder / "in").mkdir()
            file = folder / "in" / name
            file.write_bytes(data)
            before = len(list(handles.iterdir())) if handles.exists() else 0
            said, outcome = io.StringIO(), "painted"
            try:
                with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                    go_through(kind, file, folder, seeds)
            except vs.VidstyleError as error:
                outcome = "refused" if str(error) and "\n" not in str(error) else f"FAILED: not one line: {error}"
            except BaseException as error:  # noqa: BLE001 (that is what is looked for)
                outcome = f"FAILED: {type(error).__name__}: {error}"
            gc.collect()  # an exception may hold on to what it came through
            if handles.exists() and len(list(handles.iterdir())) > before:
                outcome = f"FAILED: leaves files open ({outcome})"
            if "Traceback" in said.getvalue():
                outcome = f"FAILED: says {said.getvalue()[:80]!r}"
            beside = {path.name for path in folder.iterdir()} | {path.name for path in (folder / "in").iterdir()}
            if beside != {"in", "out", name}:
                outcome = f"FAILED: writes beside its output: {sorted(beside)}"
        pipe.send((kind, outcome))


class Worker:
    """A process that runs cases, replaced when one kills it."""

    def __init__(self, *given):
        self._given, self._process = given, None

    def run(self, number):
        """(kind, outcome) of a case."""
        if self._process is None:
            self._pipe, theirs = multiprocessing.Pipe()
            self._process = multiprocessing.get_context("fork").Process(target=work, args=(theirs, *self._given), daemon=True)
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
        return case(number, self._given[1], self._given[0], self._given[2])[0], outcome

    def end(self):
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def fuzz(numbers, seed, keep=None, say=lambda line: None):
    """Run cases; returns (kind -> outcome -> count, failures, seconds of the slowest, connections made)."""
    counts, failures, slowest = {}, [], 0.0
    with TemporaryDirectory() as made, socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        seeds, port = Path(made), server.getsockname()[1]
        make_seeds(seeds)
        worker = Worker(seeds, seed, port)
        for number in numbers:
            began = time.perf_counter()
            kind, outcome = worker.run(number)
            slowest = max(slowest, time.perf_counter() - began)
            with contextlib.suppress(BlockingIOError):
                server.accept()
                outcome = "FAILED: connects to an address that a file names"
            counts.setdefault(kind, Counter())[outcome.split(":")[0]] += 1
            if outcome.startswith("FAILED"):
                failures.append({"case": number, "kind": kind, "outcome": outcome})
                say(f"case {number} ({kind}): {outcome}")
                if keep:
                    _, name, data = case(number, seed, seeds, port)
                    keep.mkdir(exist_ok=True)
                    (keep / f"{seed}_{number}_{name}").write_bytes(data)
            elif number % 100 == 99:
                say(f"{number + 1} cases, {len(failures)} failures")
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
    counts, failures, slowest = fuzz(numbers, args.seed, args.keep, lambda line: print(line, file=sys.stderr))
    total = Counter()
    for kind in sorted(counts):
        print(f"{kind}: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts[kind].items())))
        total.update(counts[kind])
    print(f"{sum(total.values())} cases: {dict(total)}, the slowest took {slowest:.2f} s")
    if args.json:
        summary = {
            "seed": args.seed,
            "cases": len(numbers),
            "slowest_seconds": round(slowest, 2),
            "kinds": counts,
            "failures": failures,
        }
        args.json.write_text(json.dumps({"machine": machine(torch.device("cpu")), **summary}, indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
