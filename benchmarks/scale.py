"""Simulate the distributed render of a film on many workers.

    python benchmarks/scale.py --json benchmarks/results/scale.json
    python benchmarks/scale.py --seconds-per-frame 0.2 --seconds-of-first-frame 5

Seconds per frame come from benchmarks/results/: of two CPU cores from speed-cpu.json, of an H200
from speed-gpu.json (VGG-19's shape), both of ``standard`` at 1280 x 720 without the backward pass.
The two options simulate other hardware instead, with times that you measured. All other costs come
from scale-costs-cpu.json, for a GPU as well. ``Film``, ``Cluster`` and the constants say what is
assumed.
"""

import argparse
import json
import math
import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

import torch
from cluster_simulation import Cluster, Simulation, Task

from vidstyle.bench.results import machine
from vidstyle.range_render import SEAM_FRAMES

RESULTS = Path(__file__).parent / "results"
WORKERS = (1, 8, 64, 256, 1000)
BOUNDS = (24, 36, 48, 72, 96, 144, 192, 288)
"""Frames of the longest part of a shot, for the largest cluster."""
SPLIT_FRAMES, SHORT_SPLIT_FRAMES = 96, 48
"""The same for the simulations by number of workers and by seconds per frame."""
BATCH_FILMS = 5
"""Films that the largest cluster renders one after the other as one queue of tasks."""
FRAME_SECONDS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Seconds per frame for which the largest cluster is simulated."""
SEEDS = 3
"""Films, each with other failures and slow workers, of which the figures are the mean."""
FAILURE_HOURS = 24.0
"""Mean time between failures of a node, assumed: short, as of machines that may be taken away."""
DISK = 1e9
"""Bytes per second of the driver's disk, assumed."""
SEGMENT_FRAMES = 48
"""Frames of the longest segment within a shot: two seconds."""
CUT_RANGE_FRAMES = 480
"""Frames of the shortest range that a worker searches for cuts."""


@dataclass(frozen=True)
class Film:
    """The film to render. All values are assumed.

    Shot lengths are log-normal, as Barry Salt describes those of films: of a mean of about 4 s in
    present films, and a standard deviation of 1.2 times the mean.

    Args:
        frames: 2 hours at 24 frames per second.
        mean_shot: mean length of a shot, frames.
        deviation: standard deviation of the length relative to the mean.
        frame_bytes: of the source: 8 Mbit/s.
        lead_in: frames from a key frame to the first frame of a range: half of 250, x264's longest
            distance.
    """

    frames: int = 172_800
    mean_shot: float = 96.0
    deviation: float = 1.2
    frame_bytes: float = 8e6 / 8 / 24
    lead_in: int = 125

    def shots(self, seed: int) -> list[int]:
        """Lengths of all shots in frames; their sum is ``frames``."""
        draw = random.Random(seed)
        sigma = math.sqrt(math.log(1 + self.deviation**2))
        mu = math.log(self.mean_shot) - sigma**2 / 2
        lengths, left = [], self.frames
        while left > 0:
            lengths.append(min(left, max(1, round(draw.lognormvariate(mu, sigma)))))
            left -= lengths[-1]
        return lengths


@dataclass(frozen=True)
class Hardware:
    """Times of one worker, in seconds.

    Args:
        name: for the tables.
        frame: to stylise a frame.
        first_frame: that the first frame of a task takes longer.
        start: of a worker process, until its stylizer is built.
        decode: to decode a frame.
        cuts: to decode a frame and look for a cut.
        join: to join one segment to the others.
        task: that Ray needs for a task.
        frame_bytes: size of a stylised frame, bytes.
    """

    name: str
    frame: float
    first_frame: float
    start: float = 0.0
    decode: float = 0.0
    cuts: float = 0.0
    join: float = 0.0
    task: float = 0.0
    frame_bytes: float = 0.0


def measured(file: str) -> dict[str, float]:
    """The rows of a file of results."""
    rows = json.loads((RESULTS / f"{file}.json").read_text())["rows"]
    return {row["figure"]: row["value"] for row in rows}


RUNS = {
    "2 CPU cores": ("speed-cpu", "1280x720, bundled, auto, auto, standard"),
    "NVIDIA H200": ("speed-gpu", "1280x720, vgg19-random, auto, auto, standard"),
}
"""Name of the hardware -> file of results, and the run in it."""


def measured_worker(name: str) -> Hardware:
    """A worker of ``RUNS``."""
    file, run = RUNS[name]
    speed, costs = measured(file), measured("scale-costs-cpu")
    frame = 1 / speed[f"{run}: end to end"]
    return Hardware(
        name,
        frame,
        first_frame=speed[f"{run}: first frame"] - frame,
        start=costs["start of a worker"],
        decode=costs["decoding, per frame"] / 1000,
        cuts=costs["finding cuts, per frame"] / 1000,
        join=costs["joining segments, per segment of 48 frames"] / 1000,
        task=costs["Ray: a task with 1 MB in and 1 MB out"] / 1000,
        frame_bytes=costs["stylised clip, per frame"] * 1000,
    )


