"""A preview: one frame of a clip as an image, and an estimate of the time for the whole clip."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

from .io.files import PIPE, temporary_folder
from .io.frame import Frame
from .io.image_names import is_image, is_numbered
from .io.sink import open_sink
from .io.source import ImageSource, Source, StatelessSource
from .job import RenderJob
from .pipeline import Report, run
from .progress import EndEvent, duration_text
from .render_job import announce
from .render_progress import ESTIMATE_FRAMES, iteration_progress
from .stylizer.stylizer import Stylizer

log = logging.getLogger(__name__)

PIPE_ENDING = ".mkv"
"""Ending of a file that is encoded as standard output usually is."""


def preview(job: RenderJob, stylizer: Stylizer, at: Fraction, final_output: str | Path) -> Path:
    """Stylise the first frame at or after a time, write it, and estimate the time for the whole
    clip.

    For the estimate ``ESTIMATE_FRAMES`` more frames are stylised and encoded to a temporary file.
    There is none where no frame follows, or where the length of the clip is unknown.

    Args:
        job: its output is the image to write, see ``inputs.resolve_output``.
        stylizer: does the work.
        at: time in seconds.
        final_output: where the whole clip would be written.

    Raises:
        InputError: the clip has no frame at that time.
        OutputError: the image cannot be written, or the clip cannot be encoded.
    """
    total = None
    if str(job.input) != PIPE:  # which can be read once only
        with job.open_source() as source:
            total = source.format.frames
    path, started = Path(job.output), time.perf_counter()
    with replace(job, start=at).open_source() as source:
        frames = list(islice(source, 1 + ESTIMATE_FRAMES))
        job.prepare(stylizer, source.format)
        announce(job, replace(source.format, frames=total), stylizer)
        with job.open_sink(ImageSource.of(frames[0]), stylizer.settings) as sink:
            timed = _TimedRun()
            with (
                iteration_progress(stylizer, job.quiet, job.batch_display, job.listener),
                temporary_folder() as folder,
            ):
                timed.run(job, stylizer, _Frames(source, frames), folder, str(final_output))
            sink.send(timed.stylized[0])
    log.info("%s written; %s", path, timed.estimate(total))
    if job.listener:
        job.listener(EndEvent(job.label, str(path), 1, time.perf_counter() - started))
    return path


class _Frames(StatelessSource):
    """Some frames of a source as a source."""

    def __init__(self, source: Source, frames: list[Frame]) -> None:
        self.format, self._frames = replace(source.format, path=None), frames

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)


class _TimedRun:
    """Stylises and encodes some frames, and notes when the first frame and the last one are
    finished."""

    def __init__(self) -> None:
        self.stylized: list[Frame] = []
        self._first_seconds = self._later_seconds = 0.0

    def send(self, frame: Frame) -> None:
        """Take a stylised frame, as a sink does."""
        self.stylized.append(frame)

    def run(
        self, job: RenderJob, stylizer: Stylizer, frames: _Frames, folder: Path, output: str
    ) -> None:
        """Stylise the frames, and encode them as the output would be encoded."""
        path = Path(f"clip{PIPE_ENDING}" if output == PIPE else output)
        if is_image(path) and not is_numbered(path):
            path = path.with_suffix(".mp4")
        started = time.perf_counter()

        def watch(_: Stylizer, report: Report) -> None:
            if report.frames == 1 and not self._first_seconds:
                self._first_seconds = time.perf_counter() - started

        with open_sink(folder / path.name, frames, encoding=job.encoding) as encoder:
            run(frames, stylizer, [self, encoder], watch, job.flow)
        self._later_seconds = time.perf_counter() - started - self._first_seconds

    def estimate(self, total: int | None) -> str:
        """What is known of the time for all frames of the clip, of which there are ``total``."""
        later = len(self.stylized) - 1
        if total == 1:
            return f"it took about {duration_text(max(self._first_seconds, 1))}"
        if not later:
            return "the time is not estimated, as no frame follows it: preview an earlier one"
        each = self._later_seconds / later
        if total is None:
            rate = f"{each:.2g} s" if each < 1 else duration_text(each)
            return f"each frame would take about {rate}: the length of the clip is unknown"
        seconds = self._first_seconds + each * (total - 1)
        return f"all {total} frames would take about {duration_text(max(seconds, 1))}"
