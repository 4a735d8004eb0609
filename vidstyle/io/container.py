"""How media files are opened: what a name may reach, and FFmpeg's own words when it fails."""

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
from .files import PIPE, check_readable, is_url

logging.getLogger("libav").addHandler(
    logging.NullHandler()
)  # what FFmpeg says is told in our own lines

NO_PROTOCOLS = (
    "none"  # a file may not make us open a network address or another file; its own is opened by us
)
URL_PROTOCOLS = "http,https,tls,tcp,crypto,data,httpproxy,udp,rtp,rtmp,rtmps,rtsp"

BUFFER_BYTES = 1 << 20
"""How much is read at once."""

PATIENCE_SECONDS = 0.1
"""How often whoever waits for a pipe looks whether to stop."""

ANSWER_SECONDS = 10.0
"""How long an address may take to open, and to give the next packet."""

FILE_SECONDS = 30.0
"""How long a file may take to open."""


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
            check()
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
    return InputError(
        f"{reason}: free some space, or set TMPDIR to a folder that has some, or name a file as the input"
    )


def open_input(name: str | Path, pipe: StandardInput | None = None) -> Any:
    """Open a file, or an address where the name is one. A file reaches nothing but itself.

    Args:
        name: a file's, a URL, or ``-`` for standard input.
        pipe: what to read where the name is ``-``.

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
                name, options=options, timeout=(ANSWER_SECONDS, ANSWER_SECONDS), **common
            )
        with reasons():
            return _open_file(check_readable(name), common)
    except (av.error.FFmpegError, ValueError, OSError, MemoryError) as error:
        if pipe is not None and pipe.interrupted:
            raise KeyboardInterrupt from None
        if pipe is not None and pipe.failure is not None:
            raise pipe.failure from None
        if is_url(name) and time.monotonic() - began >= ANSWER_SECONDS:
            raise no_answer(name) from None
        remedy = "check that it plays elsewhere"
        name = "standard input" if name == PIPE else name
        raise InputError(
            f"{name} is not a clip that can be read ({reason_of(error)}): {remedy}"
        ) from None


def no_answer(name: str) -> InputError:
    """The error of an address from which nothing comes."""
    remedy = "check the address, and that it can be reached from here"
    return InputError(f"{name} gave no answer within {ANSWER_SECONDS:g} s: {remedy}")


class _File:
    """A file as FFmpeg reads it. It ends early if it is not open by a certain time: some demuxers
    look for a beginning in all of a file, however long.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.seek, self.tell, self.close = self._file.seek, self._file.tell, self._file.close
        self.until = time.monotonic() + FILE_SECONDS
        self.late = False

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes; nothing at the end, or when the file should be open and is not."""
        self.late = self.late or time.monotonic() > self.until
        return b"" if self.late else self._file.read(count)


def _open_file(path: Path, common: dict[str, Any]) -> Any:
    """Open a file in FFmpeg, whose playlists (HLS, concat) would open others by the ``file`` protocol, were it allowed."""
    file = _File(path)
    unopened = [file]

    def open_once(url: str, flags: int, options: dict[str, str]) -> _File:
        if not unopened:
            raise av.error.PermissionError(
                errno.EPERM, "it names other files, which are not opened"
            )
        return unopened.pop()

    shown = path.name.encode("ascii", "replace").decode()  # FFmpeg looks at its ending only
    options = {"protocol_whitelist": NO_PROTOCOLS}
    try:
        return av.open(
            f"file:{shown}", options=options, io_open=open_once, buffer_size=BUFFER_BYTES, **common
        )
    finally:
        file.until = math.inf
        if file.late:
            raise InputError(
                f"{path} holds no clip that was found within {FILE_SECONDS:g} s: check that it plays elsewhere"
            )


class _Threaded:
    """Counts the decoders and encoders with threads of their own that are open in this process.

    FFmpeg's log may not be on meanwhile: a thread of theirs that logs waits for Python's lock, and
    Python, which holds it, may be waiting for that thread to end.
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


threaded = _Threaded()
"""Whoever opens a decoder or an encoder that has threads enters it before, and leaves it when the codec is closed."""


@contextmanager
def reasons() -> Iterator[None]:
    """Let exceptions carry FFmpeg's own reason, unless a codec with threads is open in this process.

    It is for short work that opens none: opening one waits until this has ended.
    """
    with threaded.lock:
        if threaded.open:
            yield
            return
        av.logging.set_level(av.logging.ERROR)
        try:
            yield
        finally:
            av.logging.set_level(None)


def reason_of(error: BaseException) -> str:
    """FFmpeg's own words on what went wrong, in one line."""
    logged = getattr(error, "log", None)
    words = [
        getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    ]
    if logged and logged[2].strip():
        words.append(logged[2].strip().splitlines()[0])
    return "; ".join(words)
