"""Where frames go: video files, animations, still and numbered pictures, standard output."""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Protocol

import av
import av.error

from .animate import ANIMATIONS, animate
from .container import reason_of
from .encode import Coder, EncodedFile, check_codec, coder_for
from .errors import InputError, OutputError
from .files import PIPE, check_parts, check_writable, is_url, part_folder, part_name
from .format import Format
from .frame import Frame
from .mux import CONTAINERS, check_sound, join
from .pictures import PICTURE_ENDINGS, is_picture, write_picture
from .segments import Checkpoint, SegmentFolder
from .source import Source, Still, is_numbered

log = logging.getLogger(__name__)

SEGMENT_SECONDS = Fraction(2)
"""Least length of a segment, but where a cut ends it."""

PIPES = {"matroska": "libx264", "nut": "libx264", "yuv4mpegpipe": "wrapped_avframe"}
"""What can be written to standard output, by FFmpeg's names, and the usual encoder."""


class Sink(Protocol):
    """Takes frames in order of time. A context manager: left through an exception, it keeps what it has as a part."""

    @property
    def segment_seconds(self) -> Fraction | None:
        """How far apart, at least, it wants checkpoints; None: it has no use for them."""

    def send(self, frame: Frame) -> None:
        """Take one frame; may wait."""

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """All frames sent so far can be kept for good; ``checkpoint`` says how to go on after them."""

    def close(self, complete: bool = True) -> Path | None:
        """Finish. ``complete`` says whether all frames came. Returns the file that is there now, if any."""

    def __enter__(self) -> "Sink": ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@dataclass(frozen=True)
class Encoding:
    """How a file is written.

    Args:
        codec: an encoder, see ``encode.CODEC_NAMES``; None: the usual one for the container and depth.
        crf: constant rate factor, lower is better; None: the codec's usual.
        sound: whether the source's sound is copied.
        comment: a note for the file's metadata.
        pipe: FFmpeg's name of the container written to standard output.

    Raises:
        ValueError: a codec, a ``crf`` or a container that is none.
    """

    codec: str | None = None
    crf: int | None = None
    sound: bool = True
    comment: str = ""
    pipe: str = "matroska"

    def __post_init__(self) -> None:
        check_codec(self.codec, self.crf)
        if self.pipe not in PIPES:
            raise ValueError(f"{self.pipe!r} cannot be written to standard output: choose one of {', '.join(PIPES)}")


