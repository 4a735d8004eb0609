"""How media files are opened: what a name may reach, and FFmpeg's own words when it fails."""

import errno
import logging
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event
from typing import IO, Any

import av
import av.error
import av.logging

from ..errors import InputError
from .files import PIPE, check_readable, is_url

logging.getLogger("libav").addHandler(logging.NullHandler())  # what FFmpeg says is told in our own lines

NO_PROTOCOLS = "none"  # a file may not make us open a network address or another file; its own is opened by us
URL_PROTOCOLS = "http,https,tls,tcp,crypto,data,httpproxy,udp,rtp,rtmp,rtmps,rtsp"

BUFFER_BYTES = 1 << 20
"""How much is read at once."""

PATIENCE_SECONDS = 0.1
"""How often whoever waits for a pipe looks whether to stop."""


class StandardInput:
    """Standard input as FFmpeg reads it. ``stop`` wakes whoever waits in ``read``.

    What was read is kept in a temporary file, in which the sound is found again when the pictures are painted.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.failure: InputError | None = None
        self._stopped = Event()
        self._copy: IO[bytes] | None = None

    def read(self, count: int) -> bytes:
        """What is there, up to ``count`` bytes; nothing at the end or once stopped."""
        try:
            data = self._wait_for(count)
        except KeyboardInterrupt:  # it cannot pass through FFmpeg
            self.interrupted = True
            self.stop()
            return b""
        if data and self._copy is not None:
            try:
                self._copy.write(data)
                self._copy.flush()
            except OSError as error:
                self.failure = _no_temporary_file(error)
                self.stop()
                return b""
        return data

    def _wait_for(self, count: int) -> bytes:
        pipe = sys.stdin.buffer.raw if hasattr(sys.stdin.buffer, "raw") else sys.stdin.buffer
        while not self._stopped.is_set():
            if sys.platform == "win32" or select.select([pipe], [], [], PATIENCE_SECONDS)[0]:
                return pipe.read(count) or b""
        return b""

    def keep_copy(self) -> None:
        """From now on, keep what is read. Before the first byte.

        Raises:
            InputError: there is no place for temporary files.
        """
        try:
            self._copy = NamedTemporaryFile(prefix="vidstyle-")  # noqa: SIM115 (closed by drop_copy)
        except OSError as error:
            raise _no_temporary_file(error) from None

    def raise_failure(self) -> None:
        """Raise what ended the input early, if something did: an exception does not always pass through FFmpeg."""
        if self.failure is not None:
            raise self.failure

    def drop_copy(self) -> None:
        """There is no use for what was read."""
        if self._copy is not None:
            with suppress(OSError):  # a full disk: what it has not taken is of no use any more
                self._copy.close()
            self._copy = None

    @property
    def copy(self) -> Path | None:
        """The file in which what was read is kept."""
        return None if self._copy is None else Path(self._copy.name)

    def stop(self) -> None:
        """Let the input end here."""
        self._stopped.set()


def _no_temporary_file(error: OSError) -> InputError:
    reason = f"standard input cannot be kept in a temporary file ({error.strerror})"
    return InputError(f"{reason}: free some space, or set TMPDIR to a folder that has some, or name a file as the input")


def open_input(name: str | Path, pipe: StandardInput | None = None) -> Any:
    """Open a file, or an address where the name is one. A file reaches nothing but itself.

    Args:
        name: a file's, a URL, or ``-`` for standard input.
        pipe: what to read where the name is ``-``.

    Raises:
        InputError: it cannot be opened.
    """
    name = str(name)
    common: dict[str, Any] = {"metadata_errors": "replace"}
    try:
        with reasons():
            if name == PIPE:
                return av.open(pipe or StandardInput(), buffer_size=BUFFER_BYTES, **common)
            if is_url(name):
                return av.open(name, options={"protocol_whitelist": URL_PROTOCOLS}, **common)
            return _open_file(check_readable(name), common)
    except (av.error.FFmpegError, ValueError, OSError, MemoryError) as error:
        if pipe is not None and pipe.interrupted:
            raise KeyboardInterrupt from None
        if pipe is not None and pipe.failure is not None:
            raise pipe.failure from None
        remedy = "check that it plays elsewhere"
        name = "standard input" if name == PIPE else name
        raise InputError(f"{name} is not a clip that can be read ({reason_of(error)}): {remedy}") from None


def _open_file(path: Path, common: dict[str, Any]) -> Any:
    """Open a file in FFmpeg, whose playlists (HLS, concat) would open others by the ``file`` protocol, were it allowed."""
    unopened = [path]

    def open_once(url: str, flags: int, options: dict[str, str]) -> IO[bytes]:
        if not unopened:
            raise av.error.PermissionError(errno.EPERM, "it names other files, which are not opened")
        return unopened.pop().open("rb", buffering=0)

    shown = path.name.encode("ascii", "replace").decode()  # FFmpeg looks at its ending only
    options = {"protocol_whitelist": NO_PROTOCOLS}
    return av.open(f"file:{shown}", options=options, io_open=open_once, buffer_size=BUFFER_BYTES, **common)


@contextmanager
def reasons() -> Iterator[None]:
    """Let exceptions carry FFmpeg's own reason.

    Not for decoding: a decoder's threads would wait for Python's lock to log, while Python, holding it, may be waiting
    for them to end.
    """
    av.logging.set_level(av.logging.ERROR)
    try:
        yield
    finally:
        av.logging.set_level(None)


def reason_of(error: BaseException) -> str:
    """FFmpeg's own words on what went wrong, in one line."""
    logged = getattr(error, "log", None)
    words = [getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]]
    if logged and logged[2].strip():
        words.append(logged[2].strip().splitlines()[0])
    return "; ".join(words)
