"""Where frames go: video files, animations, still and numbered pictures, standard output."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from ..errors import OutputError
from .animation import ANIMATIONS
from .checkpoints import Checkpoint
from .files import PIPE, check_writable, is_url
from .frame import Frame
from .images import (
    IMAGE_EXTENSIONS,
    NUMBER,
    is_image,
    is_numbered,
    numbered,
    numbers_of,
    write_image,
)
from .locks import OutputLock
from .mux import CONTAINERS
from .outputs import check_apart
from .pipe_writer import PipeWriter
from .sink_base import DEFAULT_ENCODING, Encoding, FileSink
from .source import ImageSequence, ImageSource, Source
from .video_writer import VideoWriter


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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_sink(
    path: str | Path,
    source: Source,
    overwrite: bool = False,
    encoding: Encoding = DEFAULT_ENCODING,
    job: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> FileSink:
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
        OutputError: it cannot be written, exists, is the source itself, was begun by another job, or is being written by
            another program.
    """
    if str(path) == PIPE:
        return PipeWriter(source.format, encoding)
    if is_url(path):
        raise OutputError(
            f"{path} is an address: write to a file, or stream with `vidstyle live --camera CLIP -o ADDRESS`"
        )
    path = Path(path)
    if is_image(path) and is_numbered(path):
        check_apart([path], _files_of(source))
        return ImageSequenceWriter(path, overwrite, encoding.comment)
    check_writable(path, overwrite)
    check_apart([path], _files_of(source))
    ending = path.suffix.lower()
    if ending not in (*CONTAINERS, *ANIMATIONS, *IMAGE_EXTENSIONS):
        endings = " ".join(dict.fromkeys((*CONTAINERS, *ANIMATIONS, *IMAGE_EXTENSIONS)))
        raise OutputError(f"{path} has an ending that is not known here: use one of {endings}")
    if is_image(path) and (isinstance(source, ImageSource) or ending not in ANIMATIONS):
        return ImageWriter(path, overwrite, encoding.comment)
    return VideoWriter(path, source.format, encoding, job or {}, resume, overwrite)


def _files_of(source: Source) -> Sequence[str | Path]:
    """The files that a source reads."""
    if isinstance(source, ImageSequence):
        return source.files
    return [] if source.format.path is None else [source.format.path]


class ImageWriter(FileSink):
    """A picture file, for exactly one frame."""

    def __init__(self, path: Path, overwrite: bool = False, comment: str = "") -> None:
        self._path, self._overwrite, self._comment = path, overwrite, comment
        self._frame: Frame | None = None

    def send(self, frame: Frame) -> None:
        """Take the picture, which ``close`` writes.

        Raises:
            ValueError: a second frame.
        """
        if self._frame is not None:
            raise ValueError(
                f"{self._path} is a picture and holds one frame: write a clip to a video file"
            )
        self._frame = frame

    def close(self, complete: bool = True) -> Path | None:
        """Write the file; nothing is written of what is not complete.

        Raises:
            OutputError: it cannot be written, or was written by another program meanwhile.
        """
        frame, self._frame = self._frame, None
        if frame is None or not complete:
            return None
        write_image(check_writable(self._path, self._overwrite), frame.image, self._comment)
        return self._path


class ImageSequenceWriter(FileSink):
    """Numbered pictures, ``out_%05d.png`` from 1 on. Each appears when it is whole. They are locked until ``close``.

    Raises:
        OutputError: the folder is not there, some of the pictures are and may not be replaced, or another program writes them.
    """

    def __init__(self, pattern: Path, overwrite: bool = False, comment: str = "") -> None:
        self._pattern, self._comment, self._count = pattern, comment, 0
        self._overwrite = overwrite
        check_writable(self._path((numbers_of(pattern) or [1])[0]), overwrite)
        self._lock = OutputLock(pattern, re.sub(NUMBER, "", pattern.name))
        self._lock.acquire()

    def _path(self, number: int) -> Path:
        return numbered(self._pattern, number)

    def send(self, frame: Frame) -> None:
        """Write the next picture.

        Raises:
            OutputError: it cannot be written, or is there and may not be replaced.
        """
        path = check_writable(self._path(self._count + 1), self._overwrite)
        write_image(path, frame.image, self._comment)
        self._count += 1

    def abandon(self) -> None:
        """Let the output go."""
        self._lock.release()

    def close(self, complete: bool = True) -> Path | None:
        """Nothing is left to do but to release the lock. Returns the pattern."""
        self._lock.release()
        return self._pattern if self._count else None
