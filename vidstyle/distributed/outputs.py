"""The outputs of a distributed render: which tasks each needs, and what becomes of the results."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import OutputError, VidstyleError
from ..io.animation import ANIMATIONS
from ..io.codecs import try_hardware
from ..io.files import check_writable, write_file
from ..io.image_names import is_image, is_numbered
from ..io.locks import OutputLock
from ..io.mux import CONTAINERS, report_dropped_streams
from ..io.shot_folder import Shot, ShotFolder
from ..io.source import ImageSource
from ..io.stream_info import VideoInfo
from ..io.video_writer import choose_encoder, join_output, write_errors
from ..job import RenderJob, check_kinds
from ..progress import EndEvent, duration_text
from ..range_jobs import finish_shots, with_encoder
from ..settings import Settings
from ..time_text import count_text
from .shot_list import Scan, ScanRange, join_scans, scan_ranges, shots_of
from .tasks import Clip, Still, Task

log = logging.getLogger(__name__)


class Output(Protocol):
    """An output: first it may need scans, then results."""

    clip: Clip
    job: RenderJob
    info: VideoInfo

    def scans(self, count: int) -> Sequence[ScanRange]:
        """The ranges to scan, about ``count``; none where the shots are known."""

    def scanned(self, scans: Sequence[Scan]) -> Sequence[ScanRange]:
        """Take the scans of all ranges; return further ranges where these do not fit together."""

    def begin(self) -> None:
        """Create what the results are written to."""

    def tasks(self) -> Sequence[tuple[Task, int]]:
        """What is still to be done: tasks, each with its number of frames."""

    def accept(self, task: Task, result: Any) -> None:
        """Write the result of a task."""

    def finish(self) -> None:
        """Complete the output."""

    def keep(self) -> None:
        """Leave it unfinished, with what is done so far."""

    def release(self) -> None:
        """Give up the lock. May be called twice."""


class VideoOutput:
    """A video file, or an animation, whose shots are tasks.

    Args:
        job: what to render.
        settings: of the stylisation.
        split: maximum number of frames of a shot; None: shots stay whole.
        threads: CPU threads of each worker.

    Raises:
        VidstyleError: the clip cannot be read, or the output cannot be written.
    """

    def __init__(self, job: RenderJob, settings: Settings, split: int | None, threads: int) -> None:
        job.check_apart()
        self.job, self._split = job, split
        self._path = check_writable(job.output, job.overwrite)
        self.clip = Clip.of(job, settings)
        try_hardware(job.encoding.codec)
        with job.open_source() as source:  # closed: a batch may have more clips than can be open
            check_kinds(job, source)
            self.info = source.format
        self._lock = OutputLock(self._path)
        self._started = time.perf_counter()
        try:
            settings = job.layout(settings, self.info)
            encoder = choose_encoder(self._path, self.info, job.encoding)
            if self._path.suffix.lower() not in ANIMATIONS:
                report_dropped_streams(self.info, self._path, job.encoding.sound)
            self._encoding = job.tagged_encoding(settings)
            self._lock.acquire()
            self._folder = ShotFolder(self._path, encoder.ending)
            self._folder.check(job.overwrite or job.resume)
            identity = {**job.identity(settings), "threads": threads}
            self._identity = with_encoder(identity, encoder)
            self._loaded = job.resume and self._folder.load(self._identity)
        except BaseException:
            self.release()
            raise

    def scans(self, count: int) -> Sequence[ScanRange]:
        """See ``Output``."""
        return [] if self._loaded else scan_ranges(self.clip.job, count)

    def scanned(self, scans: Sequence[Scan]) -> Sequence[ScanRange]:
        """See ``Output``."""
        found = join_scans(scans)
        if found is None:
            log.debug("%s: its parts do not fit together: one pass is made", self.job.label)
            return [ScanRange()]
        self._folder.shots = shots_of(found, self.info.time_base, self._split)
        return []

    def begin(self) -> None:
        """See ``Output``."""
        shots = self._folder.shots
        frames = sum(shot.frames for shot in shots)
        counts = f"{count_text(frames, 'frame')} in {count_text(len(shots), 'shot')}"
        log.info("%s: %s", self.job.label, counts)
        if self._loaded:
            done = sum(shot.frames for shot in shots if shot.done)
            log.info("%s: resumed after %s", self.job.output, count_text(done, "frame"))
            return
        if self.job.resume:
            log.info("%s: there is no unfinished run to resume: starting anew", self.job.output)
        with write_errors(self._path):
            self._folder.create(self._identity, shots)

    def tasks(self) -> Sequence[tuple[Task, int]]:
        """See ``Output``."""
        return [(shot, shot.frames) for shot in self._folder.shots if not shot.done]

    def accept(self, task: Task, result: Any) -> None:
        """See ``Output``."""
        if not isinstance(task, Shot):
            raise TypeError(f"{task!r} is no shot")
        number = next(n for n, shot in enumerate(self._folder.shots) if shot.first == task.first)
        with write_errors(self._path):
            self._folder.add(number, result)

    def finish(self) -> None:
        """See ``Output``."""
        finish_shots(self._folder, self._path, self.info, self._encoding, self.job.overwrite)
        frames = sum(shot.frames for shot in self._folder.shots)
        _announce_end(self.job, frames, time.perf_counter() - self._started)

    def keep(self) -> None:
        """Join the shots before the first that is missing, as a file that can be played."""
        segments, end = self._folder.segments_so_far()
        if segments:
            join_output(self._folder, self._path, segments, self.info, self._encoding, end)
        if any(shot.done for shot in self._folder.shots):
            log.error(
                "not finished: the shots so far are in %s; the same command with --resume resumes "
                "it, with or without --ray",
                self._folder.folder,
            )

    def release(self) -> None:
        """See ``Output``."""
        self._lock.release()


class StillOutput:
    """An image, which is one task.

    Args:
        job: what to render.
        settings: of the stylisation.

    Raises:
        VidstyleError: the image cannot be read, or the output cannot be written.
    """

    def __init__(self, job: RenderJob, settings: Settings) -> None:
        job.check_apart()
        self.job, self.clip = job, Clip.of(job, settings)
        self._path = check_writable(job.output, job.overwrite)
        self._data = b""
        self._started = time.perf_counter()
        with job.open_source() as source:
            check_kinds(job, source)
            self.info = source.format

    def scans(self, count: int) -> Sequence[ScanRange]:
        """None: an image has no shots."""
        return []

    def scanned(self, scans: Sequence[Scan]) -> Sequence[ScanRange]:
        """Never called."""
        return []

    def begin(self) -> None:
        """Nothing is written before the image is there."""

    def tasks(self) -> Sequence[tuple[Task, int]]:
        """See ``Output``."""
        return [(Still(), 1)]

    def accept(self, task: Task, result: Any) -> None:
        """See ``Output``."""
        self._data = result

    def finish(self) -> None:
        """See ``Output``."""
        with write_errors(self._path, resumable=False):
            write_file(check_writable(self._path, self.job.overwrite), self._data)
        _announce_end(self.job, 1, time.perf_counter() - self._started)

    def keep(self) -> None:
        """Nothing is kept of an unfinished image."""

    def release(self) -> None:
        """Nothing is held."""


def open_output(job: RenderJob, settings: Settings, split: int | None, threads: int) -> Output:
    """The output of a job.

    Args:
        job: what to render.
        settings: of the stylisation.
        split: maximum number of frames of a shot; None: shots stay whole.
        threads: CPU threads of each worker.

    Raises:
        VidstyleError: the output is of a kind that one process writes, or see the classes.
    """
    path = Path(job.output)
    if job.trace:
        raise VidstyleError("a trace is written by one process only: leave out ray or the trace")
    if path.suffix.lower() not in (*CONTAINERS, *ANIMATIONS) and (
        is_numbered(path) or not is_image(path)
    ):
        raise OutputError(
            f"{path} is written by one process only: with Ray write a video file, such as "
            f"{path.with_suffix('.mp4').name}, or an image"
        )
    absolute = replace(job, output=path.absolute())
    with job.open_source() as source:
        still = isinstance(source, ImageSource)
    if still:
        return StillOutput(absolute, settings)
    return VideoOutput(absolute, settings, split, threads)


def _announce_end(job: RenderJob, frames: int, seconds: float) -> None:
    done = f"{count_text(frames, 'frame')} in {duration_text(seconds)}"
    log.info("%s: %s", job.output, done)
    if job.listener:
        job.listener(EndEvent(job.label, str(job.output), frames, seconds))
