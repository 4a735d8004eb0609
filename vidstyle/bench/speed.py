"""``vidstyle bench``: how long frames and steps take on this machine, what they reach in that time, and what others need."""

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from ..media.files import check_writable
from ..media.frame import Image
from ..painting.device import choose_device, choose_precision, open_files, resident_memory
from ..painting.features import MIN_SIDE_PX, VGG19, Features, Network
from ..painting.optimize import Moments, Rate
from ..painting.style import Style
from ..painting.stylizer import Stylizer
from ..painting.tensors import to_tensor
from ..painting.weights import VGG19_DEEPEST, gatys
from ..pipeline import Report
from ..settings import ENGINES, MAX_SIDE_PX, PRECISIONS, PRESETS, Settings
from . import measure, textbook
from .clips import Clip, View, camera_clip, world
from .operations import Operations
from .results import Row, machine, row_text, table, write_results
from .textbook import TextbookLoss
from .timed import WARM_UP_FRAMES, Looped, medians, painted_to_file, through_files

log = logging.getLogger(__name__)

STEPS_PER_ROUND = 2

TURN = 24
"""Frames after which the camera goes back."""

GAP_PIXELS = 640 * 360
"""Up to this size L* is computed: 300 iterations of L-BFGS take minutes beyond it."""

NAIVE_STEPS = 300
"""The most steps that the naive start is given to come where we are."""

MEMORY_FRAMES = (200, 2000)
MEMORY_SIZE = 96, 64

RANDOM_VGG19 = "vgg19-random"
"""VGG-19 with random weights: for its speed alone."""


@dataclass(frozen=True)
class Speed:
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
    presets: tuple[str, ...] = ("live", "balanced")
    frames: int = 16
    baseline: bool = False
    memory: bool = False
    json: Path | None = None

    def __post_init__(self) -> None:
        for names, known in ((self.engines, ENGINES), (self.precisions, PRECISIONS), (self.presets, tuple(PRESETS))):
            for name in names:
                if name not in known:
                    raise ValueError(f"{name!r} is not known: choose out of {', '.join(known)}")
        if any(min(size) < MIN_SIDE_PX or max(size) > MAX_SIDE_PX for size in self.sizes):
            raise ValueError(f"sizes must have sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} px")


QUICK = Speed(sizes=((320, 180),), precisions=("auto",))
"""What two cores measure in less than two minutes."""


def speed(bench: Speed, style: Style, name: str) -> list[Row]:
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

    def note(row: Row) -> None:
        rows.append(row)
        log.info("%s", row_text(row))
        if bench.json:
            write_results(bench.json, rows, machine(device) | {"auto precision": str(choose_precision("auto", device))})

    measuring = SpeedBench(bench, style, name, note)
    measuring.matrix()
    if bench.baseline:
        measuring.baseline()
    if bench.memory:
        measuring.memory()
    print(table(rows))
    return rows


def drawn_picture() -> Image:
    """A picture to paint like, where none is given: for speed any does."""
    return world((256, 256), seed=7).astype(np.uint8)


def random_vgg19(device: str) -> Features:
    """VGG-19 as ``load_features`` makes it, with random weights."""
    return gatys(Network(VGG19, VGG19_DEEPEST)).to(choose_device(device))


