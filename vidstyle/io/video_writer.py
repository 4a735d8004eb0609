"""Video files, encoded in segments that survive a crash and joined at the end."""

import logging
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import OutputError
from .animation import ANIMATIONS, animate
from .checkpoints import Checkpoint, SegmentFolder
from .codecs import select_encoder
from .encode import EncodedFile
from .files import check_writable
from .frame import Frame
from .locks import OutputLock
from .mux import CONTAINERS, Segment, join, report_dropped_streams
from .sink_base import DEFAULT_ENCODING, Encoding, FileSink, OutputErrors, publish
from .stream_info import VideoInfo

log = logging.getLogger(__name__)

SEGMENT_SECONDS = Fraction(2)
"""Minimum duration of a segment in seconds, unless a cut ends it; longer beside a GPU."""


class VideoWriter(FileSink):
    """Encodes frames into segments, which are joined with the source's side streams at the end.

    Timestamps are the frames' own, exact where the container allows it (Matroska and WebM count
    milliseconds). Colours are converted with the source's matrix and range, and tagged so. Where
    the codec needs even sizes, one row or column is cropped. Finished segments lie in a folder
    ``NAME.part``; a run that ends early joins them as ``NAME.part.EXT``. The output is locked until
    ``close`` or ``abandon``.

    Raises:
        OutputError: the file cannot be written, exists and may not be replaced, is being written by
            another program, or needs names that are in use.
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
                    f"{path} is an animation without choice of codec and crf: leave those out"
                )
            # The codec of the segments is nothing that a user has asked for.
            self._encoder = select_encoder("ffv1", None, "matroska", source, str(path))
        else:
            self._encoder = select_encoder(encoding.codec, encoding.crf, CONTAINERS[ending], source)
            report_dropped_streams(source, path, encoding.sound)
        self._path, self._source, self._encoding, self._overwrite = (
            path,
            source,
            encoding,
            overwrite,
        )
        self._job = {
            **job,
            "encoder": self._encoder.name,
            "encoder options": dict(self._encoder.options),
        }
        self._folder = SegmentFolder(path, self._encoder.ending)
        self._lock = OutputLock(path)
        self._lock.acquire()
        try:
            self._folder.check(overwrite or resume)
            self.resumed = self._folder.find_checkpoint(self._job) if resume else None
            self._last_pts, self._end = self._restore_times(self.resumed)
        except BaseException:
            self._lock.release()
            raise
        self._started, self._closed = self.resumed is not None, False
        self._file: EncodedFile | None = None
        self._packet_pts: dict[Path, Sequence[int]] = {}  # of the segments written by this run
        self._size: tuple[int, int] | None = None

    def _restore_times(self, checkpoint: Checkpoint | None) -> tuple[int, Fraction]:
        """(last pts, end of the last frame in seconds) of the resumed part."""
        try:
            last_pts, top, bottom = checkpoint.sink_state if checkpoint else (-1, 0, 1)
            return last_pts, Fraction(top, bottom)
        except (ValueError, ZeroDivisionError):
            raise OutputError(
                f"{self._folder.folder} is damaged: restart with overwrite=True",
                "overwrite",
            ) from None

    def send(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            ValueError: its size differs from the first frame's.
            OutputError: it cannot be written.
        """
        if frame.size != (self._size or frame.size):
            raise ValueError(
                f"a frame of {frame.size} px does not fit into a clip of {self._size} px"
            )
        self._size = frame.size
        with self._output_errors():
            if not self._started:
                self._folder.begin(self._job)
                self._started = True
            if self._file is None:
                containers = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
                self._file = EncodedFile(
                    self._folder.next_segment(),
                    containers[self._encoder.ending],
                    self._encoder,
                    self._source,
                )
            self._last_pts = max(round(frame.time / self._source.time_base), self._last_pts + 1)
            self._file.send(frame, self._last_pts)
        self._end = frame.time + frame.duration

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """End the segment, and save the checkpoint.

        Raises:
            OutputError: it cannot be written.
        """
        with self._output_errors():
            self._finish_segment()
            sink_state = (self._last_pts, self._end.numerator, self._end.denominator)
            self._folder.save(
                Checkpoint(
                    checkpoint.frames, checkpoint.frames_in_shot, checkpoint.state, sink_state
                )
            )

    def _finish_segment(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
            if file.frames:
                self._folder.finish_segment()
                self._packet_pts[self._folder.segments[-1]] = file.packet_pts
            else:
                self._folder.open_segment.unlink(missing_ok=True)

    def _output_errors(self) -> OutputErrors:
        return OutputErrors(
            f"cannot write {self._path}",
            "free some space or choose another place; resume=True then resumes",
            "resume",
        )

    def abandon(self) -> None:
        """Release the output unfinished, as a killed run does: the folder ``NAME.part`` stays."""
        self._closed = True
        self._lock.release()

    def close(self, complete: bool = True) -> Path | None:
        """Finish the file.

        An incomplete output stays as a playable ``NAME.part.EXT``, with audio up to its last frame,
        and as the folder of segments, from which a later run can resume.

        Returns:
            The file written; None where no frame came.

        Raises:
            OutputError: it cannot be written; the segments stay in the folder ``NAME.part``.
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
            with self._output_errors():
                self._finish_segment()
                if not self._folder.segments:  # not one frame was encoded
                    if self._started:
                        self._folder.remove()
                    return None
            end = None if complete else self._end
            if self._path.suffix.lower() in ANIMATIONS:
                animate(self._folder.segments, joined)
            else:
                segments = self._folder.segments
                join(
                    [Segment(path, self._packet_pts.get(path)) for path in segments],
                    self._source,
                    joined,
                    end,
                    self._encoding.sound,
                    self._encoding.comment,
                )
            with self._output_errors():
                joined.replace(part)
        except BaseException:
            joined.unlink(missing_ok=True)
            log.error(
                "%s could not be finished: its video is in %s; --resume resumes the render",
                self._path,
                self._folder.folder,
            )
            raise
        if not complete:
            return part
        with self._output_errors():
            publish(part, self._path, self._overwrite)  # before the segments are deleted
            self._folder.remove()
        return self._path
