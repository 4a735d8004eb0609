"""Wall-clock timing: clips from H.264 file to H.264 file, and functions against each other."""

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
from ..pipeline import STAGES, Report, run
from ..runtime.device import peak_memory, reset_peak_memory, resident_memory
from ..stylizer.stylizer import Stylizer
from .clips import RATE_FPS, Clip

WARM_UP_FRAMES = 3
"""Frames left out of the figures: the first is a cold start, and the pipeline's queues fill."""

ROUNDS, WARM_UP_ROUNDS = 10, 2
"""Rounds of ``median_seconds``, and how many of them are left out."""

TIME_BASE = Fraction(1, 12800)


@dataclass
class TimedRun:
    """Times of one stylised clip.

    Args:
        began, ended: seconds of the clock; the output file is complete at ``ended``.
        timestamps: seconds of the clock when each frame was stylised.
        images: the stylised frames, (H, W, 3) uint8.
        steps: optimiser steps of each frame.
        stage_seconds: stage -> seconds without warm-up. ``read`` and ``write`` are the times that
            the stylizer waited for the reader and for the writer.
        compile_seconds: of the first frame, for compilation or CUDA graph capture.
        peak_bytes: peak memory above that before the run; None if the system does not report it.
    """

    began: float
    ended: float = 0.0
    timestamps: list[float] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    compile_seconds: float = 0.0
    peak_bytes: int | None = None

    @property
    def frame_ms(self) -> list[float]:
        """Milliseconds between successive stylised frames, without warm-up."""
        return [1000 * float(step) for step in np.diff(self.timestamps[WARM_UP_FRAMES:])]

    @property
    def frames_per_second(self) -> float:
        """Frames per second up to the complete file, without warm-up."""
        count = len(self.timestamps) - 1 - WARM_UP_FRAMES
        return count / (self.ended - self.timestamps[WARM_UP_FRAMES])

    @property
    def idle_fraction(self) -> float:
        """Fraction of the time that the stylizer waited for the reader or the writer."""
        waiting = self.stage_seconds["read"] + self.stage_seconds["write"]
        return waiting / sum(self.stage_seconds.values())


def time_clip(clip: Clip, stylizer: Stylizer) -> TimedRun:
    """Write a clip as H.264, then decode, stylise and encode that file, timed."""
    device = stylizer.features.device
    with temporary_folder() as folder:
        path = folder / "in.mp4"
        info = VideoInfo(clip.frames[0].size, Fraction(RATE_FPS), TIME_BASE)
        with VideoWriter(path, info, Encoding(crf=12)) as writer:
            for frame in clip.frames:
                writer.send(frame)
        resettable, before = reset_peak_memory(device), resident_memory(device)
        with open_source(path) as source:
            timed = time_source(source, stylizer, folder / "out.mp4")
    peak = peak_memory(device)
    if resettable and peak is not None and before is not None:
        timed.peak_bytes = peak - before
    return timed


def time_source(
    source: Source,
    stylizer: Stylizer,
    path: Path,
    on_frame: Callable[[Report], None] | None = None,
) -> TimedRun:
    """Stylise a source to a file, timed.

    Args:
        source: open.
        stylizer: new.
        path: of the output.
        on_frame: called after each frame. If it is given, the stylised frames are not kept.
    """
    timed = TimedRun(time.perf_counter())
    warm_up_seconds = dict.fromkeys(STAGES, 0.0)

    def observe(_: Stylizer, report: Report) -> None:
        if report.frames == len(timed.timestamps):  # the pipeline calls before the first frame too
            return
        timed.timestamps.append(time.perf_counter())
        timed.steps.append(len(report.iterations))
        if report.frames == WARM_UP_FRAMES + 1:
            warm_up_seconds.update(report.seconds)
        if on_frame:
            on_frame(report)
        elif report.frame:
            timed.images.append(report.frame.image)

    with open_sink(path, source) as sink:
        report = run(source, stylizer, [sink], observe)
    timed.ended = time.perf_counter()
    timed.stage_seconds = {
        stage: seconds - warm_up_seconds[stage] for stage, seconds in report.seconds.items()
    }
    timed.compile_seconds = stylizer.compile_seconds
    return timed


class LoopedSource(StatelessSource):
    """A ``Source`` that gives frames forwards and backwards in turn, ``count`` frames in all."""

    def __init__(self, frames: Sequence[Frame], count: int) -> None:
        self._frames, self._count = frames, count
        self.format = VideoInfo(frames[0].size, Fraction(RATE_FPS), TIME_BASE, count)

    def __iter__(self) -> Iterator[Frame]:
        loop = [*self._frames, *self._frames[-2:0:-1]]
        for number in range(self._count):
            image = loop[number % len(loop)].image
            yield Frame(image, Fraction(number, RATE_FPS), Fraction(1, RATE_FPS))


def median_seconds(
    functions: Mapping[str, Callable[[], None]], device: torch.device
) -> dict[str, float]:
    """Median wall time of each function over ``ROUNDS`` rounds, in seconds.

    The functions take turns, so that a change of the machine's speed affects all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(ROUNDS):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number >= WARM_UP_ROUNDS:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}
