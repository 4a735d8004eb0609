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
from .codecs import EncoderConfig, select_encoder
from .files import check_writable
from .frame import Frame
from .locks import OutputLock
from .mux import CONTAINERS, Segment, join, report_dropped_streams
from .part_folder import PartFolder
from .segment_encoder import SegmentEncoder
from .sink_base import DEFAULT_ENCODING, Encoding, FileSink, OutputErrors, publish
from .stream_info import VideoInfo

log = logging.getLogger(__name__)

SEGMENT_SECONDS = Fraction(2)
"""Minimum duration of a segment in seconds, unless a cut ends it; longer beside a GPU."""


def choose_encoder(path: Path, source: VideoInfo, encoding: Encoding) -> EncoderConfig:
    """The encoder of the segments of a video file or an animation.

    Raises:
        OutputError: the container cannot hold the codec, or is an animation and a codec is given.
    """
    ending = path.suffix.lower()
    if ending not in ANIMATIONS:
        return select_encoder(encoding.codec, encoding.crf, CONTAINERS[ending], source)
    if encoding.codec or encoding.crf is not None:
        raise OutputError(
            f"{path} is an animation without choice of codec and crf: leave those out"
        )
    # The codec of the segments is nothing that a user has asked for.
    return select_encoder("ffv1", None, "matroska", source, str(path))


def join_output(
    folder: PartFolder,
    path: Path,
    segments: Sequence[Segment],
    source: VideoInfo,
    encoding: Encoding,
    end: Fraction | None = None,
) -> None:
    """Join segments, and the side streams of the source, into the part file of an output.

    Args:
        folder: of the segments.
        path: of the output.
        segments, source, end: see ``mux.join``.
        encoding: says whether the output has sound, and its comment.

    Raises:
        OutputError: the file cannot be written; the segments stay in the folder.
    """
    joined = folder.joined
    try:
        if path.suffix.lower() in ANIMATIONS:
            animate([segment.path for segment in segments], joined)
        else:
            join(segments, source, joined, end, encoding.sound, encoding.comment)
        with write_errors(path, resumable=False):
            joined.replace(folder.part)
    except BaseException:
        joined.unlink(missing_ok=True)
        log.error("%s could not be finished: its video is in %s", path, folder.folder)
        raise


def write_errors(path: Path, resumable: bool = True) -> OutputErrors:
    """A context that names an output which cannot be written, with a remedy.

    Args:
        path: of the output.
        resumable: whether ``resume=True`` is known to what writes it.
    """
    what = f"cannot write {path}"
    if not resumable:
        return OutputErrors(what, "free some space or choose another place")
    resume = "resume=True then resumes after the finished segments, if there are any"
    return OutputErrors(what, f"choose another place, or free some space; {resume}", "resume")


class VideoWriter(FileSink):
    """Encodes frames into segments, which are joined with the source's side streams at the end.

    Timestamps are the frames' own, exact where the container allows it (Matroska and WebM count
    milliseconds). Colours are converted with the source's matrix and range, and tagged so. Where
    the codec needs even sizes, one row or column is cropped. Finished segments lie in a folder
    ``NAME.part``; a run that ends early joins them as ``NAME.part.EXT``. The output is locked until
    ``close`` or ``abandon``. Errors name ``resume`` where there is a ``job``.

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
        self._encoder = choose_encoder(path, source, encoding)
        if path.suffix.lower() not in ANIMATIONS:
            report_dropped_streams(source, path, encoding.sound)
        self._path, self._source, self._encoding, self._overwrite = (
            path,
            source,
            encoding,
            overwrite,
        )
        self._resumable = bool(job)
        self._job = {
            **job,
            "encoder": self._encoder.name,
            "encoder options": dict(self._encoder.options),
        }
        self._folder = SegmentFolder(path, self._encoder.ending, self._resumable)
        self._lock = OutputLock(path)
        self._lock.acquire()
        try:
            self._folder.check(overwrite or resume)
            self.resumed = self._folder.find_checkpoint(self._job) if resume else None
            times = self._restore_times(self.resumed)
        except BaseException:
            self._lock.release()
            raise
        self._segments = SegmentEncoder(self._encoder, source, self._folder.next_segment, *times)
        self._started, self._closed = self.resumed is not None, False
        self._packet_pts: dict[Path, Sequence[int]] = {}  # of the segments written by this run

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

    def _write_errors(self) -> OutputErrors:
        return write_errors(self._path, self._resumable)

    def send(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            ValueError: its size differs from the first frame's.
            OutputError: it cannot be written.
        """
        with self._write_errors():
            if not self._started:
                self._folder.begin(self._job)
                self._started = True
            self._segments.send(frame)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """End the segment, and save the checkpoint.

        Raises:
            OutputError: it cannot be written.
        """
        with self._write_errors():
            self._finish_segment()
            end = self._segments.end
            sink_state = (self._segments.last_pts, end.numerator, end.denominator)
            self._folder.save(
                Checkpoint(
                    checkpoint.frames, checkpoint.frames_in_shot, checkpoint.state, sink_state
                )
            )

    def _finish_segment(self) -> None:
        file = self._segments.finish()
        if file is not None and file.frames:
            self._folder.finish_segment()
            self._packet_pts[self._folder.segments[-1]] = file.packet_pts
        elif file is not None:
            self._folder.open_segment.unlink(missing_ok=True)

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
        with self._write_errors():
            self._finish_segment()
            if not self._folder.segments:  # not one frame was encoded
                if self._started:
                    self._folder.remove()
                return None
        segments = [Segment(path, self._packet_pts.get(path)) for path in self._folder.segments]
        end = None if complete else self._segments.end
        join_output(self._folder, self._path, segments, self._source, self._encoding, end)
        if not complete:
            return self._folder.part
        with self._write_errors():
            publish(self._folder.part, self._path, self._overwrite)  # before segments are deleted
            self._folder.remove()
        return self._path
