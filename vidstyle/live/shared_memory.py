"""The picture in memory that other programs on this machine share: no codec, no delay. Read by OBS's script source."""

import contextlib
import errno
import mmap
import os
import stat
import struct
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ..errors import OutputError
from ..io.frame import Image, fit, to_8_bits
from ..io.locks import lock_file

MAGIC, VERSION = b"VST1", 1
HEADER, SLOT_HEADER = struct.Struct("<4sIII"), struct.Struct("<III")
"""Of the file: magic, version, how many slots, number of the newest picture (0: none). Of a slot: number of its picture, width,
height. Each takes ``HEAD_BYTES``; in a slot rows of BGRA follow, without gaps. Picture N lies in slot N modulo their number."""

HEAD_BYTES, SLOTS = 64, 3
MOST_PX = (1920, 1080)
"""(width, height) that a slot has room for; larger pictures are made smaller."""

SLOT_BYTES = HEAD_BYTES + MOST_PX[0] * MOST_PX[1] * 4
FILE_BYTES = HEAD_BYTES + SLOTS * SLOT_BYTES

PRIVATE = 0o600
"""Mode of the file: nobody else may look at the picture."""


def shared_file() -> Path:
    """Where it is: in memory on Linux, among the temporary files elsewhere. Each user has a file of his own."""
    folder = Path("/dev/shm") if sys.platform.startswith("linux") else Path(tempfile.gettempdir())
    return folder / (
        f"vidstyle-picture-{os.geteuid()}" if sys.platform != "win32" else "vidstyle-picture"
    )


class SharedMemoryOutput:
    """Keeps the newest picture in shared memory. A ``Output`` of a live session.

    The file stays the same when vidstyle is started again, so that whoever has it open sees the next picture at once. One
    process at a time writes into it: it is locked until ``close``, by the operating system, so that a killed process
    leaves no lock behind.

    Raises:
        OutputError: the file cannot be made, is not this user's alone, or another process writes into it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or shared_file()
        try:
            self._file = _opened(self.path)
            try:
                _check_private(self.path, os.fstat(self._file.fileno()))
                self._lock()
                self._memory = _mapped(self._file.fileno())
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            raise OutputError(
                f"cannot use {self.path} ({reason}): remove it, or go without --obs"
            ) from None
        magic, version, slots, newest = HEADER.unpack_from(self._memory)
        same = (magic, version, slots) == (MAGIC, VERSION, SLOTS)
        self._number = newest if same else 0
        HEADER.pack_into(self._memory, 0, MAGIC, VERSION, SLOTS, self._number)

    def _lock(self) -> None:
        try:
            lock_file(self._file)
        except OSError:
            raise OutputError(
                "another vidstyle gives its picture to OBS: stop it, or go without --obs"
            ) from None

    def open(self, session: object) -> None:
        """Nothing is to be done for it."""

    def show(self, image: Image) -> None:
        """Share (H, W, 3 or 4) RGB."""
        picture = to_8_bits(image)
        size = picture.shape[1], picture.shape[0]
        if size[0] > MOST_PX[0] or size[1] > MOST_PX[1]:
            scale = min(most / side for most, side in zip(MOST_PX, size, strict=True))
            size = fit(size, int(max(size) * scale))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        number = self._number % 0xFFFFFFFF + 1  # never 0
        place = HEAD_BYTES + number % SLOTS * SLOT_BYTES
        bgra = np.frombuffer(
            self._memory, np.uint8, size[0] * size[1] * 4, place + HEAD_BYTES
        ).reshape(size[1], size[0], 4)
        bgra[..., 3] = 255
        bgra[..., :3] = picture[..., 2::-1]
        SLOT_HEADER.pack_into(self._memory, place, number, *size)
        struct.pack_into("<I", self._memory, 12, number)
        self._number = number

    def close(self) -> None:
        """Say that there is no picture any more. Calling it twice does no harm."""
        if not self._memory.closed:
            struct.pack_into("<I", self._memory, 12, 0)
            with contextlib.suppress(BufferError):  # a view of it is still about
                self._memory.close()
        self._file.close()


def _opened(path: Path) -> BinaryIO:
    """Open or make the file, never through a symbolic link."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, PRIVATE), "r+b", buffering=0)


def _check_private(path: Path, status: os.stat_result) -> None:
    """Refuse a file that another user owns, or may read, write, or reach by another name. Windows has a folder for each user.

    Raises:
        OutputError: it is refused.
    """
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(f"{path} is not an ordinary file: remove it, or go without --obs")
    if sys.platform == "win32":
        return
    if status.st_uid != os.geteuid():
        raise OutputError(
            f"{path} belongs to another user: have its owner or root remove it, or go without --obs"
        )
    if stat.S_IMODE(status.st_mode) != PRIVATE or status.st_nlink != 1:
        raise OutputError(
            f"{path} is open to other users, or has another name: remove it, or go without --obs"
        )


def _mapped(handle: int) -> mmap.mmap:
    """The file in memory. Its room is reserved first: writing to memory that cannot be had would end the process."""
    if os.fstat(handle).st_size != FILE_BYTES:
        os.ftruncate(handle, FILE_BYTES)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, FILE_BYTES)
    return mmap.mmap(handle, FILE_BYTES)
