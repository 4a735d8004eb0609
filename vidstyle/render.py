"""``vidstyle render``: a clip or picture in, a painted one out."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .errors import OutputError, VidstyleError
from .flow.methods import FlowMethod
from .io.codecs import try_hardware
from .io.files import PIPE, check_readable, fingerprint, part_folder
from .io.images import IMAGE_EXTENSIONS, is_image, is_numbered, is_still, numbered, numbers_of
from .io.mux import CONTAINERS
from .io.outputs import check_apart
from .io.sink import ImageWriter, open_sink
from .io.sink_base import Encoding, FileSink
from .io.source import ImageSource, Source, open_source
from .pipeline import Report, run
from .progress import ProgressDisplay, duration_text
from .runtime.interrupts import deferred
from .settings import Settings
from .stylizer.stylizer import Stylizer
from .trace import Trace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What to render.

    Args:
        input: a file, numbered pictures, an address, or ``-``.
        output: a file, numbered pictures, or ``-``.
        start, stop: the part of the clip wanted, in seconds.
        rate: frames per second of numbered pictures.
        sdr: turn HDR into standard range.
        overwrite: replace an existing output, and what an unfinished run left.
        resume: go on where an unfinished run of the same job ended.
        encoding: how the output is written; what made it is added as a comment.
        trace: where to write the losses; None: nowhere.
        quiet: show no progress.
        within: the progress of the batch that the job belongs to.
        flow: how motion is computed; None: as the settings say.
        origin: what else makes the painting (features, styles, their weights), for the output's metadata.
        files: further files that it is made of; when one has changed, nothing is gone on with.
    """

    input: str | Path
    output: str | Path
    start: Fraction | None = None
    stop: Fraction | None = None
    rate: Fraction | None = None
    sdr: bool = False
    overwrite: bool = False
    resume: bool = False
    encoding: Encoding = Encoding()
    trace: Path | None = None
    quiet: bool = False
    within: ProgressDisplay | None = None
    flow: FlowMethod | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str | Path, ...] = ()

    def open_source(self) -> Source:
        """Open the input, or the part of it that is wanted."""
        output = str(self.output)
        apply_rotation = (
            output == PIPE or is_image(output) or output.lower().endswith(".gif")
        )  # none of these says how to turn it
        return open_source(self.input, self.start, self.stop, self.rate, self.sdr, apply_rotation)

    def check_apart(self) -> None:
        """Find out whether the output or the trace would replace an input.

        Raises:
            OutputError: one would.
        """
        check_apart([self.output, *([self.trace] if self.trace else [])], [self.input, *self.files])

    def open_sink(self, source: Source, settings: Settings) -> FileSink:
        """Open the output, where an unfinished run left it if that is wanted.

        Raises:
            OutputError: see ``media.sink.open_sink`` and ``check_apart``.
        """
        self.check_apart()
        made = self._made(settings)
        encoding = replace(self.encoding, comment=f"vidstyle {__version__} {json.dumps(made)}")
        described = {**made.pop("settings"), **made, **self._inputs()}
        return open_sink(self.output, source, self.overwrite, encoding, described, self.resume)

    def open_trace(self) -> Trace | None:
        """What collects the losses, if they are wanted. That of an unfinished run is replaced when it is gone on with.

        Raises:
            OutputError: the file exists or cannot be written.
        """
        return Trace(self.trace, self.overwrite or self.resume) if self.trace else None

    def _made(self, settings: Settings) -> dict[str, Any]:
        part = {
            "start": str(self.start or 0),
            "stop": str(self.stop) if self.stop is not None else None,
        }
        return {**self.origin, **part, "settings": asdict(settings)}

    def _inputs(self) -> dict[str, Any]:
        """What tells this job from another on the same files, and these files from others."""
        files = [name for name in (self.input, *self.files) if Path(name).is_file()]
        if is_numbered(self.input):
            files += [numbered(Path(self.input), number) for number in numbers_of(Path(self.input))]
        contents = {f"contents of {name}": fingerprint(check_readable(name)) for name in files}
        here = {
            "version": __version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }
        return {
            "input": str(self.input),
            "rate": str(self.rate),
            "sdr": self.sdr,
            **contents,
            **here,
        }


def check(job: Job, settings: Settings) -> None:
    """Find out what is wrong with the files before the costly part begins. Nothing is written.

    Raises:
        InputError, OutputError: what would fail later anyway.
    """
    job.check_apart()
    job.open_trace()
    try_hardware(job.encoding.codec)
    if str(job.input) != PIPE:  # which can be read only once
        with _nothing_said(), job.open_source() as source:
            _check_kinds(job, source)
            job.open_sink(source, turned(settings, source)).abandon()


@contextmanager
def _nothing_said() -> Iterator[None]:
    """What is opened to be checked is opened again to be rendered: that is soon enough for warnings."""
    package = logging.getLogger(__package__)
    before = package.level
    package.setLevel(logging.ERROR)
    try:
        yield
    finally:
        package.setLevel(before)


def _check_kinds(job: Job, source: Source) -> None:
    still, output = isinstance(source, ImageSource), Path(job.output)
    one = is_image(output) and not is_numbered(output)
    if still and not one and str(output) != PIPE:
        raise OutputError(
            f"{job.input} is a picture: write it to a picture file such as {output.with_suffix('.png').name}"
        )
    if one and not still and output.suffix.lower() != ".webp":
        numbered = output.with_name(f"{output.stem}_%05d{output.suffix}").name
        remedy = f"write to a video file such as {output.with_suffix('.mp4').name}, to {numbered}, or add --preview TIME"
        raise OutputError(f"{job.input} is a clip: {remedy}")


