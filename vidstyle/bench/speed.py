"""``vidstyle bench``: time of frames and of steps, and the objective and flicker at that speed."""

import logging
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path

import numpy as np

from ..features.extractor import MIN_SIDE_PX, Features
from ..features.network import VGG19, Network
from ..features.pretrained import VGG_DEEPEST
from ..features.weights import vgg_features
from ..io.files import check_writable, temporary_folder
from ..io.frame import Image
from ..ops.tensors import to_tensor
from ..pipeline import Report
from ..runtime.device import choose_device, choose_precision, open_files, resident_memory
from ..settings import ENGINES, MAX_SIDE_PX, PRECISIONS, PRESETS
from ..stylizer.style import Style
from . import temporal_metrics
from .baseline import baseline_rows
from .clips import draw_landscape
from .fixtures import Fixture, preset_settings, size_text
from .results import Row, machine, row_text, table, write_results
from .step_bench import step_rows
from .timing import WARM_UP_FRAMES, LoopedSource, TimedRun, time_clip, time_source

log = logging.getLogger(__name__)

GAP_MAX_PIXELS = 640 * 360
"""Sizes up to which L* is computed: 300 iterations of L-BFGS take minutes at larger sizes."""

MEMORY_FRAMES = (200, 2000)
"""Numbers of frames after which memory is compared."""

MEMORY_SIZE = 96, 64

STAGES = {
    "stylize": "optimising",
    "motion": "in optical flow",
    "read": "waiting to read",
    "write": "waiting to write",
}
"""Stage of the pipeline -> its words in labels."""

RANDOM_VGG19 = "vgg19-random"
"""Name of VGG-19 with random weights, which takes the same time as VGG-19."""