def open_sink(
    path: str | Path,
    source: Source,
    overwrite: bool = False,
    encoding: Encoding = Encoding(),
    job: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> "FileSink":
    """A file to write to, its kind chosen by the ending of its name. Nothing is written until the first frame.

    Args:
        path: the file, which appears when it is whole; ``out_%05d.png`` for numbered pictures; ``-`` for standard output.
        source: where the frames come from, for colours, times and sound.
        overwrite: whether an existing file, or what an unfinished run left, may be replaced.
        encoding: how it is written.
        job: what is rendered and how, as JSON can hold it: by it a later run knows that it is the same.
        resume: whether a clip is gone on with where an unfinished run of the same job ended; ``resumed`` of the sink says
            where.

    Raises:
        OutputError: it cannot be written, exists, is the source itself, cannot hold the source's sound, or was begun by
            another job.
    """
    if str(path) == PIPE:
        return PipeWriter(source.format, encoding)
    if is_url(path):
        raise OutputError(f"{path} is an address: write to a file, or to - and pipe it on")
    if is_picture(path) and is_numbered(path):
        return PictureWriter(Path(path), overwrite, encoding.comment)
    path = check_writable(path, overwrite)
    origin = source.format.path
    for name in (path, part_name(path)):
        if origin is not None and os.path.realpath(name) == os.path.realpath(origin):
            raise OutputError(f"{name} is the input itself: choose another name for the output")
    ending = path.suffix.lower()
    if ending not in (*CONTAINERS, *ANIMATIONS, *PICTURE_ENDINGS):
        endings = " ".join(dict.fromkeys((*CONTAINERS, *ANIMATIONS, *PICTURE_ENDINGS)))
        raise OutputError(f"{path} has an ending that is not known here: use one of {endings}")
    check_parts(path, overwrite or resume)
    if is_picture(path) and (isinstance(source, Still) or ending not in ANIMATIONS):
        return StillWriter(path, encoding.comment)
    return VideoWriter(path, source.format, encoding, job or {}, resume)


class _Context:
    """What file sinks have in common: left through an exception, what is there stays as a part."""

    segment_seconds: Fraction | None = None
    resumed: Checkpoint | None = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(complete=kind is None)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Of no use here."""

    def close(self, complete: bool = True) -> Path | None:
        """Finish; see ``Sink``."""
        raise NotImplementedError


class StillWriter(_Context):
    """A picture file, for exactly one frame."""

    def __init__(self, path: Path, comment: str = "") -> None:
        self._path, self._comment = path, comment
        self._part = part_name(path)
        self._sent = False

    def send(self, frame: Frame) -> None:
        """Write the picture.

        Raises:
            ValueError: a second frame.
            OutputError: it cannot be written.
        """
        if self._sent:
            raise ValueError(f"{self._path} is a picture and holds one frame: write a clip to a video file")
        self._sent = True
        write_picture(self._part, frame.image, self._comment)

    def close(self, complete: bool = True) -> Path | None:
        """Give the file its name; a picture that is not complete is removed."""
        if not self._sent:
            return None
        if complete and self._part.exists():
            self._part.replace(self._path)
        self._part.unlink(missing_ok=True)
        return self._path if complete else None


class PictureWriter(_Context):
    """Numbered pictures, ``out_%05d.png`` from 1 on. Each appears when it is whole.

    Raises:
        OutputError: the folder is not there, or the first picture is and may not be replaced.
    """

    def __init__(self, pattern: Path, overwrite: bool = False, comment: str = "") -> None:
        self._pattern, self._comment, self._count = pattern, comment, 0
        self._overwrite = overwrite
        check_writable(self._path(1), overwrite)

    def _path(self, number: int) -> Path:
        return self._pattern.with_name(self._pattern.name % number)

    def send(self, frame: Frame) -> None:
        """Write the next picture.

        Raises:
            OutputError: it cannot be written, or is there and may not be replaced.
        """
        path = check_writable(self._path(self._count + 1), self._overwrite)
        part = part_name(path)
        write_picture(part, frame.image, self._comment)
        part.replace(path)
        self._count += 1

    def close(self, complete: bool = True) -> Path | None:
        """Nothing is left to do. Returns the pattern."""
        return self._pattern if self._count else None


class PipeWriter(_Context):
    """Standard output: Matroska, NUT or YUV4MPEG, pictures only, each written as soon as it is encoded."""

    def __init__(self, source: Format, encoding: Encoding = Encoding()) -> None:
        kind = encoding.pipe
        if kind == "yuv4mpegpipe":
            deep = source.bit_depth > 8
            coder = Coder("wrapped_avframe", "yuv444p10le" if deep else "yuv444p", {"strict": "-1"}, odd=True)
        else:
            coder = coder_for(encoding.codec, encoding.crf, "matroska", source)
            if encoding.codec is None and coder.name in ("libx264", "libx265"):
                coder = Coder(coder.name, coder.pixels, {**coder.options, "tune": "zerolatency"}, odd=coder.odd)
        self._source, self._coder, self._kind = source, coder, kind
        self._file: EncodedFile | None = None
        self._last_pts = -1

    def send(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            OutputError: it cannot be written.
            BrokenPipeError: whoever read it has gone.
        """
        try:
            if self._file is None:
                options = {"flush_packets": "1"} | ({"live": "1"} if self._kind == "matroska" else {"strict": "-1"})
                self._file = EncodedFile(_StandardOutput(), self._kind, self._coder, self._source, options)
            self._last_pts = max(round(frame.time / self._source.time_base), self._last_pts + 1)
            self._file.send(frame, self._last_pts)
        except BrokenPipeError:
            raise
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write to standard output ({reason_of(error)})") from None

    def close(self, complete: bool = True) -> Path | None:
        """Write what the encoder holds back. There is no file."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except (av.error.FFmpegError, OSError) as error:
                if complete and not isinstance(error, BrokenPipeError):
                    raise OutputError(f"cannot write to standard output ({reason_of(error)})") from None
        return None


class _StandardOutput:
    """Standard output as FFmpeg writes it: forward only."""

    def write(self, data: bytes) -> int:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return len(data)


class VideoWriter(_Context):
    """A clip: pictures are encoded into segments, which are joined with the source's sound at the end.

    Times are the frames' own, exact wherever the container allows it (Matroska and WebM count in milliseconds).
    Colours are converted with the source's matrix and range and tagged so. Where the codec wants even sides, one row or
    column is left out. While it is not whole there is a folder ``NAME.part`` of segments that are; a run that ends early
    joins them, and what followed, as ``NAME.part.EXT``.
    """

    segment_seconds = SEGMENT_SECONDS

    def __init__(
        self,
        path: Path,
        source: Format,
        encoding: Encoding = Encoding(),
        job: Mapping[str, Any] = MappingProxyType({}),
        resume: bool = False,
    ) -> None:
        ending = path.suffix.lower()
        if ending in ANIMATIONS:
            if encoding.codec or encoding.crf is not None:
                raise OutputError(f"{path} is an animation, which has no choice of codec or crf: leave those out")
            self._coder = coder_for("ffv1", None, "matroska", source)
        else:
            self._coder = coder_for(encoding.codec, encoding.crf, CONTAINERS[ending], source)
            check_sound(source, path, encoding.sound)
        self._path, self._source, self._encoding = path, source, encoding
        self._part = part_name(path)
        self._job = {**job, "encoder": self._coder.name, "encoder options": dict(self._coder.options)}
        self._folder = SegmentFolder(part_folder(path), self._coder.ending)
        self.resumed = self._folder.find(self._job) if resume else None
        last_pts, top, bottom = self.resumed.numbers if self.resumed else (-1, 0, 1)
        self._last_pts, self._end = last_pts, Fraction(top, bottom)
        self._begun, self._closed = self.resumed is not None, False
        self._file: EncodedFile | None = None
        self._size: tuple[int, int] | None = None

    def send(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            ValueError: a frame of another size than the first.
            OutputError: it cannot be written.
        """
        if frame.size != (self._size or frame.size):
            raise ValueError(f"a frame of {frame.size} px in a clip of {self._size} px: a clip has one size")
        self._size = frame.size
        with self._failures_named():
            if not self._begun:
                self._folder.begin(self._job)
                self._begun = True
            if self._file is None:
                containers = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
                self._file = EncodedFile(self._folder.current, containers[self._coder.ending], self._coder, self._source)
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
            self._folder.save(Checkpoint(checkpoint.frames, checkpoint.shot, checkpoint.state, numbers))

    def _finish_segment(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
            if file.frames:
                self._folder.finish()
            else:
                self._folder.current.unlink(missing_ok=True)

    def _failures_named(self) -> "_Named":
        return _Named(f"cannot write {self._path}", "free some space or choose another place; --resume goes on from there")

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
        to_go_on = list(self._folder.segments)
        try:
            with self._failures_named():
                self._finish_segment()
            if not self._folder.segments:  # not one frame was encoded
                if self._begun:
                    self._folder.remove()
                return None
            end = None if complete else self._end
            if self._path.suffix.lower() in ANIMATIONS:
                animate(self._folder.segments, self._part)
            else:
                encoding = self._encoding
                join(self._folder.segments, self._source, self._part, end, encoding.sound, encoding.comment)
        except BaseException:
            log.error("%s could not be finished: its pictures, without sound, are in %s", self._path, self._folder.folder)
            raise
        if complete:
            self._part.replace(self._path)
        if complete or not to_go_on:  # nothing could be gone on with
            self._folder.remove()
        return self._path if complete else self._part


class _Named:
    """Turns what PyAV and the system raise into one line that says what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        self._what, self._remedy = what, remedy

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, (av.error.FFmpegError, OSError, InputError)):
            raise OutputError(f"{self._what} ({reason_of(error)}): {self._remedy}") from None


FileSink = StillWriter | PictureWriter | PipeWriter | VideoWriter