def turned(settings: Settings, source: Source) -> Settings:
    """The settings for a clip that players turn: what is to stand side by side then lies one above the other."""
    beside = settings.compare == "beside" and source.format.rotation % 180
    return replace(settings, compare="below") if beside else settings


def render(job: Job, stylizer: Stylizer) -> str | Path:
    """Paint the whole clip or picture and return what was written.

    Left by an exception (an interrupt too) it keeps what was painted so far as ``NAME.part.EXT``, and says so.

    Raises:
        VidstyleError: see the source, stylizer and sink.
    """
    trace = job.open_trace()
    with job.open_source() as source, deferred():
        _check_kinds(job, source)
        stylizer.settings = turned(stylizer.settings, source)
        sink = job.open_sink(source, stylizer.settings)
        _announce(job, source, stylizer, sink)
        began = time.perf_counter()
        try:
            report = _paint(job, source, stylizer, sink, trace)
        except BaseException:
            with _told_first(trace):
                left = sink.close(complete=False)
                if left:
                    go_on = (
                        "; the same command with --resume goes on"
                        if part_folder(Path(job.output)).exists()
                        else ""
                    )
                    log.error("not finished: what was painted so far is in %s%s", left, go_on)
            raise
        sink.close()
        if trace:
            trace.write()
    seconds = time.perf_counter() - began
    log.debug(
        "stages: %s", ", ".join(f"{name} {spent:.1f} s" for name, spent in report.seconds.items())
    )
    log.info("%s: %d frames in %s", job.output, report.frames, duration_text(seconds))
    return job.output


@contextmanager
def _told_first(trace: Trace | None) -> Iterator[None]:
    """The first error is the one to tell: what fails while its traces are tidied up is not."""
    try:
        with suppress(VidstyleError):
            yield
    finally:
        if trace:
            with suppress(OutputError):
                trace.write()


def _paint(
    job: Job, source: Source, stylizer: Stylizer, sink: FileSink, trace: Trace | None
) -> Report:
    seen = 0

    def note(report: Report) -> None:
        nonlocal seen
        if report.frames > seen and trace and report.frame:
            trace.add(report.frame.time, report.iterations)
        seen = report.frames

    if isinstance(sink, ImageWriter):
        with _iterations_shown(stylizer, job):
            return run(source, stylizer, [sink], lambda _, report: note(report), flow=job.flow)
    before = sink.resumed.frames if sink.resumed else 0
    with ProgressDisplay("frame", source.format.frames, job.quiet, job.within) as display:
        painted, iterations = Report(), 0

        def tick() -> None:
            nonlocal iterations
            iterations += 1
            display.show(
                before + painted.frames, _losses(painted) or f"first frame, iteration {iterations}"
            )

        def watch(_: Stylizer, report: Report) -> None:
            nonlocal painted
            painted = report
            note(report)
            if report.frames:
                display.show(before + report.frames, _losses(report))

        stylizer.on_iteration = tick
        try:
            return run(source, stylizer, [sink], watch, job.flow, sink.resumed)
        finally:
            stylizer.on_iteration = lambda: None


@contextmanager
def _iterations_shown(stylizer: Stylizer, job: Job) -> Iterator[None]:
    """Progress within one picture."""
    total, done = stylizer.settings.initial_steps, 0
    with ProgressDisplay("iteration", total, job.quiet, job.within) as display:

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


def _announce(job: Job, source: Source, stylizer: Stylizer, sink: FileSink | None = None) -> None:
    given, painted = source.format.size, stylizer.working_size(source.format.size)
    where = f"painting at {painted[0]}x{painted[1]} on {stylizer.features.device}; --working-size changes that"
    log.info("%s (%dx%d): %s", job.input, *given, where)
    if sink is not None and job.resume:
        found = (
            f"going on after {sink.resumed.frames} frames"
            if sink.resumed
            else "nothing to go on with: from the beginning"
        )
        log.info("%s: %s", job.output, found)


def where(name: str, output: str, into_folder: bool, preview: bool) -> str | Path:
    """Where a painting goes.

    Args:
        name: of the input.
        output: as asked for.
        into_folder: whether it is a folder, in which the painting is called like the input. Its ending is that of the
            input where such files can be written, else .png for a picture and .mp4 for a clip.
        preview: whether only a frame is wanted: that goes to the output if it is a picture file, else beside it as
            ``NAME.preview.png``.
    """
    path: str | Path = output
    if into_folder:
        given = Path(name)
        kept = given.suffix.lower() in (*CONTAINERS, *IMAGE_EXTENSIONS, ".gif")
        path = Path(output) / (
            given.name if kept else f"{given.stem}{'.png' if is_still(given) else '.mp4'}"
        )
    if not preview:
        return path
    if str(path) == PIPE:
        return Path("preview.png")
    path = Path(path)
    return path if is_image(path) and not is_numbered(path) else path.with_suffix(".preview.png")


def preview(job: Job, stylizer: Stylizer, at: Fraction) -> Path:
    """Paint the first frame at or after ``at`` seconds as a first frame is painted, and estimate the time for all.

    Args:
        job: its output is the picture to write, see ``where``.

    Raises:
        InputError: the clip has no such frame.
        OutputError: the picture cannot be written.
    """
    with job.open_source() as source:
        total = source.format.frames
    path = Path(job.output)
    with replace(job, start=at).open_source() as source:
        frames = list(islice(source, 2))
        _announce(job, source, stylizer)
        with job.open_sink(ImageSource.of(frames[0]), stylizer.settings) as sink:
            with _iterations_shown(stylizer, job):
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