@dataclass(frozen=True)
class SpeedOptions:
    """Options of the speed benchmark, for every combination of sizes, engines, precisions and
    presets.

    Args:
        sizes: (width, height) of the generated clips, px.
        engines, precisions, presets: as in ``Settings`` and ``PRESETS``.
        frames: number of frames of each clip.
        baseline: measure the textbook baselines too.
        memory: compare memory after ``MEMORY_FRAMES``.
        json: file for the figures; None: no file.

    Raises:
        ValueError: a name is not known, or a size is out of range.
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
"""Options that take less than two minutes on two cores."""


def speed(options: SpeedOptions, style: Style, name: str) -> list[Row]:
    """Measure, log each figure, print the table to standard output, and write the JSON file.

    Args:
        options: what to measure.
        style: with the features to measure.
        name: of these features, for labels.

    Raises:
        OutputError: the JSON file cannot be written.
    """
    rows: list[Row] = []
    device = style.features.device
    if options.json:
        check_writable(options.json, overwrite=True)
    fixture = Fixture(style, name, options.frames)
    measurements = [_matrix_rows(options, fixture)]
    if options.baseline:
        measurements.append(baseline_rows(fixture, options.sizes[0]))
    if options.memory:
        measurements.append(_memory_rows(fixture))
    made_on = machine(device) | {"auto precision": str(choose_precision("auto", device))}
    for row in chain(*measurements):
        rows.append(row)
        log.info("%s", row_text(row))
        if options.json:
            write_results(options.json, rows, made_on)
    print(table(rows))
    return rows


def default_style_image() -> Image:
    """A drawn style image, (256, 256, 3) uint8: speed does not depend on the style image."""
    return draw_landscape((256, 256), seed=7).astype(np.uint8)


def random_vgg19_features(device: str) -> Features:
    """The features of ``load_features("vgg19")`` with random weights."""
    return vgg_features(Network(VGG19, VGG_DEEPEST)).to(choose_device(device))


def _matrix_rows(options: SpeedOptions, fixture: Fixture) -> Iterator[Row]:
    """Rows of every combination, and the exponent of time against pixels over the sizes."""
    medians: dict[str, list[tuple[int, float]]] = {}
    on_cpu = fixture.features.device.type == "cpu"
    for size, engine, precision, preset in product(
        options.sizes, options.engines, options.precisions, options.presets
    ):
        stylizer = fixture.stylizer(preset_settings(size, preset, engine, precision))
        timed = time_clip(fixture.clip(size), stylizer)
        draft_on_cpu = stylizer.settings.fast_style_layers and size == (320, 180) and on_cpu
        words = f"{fixture.name}, {engine}, {precision}, {preset}"
        for row in chain(
            _time_rows(timed, size, ">= 10" if draft_on_cpu else ""),
            step_rows(fixture, stylizer, fixture.content(size)),
            _quality_rows(fixture, size, timed.images),
        ):
            yield replace(row, figure=f"{size_text(size)}, {words}: {row.figure}")
        point = size[0] * size[1], statistics.median(timed.frame_ms)
        medians.setdefault(words, []).append(point)
    for words, points in medians.items():
        if len(points) > 1:
            pixels, times = np.log(points).T
            exponent = float(np.polyfit(pixels, times, 1)[0])
            yield Row(f"{words}: exponent of time against pixels", exponent, "", "0.9 to 1.1")


def _time_rows(timed: TimedRun, size: tuple[int, int], target: str) -> Iterator[Row]:
    """Times and memory of one clip; ``target`` is that of the frames per second."""
    yield Row("median time per frame", statistics.median(timed.frame_ms), "ms")
    yield Row("95th percentile", float(np.percentile(timed.frame_ms, 95)), "ms")
    yield Row("end to end", timed.frames_per_second, "frames/s", target)
    yield Row("steps per frame", statistics.mean(timed.steps[WARM_UP_FRAMES + 1 :]))
    yield Row("first frame", timed.timestamps[0] - timed.began - timed.compile_seconds, "s")
    if timed.compile_seconds:
        yield Row("compilation or graph capture, once", timed.compile_seconds, "s")
    if timed.peak_bytes is not None:
        yield Row("peak memory", timed.peak_bytes / 1e6, "MB")
        yield Row("memory per pixel", timed.peak_bytes / (size[0] * size[1]), "bytes")
    total = sum(timed.stage_seconds.values())
    for stage, words in STAGES.items():
        yield Row(f"share of time {words}", 100 * timed.stage_seconds[stage] / total, "%")
    yield Row("stylizer idle", 100 * timed.idle_fraction, "%", "<= 5")


def _quality_rows(
    fixture: Fixture, size: tuple[int, int], images: Sequence[Image]
) -> Iterator[Row]:
    """Flicker, and objective and gap of the last frame, without which a time says nothing."""
    tensors = [to_tensor(image) for image in images]
    motions = fixture.clip(size).motions
    yield Row("flicker", temporal_metrics.flicker(tensors, motions, WARM_UP_FRAMES + 1))
    loss = fixture.loss_of(size, tensors[-1])
    yield Row("objective of the last frame", loss)
    if size[0] * size[1] <= GAP_MAX_PIXELS:
        yield Row("objective gap", 100 * (loss / fixture.reference(size).loss - 1), "%")


def _memory_rows(fixture: Fixture) -> Iterator[Row]:
    """Growth of resident memory and of the number of open files with the number of frames."""
    settings = replace(preset_settings(MEMORY_SIZE, "draft"), initial_steps=5)
    used: dict[int, tuple[int | None, int | None]] = {}

    def observe(report: Report) -> None:
        if report.frames in MEMORY_FRAMES:
            used[report.frames] = resident_memory(fixture.features.device), open_files()

    few, many = MEMORY_FRAMES
    source = LoopedSource(fixture.clip(MEMORY_SIZE).frames, many)
    with temporary_folder() as folder:
        time_source(source, fixture.stylizer(settings), folder / "out.mp4", observe)
    names = (("resident memory", "<= 1.02"), ("open files", "1"))
    for (name, target), before, after in zip(names, used[few], used[many], strict=True):
        if before and after:
            words = f"{fixture.name}: {name} after {many} frames relative to {few} frames"
            yield Row(words, after / before, "", target)
