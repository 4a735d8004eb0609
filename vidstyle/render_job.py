"""Rendering: a clip or an image in, a stylised one out."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import torch

from . import __version__
from .errors import OutputError, VidstyleError
from .flow.methods import FlowMethod
from .io.codecs import try_hardware
from .io.files import PIPE, check_readable, fingerprint, part_folder, without_secrets
from .io.image_names import existing_numbers, image_path, is_image, is_numbered
from .io.outputs import check_apart
from .io.sink import ImageWriter, open_sink
from .io.sink_base import Encoding, FileSink
from .io.source import ImageSource, Source, open_source
from .pipeline import Report, run
from .progress import EndEvent, Listener, ProgressDisplay, StartEvent, duration_text
from .render_progress import ClipProgress, iteration_progress
from .runtime.interrupts import deferred
from .settings import Settings
from .stylizer.memory_check import BYTES_PER_PIXEL, OUTPUT_BYTES_PER_PIXEL
from .stylizer.stylizer import Stylizer
from .trace import Trace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RenderJob:
    """One input to stylise, and the options of its output.

    Args:
        input: a file, an image sequence, an address, or ``-``.
        output: a file, an image sequence, or ``-``.
        start: of the part of the clip to stylise, in seconds.
        stop: end of that part, in seconds.
        rate: frames per second of an image sequence.
        sdr: convert HDR to standard dynamic range.
        overwrite: replace an existing output, and the files of an unfinished run.
        resume: resume an unfinished run of the same job.
        encoding: how the output is encoded. The settings are added to it as a comment.
        trace: file to write the losses to; None: no file.
        quiet: show no progress.
        batch_display: progress display of the batch that the job belongs to; None: no batch.
        listener: is called with every ``progress.Event`` of the job.
        flow: optical flow method; None: as the settings say.
        provenance: names of the features and styles, style weights and device, which the output's
            metadata record.
        files: files of styles and weights. An unfinished run is resumed only if none has changed.
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
    batch_display: ProgressDisplay | None = None
    listener: Listener | None = None
    flow: FlowMethod | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str | Path, ...] = ()

    @property
    def label(self) -> str:
        """The input's name for messages and files: an address without password and query."""
        return without_secrets(str(self.input))

    def open_source(self) -> Source:
        """Open the part of the input that is to be stylised.

        Raises:
            InputError: it cannot be read.
        """
        output = str(self.output)
        # None of these kinds of output can store a rotation.
        apply_rotation = output == PIPE or is_image(output) or output.lower().endswith(".gif")
        return open_source(self.input, self.start, self.stop, self.rate, self.sdr, apply_rotation)

    def check_apart(self) -> None:
        """Check that neither the output nor the trace would replace an input.

        Raises:
            OutputError: one of them would.
        """
        check_apart([self.output, *([self.trace] if self.trace else [])], [self.input, *self.files])

    def open_sink(self, source: Source, settings: Settings) -> FileSink:
        """Open the output, or resume it.

        Raises:
            OutputError: see ``io.sink.open_sink`` and ``check_apart``.
        """
        self.check_apart()
        recipe = self._recipe(settings)
        encoding = replace(self.encoding, comment=f"vidstyle {__version__} {json.dumps(recipe)}")
        identity = {**recipe.pop("settings"), **recipe, **self._identity_of_inputs()}
        return open_sink(self.output, source, self.overwrite, encoding, identity, self.resume)

    def open_trace(self) -> Trace | None:
        """A collector of the losses, or None. A resumed run replaces the trace of the unfinished
        run.

        Raises:
            OutputError: the file exists or cannot be written.
        """
        return Trace(self.trace, self.overwrite or self.resume) if self.trace else None

    def _recipe(self, settings: Settings) -> dict[str, Any]:
        """Features, styles, part and settings, as written to the output's metadata."""
        part = {
            "start": str(self.start or 0),
            "stop": str(self.stop) if self.stop is not None else None,
        }
        return {**self.provenance, **part, "settings": asdict(settings)}

    def _identity_of_inputs(self) -> dict[str, Any]:
        """Fingerprints of the files, and the versions that a result depends on."""
        files = [name for name in (self.input, *self.files) if Path(name).is_file()]
        if is_numbered(self.input):
            files += [
                image_path(Path(self.input), number)
                for number in existing_numbers(Path(self.input))
            ]
        contents = {f"contents of {name}": fingerprint(check_readable(name)) for name in files}
        environment = {
            "version": __version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }
        return {
            "input": self.label,
            "rate": str(self.rate),
            "sdr": self.sdr,
            **contents,
            **environment,
        }


class JobFiles(NamedTuple):
    """The open files of a job: source, sink, and trace where the job has one."""

    source: Source
    sink: FileSink
    trace: Trace | None


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
        sink = job.open_sink(source, resolve_layout(settings, source))
        try:
            yield JobFiles(source, sink, trace)
        finally:
            sink.abandon()


def check_kinds(job: RenderJob, source: Source) -> None:
    """Check that an image is written to an image file and a clip to a video file.

    Raises:
        OutputError: it is not; the message names a file that would do.
    """
    still, output = isinstance(source, ImageSource), Path(job.output)
    image_file = is_image(output) and not is_numbered(output)
    if still and not image_file and str(output) != PIPE:
        remedy = f"write it to an image file such as {output.with_suffix('.png').name}"
        raise OutputError(f"{job.label} is an image: {remedy}")
    if image_file and not still and output.suffix.lower() != ".webp":
        video = output.with_suffix(".mp4").name
        sequence = output.with_name(f"{output.stem}_%05d{output.suffix}").name
        raise OutputError(
            f"{job.label} is a clip: write it to a video file such as {video}, the image sequence "
            f"{sequence}, or write one frame with preview=TIME",
            "preview",
        )


def resolve_layout(settings: Settings, source: Source) -> Settings:
    """The settings, with ``compare`` below instead of beside where players rotate the clip by 90
    degrees."""
    beside = settings.compare == "beside" and source.format.rotation % 180
    return replace(settings, compare="below") if beside else settings


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
    stylizer.settings = resolve_layout(stylizer.settings, source)
    announce(job, source, stylizer)
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
    log.info("%s: %d frames in %s", job.output, report.frames, duration_text(seconds))
    if job.listener:
        job.listener(EndEvent(job.label, str(job.output), report.frames, seconds))
    return job.output


def announce(job: RenderJob, source: Source, stylizer: Stylizer) -> None:
    """Log sizes, device and memory before the work begins."""
    given = source.format.size
    working = stylizer.working_size(given)
    output = stylizer.output_size(given)
    memory = (
        working[0] * working[1] * BYTES_PER_PIXEL + output[0] * output[1] * OUTPUT_BYTES_PER_PIXEL
    )
    factor = max(output) / max(working)
    enlarged = f", enlarged {factor:.1f} times to {output[0]}x{output[1]}" if factor > 1 else ""
    frames = f", {source.format.frames} frames" if (source.format.frames or 0) > 1 else ""
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
        frame_count = source.format.frames
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
