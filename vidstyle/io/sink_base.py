"""The base of all file sinks: encoding parameters and named errors."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av.error

from ..errors import InputError, OutputError
from .checkpoints import Checkpoint
from .codecs import check_codec
from .container import reason_of
from .files import fsync_path
from .frame import Frame

PIPE_CONTAINERS = ("matroska", "nut", "yuv4mpegpipe")
"""FFmpeg's names of the containers that can be written to standard output."""


@dataclass(frozen=True)
class Encoding:
    """Parameters of the encoding of a file.

    Args:
        codec: an encoder, see ``codecs.CODEC_NAMES``; None for the default of container and bit
            depth.
        crf: constant rate factor, lower is better; None for the codec's default.
        sound: whether the source's audio is kept.
        comment: the container's comment tag.
        pipe: FFmpeg's name of the container for standard output.

    Raises:
        ValueError: an unknown codec or container, or an invalid ``crf``.
    """

    codec: str | None = None
    crf: int | None = None
    sound: bool = True
    comment: str = ""
    pipe: str = "matroska"

    def __post_init__(self) -> None:
        check_codec(self.codec, self.crf)
        if self.pipe not in PIPE_CONTAINERS:
            raise ValueError(
                f"{self.pipe!r} is not a container for standard output: "
                f"choose one of {', '.join(PIPE_CONTAINERS)}"
            )


DEFAULT_ENCODING = Encoding()
"""Default codec and quality, with audio."""


class FileSink:
    """Base of sinks that write files: after an exception they keep what was written as a part."""

    segment_seconds: Fraction | None = None
    resumed: Checkpoint | None = None

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(complete=kind is None)

    def send(self, frame: Frame) -> None:
        """Take one frame; see ``Sink``."""
        raise NotImplementedError

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Ignored: this sink does not resume."""

    def close(self, complete: bool = True) -> Path | None:
        """Finish; see ``Sink``."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Release the output without finishing it; nothing that was written is removed."""


def publish(part: Path, path: Path, overwrite: bool) -> None:
    """Give a complete part file its final name, and flush both to disk.

    Raises:
        OutputError: another program created the file meanwhile.
        OSError: it cannot be renamed or flushed.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path} was created meanwhile: rename {part}, which is complete")
    fsync_path(part)
    part.replace(path)
    fsync_path(path)


class OutputErrors:
    """A context that turns errors of PyAV and the system into one ``OutputError`` with a remedy."""

    def __init__(self, what: str, remedy: str, *settings: str) -> None:
        self._what, self._remedy, self._settings = what, remedy, settings

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, (av.error.FFmpegError, OSError, InputError)):
            raise OutputError(
                f"{self._what} ({reason_of(error)}): {self._remedy}", *self._settings
            ) from None
