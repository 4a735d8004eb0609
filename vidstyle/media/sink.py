"""Where frames go: video files, animations, still and numbered pictures, standard output."""

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from ..errors import OutputError
from .animate import ANIMATIONS
from .files import PIPE, check_parts, check_writable, is_url, part_name
from .frame import Frame
from .mux import CONTAINERS
from .pictures import PICTURE_ENDINGS, is_numbered, is_picture, numbered, numbers_of, write_picture
from .pipe import PipeWriter
from .segments import Checkpoint
from .source import PictureSequence, Source, Still
from .writer import VideoWriter
from .writing import AS_USUAL, Encoding, FileSink


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


def open_sink(
    path: str | Path,
    source: Source,
    overwrite: bool = False,
    encoding: Encoding = AS_USUAL,
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
        OutputError: it cannot be written, exists, is the source itself, or was begun by another job.
    """
    if str(path) == PIPE:
        return PipeWriter(source.format, encoding)
    if is_url(path):
        raise OutputError(f"{path} is an address: write to a file, or stream with `vidstyle live --camera CLIP -o ADDRESS`")
    if is_picture(path) and is_numbered(path):
        writer = PictureWriter(Path(path), overwrite, encoding.comment)
        if isinstance(source, PictureSequence) and writer.would_replace(source.files):
            raise OutputError(f"{path} would replace pictures of the input itself: choose another name for the output")
        return writer
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


class StillWriter(FileSink):
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


class PictureWriter(FileSink):
    """Numbered pictures, ``out_%05d.png`` from 1 on. Each appears when it is whole.

    Raises:
        OutputError: the folder is not there, or some of the pictures are and may not be replaced.
    """

    def __init__(self, pattern: Path, overwrite: bool = False, comment: str = "") -> None:
        self._pattern, self._comment, self._count = pattern, comment, 0
        self._overwrite = overwrite
        check_writable(self._path((numbers_of(pattern) or [1])[0]), overwrite)

    def _path(self, number: int) -> Path:
        return numbered(self._pattern, number)

    def would_replace(self, files: Sequence[Path]) -> bool:
        """Whether as many pictures would be written over one of these."""
        given = {os.path.realpath(file) for file in files}
        return any(os.path.realpath(self._path(number)) in given for number in range(1, len(files) + 1))

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
