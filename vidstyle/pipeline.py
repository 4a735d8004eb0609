"""The pipeline: frames are read ahead in one thread, stylised in the calling one, written in a
third.

A source needs ``__iter__`` only, and a sink ``send`` only: a list of frames and an object with that
one method will do. Sources such as ``vidstyle.Source`` also have ``format`` (whether the source is
live, the size of its frames), ``skip`` and ``stop``, and those of a range of frames ``wanted``: how
many to stylise, while the frames after them tell cuts from flashes. Sinks such as ``vidstyle.Sink``
have ``segment_seconds`` and ``checkpoint``. These are used where they exist.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import cv2

from .checkpoint_scheduler import CheckpointScheduler
from .flow.cuts import LOOK_BACK_FRAMES
from .flow.methods import FlowMethod
from .flow.motion import Motion
from .io.checkpoints import Checkpoint
from .io.frame import Frame
from .io.stream_info import VideoInfo
from .motion_adder import MotionAdder, NextMotion
from .runtime.interrupts import check
from .runtime.worker import SENTINEL, ProcessSetting, Worker
from .stylizer.backward_pass import BackwardPass
from .stylizer.iterations import Iteration
from .stylizer.stylizer import Stylizer

log = logging.getLogger(__name__)

GPU_SWITCH_INTERVAL = ProcessSetting(sys.getswitchinterval, sys.setswitchinterval, 0.001)
"""Python's thread switch interval in seconds, a fifth of the default: a GPU would be idle in
between."""

SINGLE_THREADED_OPENCV = ProcessSetting(cv2.getNumThreads, cv2.setNumThreads, 1)
"""OpenCV's threads while several flows are computed at once, each in a thread of its own."""

READER_STOP_SECONDS = 5.0
"""Time in seconds to wait at the end for a source after its ``stop``."""

STAGES = ("read", "motion", "backward", "stylize", "write", "controls")


class FrameSink(Protocol):
    """The least that ``run`` needs of a sink; ``io.sink.Sink`` lists what it uses besides."""

    def send(self, frame: Frame) -> None:
        """Take one frame; may wait."""


@dataclass
class Report:
    """The state of a run.

    Args:
        frames: number of frames stylised.
        dropped: number of frames of the source that were skipped.
        seconds: stage -> seconds that the calling thread spent in it. "read" and "write" are waits
            for the other threads, "motion" is 0 where another thread computes the flow, "backward"
            is the backward pass, "controls" is the time spent in ``controls``.
        backward_frames: number of frames that the backward pass has looked at.
        source: the last stylised frame as it was read.
        frame: the last stylised frame.
        iterations: the losses of that frame.
    """

    frames: int = 0
    dropped: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    backward_frames: int = 0
    source: Frame | None = None
    frame: Frame | None = None
    iterations: list[Iteration] = field(default_factory=list)


Controls = Callable[[Stylizer, Report], None]


def run(
    source: Iterable[Frame],
    stylizer: Stylizer,
    sinks: Sequence[FrameSink],
    controls: Controls | None = None,
    flow: FlowMethod | None = None,
    resume: Checkpoint | None = None,
) -> Report:
    """Stylise all frames of a source and send each to every sink.

    Args:
        source: is iterated over in a thread of its own, a few frames ahead. Optical flow is
            computed in further threads with a GPU, in the calling one on a CPU, beside it if live.
        stylizer: is used in the calling thread.
        sinks: objects with ``send``, written to in one thread, a few frames behind, and not closed.
        controls: is called before the first frame and after each with the report so far, and while
            a live source lets the caller wait. It may assign the stylizer's ``style`` and
            ``settings``.
        flow: optical flow method; None: as the stylizer's settings say at the start.
        resume: the frames before it are read but not stylised, and the stylizer's state is
            restored.

    Returns:
        The report on the whole run.

    Raises:
        TypeError: the source yields something else than frames.
        Exception: the error of the thread that failed first. The frames stylised before it were
            sent to the sinks that still work. No thread is left, except that of a source which does
            not end ``READER_STOP_SECONDS`` after its ``stop``.

    Example:
        >>> import numpy as np, vidstyle as vs
        >>> features = vs.load_features(device="cpu")
        >>> style = vs.Style.from_images([np.zeros((64, 64, 3), np.uint8)], features)
        >>> stylizer = vs.Stylizer(features, style, vs.Settings(initial_steps=2, steps=1))
        >>> frames = [vs.Frame(np.zeros((48, 64, 3), np.uint8)) for _ in range(2)]
        >>> vs.run(frames, stylizer, sinks=[]).frames
        2
    """
    adapter = _SourceAdapter(source)
    done, shot = (resume.frames, resume.frames_in_shot) if resume else (0, 0)
    motion = MotionAdder(lambda: adapter.format, stylizer, flow, min(shot, LOOK_BACK_FRAMES))
    if resume:
        stylizer.load_state(resume.state)
    report = Report()
    reader, writer = _make_workers(adapter, motion, done, sinks)
    if adapter.format.live and controls:
        reader.on_idle = lambda: controls(stylizer, report)
    scheduler = CheckpointScheduler(stylizer, sinks, done, shot)
    with closing(motion), _process_settings(stylizer, motion):
        try:
            found, counter = motion.pairs_of(reader)
            pairs = _resumed(islice(found, adapter.wanted), resume)
            planned = BackwardPass(pairs, stylizer, adapter.format.live)
            _stylize(planned, (counter, writer), stylizer, controls, scheduler, report)
        finally:
            _end(reader, writer, adapter)
    writer.raise_error()
    return report


