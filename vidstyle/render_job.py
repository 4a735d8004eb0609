"""Rendering: a clip or an image in, a stylised one out."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from .errors import OutputError, VidstyleError
from .io.codecs import try_hardware
from .io.files import part_folder
from .io.sink import ImageWriter
from .io.sink_base import FileSink
from .io.source import Source
from .io.stream_info import VideoInfo
from .job import RenderJob, check_kinds
from .keyframes import make_timeline
from .pipeline import Report, run
from .progress import EndEvent, ProgressDisplay, StartEvent, duration_text
from .regions import load_regions
from .render_progress import ClipProgress, iteration_progress
from .runtime.interrupts import deferred
from .settings import Settings
from .stylizer.memory_check import expected_bytes
from .stylizer.stylizer import Stylizer
from .time_text import count_text
from .trace import Trace

log = logging.getLogger(__name__)


class JobFiles(NamedTuple):
    """The open files of a job: source, sink, and trace where the job has one."""

    source: Source
    sink: FileSink
    trace: Trace | None


def follow_job(job: RenderJob, stylizer: Stylizer) -> None:
    """Give a stylizer the timeline and the regions of a job.

    Raises:
        InputError, ValueError: see ``make_timeline`` and ``load_regions``.
    """
    weight = stylizer.settings.content_weight
    stylizer.regions = load_regions(job.regions, stylizer.features, weight)
    before = stylizer.style, stylizer.settings, stylizer.regions
    stylizer.timeline = make_timeline(job.keyframes, *before)


@contextmanager
def open_files(job: RenderJob, settings: Settings) -> Iterator[JobFiles]:
    """Check the files of a job and open them, before the costly part begins. Nothing is written.

    The context closes the source, and releases the sink if ``Sink.close`` was not called.

    Raises:
        InputError, OutputError: a file cannot be read or written; see ``io.source.open_source`` and
            ``io.sink.open_sink``.
    """
    job.check_apart()
    trace = job.open_trace()
    try_hardware(job.encoding.codec)
    with job.open_source() as source:
        check_kinds(job, source)
        sink = job.open_sink(source, job.layout(settings, source.format))
        try:
            yield JobFiles(source, sink, trace)
        finally:
            sink.abandon()


def render_job(job: RenderJob, stylizer: Stylizer, files: JobFiles | None = None) -> str | Path:
    """Stylise a whole clip or image and return the output.

    After an exception (an interrupt too) the frames that are finished are kept as
    ``NAME.part.EXT``, and the log says so.

    Args:
        job: what to render.
        stylizer: does the work.
        files: from ``open_files`` of the same job; None: they are opened here.

    Raises:
        VidstyleError: see the source, stylizer and sink.
    """
    with nullcontext(files) if files else open_files(job, stylizer.settings) as opened, deferred():
        return _render(job, stylizer, *opened)


def _render(
    job: RenderJob, stylizer: Stylizer, source: Source, sink: FileSink, trace: Trace | None
) -> str | Path:
    job.prepare(stylizer, source.format)
    announce(job, source.format, stylizer)
    _announce_resume(job, sink)
    started = time.perf_counter()
    try:
        report = _stylize_all(job, source, stylizer, sink, trace)
    except BaseException:
        with _keep_first_error(trace):
            _keep_finished_frames(job, sink)
        raise
    sink.close()
    if trace:
        trace.write()
    seconds = time.perf_counter() - started
    stages = ", ".join(f"{name} {spent:.1f} s" for name, spent in report.seconds.items())
    log.debug("stages: %s", stages)
    done = f"{count_text(report.frames, 'frame')} in {duration_text(seconds)}"
    log.info("%s: %s", job.output, done)
    if job.listener:
        job.listener(EndEvent(job.label, str(job.output), report.frames, seconds))
    return job.output


def announce(job: RenderJob, source: VideoInfo, stylizer: Stylizer) -> None:
    """Log sizes, device and memory before the work begins."""
    given = source.size
    working = stylizer.working_size(given)
    output = stylizer.output_size(given)
    memory = expected_bytes(stylizer.features, (working, output), len(stylizer.regions))
    factor = max(output) / max(working)
    if job.canvas:
        output = job.canvas.rotated(source.rotation).finished_size(output)
    enlarged = f", enlarged {factor:.1f} times to {output[0]}x{output[1]}" if factor > 1 else ""
    frames = f", {source.frames} frames" if (source.frames or 0) > 1 else ""
    log.info("%s: %dx%d%s", job.label, *given, frames)
    log.info(
        "stylised at %dx%d on %s%s; about %s of memory",
        *working,
        stylizer.features.device,
        enlarged,
        _memory_text(memory),
    )
    if job.listener:
        device = str(stylizer.features.device)
        frame_count = source.frames
        names = job.label, str(job.output)
        job.listener(StartEvent(*names, frame_count, given, working, output, device, memory))


def _memory_text(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _announce_resume(job: RenderJob, sink: FileSink) -> None:
    if job.resume and sink.resumed:
        log.info("%s: resumed after %d frames", job.output, sink.resumed.frames)
    elif job.resume:
        log.info("%s: there is no unfinished run to resume: starting anew", job.output)


def _keep_finished_frames(job: RenderJob, sink: FileSink) -> None:
    """Finish the part of the output that there is, and log its name."""
    part = sink.close(complete=False)
    if part:
        hint = "; the same command with --resume resumes it"
        resumable = part_folder(Path(job.output)).exists()
        log.error("not finished: the frames so far are in %s%s", part, hint if resumable else "")


@contextmanager
def _keep_first_error(trace: Trace | None) -> Iterator[None]:
    """Suppress errors of the clean-up after an error, and write the trace."""
    try:
        with suppress(VidstyleError):
            yield
    finally:
        if trace:
            with suppress(OutputError):
                trace.write()


def _stylize_all(
    job: RenderJob, source: Source, stylizer: Stylizer, sink: FileSink, trace: Trace | None
) -> Report:
    """Run the pipeline, and show progress by frames for a clip, by iterations for an image."""
    traced = 0

    def add_to_trace(report: Report) -> None:
        nonlocal traced
        if report.frames > traced and trace and report.frame:
            trace.add(report.frame.time, report.iterations)
        traced = report.frames

    if isinstance(sink, ImageWriter):
        with iteration_progress(stylizer, job.quiet, job.batch_display, job.listener):
            return run(source, stylizer, [sink], lambda _, report: add_to_trace(report), job.flow)
    before = sink.resumed.frames if sink.resumed else 0
    total = source.format.frames
    with ProgressDisplay("frame", total, job.quiet, job.batch_display, job.listener) as display:
        progress = ClipProgress(display, stylizer, before, total)

        def watch(_: Stylizer, report: Report) -> None:
            add_to_trace(report)
            progress.on_frame(report)

        stylizer.on_iteration = progress.on_iteration
        try:
            return run(source, stylizer, [sink], watch, job.flow, sink.resumed)
        finally:
            stylizer.on_iteration = lambda: None
