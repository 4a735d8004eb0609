"""``vidstyle bench``: how long frames and steps take on this machine, what they reach in that time, and what others need."""

import logging
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path

import numpy as np

from ..features.extractor import MIN_SIDE_PX, Features
from ..features.network import VGG19, Network
from ..features.weights import VGG19_DEEPEST, gatys_features
from ..io.files import check_writable, temporary_folder
from ..io.frame import Image
from ..ops.tensors import to_tensor
from ..pipeline import Report
from ..runtime.device import choose_device, choose_precision, open_files, resident_memory
from ..settings import ENGINES, MAX_SIDE_PX, PRECISIONS, PRESETS
from ..stylizer.style import Style
from . import temporal_metrics
from .baseline import baseline
from .clips import world
from .fixtures import Fixture, by, preset_at
from .results import Row, machine, row_text, table, write_results
from .step_bench import one_step
from .timing import WARM_UP_FRAMES, Looped, TimedRun, painted_to_file, through_files

log = logging.getLogger(__name__)

GAP_PIXELS = 640 * 360
"""Up to this size L* is computed: 300 iterations of L-BFGS take minutes beyond it."""

MEMORY_FRAMES = (200, 2000)
MEMORY_SIZE = 96, 64

STAGES = {
    "paint": "painting",
    "motion": "looking for motion",
    "read": "waiting to read",
    "write": "waiting to write",
}

RANDOM_VGG19 = "vgg19-random"
"""VGG-19 with random weights: for its speed alone."""