class SpeedBench:
    """Measures one set of features.

    Args:
        bench: what to measure.
        style: what to paint like, seen through the features.
        name: of the features.
        note: takes each figure.
    """

    def __init__(self, bench: Speed, style: Style, name: str, note: Callable[[Row], None]) -> None:
        self._bench, self._style, self._name, self._note = bench, style, name, note
        self._clips: dict[tuple[int, int], Clip] = {}
        self._lbfgs: dict[tuple[int, int], Lbfgs] = {}

    def matrix(self) -> None:
        """Every combination, and how time grows with pixels."""
        medians: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
        for size in self._bench.sizes:
            for engine in self._bench.engines:
                for precision in self._bench.precisions:
                    for preset in self._bench.presets:
                        settings = self._settings(size, preset, engine, precision)
                        words = f"{_by(size)}, {self._name}, {engine}, {precision}, {preset}"
                        median = self._cell(words, size, settings)
                        medians.setdefault((engine, precision, preset), []).append((size[0] * size[1], median))
        for (engine, precision, preset), points in medians.items():
            if len(points) > 1:
                pixels, times = np.log(points).T
                figure = f"{self._name}, {engine}, {precision}, {preset}: exponent of time against pixels"
                self._row(figure, float(np.polyfit(pixels, times, 1)[0]), "", "0.9 to 1.1")

    def _settings(self, size: tuple[int, int], preset: str, engine: str = "auto", precision: str = "auto") -> Settings:
        return replace(PRESETS[preset], engine=engine, precision=precision, paint_size=max(size))

    def _cell(self, words: str, size: tuple[int, int], settings: Settings) -> float:
        """All figures of one combination; the median time of a frame, in ms."""
        stylizer = Stylizer(self._style.features, self._style, settings)
        timed = through_files(self._clip(size), stylizer)
        median, target = statistics.median(timed.milliseconds), ""
        if settings.few_layers and size == (320, 180) and self._style.features.device.type == "cpu":
            target = ">= 10"
        first = timed.stamps[0] - timed.began
        self._row(f"{words}: median time per frame", median, "ms")
        self._row(f"{words}: 95th percentile", float(np.percentile(timed.milliseconds, 95)), "ms")
        self._row(f"{words}: end to end", timed.frames_per_second, "frames/s", target)
        self._row(f"{words}: steps per frame", statistics.mean(timed.steps[WARM_UP_FRAMES + 1 :]))
        self._row(f"{words}: first frame", first - timed.prepared, "s")
        if timed.prepared:
            self._row(f"{words}: compiling or recording, once", timed.prepared, "s")
        if timed.peak is not None:
            self._row(f"{words}: peak memory", timed.peak / 1e6, "MB")
            self._row(f"{words}: memory per pixel", timed.peak / (size[0] * size[1]), "bytes")
        for stage, what in (
            ("paint", "painting"),
            ("motion", "looking for motion"),
            ("read", "waiting to read"),
            ("write", "waiting to write"),
        ):
            self._row(f"{words}: share of time {what}", 100 * timed.shares[stage] / sum(timed.shares.values()), "%")
        self._row(f"{words}: painter idle", 100 * timed.idle, "%", "<= 5")
        self._one_step(words, size, stylizer)
        self._quality(words, size, timed.images)
        return median

    def _clip(self, size: tuple[int, int]) -> Clip:
        if size not in self._clips:
            step = size[0] / 160  # the same share of the picture at every size

            def view(number: int) -> View:
                """There and back: a long clip shall not leave the world."""
                there = TURN - abs(number % (2 * TURN) - TURN)
                return View(step * there, step / 4 * there)

            self._clips[size] = camera_clip("pan", size, self._bench.frames, view)
        return self._clips[size]

    def _content(self, size: tuple[int, int], number: int = -1) -> Tensor:
        return to_tensor(self._clip(size).frames[number].image, self._style.features.device)

    def _one_step(self, words: str, size: tuple[int, int], stylizer: Stylizer) -> None:
        """Time of a step, beside that of the bare features forward and backward, and of the textbook's."""
        settings, content = stylizer.settings, self._content(size)
        step = self._step(stylizer, content)
        bare = self._bare(stylizer, content)
        plain = self._textbook_step(settings, content)
        eager = self._eager_step(settings, content)
        with Operations() as work:
            eager()
        times = medians({"step": step, "bare": bare, "plain": plain, "convolutions": work.convolve}, content.device)
        seconds = {name: time / STEPS_PER_ROUND for name, time in times.items()}
        speeds = [operations / times[name] / 1e9 for operations, name in ((work.all, "step"), (work.convolved, "convolutions"))]
        self._row(f"{words}: step", 1000 * seconds["step"], "ms")
        self._row(f"{words}: features forward and backward", 1000 * seconds["bare"], "ms")
        self._row(f"{words}: step relative to that", seconds["step"] / seconds["bare"], "", "<= 1.3")
        self._row(f"{words}: step relative to the textbook's in float32", seconds["step"] / seconds["plain"], "", "<= 0.4")
        self._row(f"{words}: within a step", speeds[0], "GFLOP/s")
        self._row(f"{words}: in its convolutions alone", speeds[1], "GFLOP/s")
        self._row(f"{words}: share of the convolutions' throughput", 100 * speeds[0] / speeds[1], "%", ">= 50 on a GPU")

    def _step(self, stylizer: Stylizer, content: Tensor) -> Callable[[], None]:
        """``STEPS_PER_ROUND`` steps as a frame takes them."""
        objective = stylizer.objective(content, (content, torch.ones_like(content[:, :1]))).settled(content)
        moments, rate = Moments.zero(content), Rate(stylizer.settings.learning_rate)

        def steps() -> None:
            stylizer.descend(content, objective, STEPS_PER_ROUND, moments, rate)

        return steps

    def _eager_step(self, settings: Settings, content: Tensor) -> Callable[[], None]:
        return self._step(Stylizer(self._style.features, self._style, replace(settings, engine="eager")), content)

    def _bare(self, stylizer: Stylizer, content: Tensor) -> Callable[[], None]:
        """As often forward and backward through the features alone, in the same precision, eagerly."""
        objective = stylizer.objective(content)
        layers = {*objective.content, *objective.style_layers}
        gradients = {name: torch.ones_like(maps) for name, maps in objective.features(content, layers).items()}

        def look() -> None:
            for _ in range(STEPS_PER_ROUND):
                picture = content.clone().requires_grad_(True)
                maps = objective.features(picture, layers)
                torch.autograd.grad([maps[name] for name in gradients], picture, list(gradients.values()))

        return look

    def _textbook_loss(self, settings: Settings, content: Tensor) -> TextbookLoss:
        layers: Mapping[str, float] = (
            self._style.features.few_layers if settings.few_layers else self._style.features.style_layers
        )
        ours = Stylizer(self._style.features, self._style, replace(settings, precision="fp32")).objective(content)
        grams = self._style.grams(max(content.shape[-2:]), layers)
        weights = settings.content_weight, settings.style_weight, settings.tv_weight, settings.match_weight
        return TextbookLoss(ours.features, ours.content, grams, layers, weights, ours.matching)

    def _textbook_step(self, settings: Settings, content: Tensor) -> Callable[[], None]:
        loss = self._textbook_loss(settings, content).settled(content)

        def steps() -> None:
            textbook.adam(lambda _: loss, content, STEPS_PER_ROUND)

        return steps

    def _quality(self, words: str, size: tuple[int, int], images: Sequence[Image]) -> None:
        """Flicker, and the loss of the last frame among all layers: times mean nothing without them."""
        pictures = [to_tensor(image) for image in images]
        flicker = measure.flicker(pictures, self._clip(size).motions, WARM_UP_FRAMES + 1)
        self._row(f"{words}: flicker", flicker)
        reached = self._loss(size, pictures[-1])
        self._row(f"{words}: objective of the last frame", reached)
        if size[0] * size[1] <= GAP_PIXELS:
            self._row(f"{words}: objective gap", 100 * (reached / self._reference(size).free - 1), "%")

    def _loss(self, size: tuple[int, int], picture: Tensor, number: int = -1) -> float:
        """The balanced objective of a painting of a frame."""
        loss = self._textbook_loss(PRESETS["balanced"], self._content(size, number))
        with torch.no_grad():
            return loss(picture.to(self._style.features.device)).item()

    def baseline(self) -> None:
        """The same frames by 300 iterations of L-BFGS each, and by the naive start until it is where we are."""
        size = self._bench.sizes[0]
        self._row(f"{_by(size)}, {self._name}: 300 iterations of L-BFGS", self._reference(size).milliseconds, "ms")
        for precision in ("fp32", "auto"):
            self._beside_lbfgs(size, "quality", precision)
            ours, images = self._beside_lbfgs(size, "balanced", precision)
            words = f"{_by(size)}, {self._name}, {precision}, balanced"
            naive, steps, came = self._naive(size, images)
            self._row(f"{words}: previous picture, fresh Adam, to the same objective", naive, "ms")
            self._row(f"{words}: steps it takes per frame", steps)
            self._row(f"{words}: frames on which it comes there within {NAIVE_STEPS} steps", 100 * came, "%")
            self._row(f"{words}: time per frame relative to that", ours / naive, "", "<= 0.25")

    def _beside_lbfgs(self, size: tuple[int, int], preset: str, precision: str) -> tuple[float, Sequence[Image]]:
        """What a preset takes and reaches of what L-BFGS does; the median ms of a frame, and the paintings."""
        words = f"{_by(size)}, {self._name}, {precision}, {preset}"
        settings = self._settings(size, preset, "eager" if precision == "fp32" else "auto", precision)
        timed = through_files(self._clip(size), Stylizer(self._style.features, self._style, settings))
        ours, lbfgs = statistics.median(timed.milliseconds), self._reference(size)
        reached = self._loss(size, to_tensor(timed.images[-1]))
        self._row(f"{words}: median time per frame", ours, "ms")
        self._row(f"{words}: time per frame relative to 300 iterations of L-BFGS", ours / lbfgs.milliseconds, "", "<= 0.02")
        self._row(f"{words}: objective relative to theirs", reached / lbfgs.free, "", "<= 1.05")
        self._row(f"{words}: objective relative to theirs, once shown", reached / lbfgs.shown, "", "<= 1.05")
        return ours, timed.images

    def _reference(self, size: tuple[int, int]) -> "Lbfgs":
        """300 iterations on the last frame, once per size."""
        if size not in self._lbfgs:
            log.debug("%s: %d iterations of L-BFGS", _by(size), textbook.REFERENCE_ITERATIONS)
            content = self._content(size)
            loss = self._textbook_loss(PRESETS["balanced"], content)
            began = time.perf_counter()
            picture = textbook.lbfgs(loss.settled, content)
            milliseconds = 1000 * (time.perf_counter() - began)
            self._lbfgs[size] = Lbfgs(milliseconds, self._loss(size, picture), self._loss(size, picture.clamp(0, 1)))
        return self._lbfgs[size]

    def _naive(self, size: tuple[int, int], images: Sequence[Image]) -> tuple[float, float, float]:
        """Median ms and mean steps per frame of the naive start to our objective, and the share of frames where it gets there."""
        picture = to_tensor(images[WARM_UP_FRAMES], self._style.features.device)
        times, counts, came = [], [], []
        for number in range(WARM_UP_FRAMES + 1, min(len(images), WARM_UP_FRAMES + 5)):
            target = self._loss(size, to_tensor(images[number]), number)
            loss = self._textbook_loss(PRESETS["balanced"], self._content(size, number))
            began = time.perf_counter()
            picture, steps = textbook.adam(loss.settled, picture, NAIVE_STEPS, until=target)
            times.append(1000 * (time.perf_counter() - began))
            counts.append(steps)
            came.append(steps < NAIVE_STEPS)
        return statistics.median(times), statistics.mean(counts), statistics.mean(came)

    def memory(self) -> None:
        """Whether it grows with the number of frames, and whether files are left open."""
        few, many = MEMORY_FRAMES
        device, size = self._style.features.device, MEMORY_SIZE
        stylizer = Stylizer(self._style.features, self._style, replace(self._settings(size, "live"), first_steps=5))
        frames, resident, opened = self._clip(size).frames, {}, {}

        def watch(report: Report) -> None:
            if report.frames in MEMORY_FRAMES:
                resident[report.frames], opened[report.frames] = resident_memory(device), open_files()

        with TemporaryDirectory(prefix="vidstyle-") as folder:
            painted_to_file(Looped(frames, many), stylizer, Path(folder) / "out.mp4", watch)
        before, after = resident.get(few), resident.get(many)
        if before and after:
            self._row(f"{self._name}: resident memory after {many} frames over after {few}", after / before, "", "<= 1.02")
        fewer, more = opened.get(few), opened.get(many)
        if fewer and more:
            self._row(f"{self._name}: open files after {many} frames over after {few}", more / fewer, "", "1")

    def _row(self, figure: str, value: float, unit: str = "", target: str = "") -> None:
        self._note(Row(figure, value, unit, target))


@dataclass(frozen=True)
class Lbfgs:
    """What 300 iterations of L-BFGS took, and reached: as it is, and once clipped to what can be shown."""

    milliseconds: float
    free: float
    shown: float


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
