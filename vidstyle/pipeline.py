"""Reading ahead, painting, writing behind."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction

import cv2

from .flow.clip_motion import LOOK_AHEAD, PAST, search_ahead, with_search
from .flow.methods import FlowMethod, load_flow
from .flow.motion import Motion
from .io.checkpoints import Checkpoint
from .io.frame import Frame
from .io.sink import Sink
from .io.source import Source
from .runtime.interrupts import check
from .runtime.limits import threads
from .runtime.worker import SENTINEL, ProcessSetting, Worker
from .stylizer.stylizer import Iteration, Stylizer
from .stylizer.warm_start import LONG_TERM

log = logging.getLogger(__name__)

MAX_FLOWS_AT_ONCE = 8
"""Flows computed at once beside a GPU, which stylises a frame in less time than one flow takes; each keeps two cores busy."""

STRETCH = 10
"""Segments are so many times as long beside a GPU, which paints them in the same time: keeping what is remembered of a large
picture takes as long as painting dozens of frames."""

SHORT_TURNS = ProcessSetting(sys.getswitchinterval, sys.setswitchinterval, 0.001)
"""A thread may compute in Python for so many seconds while others wait, usually for five times as long: a GPU would be idle."""

ONE_CORE_EACH = ProcessSetting(cv2.getNumThreads, cv2.setNumThreads, 1)
"""Where several motions are looked for at once, OpenCV's threads would only be in each other's way."""

READER_SECONDS = 5.0
"""How long to wait at the end for a source that was told to stop."""

STAGES = ("read", "motion", "paint", "write", "controls")


@dataclass
class Report:
    """What a run did so far.

    Args:
        frames: frames painted.
        dropped: frames of the source that were passed over.
        seconds: stage -> seconds the painter spent in it; "read" and "write" are waits for the other threads,
            "controls" is what showing and steering take after a frame. "motion" is
            0 where the reader sees to it.
        source: the frame that was painted last, as it was read.
        frame: its painting.
        iterations: its losses.
    """

    frames: int = 0
    dropped: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    source: Frame | None = None
    frame: Frame | None = None
    iterations: list[Iteration] = field(default_factory=list)


def run(
    source: Source,
    stylizer: Stylizer,
    sinks: Sequence[Sink],
    controls: Callable[[Stylizer, Report], None] | None = None,
    flow: FlowMethod | None = None,
    resume: Checkpoint | None = None,
) -> Report:
    """Paint all frames of a source and send each to every sink.

    Args:
        source: read in a thread of its own, a few frames ahead. With a GPU their motion is computed in some more;
            on a CPU on the calling thread.
        stylizer: used on the calling thread.
        sinks: written in one thread, a few frames behind. They are not closed.
        controls: called before the first frame and after each, with the report so far, and now and then while a live source
            lets wait; may assign the stylizer's ``style`` and ``settings``.
        flow: how motion is computed; None: as the stylizer's settings say at the start.
        resume: where to go on: what came before is read and not painted, and the stylizer's memory becomes what it was.

    The error of the stage that failed first is raised. The frames stylised before it were sent to the
    sinks that still work. No thread is left, except that of a source which does not end
    ``READER_SECONDS`` after its ``stop``.

    Returns:
        The report on the whole run.
    """
    live = source.format.live
    on_cpu = stylizer.features.device.type == "cpu"
    # On a CPU motion and painting would fight for the same cores, which takes longer than one after the other.
    # What a live source drops is not known before the painter takes a frame, nor what moved since the last one it took.
    motion_by_painter = live or on_cpu
    done, shot = (resume.frames, resume.shot) if resume else (0, 0)
    past = min(shot, PAST)
    moving = _motion_finder(source, stylizer, flow, past, motion_by_painter)
    if resume:
        stylizer.load_state(resume.state)
    report = Report()
    reader = Worker(
        lambda stage: _read(stage, source, done - past, None if motion_by_painter else moving),
        "reader",
        newest=live,
    )
    writer = Worker(lambda stage: _write(stage, sinks), "writer")
    if live and controls:
        reader.idle = lambda: controls(stylizer, report)
    keeper = _Keeper(stylizer, [sink.segment_seconds for sink in sinks], done, shot)
    with (
        nullcontext() if on_cpu else SHORT_TURNS,
        nullcontext() if motion_by_painter else ONE_CORE_EACH,
    ):
        try:
            _paint(
                moving(reader) if motion_by_painter else reader,
                (reader, writer),
                stylizer,
                controls,
                keeper,
                report,
            )
        finally:
            _end(reader, writer, source)
    writer.raise_error()
    return report


def _motion_finder(
    source: Source, stylizer: Stylizer, flow: FlowMethod | None, past: int, one_by_one: bool
) -> Callable[[Iterable[Frame]], Iterator[tuple[Frame, Motion]]]:
    """What adds to frames their motion: one by one as they are asked for, or ahead in several threads."""
    settings = stylizer.settings
    method = flow or load_flow(settings.flow, stylizer.features.device)
    if settings.init != "previous":  # nothing is moved
        method = None
    ahead = 0 if source.format.live else LOOK_AHEAD
    distances = LONG_TERM if settings.long_term else ()
    flows_at_once = max(1, min(MAX_FLOWS_AT_ONCE, threads() // 2))

    def moving(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Motion]]:
        searches = with_search(
            frames, method, distances, ahead, lambda: stylizer.flow_px(source.format.size), past
        )
        return (
            ((frame, find()) for frame, find in searches)
            if one_by_one
            else search_ahead(searches, flows_at_once)
        )

    return moving


def _read(
    stage: Worker,
    source: Source,
    skipped: int,
    moving: Callable[[Iterable[Frame]], Iterable[object]] | None,
) -> None:
    """The reader's work: hand over the frames after the first ``skipped``, with their motion if it is to be found here."""
    if skipped:
        source.skip(skipped)
    for item in moving(source) if moving else source:
        if not stage.put(item):
            return
    stage.put(SENTINEL)  # or the painter would wait a little before it looks whether more can come


