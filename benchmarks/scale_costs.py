"""Measure what a distributed render costs beside stylising, for benchmarks/scale.py.

python benchmarks/scale_costs.py [--json benchmarks/results/scale-costs-cpu.json]

The clip has 1280 x 720 px and a moving camera. With Ray installed, its start and one task of Ray
are measured too.
"""

import argparse
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import torch

import vidstyle as vs
from vidstyle.bench.clips import RATE_FPS
from vidstyle.bench.fixtures import Fixture
from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.flow.clip_motion import with_motion
from vidstyle.io.mux import Segment, join

ROOT = Path(__file__).parent.parent
STYLE = ROOT / "samples" / "styles" / "strokes.jpg"
SIZE = (1280, 720)
FRAMES = 48
SEGMENT_BYTES = 1_000_000
"""Size of what the task of Ray takes and returns."""
SEGMENTS = 40
"""Copies of the clip that are joined."""
TICKS = 40
"""Duration of a frame in units of TIME_BASE."""
TIME_BASE = Fraction(1, TICKS * RATE_FPS)
REPEATS, DECODING_REPEATS = 5, 40


def seconds_of(function, repeats=REPEATS):
    """The shortest time that ``function()`` takes, because other programs use the machine too."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def make_clip(path):
    """Write a clip whose camera pans there and back."""
    style = vs.Style.from_images([STYLE], vs.load_features("bundled", "cpu"))
    with vs.VideoWriter(path, vs.VideoInfo(SIZE, Fraction(RATE_FPS), TIME_BASE)) as writer:
        for frame in Fixture(style, "", FRAMES).clip(SIZE).frames:
            writer.send(frame)


def read(clip):
    """Decode a clip; return its number of frames."""
    with vs.open_source(clip) as source:
        return sum(1 for _ in source)


def find_cuts(clip):
    """Decode a clip and look for cuts."""
    with vs.open_source(clip) as source:
        for _ in with_motion(source, None):
            pass


def render(clip, output):
    """Render the clip with few iterations, for the size of the result only."""
    vs.render(
        clip, STYLE, output, preset="draft", initial_steps=30, working_size=640, progress=False
    )


def start_worker():
    """Start Python, load features and style, and build a stylizer."""
    code = (
        "import vidstyle as vs; features = vs.load_features('bundled', 'cpu'); "
        f"style = vs.Style.from_images([{str(STYLE)!r}], features); "
        "vs.Stylizer(features, style, vs.Settings())"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def ray_rows():
    """Start of a local Ray, and one task that takes and returns a segment; nothing without Ray."""
    try:
        import ray
    except ImportError:
        return []
    began = time.perf_counter()
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    started = time.perf_counter() - began

    @ray.remote(max_retries=0)
    def return_segment(data):
        return bytes(data)

    def task():
        ray.get(return_segment.remote(ray.put(b"0" * SEGMENT_BYTES)))

    task()  # starts the worker process
    seconds = seconds_of(task, 50)
    ray.shutdown()
    return [
        Row("Ray: start on one machine", started, "s"),
        Row("Ray: a task with 1 MB in and 1 MB out", 1000 * seconds, "ms"),
    ]


def rows(folder):
    """All rows."""
    clip, stylised = folder / "clip.mp4", folder / "stylised.mp4"
    make_clip(clip)
    decode, cuts = (
        seconds_of(lambda each=each: each(clip), DECODING_REPEATS) for each in (read, find_cuts)
    )
    render(clip, stylised)
    info = vs.VideoInfo(SIZE, Fraction(RATE_FPS), TIME_BASE)
    segments = [move_segment(clip, folder, number) for number in range(SEGMENTS + 1)]
    joined = {
        count: seconds_of(lambda count=count: join(segments[:count], info, folder / "joined.mp4"))
        for count in (1, SEGMENTS + 1)
    }
    join_ms = 1000 * (joined[SEGMENTS + 1] - joined[1]) / SEGMENTS
    return [
        Row("decoding, per frame", 1000 * decode / FRAMES, "ms"),
        Row("finding cuts, per frame", 1000 * cuts / FRAMES, "ms"),
        Row("start of a worker", seconds_of(start_worker), "s"),
        Row("stylised clip, per frame", stylised.stat().st_size / FRAMES / 1000, "kB"),
        Row("joining segments, per segment of 48 frames", join_ms, "ms"),
    ]


def move_segment(clip, folder, number):
    """Copy a clip into a segment that begins ``number`` times its length later."""
    path, delay, pts = folder / f"{number:05d}.mkv", number * FRAMES * TICKS, []
    with av.open(str(clip)) as file, av.open(str(path), "w") as moved:
        stream = moved.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(video=0):
            if packet.pts is not None:
                unit = TIME_BASE / packet.time_base
                packet.pts, packet.dts = (
                    round(each + delay * unit) for each in (packet.pts, packet.dts)
                )
                packet.stream = stream
                pts.append(packet.pts * packet.time_base / TIME_BASE)
                moved.mux(packet)
    return Segment(path, [round(each) for each in pts])


def main():
    """Measure, print, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        measured = [*ray_rows(), *rows(Path(folder))]
    for row in measured:
        print(row_text(row))
    if arguments.json:
        made_on = machine(torch.device("cpu")) | {"size": f"{SIZE[0]} x {SIZE[1]}"}
        write_results(arguments.json, measured, made_on)


if __name__ == "__main__":
    main()
