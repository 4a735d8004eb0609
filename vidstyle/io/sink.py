"""Sinks: video files, animations, still images, image sequences and standard output."""

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
from .image_names import (
    IMAGE_EXTENSIONS,
    NUMBER_PATTERN,
    existing_numbers,
    image_path,
    is_image,
    is_numbered,
)
from .images import write_image
from .locks import OutputLock
from .mux import CONTAINERS
from .outputs import check_apart
from .pipe_writer import PipeWriter
from .sink_base import DEFAULT_ENCODING, Encoding, FileSink
from .source import ImageSource, Source
from .video_writer import VideoWriter


class Sink(Protocol):
    """Takes frames in order of time. A context manager: after an exception it keeps its frames as a
    part."""

    @property
    def segment_seconds(self) -> Fraction | None:
        """Minimum distance of checkpoints in seconds; None: the sink needs none."""

    def send(self, frame: Frame) -> None:
        """Take one frame; may block."""

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Finalise all frames sent so far; ``checkpoint`` says how to resume after them."""

    def close(self, complete: bool = True) -> Path | None:
        """Finish. ``complete``: whether all frames came. Returns the file written, if any."""

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
    """Open a sink, chosen by the extension of the name. Nothing is written until the first frame.

    Args:
        path: a file, which appears when it is complete; ``out_%05d.png`` for an image sequence;
            ``-`` for standard output.
        source: the source of the frames, for colours, timestamps and side streams.
        overwrite: whether an existing file, or an unfinished run, may be replaced.
        encoding: codec, quality and tags.
        job: what is rendered and how, as JSON can hold it; it identifies the job for ``resume``.
        resume: whether to resume an unfinished run of the same job; ``resumed`` of the sink says
            where.

    Raises:
        OutputError: the output cannot be written, exists, is the source itself, belongs to another
            job, or is being written by another program.
    """
    if str(path) == PIPE:
        return PipeWriter(source.format, encoding)
    if is_url(path):
        raise OutputError(
            f"{path} is an address: write to a file, "
            "or stream with `vidstyle live --camera CLIP -o ADDRESS`"
        )
    path = Path(path)
    if is_image(path) and is_numbered(path):
        check_apart([path], _source_files(source))
        return ImageSequenceWriter(path, overwrite, encoding.comment)
    check_writable(path, overwrite)
    check_apart([path], _source_files(source))
    ending = path.suffix.lower()
    if ending not in (*CONTAINERS, *ANIMATIONS, *IMAGE_EXTENSIONS):
        endings = " ".join(dict.fromkeys((*CONTAINERS, *ANIMATIONS, *IMAGE_EXTENSIONS)))
        raise OutputError(f"{path} has an unsupported extension: use one of {endings}")
    if is_image(path) and (isinstance(source, ImageSource) or ending not in ANIMATIONS):
        return ImageWriter(path, overwrite, encoding.comment)
    return VideoWriter(path, source.format, encoding, job or {}, resume, overwrite)


def _source_files(source: Source) -> Sequence[str | Path]:
    """The files that a source reads."""
    files: Sequence[str | Path] | None = getattr(source, "files", None)  # of an image sequence
    if files is not None:
        return files
    return [] if source.format.path is None else [source.format.path]


class ImageWriter(FileSink):
    """An image file, for exactly one frame."""

    def __init__(self, path: Path, overwrite: bool = False, comment: str = "") -> None:
        self._path, self._overwrite, self._comment = path, overwrite, comment
        self._frame: Frame | None = None

    def send(self, frame: Frame) -> None:
        """Take the frame, which ``close`` writes.

        Raises:
            ValueError: a second frame.
        """
        if self._frame is not None:
            raise ValueError(f"{self._path} is an image of one frame: write a clip to a video file")
        self._frame = frame

    def close(self, complete: bool = True) -> Path | None:
        """Write the file, if it is complete.

        Raises:
            OutputError: it cannot be written, or was created by another program meanwhile.
        """
        frame, self._frame = self._frame, None
        if frame is None or not complete:
            return None
        write_image(check_writable(self._path, self._overwrite), frame.image, self._comment)
        return self._path


class ImageSequenceWriter(FileSink):
    """An image sequence, ``out_%05d.png`` from 1 on. Each file appears when it is complete.

    The sequence is locked until ``close``.

    Raises:
        OutputError: the folder is missing, images exist and may not be replaced, or another program
            writes them.
    """

    def __init__(self, pattern: Path, overwrite: bool = False, comment: str = "") -> None:
        self._pattern, self._comment, self._count = pattern, comment, 0
        self._overwrite = overwrite
        check_writable(self._path((existing_numbers(pattern) or [1])[0]), overwrite)
        self._lock = OutputLock(pattern, re.sub(NUMBER_PATTERN, "", pattern.name))
        self._lock.acquire()

    def _path(self, number: int) -> Path:
        return image_path(self._pattern, number)

    def send(self, frame: Frame) -> None:
        """Write the next image.

        Raises:
            OutputError: it cannot be written, or exists and may not be replaced.
        """
        path = check_writable(self._path(self._count + 1), self._overwrite)
        write_image(path, frame.image, self._comment)
        self._count += 1

    def abandon(self) -> None:
        """Release the lock."""
        self._lock.release()

    def close(self, complete: bool = True) -> Path | None:
        """Release the lock. Returns the pattern, if any image was written."""
        self._lock.release()
        return self._pattern if self._count else None