def _write(stage: Worker, sinks: Sequence[Sink]) -> None:
    """The writer's work: send each frame and checkpoint to every sink."""
    while (item := stage.get()) is not SENTINEL:
        for sink in sinks:
            if isinstance(item, Checkpoint):
                sink.checkpoint(item)
            else:
                sink.send(item)


def _end(reader: Worker, writer: Worker, source: Source) -> None:
    """Stop reading, and write what was painted, also after an error or an interrupt."""
    reader.stopped.set()
    try:
        source.stop()
    finally:
        writer.finish()
    reader.join(READER_SECONDS)
    if reader.is_alive():
        log.warning("the source did not stop within %g s, and its thread is left", READER_SECONDS)


class _Keeper:
    """Makes a checkpoint where a segment should end: at a cut, or when it is long enough."""

    def __init__(
        self, stylizer: Stylizer, seconds: Sequence[Fraction | None], done: int, shot: int
    ) -> None:
        wanted = [each for each in seconds if each is not None]
        stretch = 1 if stylizer.features.device.type == "cpu" else STRETCH
        self._seconds = stretch * min(wanted) if wanted else None
        self._stylizer, self._frames, self._shot = stylizer, done, shot
        self._began: Fraction | None = None

    def before(self, frame: Frame, motion: Motion) -> Checkpoint | None:
        """Where a checkpoint belongs before this frame, make one."""
        made = None
        if self._began is None:
            self._began = frame.time
        elif self._seconds is not None and (
            motion.cut or frame.time - self._began >= self._seconds
        ):
            self._began = frame.time
            state = {} if motion.cut else self._stylizer.state()
            # Whoever goes on later goes on from what was kept: so do we, whatever keeping may do to the last bit.
            self._stylizer.load_state(state)
            made = Checkpoint(self._frames, self._shot, state)
        self._frames += 1
        self._shot = 1 if motion.cut else self._shot + 1
        return made


def _paint(
    pairs: Iterable[tuple[Frame, Motion]],
    stages: tuple[Worker, Worker],
    stylizer: Stylizer,
    controls: Callable[[Stylizer, Report], None] | None,
    keeper: _Keeper,
    report: Report,
) -> None:
    """Paint what the reader hands over until it ends or fails, or the writer does."""
    reader, writer = stages
    if controls:
        controls(stylizer, report)
    began = time.perf_counter()
    for frame, motion in pairs:
        check()
        got = time.perf_counter()
        checkpoint = keeper.before(frame, motion)
        painted = stylizer(frame, motion)
        done = time.perf_counter()
        if not ((checkpoint is None or writer.put(checkpoint)) and writer.put(painted)):
            return
        report.frames += 1
        report.dropped = reader.dropped
        report.source, report.frame, report.iterations = frame, painted, stylizer.iterations
        looked = got - began - (reader.waited - report.seconds["read"])
        report.seconds["read"] = reader.waited
        for stage, spent in (
            ("motion", looked),
            ("paint", done - got),
            ("write", time.perf_counter() - done),
        ):
            report.seconds[stage] += spent
        shown = time.perf_counter()
        if controls:
            controls(stylizer, report)
        began = time.perf_counter()
        report.seconds["controls"] += began - shown