@dataclass(frozen=True)
class SpeedOptions:
    """What to measure: every combination of these, on a generated clip whose camera moves.

    Args:
        sizes: (width, height) in px.
        engines, precisions, presets: as in ``Settings`` and ``PRESETS``.
        frames: of the clip.
        baseline: compare with textbook code too.
        memory: look whether memory grows over ``MEMORY_FRAMES``.
        json: where the figures go; None: nowhere.
    """

    sizes: tuple[tuple[int, int], ...] = ((320, 180), (640, 360), (1280, 720))
    engines: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("fp32", "auto")
    presets: tuple[str, ...] = ("draft", "standard")
    frames: int = 16
    baseline: bool = False
    memory: bool = False
    json: Path | None = None

    def __post_init__(self) -> None:
        for names, known in (
            (self.engines, ENGINES),
            (self.precisions, PRECISIONS),
            (self.presets, tuple(PRESETS)),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{name!r} is not known: choose out of {', '.join(known)}")
        if any(min(size) < MIN_SIDE_PX or max(size) > MAX_SIDE_PX for size in self.sizes):
            raise ValueError(f"sizes must have sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} px")


QUICK = SpeedOptions(sizes=((320, 180),), precisions=("auto",))
"""What two cores measure in less than two minutes."""


def speed(bench: SpeedOptions, style: Style, name: str) -> list[Row]:
    """Measure, say each figure on stderr as it comes, print the table, and write what is asked for.

    Args:
        bench: what to measure.
        style: the picture to paint like, through the features to be measured.
        name: of these features.

    Raises:
        OutputError: the JSON file cannot be written.
    """
    rows: list[Row] = []
    device = style.features.device
    if bench.json:
        check_writable(bench.json, overwrite=True)

    subject = Fixture(style, name, bench.frames)
    measured = [_matrix(bench, subject)]
    if bench.baseline:
        measured.append(baseline(subject, bench.sizes[0]))
    if bench.memory:
        measured.append(_memory(subject))
    for row in chain(*measured):
        rows.append(row)
        log.info("%s", row_text(row))
        if bench.json:
            write_results(
                bench.json,
                rows,
                machine(device) | {"auto precision": str(choose_precision("auto", device))},
            )
    print(table(rows))
    return rows


def drawn_picture() -> Image:
    """A picture to paint like, where none is given: for speed any does."""
    return world((256, 256), seed=7).astype(np.uint8)


def random_vgg19(device: str) -> Features:
    """VGG-19 as ``load_features`` makes it, with random weights."""
    return gatys_features(Network(VGG19, VGG19_DEEPEST)).to(choose_device(device))


def _matrix(bench: SpeedOptions, subject: Fixture) -> Iterator[Row]:
    """Every combination, and how time grows with pixels."""
    medians: dict[str, list[tuple[int, float]]] = {}
    on_cpu = subject.features.device.type == "cpu"
    for size, engine, precision, preset in product(
        bench.sizes, bench.engines, bench.precisions, bench.presets
    ):
        stylizer = subject.stylizer(preset_at(size, preset, engine, precision))
        timed = through_files(subject.clip(size), stylizer)
        target = (
            ">= 10" if stylizer.settings.fast_style_layers and size == (320, 180) and on_cpu else ""
        )
        words = f"{subject.name}, {engine}, {precision}, {preset}"
        for row in chain(
            _times(timed, size, target),
            one_step(subject, stylizer, subject.content(size)),
            _quality(subject, size, timed.images),
        ):
            yield replace(row, figure=f"{by(size)}, {words}: {row.figure}")
        medians.setdefault(words, []).append(
            (size[0] * size[1], statistics.median(timed.milliseconds))
        )
    for words, points in medians.items():
        if len(points) > 1:
            pixels, times = np.log(points).T
            yield Row(
                f"{words}: exponent of time against pixels",
                float(np.polyfit(pixels, times, 1)[0]),
                "",
                "0.9 to 1.1",
            )


def _times(timed: TimedRun, size: tuple[int, int], target: str) -> Iterator[Row]:
    """What a clip took; ``target``: the frames per second to reach."""
    yield Row("median time per frame", statistics.median(timed.milliseconds), "ms")
    yield Row("95th percentile", float(np.percentile(timed.milliseconds, 95)), "ms")
    yield Row("end to end", timed.frames_per_second, "frames/s", target)
    yield Row("steps per frame", statistics.mean(timed.steps[WARM_UP_FRAMES + 1 :]))
    yield Row("first frame", timed.stamps[0] - timed.began - timed.prepared, "s")
    if timed.prepared:
        yield Row("compiling or recording, once", timed.prepared, "s")
    if timed.peak is not None:
        yield Row("peak memory", timed.peak / 1e6, "MB")
        yield Row("memory per pixel", timed.peak / (size[0] * size[1]), "bytes")
    for stage, what in STAGES.items():
        yield Row(
            f"share of time {what}", 100 * timed.shares[stage] / sum(timed.shares.values()), "%"
        )
    yield Row("painter idle", 100 * timed.idle, "%", "<= 5")


def _quality(subject: Fixture, size: tuple[int, int], images: Sequence[Image]) -> Iterator[Row]:
    """Flicker, and the loss of the last frame among all layers: times mean nothing without them."""
    pictures = [to_tensor(image) for image in images]
    yield Row(
        "flicker",
        temporal_metrics.flicker(pictures, subject.clip(size).motions, WARM_UP_FRAMES + 1),
    )
    reached = subject.reached(size, pictures[-1])
    yield Row("objective of the last frame", reached)
    if size[0] * size[1] <= GAP_PIXELS:
        yield Row("objective gap", 100 * (reached / subject.reference(size).free - 1), "%")


def _memory(subject: Fixture) -> Iterator[Row]:
    """Whether it grows with the number of frames, and whether files are left open."""
    few, many = MEMORY_FRAMES
    stylizer = subject.stylizer(replace(preset_at(MEMORY_SIZE, "draft"), initial_steps=5))
    resident, opened = dict[int, int | None](), dict[int, int | None]()

    def watch(report: Report) -> None:
        if report.frames in MEMORY_FRAMES:
            resident[report.frames], opened[report.frames] = (
                resident_memory(subject.features.device),
                open_files(),
            )

    with temporary_folder() as folder:
        painted_to_file(
            Looped(subject.clip(MEMORY_SIZE).frames, many), stylizer, folder / "out.mp4", watch
        )
    before, after = resident.get(few), resident.get(many)
    if before and after:
        yield Row(
            f"{subject.name}: resident memory after {many} frames over after {few}",
            after / before,
            "",
            "<= 1.02",
        )
    fewer, more = opened.get(few), opened.get(many)
    if fewer and more:
        yield Row(
            f"{subject.name}: open files after {many} frames over after {few}",
            more / fewer,
            "",
            "1",
        )
