"""Opening of media files: allowed protocols, timeouts, and FFmpeg's error messages."""

import errno
import logging
import math
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event, RLock
from typing import IO, Any

import av
import av.error
import av.logging

from ..errors import InputError
from ..runtime.interrupts import check
from .files import PIPE, check_readable, is_url, without_secrets

logging.getLogger("libav").addHandler(logging.NullHandler())  # errors carry FFmpeg's messages

NO_PROTOCOLS = "none"
"""Playlists may not open other files or addresses; the file itself is opened by ``_open_file``."""
URL_PROTOCOLS = "http,https,tls,tcp,crypto,data,httpproxy,udp,rtp,rtmp,rtmps,rtsp"

BUFFER_BYTES = 1 << 20
"""Bytes read at once."""

POLL_SECONDS = 0.1
"""Interval at which a wait for standard input checks for ``stop``."""

ADDRESS_TIMEOUT_SECONDS = 10.0
"""Timeout for opening an address, and for each packet."""

FILE_TIMEOUT_SECONDS = 30.0
"""Timeout for opening a file."""


class StandardInput:
    """Standard input as a file of FFmpeg's. ``stop`` ends a blocked ``read``.

    Its data is copied to a temporary file, from which the side streams are read later.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.failure: InputError | None = None
        self._stopped = Event()
        self._copy: IO[bytes] | None = None

    def read(self, count: int) -> bytes:
        """The available bytes, ``count`` at most; none at the end or after ``stop``."""
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
                self.failure = _temporary_file_error(error)
                self.stop()
                return b""
        return data

    def _wait_for(self, count: int) -> bytes:
        pipe = sys.stdin.buffer.raw if hasattr(sys.stdin.buffer, "raw") else sys.stdin.buffer
        while not self._stopped.is_set():
            check()
            if sys.platform == "win32" or select.select([pipe], [], [], POLL_SECONDS)[0]:
                return pipe.read(count) or b""
        return b""

    def keep_copy(self) -> None:
        """Copy all data to a temporary file. Call it before the first byte is read.

        Raises:
            InputError: no temporary file can be created.
        """
        try:
            # Windows opens a file that deletes itself only once.
            deletes_itself = sys.platform != "win32"
            self._copy = NamedTemporaryFile(  # noqa: SIM115 (closed by drop_copy)
                prefix="vidstyle-", delete=deletes_itself
            )
        except OSError as error:
            raise _temporary_file_error(error) from None

    def raise_failure(self) -> None:
        """Raise the error that ended the input early: FFmpeg does not pass exceptions on."""
        if self.failure is not None:
            raise self.failure

    def drop_copy(self) -> None:
        """Delete the temporary file."""
        path = self.copy
        if self._copy is not None and path is not None:
            with suppress(OSError):  # a full disk: what it has not taken is of no use any more
                self._copy.close()
            with suppress(OSError):
                path.unlink(missing_ok=True)
            self._copy = None

    @property
    def copy(self) -> Path | None:
        """The temporary file."""
        return None if self._copy is None else Path(self._copy.name)

    def stop(self) -> None:
        """End the input."""
        self._stopped.set()


def _temporary_file_error(error: OSError) -> InputError:
    reason = f"standard input cannot be kept in a temporary file ({error.strerror})"
    return InputError(
        f"{reason}: free some space, set TMPDIR to another folder, or name a file as the input"
    )


def open_input(name: str | Path, pipe: StandardInput | None = None) -> Any:
    """Open a file, or an address. A file cannot make FFmpeg open other files.

    Args:
        name: a file, a URL, or ``-`` for standard input.
        pipe: standard input, where the name is ``-``.

    Raises:
        InputError: it cannot be opened, or does not answer.
    """
    name = str(name)
    common: dict[str, Any] = {"metadata_errors": "replace"}
    began = time.monotonic()
    try:
        if name == PIPE:
            if sys.stdin is None:
                raise InputError("standard input is closed: pipe a clip into it, or name a file")
            return av.open(pipe or StandardInput(), buffer_size=BUFFER_BYTES, **common)
        if is_url(name):
            options = {"protocol_whitelist": URL_PROTOCOLS}
            return av.open(
                name,
                options=options,
                timeout=(ADDRESS_TIMEOUT_SECONDS, ADDRESS_TIMEOUT_SECONDS),
                **common,
            )
        with reasons():
            return _open_file(check_readable(name), common)
    except (av.error.FFmpegError, ValueError, OSError, MemoryError) as error:
        if pipe is not None and pipe.interrupted:
            raise KeyboardInterrupt from None
        if pipe is not None and pipe.failure is not None:
            raise pipe.failure from None
        if is_url(name) and time.monotonic() - began >= ADDRESS_TIMEOUT_SECONDS:
            raise timeout_error(name) from None
        remedy = "check that it plays elsewhere"
        name = "standard input" if name == PIPE else without_secrets(name)
        raise InputError(
            f"{name} is not a clip that FFmpeg can read ({reason_of(error)}): {remedy}"
        ) from None


def timeout_error(name: str) -> InputError:
    """The error of an address that does not answer."""
    remedy = "check the address, and that it can be reached from here"
    name = without_secrets(name)
    return InputError(f"{name} gave no answer within {ADDRESS_TIMEOUT_SECONDS:g} s: {remedy}")


class _File:
    """A file as FFmpeg reads it, which ends early if opening takes too long: some demuxers search
    the whole file for a header."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.seek, self.tell, self.close = self._file.seek, self._file.tell, self._file.close
        self.until = time.monotonic() + FILE_TIMEOUT_SECONDS
        self.late = False

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes; none at the end or after the timeout."""
        self.late = self.late or time.monotonic() > self.until
        return b"" if self.late else self._file.read(count)


def _open_file(path: Path, common: dict[str, Any]) -> Any:
    """Open a file in FFmpeg; playlists (HLS, concat) cannot open others."""
    file = _File(path)
    unopened = [file]

    def open_once(url: str, flags: int, options: dict[str, str]) -> _File:
        if not unopened:
            raise av.error.PermissionError(
                errno.EPERM, "it names other files, which are not opened"
            )
        return unopened.pop()

    name = path.name.encode("ascii", "replace").decode()  # only its extension matters
    options = {"protocol_whitelist": NO_PROTOCOLS}
    try:
        return av.open(
            f"file:{name}", options=options, io_open=open_once, buffer_size=BUFFER_BYTES, **common
        )
    finally:
        file.until = math.inf
        if file.late:
            raise InputError(
                f"{path} has no readable header within {FILE_TIMEOUT_SECONDS:g} s: "
                "check that it plays elsewhere"
            )


class _CodecThreads:
    """Counts open decoders and encoders with threads of their own.

    FFmpeg's log must be off meanwhile: a codec thread that logs waits for Python's lock, whose
    holder may wait for that thread.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.open = 0

    def __enter__(self) -> None:
        with self.lock:
            self.open += 1
            av.logging.set_level(None)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.open -= 1


codec_threads = _CodecThreads()
"""A context for the lifetime of each codec with threads."""


@contextmanager
def reasons() -> Iterator[None]:
    """Attach FFmpeg's log to exceptions, unless a codec with threads is open in this process.

    For short work only: opening such a codec waits until this context ends.
    """
    with codec_threads.lock:
        if codec_threads.open:
            yield
            return
        av.logging.set_level(av.logging.ERROR)
        try:
            yield
        finally:
            av.logging.set_level(None)


def reason_of(error: BaseException) -> str:
    """FFmpeg's message for an error, in one line."""
    logged = getattr(error, "log", None)
    words = [
        getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    ]
    if logged and logged[2].strip():
        words.append(logged[2].strip().splitlines()[0])
    return "; ".join(words)
