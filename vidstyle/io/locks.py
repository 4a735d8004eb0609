"""Locks that the operating system holds, so that two programs never write one output at the same time."""

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

HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
"""What the systems answer where another program holds the lock. Any other error means that there are no locks here."""


class OutputLock:
    """An exclusive lock on an output, held from ``acquire`` to ``release``.

    The lock file is empty and lies beside the output as ``.NAME.lock``. The operating system releases the lock of a program
    that ends, however it ends; ``release`` removes the file as well. A file that a killed program left is no obstacle.

    Args:
        output: what is written; the file need not exist.
        name: what the lock is called, where several outputs share one; None: as the output.
    """

    def __init__(self, output: Path, name: str | None = None) -> None:
        self._output = output
        self._path = output.with_name(f".{name or output.name}.lock")
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock, or go on with a warning where the file system has none.

        Raises:
            OutputError: another program holds it, or the lock file cannot be made.
        """
        while self._file is None:
            file = self._open()
            try:
                lock_file(file)
                if self._is_current(file):
                    self._file = file
                    return
                file.close()  # its holder removed it after we opened it: the next one is made anew
            except OSError as error:
                file.close()
                if error.errno in HELD_BY_ANOTHER:
                    remedy = "wait until it ends, or choose another name"
                    raise OutputError(
                        f"{self._output} is being written by another program: {remedy}"
                    ) from None
                self._remove()
                log.warning(
                    "%s: no locks here (%s); do not write it with two programs at once",
                    self._output,
                    error.strerror,
                )
                return

    def release(self) -> None:
        """Give the lock back and remove its file. Calling it twice does no harm."""
        file, self._file = self._file, None
        if file is None:
            return
        if (
            sys.platform != "win32"
        ):  # while it is held: afterwards the file may be another program's
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
            return self._path.open("ab")  # which changes nothing in a file of the user's
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
