"""The same frames by textbook code, in the same run: 300 iterations of L-BFGS each, and previous picture, fresh Adam."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..io.frame import Image
from ..ops.tensors import to_tensor
from . import textbook
from .fixtures import Fixture, by, preset_at
from .results import Row
from .timing import WARM_UP_FRAMES, TimedRun, through_files

NAIVE_STEPS = 300
"""The most steps that the naive start is given to come where we are."""

NAIVE_FRAMES = 4


def baseline(subject: Fixture, size: tuple[int, int]) -> Iterator[Row]:
    """What ours take and reach of what these do."""
    yield Row(
        f"{by(size)}, {subject.name}: 300 iterations of L-BFGS",
        subject.reference(size).milliseconds,
        "ms",
    )
    for precision in ("fp32", "auto"):
        for preset in ("final", "standard"):
            words = f"{by(size)}, {subject.name}, {precision}, {preset}"
            settings = preset_at(
                size, preset, "eager" if precision == "fp32" else "auto", precision
            )
            ours = through_files(subject.clip(size), subject.stylizer(settings))
            for row in _beside_lbfgs(subject, size, ours):
                yield replace(row, figure=f"{words}: {row.figure}")
        # The naive start follows ``standard``, the last of the two.
        naive, steps, came = _naive(subject, size, ours.images)
        yield Row(f"{words}: previous picture, fresh Adam, to the same objective", naive, "ms")
        yield Row(f"{words}: steps it takes per frame", steps)
        yield Row(
            f"{words}: frames on which it comes there within {NAIVE_STEPS} steps", 100 * came, "%"
        )
        yield Row(
            f"{words}: time per frame relative to that",
            statistics.median(ours.milliseconds) / naive,
            "",
            "<= 0.25",
        )


def _beside_lbfgs(subject: Fixture, size: tuple[int, int], timed: TimedRun) -> Iterator[Row]:
    ours, lbfgs = statistics.median(timed.milliseconds), subject.reference(size)
    reached = subject.reached(size, to_tensor(timed.images[-1]))
    yield Row("median time per frame", ours, "ms")
    yield Row(
        "time per frame relative to 300 iterations of L-BFGS",
        ours / lbfgs.milliseconds,
        "",
        "<= 0.02",
    )
    yield Row("objective relative to theirs", reached / lbfgs.free, "", "<= 1.05")
    yield Row("objective relative to theirs, once shown", reached / lbfgs.shown, "", "<= 1.05")


def _naive(
    subject: Fixture, size: tuple[int, int], images: Sequence[Image]
) -> tuple[float, float, float]:
    """Median ms and mean steps per frame of the naive start to our objective, and the share of frames where it gets there."""
    picture = to_tensor(images[WARM_UP_FRAMES], subject.features.device)
    times, counts, came = [], [], []
    for number in range(WARM_UP_FRAMES + 1, min(len(images), WARM_UP_FRAMES + 1 + NAIVE_FRAMES)):
        target = subject.reached(size, to_tensor(images[number]), number)
        loss = subject.standard_loss(size, number)
        began = time.perf_counter()
        picture, steps = textbook.adam(loss.with_fixed_matches, picture, NAIVE_STEPS, until=target)
        times.append(1000 * (time.perf_counter() - began))
        counts.append(steps)
        came.append(steps < NAIVE_STEPS)
    return statistics.median(times), statistics.mean(counts), statistics.mean(came)
