"""``vidstyle render``: a clip or picture in, a painted one out."""

import json
import logging
import time
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

from . import __version__
from .errors import InputError, OutputError
from .files import check_writable
from .pictures import is_picture
from .pipeline import Report, run
from .progress import ProgressDisplay, duration_text
from .sink import Encoding, StillWriter, open_sink
from .source import Source, open_source
from .stylizer import Stylizer, describe
from .trace import Trace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What to render.

    Args:
        input, output: the files.
        start, stop: the part of the clip wanted, in seconds.
        overwrite: replace an existing output.
        crf, sound: as in ``Encoding``.
        trace: where to write the losses; None: nowhere.
        quiet: show no progress.
        origin: what made the painting (styles, features), for the output's metadata.
    """

    input: Path
    output: Path
    start: Fraction | None = None
    stop: Fraction | None = None
    overwrite: bool = False
    crf: int | None = None
    sound: bool = True
    trace: Path | None = None
    quiet: bool = False
    origin: str = ""

    def encoding(self, stylizer: Stylizer) -> Encoding:
        """How the output is written; the settings go into its metadata."""
        made = {"origin": self.origin, "settings": describe(stylizer.settings)}
        return Encoding(self.crf, self.sound, f"vidstyle {__version__} {json.dumps(made)}")


def check(job: Job) -> None:
    """Find out what is wrong with the files before the costly part begins.

    Raises:
        InputError, OutputError: what would fail later anyway.
    """
    check_writable(job.output, job.overwrite)
    with open_source(job.input, job.start, job.stop) as source:
        _check_kinds(job)
        open_sink(job.output, source, job.overwrite, Encoding(job.crf, job.sound))
    if job.trace:
        Trace(job.trace)


def _check_kinds(job: Job) -> None:
    if is_picture(job.input) and not is_picture(job.output):
        raise OutputError(f"{job.input} is a picture: write it to a picture file such as {job.output.with_suffix('.png').name}")
    if is_picture(job.output) and not is_picture(job.input):
        remedy = f"write to a video file such as {job.output.with_suffix('.mp4').name}, or add --preview TIME for one frame"
        raise OutputError(f"{job.input} is a clip: {remedy}")


def render(job: Job, stylizer: Stylizer) -> Path:
    """Paint the whole clip or picture and return the file written.

    Left by an exception (an interrupt too) it keeps what was painted so far as ``NAME.part.EXT`` and says so.

    Raises:
        VidstyleError: see the source, stylizer and sink.
    """
    trace = Trace(job.trace) if job.trace else None
    with open_source(job.input, job.start, job.stop) as source:
        sink = open_sink(job.output, source, job.overwrite, job.encoding(stylizer))
        _announce(job, source, stylizer)
        began = time.perf_counter()
        try:
            report = _paint(job, source, stylizer, sink, trace)
        except BaseException:
            left = sink.close(complete=False)
            if left:
                log.warning("not finished: what was painted so far is in %s", left)
            raise
        finally:
            if trace:
                trace.write()
        sink.close()
    seconds = time.perf_counter() - began
    log.info("stages: %s", ", ".join(f"{name} {spent:.1f} s" for name, spent in report.seconds.items()))
    if not job.quiet:
        log.warning("%s: %d frames in %s", job.output, report.frames, duration_text(seconds))
    return job.output


def _paint(job: Job, source: Source, stylizer: Stylizer, sink: object, trace: Trace | None) -> Report:
    total = source.format.frames
    still = isinstance(sink, StillWriter)
    unit, count = ("iteration", stylizer.settings.first_steps) if still else ("frame", total)
    with ProgressDisplay(unit, count, job.quiet) as display:
        iterations = 0
        painted = Report()

        def tick() -> None:
            nonlocal iterations
            iterations += 1
            if still:
                display.show(min(iterations, count or iterations))
            else:
                display.show(painted.frames, _note(painted, iterations))

        def watch(report: Report) -> None:
            nonlocal painted, iterations
            painted, iterations = report, 0
            if trace and report.frame:
                trace.add(report.frame.time, report.iterations)
            if not still:
                display.show(report.frames, _note(report, 0))

        stylizer.on_iteration = tick
        return run(source, stylizer, [sink], watch=watch)  # type: ignore[list-item]


def _note(report: Report, iterations: int) -> str:
    if not report.iterations:
        return f"first frame, iteration {iterations}"
    last = report.iterations[-1]
    return f"loss {last.total:.4f} (content {last.content:.3f}, style {last.style:.4f})"


def _announce(job: Job, source: Source, stylizer: Stylizer) -> None:
    if job.quiet:
        return
    given, painted = source.format.size, stylizer.paint_size(source.format.size)
    log.warning(
        "%s (%dx%d): painting at %dx%d on %s; --paint-size changes that",
        job.input, *given, *painted, stylizer.features.device,
    )  # fmt: skip


def preview(job: Job, stylizer: Stylizer, at: Fraction) -> Path:
    """Paint the frame shown at ``at`` seconds as a first frame is painted, and estimate the time for the whole clip.

    The picture goes to the output if that is a picture file, else beside it as ``NAME.preview.png``.

    Raises:
        InputError: the clip has no such frame.
        OutputError: the picture cannot be written.
    """
    path = job.output if is_picture(job.output) else job.output.with_suffix(".preview.png")
    with open_source(job.input) as source:
        total = source.format.frames
    with open_source(job.input, at) as source, open_sink(path, source, job.overwrite, job.encoding(stylizer)) as sink:
        frames = list(islice(source, 2))
        if not frames:
            raise InputError(f"{job.input} has no frame at {float(at):g} s: choose an earlier time")
        _announce(job, source, stylizer)
        with ProgressDisplay("iteration", stylizer.settings.first_steps, job.quiet) as display:
            iterations = 0

            def tick() -> None:
                nonlocal iterations
                iterations += 1
                display.show(min(iterations, stylizer.settings.first_steps))

            stylizer.on_iteration = tick
            began = time.perf_counter()
            painted = stylizer(frames[0])
            first_seconds = time.perf_counter() - began
        began = time.perf_counter()
        if len(frames) > 1:
            stylizer(frames[1])
        next_seconds = time.perf_counter() - began
        sink.send(painted)
    estimate = first_seconds + next_seconds * ((total or 1) - 1)
    count = f"all {total} frames" if total else "one frame (the clip's length is unknown)"
    log.warning("%s written; %s would take about %s", path, count, duration_text(estimate))
    return path
