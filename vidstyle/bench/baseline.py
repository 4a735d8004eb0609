"""Baselines: the same frames by 300 iterations of L-BFGS, or by previous frame, fresh Adam."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..io.frame import Image
from ..ops.tensors import to_tensor
from . import textbook
from .fixtures import Fixture, preset_settings, size_text
from .results import Row
from .timing import WARM_UP_FRAMES, TimedRun, time_clip

NAIVE_MAX_STEPS = 300
"""Steps per frame after which the naive baseline gives up."""

NAIVE_FRAMES = 4
"""Frames that the naive baseline is measured on."""

NAIVE = "previous frame, fresh Adam"


@dataclass(frozen=True)
class NaiveRun:
    """Steps and time that the naive baseline needs to reach vidstyle's objective.

    Args:
        milliseconds: median per frame.
        steps: mean per frame.
        reached: fraction of frames that reach the objective within ``NAIVE_MAX_STEPS``.
    """

    milliseconds: float
    steps: float
    reached: float


def baseline_rows(fixture: Fixture, size: tuple[int, int]) -> Iterator[Row]:
    """Times and objectives of vidstyle relative to both baselines, in two precisions."""
    words = f"{size_text(size)}, {fixture.name}"
    yield Row(f"{words}: 300 iterations of L-BFGS", fixture.reference(size).milliseconds, "ms")
    for precision in ("fp32", "auto"):
        engine = "eager" if precision == "fp32" else "auto"
        for preset in ("final", "standard"):
            settings = preset_settings(size, preset, engine, precision)
            own = time_clip(fixture.clip(size), fixture.stylizer(settings))
            words = f"{size_text(size)}, {fixture.name}, {precision}, {preset}"
            for row in _lbfgs_rows(fixture, size, own):
                yield replace(row, figure=f"{words}: {row.figure}")
        # The naive baseline is compared with the standard preset, the last of the two.
        naive = _run_naively(fixture, size, own.images)
        for row in _naive_rows(naive, statistics.median(own.frame_ms)):
            yield replace(row, figure=f"{words}: {row.figure}")


def _lbfgs_rows(fixture: Fixture, size: tuple[int, int], timed: TimedRun) -> Iterator[Row]:
    frame_ms, reference = statistics.median(timed.frame_ms), fixture.reference(size)
    loss = fixture.loss_of(size, to_tensor(timed.images[-1]))
    yield Row("median time per frame", frame_ms, "ms")
    ratio = frame_ms / reference.milliseconds
    yield Row("time per frame relative to 300 iterations of L-BFGS", ratio, "", "<= 0.02")
    yield Row("objective relative to L-BFGS", loss / reference.loss, "", "<= 1.05")
    ratio = loss / reference.clamped_loss
    yield Row("objective relative to clamped L-BFGS", ratio, "", "<= 1.05")


def _naive_rows(naive: NaiveRun, frame_ms: float) -> Iterator[Row]:
    yield Row(f"{NAIVE}: time per frame to the same objective", naive.milliseconds, "ms")
    yield Row(f"{NAIVE}: steps per frame to the same objective", naive.steps)
    words = f"{NAIVE}: frames that reach the same objective within {NAIVE_MAX_STEPS} steps"
    yield Row(words, 100 * naive.reached, "%")
    ratio = frame_ms / naive.milliseconds
    yield Row(f"time per frame relative to {NAIVE}", ratio, "", "<= 0.25")


def _run_naively(fixture: Fixture, size: tuple[int, int], images: Sequence[Image]) -> NaiveRun:
    """Run the naive baseline until it reaches the objectives of vidstyle's frames ``images``."""
    image = to_tensor(images[WARM_UP_FRAMES], fixture.features.device)
    times, counts, reached = [], [], []
    for number in range(WARM_UP_FRAMES + 1, min(len(images), WARM_UP_FRAMES + 1 + NAIVE_FRAMES)):
        target = fixture.loss_of(size, to_tensor(images[number]), number)
        losses = fixture.standard_loss(size, number).with_fixed_matches
        began = time.perf_counter()
        image, steps = textbook.adam(losses, image, NAIVE_MAX_STEPS, until=target)
        times.append(1000 * (time.perf_counter() - began))
        counts.append(steps)
        reached.append(steps < NAIVE_MAX_STEPS)
    return NaiveRun(statistics.median(times), statistics.mean(counts), statistics.mean(reached))
