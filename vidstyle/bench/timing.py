"""Clips through the whole pipeline, from an H.264 file to an H.264 file, with a stopwatch; and functions against each other."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ..io.files import temporary_folder
from ..io.frame import Frame, Image
from ..io.sink import open_sink
from ..io.sink_base import Encoding
from ..io.source import Source, StatelessSource, open_source
from ..io.stream_info import VideoInfo
from ..io.video_writer import VideoWriter
from ..pipeline import Report, run
from ..runtime.device import peak_memory, reset_peak_memory, resident_memory
from ..stylizer.stylizer import Stylizer
from .clips import RATE, Clip

WARM_UP_FRAMES = 3
"""Frames left out of the figures: the first is painted afresh, and the pipeline fills up."""

ROUNDS, WARM_UP_ROUNDS = 10, 2

TIME_BASE = Fraction(1, 12800)


@dataclass
class TimedRun:
    """What one clip took.

    Args:
        began, ended: seconds on the clock; the file was whole at the end.
        stamps: when each frame was painted.
        images: the paintings.
        steps: taken for each.
        shares: stage -> seconds the painter spent in it, warm-up apart; ``read`` and ``write`` are waits for others.
        prepared: seconds of the first frame spent on compiling or recording.
        peak: bytes of memory above what was in use before, or None where the system does not say.
    """

    began: float
    ended: float = 0.0
    stamps: list[float] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    prepared: float = 0.0
    peak: int | None = None

    @property
    def milliseconds(self) -> list[float]:
        """Between one painting and the next, warm-up apart."""
        return [1000 * float(step) for step in np.diff(self.stamps[WARM_UP_FRAMES:])]

    @property
    def frames_per_second(self) -> float:
        """Warm-up apart, up to the finished file."""
        return (len(self.stamps) - 1 - WARM_UP_FRAMES) / (self.ended - self.stamps[WARM_UP_FRAMES])

    @property
    def idle(self) -> float:
        """Share of the time that the painter waited for others."""
        return (self.shares["read"] + self.shares["write"]) / sum(self.shares.values())


def through_files(clip: Clip, stylizer: Stylizer) -> TimedRun:
    """Write the clip as H.264, and paint that file."""
    device = stylizer.features.device
    with temporary_folder() as folder:
        path = folder / "in.mp4"
        with VideoWriter(
            path, VideoInfo(clip.frames[0].size, Fraction(RATE), TIME_BASE), Encoding(crf=12)
        ) as writer:
            for frame in clip.frames:
                writer.send(frame)
        watched, before = reset_peak_memory(device), resident_memory(device)
        with open_source(path) as source:
            timed = painted_to_file(source, stylizer, folder / "out.mp4")
    peak = peak_memory(device)
    timed.peak = peak - before if watched and peak is not None and before is not None else None
    return timed


def painted_to_file(
    source: Source, stylizer: Stylizer, path: Path, look: Callable[[Report], None] | None = None
) -> TimedRun:
    """Paint a source to a file; ``look`` is called after each frame, and then no paintings are kept."""
    timed, spent = (
        TimedRun(time.perf_counter()),
        dict.fromkeys(("read", "motion", "paint", "write"), 0.0),
    )

    def watch(_: Stylizer, report: Report) -> None:
        if report.frames == len(timed.stamps):  # asked before the first frame
            return
        timed.stamps.append(time.perf_counter())
        timed.steps.append(len(report.iterations))
        if report.frames == WARM_UP_FRAMES + 1:
            spent.update(report.seconds)
        if look:
            look(report)
        elif report.frame:
            timed.images.append(report.frame.image)

    with open_sink(path, source) as sink:
        report = run(source, stylizer, [sink], watch)
    timed.ended = time.perf_counter()
    timed.shares = {stage: seconds - spent[stage] for stage, seconds in report.seconds.items()}
    timed.prepared = stylizer.compile_seconds
    return timed


class Looped(StatelessSource):
    """Frames over and over, back and forth. A ``Source``."""

    def __init__(self, frames: Sequence[Frame], count: int) -> None:
        self._frames, self._count = frames, count
        self.format = VideoInfo(frames[0].size, Fraction(RATE), TIME_BASE, count)

    def __iter__(self) -> Iterator[Frame]:
        there_and_back = [*self._frames, *self._frames[-2:0:-1]]
        for number in range(self._count):
            image = there_and_back[number % len(there_and_back)].image
            yield Frame(image, Fraction(number, RATE), Fraction(1, RATE))


def medians(rounds: Mapping[str, Callable[[], None]], device: torch.device) -> dict[str, float]:
    """Median seconds of each, taken in turn, so that a machine that slows down slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in rounds}
    for number in range(ROUNDS):
        for name, take in rounds.items():
            began = time.perf_counter()
            take()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number >= WARM_UP_ROUNDS:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}