def parts(length: int, bound: int | None) -> list[int]:
    """Lengths of the equal parts of a shot, none longer than ``bound``; None: the shot is whole."""
    count = math.ceil(length / bound) if bound else 1
    return [length // count + (number < length % count) for number in range(count)]


def shot_tasks(film: Film, hardware: Hardware, seed: int, bound: int | None = None) -> list[Task]:
    """The tasks of all shots. All parts of a shot but the last have a seam."""
    start = film.lead_in * hardware.decode + hardware.first_frame
    seam = start + (1 + SEAM_FRAMES) * hardware.frame
    tasks = []
    for shot in film.shots(seed):
        *before, last = parts(shot, bound)
        for length, more in [*((length, seam) for length in before), (last, 0.0)]:
            seconds = hardware.task + start + length * hardware.frame + more
            received = (length + film.lead_in) * film.frame_bytes
            tasks.append(Task(seconds, received, length * hardware.frame_bytes))
    return tasks


def cut_tasks(film: Film, hardware: Hardware, workers: int) -> list[Task]:
    """The tasks that look for cuts, one range each."""
    count = min(workers, math.ceil(film.frames / CUT_RANGE_FRAMES))
    frames = film.frames / count + film.lead_in
    return [Task(hardware.task + frames * hardware.cuts, frames * film.frame_bytes)] * count


def simulate(
    film: Film, hardware: Hardware, cluster: Cluster, bound: int | None, seed: int
) -> dict[str, float]:
    """Figures of one render.

    - ``seconds``: from the command to the finished file.
    - ``joining``: seconds of these in which the driver joins the segments and no worker works.
    - ``utilisation``: share of the workers' time until the last task is done in which they compute
      for tasks that they finish, seams included.
    - ``efficiency``: time that one such worker takes, without splitting and failures, relative to
      the sum of all workers' time until the file is finished.
    - ``tasks``, ``lost``: tasks of shots; tasks that were done again.
    """
    tasks = shot_tasks(film, hardware, seed, bound)
    run = Simulation(cluster, [cut_tasks(film, hardware, cluster.workers), tasks], seed)
    # The segments are read, the file is written, and written again with its index at the front.
    segments = sum(math.ceil(shot / SEGMENT_FRAMES) for shot in film.shots(seed))
    joining = segments * hardware.join + 3 * film.frames * hardware.frame_bytes / DISK
    alone = hardware.start + joining
    for task in [*cut_tasks(film, hardware, 1), *shot_tasks(film, hardware, seed)]:
        alone += task.seconds + (task.received + task.returned) / cluster.link
    return {
        "seconds": run.seconds + joining,
        "joining": joining,
        "utilisation": run.computed / cluster.workers / run.seconds,
        "efficiency": alone / cluster.workers / (run.seconds + joining),
        "tasks": len(tasks),
        "lost": run.lost,
    }


def averaged(
    hardware: Hardware,
    workers: int,
    bound: int | None,
    failure_hours: float = FAILURE_HOURS,
    film: Film = Film(),
) -> dict[str, object]:
    """What was simulated, and the mean figures of ``SEEDS`` renders."""
    cluster = Cluster(workers, start=hardware.start, failure_hours=failure_hours)
    runs = [simulate(film, hardware, cluster, bound, seed) for seed in range(SEEDS)]
    return {
        "hardware": hardware.name,
        "frame": hardware.frame,
        "frames": film.frames,
        "workers": workers,
        "bound": bound,
        "failures": math.isfinite(failure_hours),
        **{name: mean(run[name] for run in runs) for name in runs[0]},
    }


def tables(hardware: Hardware) -> dict[str, list[dict[str, object]]]:
    """Renders by number of workers, whole and split; and renders by bound, by seconds per frame
    (the first frame in the same ratio) and by length of the film on the largest cluster."""
    most = WORKERS[-1]
    longer = replace(Film(), frames=BATCH_FILMS * Film().frames)
    return {
        "by_workers": [
            averaged(hardware, workers, bound, hours)
            for workers in WORKERS
            for bound in (None, SPLIT_FRAMES)
            for hours in (math.inf, FAILURE_HOURS)
        ],
        "by_bound": [averaged(hardware, most, bound) for bound in (None, *BOUNDS)],
        "by_frame_time": [
            averaged(
                replace(
                    hardware,
                    frame=seconds,
                    first_frame=seconds * hardware.first_frame / hardware.frame,
                ),
                most,
                bound,
            )
            for seconds in FRAME_SECONDS
            for bound in (None, SHORT_SPLIT_FRAMES)
        ],
        "by_length": [
            averaged(hardware, most, bound, film=longer) for bound in (None, SPLIT_FRAMES)
        ],
    }


def main() -> None:
    """Simulate, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds-per-frame", type=float, help="of other hardware")
    parser.add_argument("--seconds-of-first-frame", type=float, help="of other hardware")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    machines = [measured_worker(name) for name in RUNS]
    if arguments.seconds_per_frame:
        frame = arguments.seconds_per_frame
        first = arguments.seconds_of_first_frame or 0.0
        machines = [replace(machines[0], name="given", frame=frame, first_frame=first)]
    document = {
        "machine": machine(torch.device("cpu")),
        "film": asdict(Film()),
        "hardware": [asdict(each) for each in machines],
        "seeds": SEEDS,
        "seam_frames": SEAM_FRAMES,
        "failure_hours": FAILURE_HOURS,
    }
    for each in machines:
        for name, rows in tables(each).items():
            document.setdefault(name, []).extend(rows)
    text = json.dumps(document, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
