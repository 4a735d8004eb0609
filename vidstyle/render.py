"""``vidstyle render``: a clip or picture in, a painted one out."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from . import __version__
from .errors import OutputError
from .files import check_writable
from .flow import FlowMethod
from .pictures import is_picture
from .pipeline import Report, run
from .progress import ProgressDisplay, duration_text
from .sink import Encoding, StillWriter, VideoWriter, open_sink
from .source import Source, open_source
from .stylizer import Stylizer
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
        flow: how motion is computed; None: as the settings say.
        origin: what else made the painting (features, styles, their weights), for the output's metadata.
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
    flow: FlowMethod | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    def encoding(self, stylizer: Stylizer) -> Encoding:
        """How the output is written; the settings go into its metadata."""
        part = {"start": str(self.start or 0), "stop": str(self.stop) if self.stop is not None else None}
        made = {**self.origin, **part, "settings": asdict(stylizer.settings)}
        return Encoding(self.crf, self.sound, f"vidstyle {__version__} {json.dumps(made)}")


def check(job: Job, styles: Sequence[str | Path] = ()) -> None:
    """Find out what is wrong with the files before the costly part begins. Nothing is written.

    Raises:
        InputError, OutputError: what would fail later anyway.
    """
    check_writable(job.output, job.overwrite)
    with open_source(job.input, job.start, job.stop) as source:
        _check_kinds(job)
        open_sink(job.output, source, job.overwrite, Encoding(job.crf, job.sound))
    if job.trace:
        Trace(job.trace)
        for other in (job.output, job.input, *styles):
            if job.trace.resolve() == Path(other).resolve():
                raise OutputError(f"{job.trace} is also the name of an input or the output: choose another for the trace")


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
                log.error("not finished: what was painted so far is in %s", left)
            if trace:
                with suppress(OutputError):  # the first error is the one to tell
                    trace.write()
            raise
        sink.close()
        if trace:
            trace.write()
    seconds = time.perf_counter() - began
    log.debug("stages: %s", ", ".join(f"{name} {spent:.1f} s" for name, spent in report.seconds.items()))
    log.info("%s: %d frames in %s", job.output, report.frames, duration_text(seconds))
    return job.output


def _paint(job: Job, source: Source, stylizer: Stylizer, sink: VideoWriter | StillWriter, trace: Trace | None) -> Report:
    def note(report: Report) -> None:
        if trace and report.frame:
            trace.add(report.frame.time, report.iterations)

    if isinstance(sink, StillWriter):
        with _iterations_shown(stylizer, job.quiet):
            return run(source, stylizer, [sink], watch=note, flow=job.flow)
    with ProgressDisplay("frame", source.format.frames, job.quiet) as display:
        painted, iterations = Report(), 0

        def tick() -> None:
            nonlocal iterations
            iterations += 1
            display.show(painted.frames, _losses(painted) or f"first frame, iteration {iterations}")

        def watch(report: Report) -> None:
            nonlocal painted
            painted = report
            note(report)
            display.show(report.frames, _losses(report))

        stylizer.on_iteration = tick
        return run(source, stylizer, [sink], watch=watch, flow=job.flow)


@contextmanager
def _iterations_shown(stylizer: Stylizer, quiet: bool) -> Iterator[None]:
    """Progress within one picture."""
    total, done = stylizer.settings.first_steps, 0
    with ProgressDisplay("iteration", total, quiet) as display:

        def tick() -> None:
            nonlocal done
            done += 1
            if done <= total:  # L-BFGS looks once more at the end
                display.show(done)

        stylizer.on_iteration = tick
        try:
            yield
        finally:
            stylizer.on_iteration = lambda: None


def _losses(report: Report) -> str:
    if not report.iterations:
        return ""
    last = report.iterations[-1]
    return f"loss {last.total:.4f} (content {last.content:.3f}, style {last.style:.4f})"


def _announce(job: Job, source: Source, stylizer: Stylizer) -> None:
    given, painted = source.format.size, stylizer.paint_size(source.format.size)
    where = f"painting at {painted[0]}x{painted[1]} on {stylizer.features.device}; --paint-size changes that"
    log.info("%s (%dx%d): %s", job.input, *given, where)


def preview_path(output: Path) -> Path:
    """Where a preview goes: to the output if that is a picture file, else beside it as ``NAME.preview.png``."""
    return output if is_picture(output) else output.with_suffix(".preview.png")


def preview(job: Job, stylizer: Stylizer, at: Fraction) -> Path:
    """Paint the first frame at or after ``at`` seconds as a first frame is painted, and estimate the time for all.

    Args:
        job: its output is the picture to write, see ``preview_path``.

    Raises:
        InputError: the clip has no such frame.
        OutputError: the picture cannot be written.
    """
    with open_source(job.input) as source:
        total = source.format.frames
    path = job.output
    with open_source(job.input, at) as source, open_sink(path, source, job.overwrite, job.encoding(stylizer)) as sink:
        frames = list(islice(source, 2))
        _announce(job, source, stylizer)
        with _iterations_shown(stylizer, job.quiet):
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
    log.info("%s written; %s would take about %s", path, count, duration_text(estimate))
    return path
