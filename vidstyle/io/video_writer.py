"""Clips on disk: encoded in segments that survive a crash, joined at the end."""

import logging
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import OutputError
from .animation import ANIMATIONS, animate
from .checkpoints import Checkpoint, SegmentFolder
from .codecs import select_encoder
from .encode import EncodedFile
from .files import check_writable, fsync_path
from .frame import Frame
from .locks import OutputLock
from .mux import CONTAINERS, join, report_losses
from .sink_base import DEFAULT_ENCODING, Encoding, FileSink, NamedErrors
from .stream_info import VideoInfo

log = logging.getLogger(__name__)

SEGMENT_SECONDS = Fraction(2)
"""Least length of a segment, but where a cut ends it; the painter asks for longer ones beside a GPU."""


class VideoWriter(FileSink):
    """A clip: pictures are encoded into segments, which are joined with the source's sound at the end.

    Times are the frames' own, exact wherever the container allows it (Matroska and WebM count in milliseconds).
    Colours are converted with the source's matrix and range and tagged so. Where the codec wants even sides, one row or
    column is left out. While it is not whole there is a folder ``NAME.part`` of segments that are; a run that ends early
    joins them, and what followed, as ``NAME.part.EXT``. The output is locked until ``close`` or ``abandon``.

    Raises:
        OutputError: it cannot be written, exists and may not be replaced, is being written by another program, or needs names
            that are taken.
    """

    segment_seconds = SEGMENT_SECONDS

    def __init__(
        self,
        path: Path,
        source: VideoInfo,
        encoding: Encoding = DEFAULT_ENCODING,
        job: Mapping[str, Any] = MappingProxyType({}),
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        path = check_writable(path, overwrite)
        ending = path.suffix.lower()
        if ending in ANIMATIONS:
            if encoding.codec or encoding.crf is not None:
                raise OutputError(
                    f"{path} is an animation, which has no choice of codec or crf: leave those out"
                )
            self._coder = select_encoder("ffv1", None, "matroska", source)
        else:
            self._coder = select_encoder(encoding.codec, encoding.crf, CONTAINERS[ending], source)
            report_losses(source, path, encoding.sound)
        self._path, self._source, self._encoding, self._overwrite = (
            path,
            source,
            encoding,
            overwrite,
        )
        self._job = {
            **job,
            "encoder": self._coder.name,
            "encoder options": dict(self._coder.options),
        }
        self._folder = SegmentFolder(path, self._coder.ending)
        self._lock = OutputLock(path)
        self._lock.acquire()
        try:
            self._folder.check(overwrite or resume)
            self.resumed = self._folder.find(self._job) if resume else None
            self._last_pts, self._end = self._times(self.resumed)
        except BaseException:
            self._lock.release()
            raise
        self._begun, self._closed = self.resumed is not None, False
        self._file: EncodedFile | None = None
        self._size: tuple[int, int] | None = None

    def _times(self, checkpoint: Checkpoint | None) -> tuple[int, Fraction]:
        """(last pts, end of the last frame in seconds) of what is gone on with."""
        try:
            last_pts, top, bottom = checkpoint.numbers if checkpoint else (-1, 0, 1)
            return last_pts, Fraction(top, bottom)
        except (ValueError, ZeroDivisionError):
            raise OutputError(
                f"{self._folder.folder} is damaged: start anew with overwrite=True",
                "overwrite",
            ) from None

    def send(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            ValueError: a frame of another size than the first.
            OutputError: it cannot be written.
        """
        if frame.size != (self._size or frame.size):
            raise ValueError(
                f"a frame of {frame.size} px in a clip of {self._size} px: a clip has one size"
            )
        self._size = frame.size
        with self._failures_named():
            if not self._begun:
                self._folder.begin(self._job)
                self._begun = True
            if self._file is None:
                containers = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
                self._file = EncodedFile(
                    self._folder.next_segment(),
                    containers[self._coder.ending],
                    self._coder,
                    self._source,
                )
            self._last_pts = max(round(frame.time / self._source.time_base), self._last_pts + 1)
            self._file.send(frame, self._last_pts)
        self._end = frame.time + frame.duration

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """End the segment here.

        Raises:
            OutputError: it cannot be written.
        """
        with self._failures_named():
            self._finish_segment()
            numbers = (self._last_pts, self._end.numerator, self._end.denominator)
            self._folder.save(
                Checkpoint(checkpoint.frames, checkpoint.shot, checkpoint.state, numbers)
            )

    def _finish_segment(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
            if file.frames:
                self._folder.finish()
            else:
                self._folder.current.unlink(missing_ok=True)

    def _failures_named(self) -> NamedErrors:
        return NamedErrors(
            f"cannot write {self._path}",
            "free some space or choose another place; resume=True goes on from there",
            "resume",
        )

    def abandon(self) -> None:
        """Let the output go unfinished, as a killed run does: what was written stays in the folder ``NAME.part``."""
        self._closed = True
        self._lock.release()

    def close(self, complete: bool = True) -> Path | None:
        """Finish the file. What is not complete stays as a playable ``NAME.part.EXT``, sound up to its last frame, and in the
        folder of segments, from which a later run can go on.

        Returns:
            The file that is there now; None where no frame came.

        Raises:
            OutputError: it cannot be written; the pictures stay in the folder ``NAME.part``.
        """
        if self._closed:
            return None
        self._closed = True
        try:
            return self._finish(complete)
        finally:
            self._lock.release()

    def _finish(self, complete: bool) -> Path | None:
        part, joined = self._folder.part, self._folder.joined
        try:
            with self._failures_named():
                self._finish_segment()
                if not self._folder.segments:  # not one frame was encoded
                    if self._begun:
                        self._folder.remove()
                    return None
            end = None if complete else self._end
            if self._path.suffix.lower() in ANIMATIONS:
                animate(self._folder.segments, joined)
            else:
                join(
                    self._folder.segments,
                    self._source,
                    joined,
                    end,
                    self._encoding.sound,
                    self._encoding.comment,
                )
            with self._failures_named():
                joined.replace(part)
        except BaseException:
            joined.unlink(missing_ok=True)
            where = self._folder.folder
            log.error(
                "%s could not be finished: its pictures, without sound, are in %s; --resume goes on",
                self._path,
                where,
            )
            raise
        if not complete:
            return part
        with self._failures_named():
            if self._path.exists() and not self._overwrite:  # it was not there at the start
                raise OutputError(
                    f"{self._path} appeared meanwhile and is kept: rename {part}, which is whole"
                )
            fsync_path(part)  # before the segments go, from which it could be made again
            part.replace(self._path)
            fsync_path(self._path)
            self._folder.remove()
        return self._path
