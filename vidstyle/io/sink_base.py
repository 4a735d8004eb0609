"""What all that write files have in common: how a file is asked for, and how failures are named."""

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
from .frame import Frame

PIPES = ("matroska", "nut", "yuv4mpegpipe")
"""What can be written to standard output, by FFmpeg's names."""


@dataclass(frozen=True)
class Encoding:
    """How a file is written.

    Args:
        codec: an encoder, see ``coders.CODEC_NAMES``; None: the usual one for the container and depth.
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
            raise ValueError(
                f"{self.pipe!r} cannot be written to standard output: choose one of {', '.join(PIPES)}"
            )


DEFAULT_ENCODING = Encoding()
"""Nothing is asked for in particular."""


class FileSink:
    """What sinks that write files have in common: left through an exception, what is there stays as a part."""

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
        """Of no use here."""

    def close(self, complete: bool = True) -> Path | None:
        """Finish; see ``Sink``."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Let the output go without finishing it; nothing that was written is removed."""


class NamedErrors:
    """Turns what PyAV and the system raise into one line that says what to do."""

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
