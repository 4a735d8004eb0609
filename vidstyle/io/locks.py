"""Locks held by the operating system: two programs never write one output at once."""

import errno
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from ..errors import OutputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

log = logging.getLogger(__name__)

LOCKED_ERRNOS = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
"""Errors that mean that another program holds the lock. Others mean that locks are unsupported."""


class OutputLock:
    """An exclusive lock on an output, held from ``acquire`` to ``release``.

    The lock file ``.NAME.lock`` is empty and lies in the output's folder. The operating system
    releases the lock of a program that ends in any way; ``release`` also removes the file. A lock
    file left by a killed program does no harm.

    Args:
        output: the file to write; it need not exist.
        name: of the lock, where several outputs share one; None: the output's.
    """

    def __init__(self, output: Path, name: str | None = None) -> None:
        self._output = output
        self._path = output.with_name(f".{name or output.name}.lock")
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock, or continue with a warning where the file system has no locks.

        Raises:
            OutputError: another program holds it, or the lock file cannot be created.
        """
        while self._file is None:
            file = self._open()
            try:
                lock_file(file)
                if self._is_current(file):
                    self._file = file
                    return
                file.close()  # the holder removed it meanwhile: open a new one
            except OSError as error:
                file.close()
                if error.errno in LOCKED_ERRNOS:
                    remedy = "wait until it ends, or choose another name"
                    raise OutputError(
                        f"{self._output} is being written by another program: {remedy}"
                    ) from None
                self._remove()
                log.warning(
                    "%s: this file system has no locks (%s); do not write it with two programs",
                    self._output,
                    error.strerror,
                )
                return

    def release(self) -> None:
        """Release the lock and remove its file. May be called twice."""
        file, self._file = self._file, None
        if file is None:
            return
        if sys.platform != "win32":  # while held: later the file may be another program's
            self._remove()
        file.close()
        if sys.platform == "win32":  # which does not remove open files
            self._remove()

    def __enter__(self) -> "OutputLock":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _open(self) -> IO[bytes]:
        try:
            return self._path.open("ab")  # leaves an existing file unchanged
        except OSError as error:
            reason = f"{self._output} cannot be written ({error.strerror})"
            raise OutputError(f"{reason}: choose another name or place") from None

    def _is_current(self, file: IO[bytes]) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        return False

    def _remove(self) -> None:
        with suppress(OSError):
            if self._path.stat().st_size == 0:  # ours are empty
                self._path.unlink()


def lock_file(file: IO[bytes]) -> None:
    """Lock an open file without waiting.

    Raises:
        OSError: another program holds the lock, or the file system has no locks.
    """
    if sys.platform == "win32":
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
