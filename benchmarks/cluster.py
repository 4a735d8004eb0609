"""Renders on Ray on this machine: equality after a lost node, seams, overhead and scaling.

python benchmarks/cluster.py [--parts equality seam overhead scaling] [--json FILE]

- equality: a clip of ten shots with sound on two nodes, one of which is lost in mid-render, against
  a render without Ray: decoded frames and packets that differ, frames lost, shots done again.
- seam: the temporal error (warping error) across the seam of a split shot over the mean of its
  neighbours', for several lengths of the fade.
- overhead: a render of ten shots on one worker of a Ray of its own over the plain render, and the
  time to start.
- scaling: two workers with a core each over one with a core.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import threading
import time
from fractions import Fraction
from itertools import cycle, islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import torch

import vidstyle as vs
from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.bench.temporal_metrics import flicker
from vidstyle.flow.clip_motion import with_motion
from vidstyle.io.frame_range import FrameSpan
from vidstyle.io.sink_base import Encoding
from vidstyle.job import RenderJob
from vidstyle.ops.tensors import to_tensor
from vidstyle.range_render import render_range

ROOT = Path(__file__).parent.parent
SHOTS, RATE, SOUND_RATE = 10, 12, 48000
WORKING_SIZE = "128"
SEAM_FRAME = 36
"""First frame of the second part of the split shot: a sample clip forwards and backwards, of 47
frames."""

FADES = (0, 8, 16, 24)
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}

os.environ.update({"RAY_memory_monitor_refresh_ms": "0", "RAY_USAGE_STATS_ENABLED": "0"})


def make_clip(path, shots=SHOTS):
    """Write the sample clips in turn, mirrored at times, with a tone: a cut every 24 frames."""
    images = []
    for number, name in enumerate(islice(cycle(("boat", "balloons")), shots)):
        step = -1 if number // 2 % 2 else 1
        with vs.open_source(ROOT / "samples" / "clips" / f"{name}.mp4") as source:
            images += [np.ascontiguousarray(frame.image[:, ::step]) for frame in source]
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=RATE, options={"crf": "12"})
        video.width, video.height, video.pix_fmt = *images[0].shape[1::-1], "yuv420p"
        sound = output.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        tone = np.sin(np.arange(SOUND_RATE * len(images) // RATE) * 0.05).astype(np.float32) / 4
        for start in range(0, len(tone), 1024):
            block = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], "fltp", "mono")
            block.sample_rate, block.pts = SOUND_RATE, start
            block.time_base = Fraction(1, SOUND_RATE)
            output.mux(sound.encode(block))
        output.mux(sound.encode(None))
    return path


def command(clip, output, *more):
    """The command line of a render in one thread."""
    style = ROOT / "samples" / "styles" / "strokes.jpg"
    flags = [
        "--working-size",
        WORKING_SIZE,
        "--initial-steps",
        "80",
        "--threads",
        "1",
        "--device",
        "cpu",
        "-y",
    ]
    words = [sys.executable, "-m", "vidstyle", "render", clip, style, "-o", output, *flags, *more]
    return [str(word) for word in words]


def seconds_of(*arguments):
    """(time of a whole command, seconds between its lines of the log that matter)."""
    began = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command(*arguments), env=environment, stderr=subprocess.PIPE, text=True
    )
    started = None
    for line in process.stderr:
        if started is None and (" workers with " in line or "stylised at" in line):
            started = time.monotonic() - began
    if process.wait() != 0:
        raise SystemExit(f"{arguments} failed")
    return time.monotonic() - began, started


def packets_of(path):
    """All packets with their times, by stream."""
    with av.open(str(path)) as container:
        found = {stream.index: [] for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                times = packet.pts, packet.dts, packet.duration, packet.is_keyframe
                found[packet.stream_index].append((*times, bytes(packet)))
    return found


def frames_of(path):
    """Time and image of each frame."""
    with vs.open_source(path) as source:
        return [(frame.time, frame.duration, frame.image) for frame in source]


def equality(folder, clip, add):
    """A node is lost in mid-render."""
    import ray
    from ray.cluster_utils import Cluster

    from vidstyle.cli import main

    nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    lost = nodes.add_node(**NODE)
    nodes.wait_for_nodes()
    ray.init(nodes.address, log_to_driver=False)

    again = []
    handler = logging.Handler()
    handler.emit = lambda record: again.append("trying again" in record.getMessage())
    logging.getLogger("vidstyle.distributed.driver").addHandler(handler)

    def lose():
        listed = folder / "ray.part" / "shots.json"
        while not listed.exists() or listed.read_text().count('"done"') < 2:
            time.sleep(0.05)
        nodes.remove_node(lost, allow_graceful=False)

    thread = threading.Thread(target=lose)
    thread.start()
    code = main(command(clip, folder / "ray.mp4", "--ray", "auto", "--gpus-per-worker", "0")[3:])
    thread.join()
    ray.shutdown()
    nodes.shutdown()
    if code != 0 or main(command(clip, folder / "one.mp4")[3:]) != 0:
        raise SystemExit("a render failed")
    one, other = frames_of(folder / "one.mp4"), frames_of(folder / "ray.mp4")
    differing = sum(
        a[:2] != b[:2] or not np.array_equal(a[2], b[2]) for a, b in zip(one, other, strict=False)
    )
    packets = [packets_of(folder / name) for name in ("one.mp4", "ray.mp4")]
    unequal = sum(
        a != b for index in packets[0] for a, b in zip(*(p[index] for p in packets), strict=True)
    )
    add("frames of the clip of ten shots", len(one))
    add("decoded frames that differ, one of two nodes lost", differing, "", "0")
    add("packets of video and sound that differ", unequal, "", "0")
    add("frames lost", len(one) - len(other), "", "0")
    add("shots done again", sum(again), "", "<= 1")


def palindrome(name, path):
    """Write a sample clip forwards and then backwards, without loss."""
    with vs.open_source(ROOT / "samples" / "clips" / f"{name}.mp4") as source:
        images = [frame.image for frame in source]
        encoding = Encoding("ffv1")
        with vs.open_sink(path, source, encoding=encoding) as sink:
            for number, image in enumerate(images + images[-2::-1]):
                sink.send(vs.Frame(image, Fraction(number, RATE), Fraction(1, RATE)))
    return path


def seam(folder, clip, add):
    """The temporal error across a seam, over the mean of the four frames on either side."""
    del clip
    cpu = torch.device("cpu")
    features = vs.load_features("bundled", "cpu")
    style = vs.Style.from_images([ROOT / "samples" / "styles" / "strokes.jpg"], features)
    for name in ("boat", "balloons"):
        path = palindrome(name, folder / f"{name}.mkv")
        with vs.open_source(path) as source:
            frames = list(source)
        motions = [motion for _, motion in with_motion(frames, vs.load_flow("dis", cpu))]
        job = RenderJob(path, folder / "part.mkv", encoding=Encoding("ffv1"))

        def part(first, stop, fade, job=job):
            settings = vs.Settings(working_size=int(WORKING_SIZE))
            stylizer = vs.Stylizer(features, style, settings)
            images = []
            for segment in render_range(job, stylizer, FrameSpan(first, stop), seam=fade).segments:
                file = folder / "segment.mkv"
                file.write_bytes(segment.data)
                images += [to_tensor(image, cpu) for _, _, image in frames_of(file)]
            return images

        second = part(SEAM_FRAME, len(frames), 0)
        hard, base = [], 0.0
        for fade in FADES:
            images = part(0, SEAM_FRAME, fade) + second
            pairs = zip(pairwise(images), pairwise(motions), strict=True)
            errors = [flicker(list(pair), list(motion)) for pair, motion in pairs]
            at = SEAM_FRAME - 1
            hard = hard or errors
            base = base or statistics.mean(errors[at - 4 : at] + errors[at + 1 : at + 5])
            target = "<= 1.5" if fade == FADES[-1] else ""
            add(f"seam, {name}, fade of {fade} frames", errors[at] / base, "", target)
            within = range(at - fade, at)
            worst = max((errors[n] / max(hard[n], base) for n in within), default=0)
            add(f"worst frame of the fade over the same without, {name}, {fade} frames", worst)


def overhead(folder, clip, add):
    """One worker with a core, against a plain render with a core."""
    plain, plain_start = seconds_of(clip, folder / "one.mp4")
    on_ray, ray_start = seconds_of(clip, folder / "ray.mp4", "--ray", "--workers", "1")
    work, ray_work = plain - plain_start, on_ray - ray_start
    add("plain render of ten shots, one thread", plain, "s")
    add("the same on one worker of Ray", on_ray, "s")
    add("time to start with Ray", ray_start - plain_start, "s", "<= 15")
    add("overhead after the start", 100 * (ray_work / work - 1), "%", "<= 10")


def scaling(folder, clip, add):
    """Two workers with a core each, against one with a core."""
    times = []
    for workers in (1, 2):
        whole, start = seconds_of(clip, folder / "ray.mp4", "--ray", "--workers", workers)
        times.append(whole - start)
        add(f"{workers} workers with a core each, without the start", times[-1], "s")
    add("two workers over one", times[0] / times[1], "", ">= 1.8")


PARTS = {function.__name__: function for function in (equality, seam, overhead, scaling)}


def main():
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []

    def add(*fields):
        rows.append(Row(*fields))
        print(row_text(rows[-1]), flush=True)

    with TemporaryDirectory() as name:
        clip = make_clip(Path(name) / "clip.mp4")
        for part in args.parts:
            PARTS[part](Path(name), clip, add)
    if args.json:
        write_results(args.json, rows, machine(torch.device("cpu")))


if __name__ == "__main__":
    main()