def _resumed(
    pairs: Iterable[tuple[Frame, Motion]], checkpoint: Checkpoint | None
) -> Iterator[tuple[Frame, Motion]]:
    """Frames with their motion; the first is a cut where the checkpoint before it has no state."""
    cold = checkpoint is not None and not checkpoint.state
    for number, (frame, motion) in enumerate(pairs):
        yield frame, Motion(cut=True) if cold and not number else motion


class _SourceAdapter:
    """A source with defaults for all that ``run`` uses but ``__iter__``."""

    def __init__(self, source: Iterable[Frame]) -> None:
        self._source = source
        self._skipped = 0
        self._size = 1, 1

    @property
    def format(self) -> VideoInfo:
        """The source's own, or one with the size of the last frame."""
        own: VideoInfo | None = getattr(self._source, "format", None)
        return own or VideoInfo(self._size)

    @property
    def wanted(self) -> int | None:
        """The number of frames to stylise; None: all."""
        return getattr(self._source, "wanted", None)

    def __iter__(self) -> Iterator[Frame]:
        for number, frame in enumerate(self._source):
            if not isinstance(frame, Frame):
                kind = type(frame).__name__
                raise TypeError(f"the source yields {kind}: make each image a vidstyle.Frame")
            self._size = frame.size
            if number >= self._skipped:
                yield frame

    def skip(self, count: int) -> None:
        """Pass over the first frames."""
        if hasattr(self._source, "skip"):
            self._source.skip(count)
        else:
            self._skipped = count

    def stop(self) -> None:
        """End a source that waits for more frames."""
        stop = getattr(self._source, "stop", None)
        if stop:
            stop()


def _make_workers(
    source: _SourceAdapter, motion: MotionAdder, done: int, sinks: Sequence[FrameSink]
) -> tuple[Worker, Worker]:
    """(reader of the frames after the first ``done``, writer)."""
    ahead = motion.add if motion.ahead else None
    skipped = done - motion.past
    reader = Worker(
        lambda worker: _read(worker, source, skipped, ahead), "reader", newest=source.format.live
    )
    return reader, Worker(lambda worker: _write(worker, sinks), "writer")


@contextmanager
def _process_settings(stylizer: Stylizer, motion: MotionAdder) -> Iterator[None]:
    """The settings of the process during a run."""
    with ExitStack() as stack:
        if stylizer.features.device.type != "cpu":
            stack.enter_context(GPU_SWITCH_INTERVAL)
        if motion.ahead:
            stack.enter_context(SINGLE_THREADED_OPENCV)
        yield


def _read(
    worker: Worker,
    source: _SourceAdapter,
    skipped: int,
    add_motion: Callable[[Iterable[Frame]], Iterable[object]] | None,
) -> None:
    """Put the frames after the first ``skipped`` into the queue, with their motion if wanted."""
    if skipped:
        source.skip(skipped)
    for item in add_motion(source) if add_motion else source:
        if not worker.put(item):
            return
    worker.put(SENTINEL)  # or the caller would wait once more before it sees that the thread ended


def _write(worker: Worker, sinks: Sequence[Any]) -> None:
    """Send each frame and checkpoint to every sink."""
    while (item := worker.get()) is not SENTINEL:
        for sink in sinks:
            if not isinstance(item, Checkpoint):
                sink.send(item)
            elif hasattr(sink, "checkpoint"):
                sink.checkpoint(item)


def _end(reader: Worker, writer: Worker, source: _SourceAdapter) -> None:
    """Stop reading, and write the finished frames, also after an error or an interrupt."""
    reader.stopped.set()
    try:
        source.stop()
    finally:
        writer.finish()
    reader.join(READER_STOP_SECONDS)
    if reader.is_alive():
        log.warning(
            "the source did not stop within %g s, and its thread is left", READER_STOP_SECONDS
        )


def _stylize(
    frames: BackwardPass,
    workers: tuple[Worker | NextMotion, Worker],
    stylizer: Stylizer,
    controls: Controls | None,
    scheduler: CheckpointScheduler,
    report: Report,
) -> None:
    """Stylise the frames until the reader ends or fails, or the writer does."""
    reader, writer = workers
    if controls:
        controls(stylizer, report)
    started = time.perf_counter()
    for planned in frames:
        check()
        got = time.perf_counter()
        checkpoint = scheduler.maybe_checkpoint(planned)
        frame = planned.frame
        stylized = stylizer(frame, planned.motion, proposal=planned.proposal)
        done = time.perf_counter()
        if not ((checkpoint is None or writer.put(checkpoint)) and writer.put(stylized)):
            return
        report.frames += 1
        report.dropped = reader.dropped
        report.source, report.frame, report.iterations = frame, stylized, stylizer.iterations
        motion_seconds = got - started - (reader.waited - report.seconds["read"])
        motion_seconds -= frames.seconds - report.seconds["backward"]
        report.seconds["read"], report.seconds["backward"] = reader.waited, frames.seconds
        report.backward_frames = frames.frames
        for stage, spent in (
            ("motion", motion_seconds),
            ("stylize", done - got),
            ("write", time.perf_counter() - done),
        ):
            report.seconds[stage] += spent
        written = time.perf_counter()
        if controls:
            controls(stylizer, report)
        started = time.perf_counter()
        report.seconds["controls"] += started - written
