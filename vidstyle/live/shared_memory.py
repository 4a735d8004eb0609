"""Shared memory output: the newest frame for other programs on this machine, without a codec.

The script source of OBS reads it. Layout of the file, little-endian: a header (``HEADER``, padded
to ``HEADER_BYTES``), then ``SLOTS`` slots of ``SLOT_BYTES``, each of which is a header
(``SLOT_HEADER``, padded to ``HEADER_BYTES``) and rows of BGRA without padding. Frame N is in slot N
modulo ``SLOTS``.
"""

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

HEADER = struct.Struct("<4sIII")
"""Magic, version, number of slots, number of the newest frame (0: none)."""

NEWEST_OFFSET = 12
"""Offset in bytes of the newest frame's number in the header."""

SLOT_HEADER = struct.Struct("<III")
"""Number of the frame, width and height in px."""

HEADER_BYTES, SLOTS = 64, 3

MAX_SIZE_PX = (1920, 1080)
"""Largest (width, height) of a frame in a slot; larger frames are scaled down."""

SLOT_BYTES = HEADER_BYTES + MAX_SIZE_PX[0] * MAX_SIZE_PX[1] * 4
FILE_BYTES = HEADER_BYTES + SLOTS * SLOT_BYTES

FILE_MODE = 0o600
"""Permissions of the file: only its owner may read the frames."""

REMEDY = "remove it, or go without --obs"


def shared_memory_path() -> Path:
    """Return the path of this user's file: in memory on Linux, a temporary file elsewhere."""
    folder = Path("/dev/shm") if sys.platform.startswith("linux") else Path(tempfile.gettempdir())
    suffix = f"-{os.geteuid()}" if sys.platform != "win32" else ""
    return folder / f"vidstyle-picture{suffix}"


class SharedMemoryOutput:
    """An ``Output`` that keeps the newest frame in shared memory.

    The file remains when vidstyle ends, so that a program that has mapped it sees the frames of the
    next start. A file lock, held until ``close``, admits one writing process at a time; the
    operating system releases the lock of a killed process.

    Args:
        path: None: ``shared_memory_path()``.

    Raises:
        OutputError: the file cannot be created, is accessible to other users, or another process
            writes it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or shared_memory_path()
        try:
            self._file = _open_file(self.path)
            try:
                _check_private(self.path, os.fstat(self._file.fileno()))
                self._lock()
                self._memory = _map_file(self._file.fileno())
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            raise OutputError(f"cannot use {self.path} ({reason}): {REMEDY}") from None
        magic, version, slots, newest = HEADER.unpack_from(self._memory)
        valid = (magic, version, slots) == (MAGIC, VERSION, SLOTS)
        self._number = newest if valid else 0
        HEADER.pack_into(self._memory, 0, MAGIC, VERSION, SLOTS, self._number)

    def _lock(self) -> None:
        try:
            lock_file(self._file)
        except OSError:
            message = "another vidstyle process sends frames to OBS"
            raise OutputError(f"{message}: stop it, or go without --obs") from None

    def open(self, session: object) -> None:
        """Do nothing: the file is open already."""

    def show(self, image: Image) -> None:
        """Write (H, W, 3 or 4) RGB as the newest frame."""
        rgb = to_8_bits(image)
        size = rgb.shape[1], rgb.shape[0]
        if size[0] > MAX_SIZE_PX[0] or size[1] > MAX_SIZE_PX[1]:
            scale = min(limit / side for limit, side in zip(MAX_SIZE_PX, size, strict=True))
            size = fit(size, int(max(size) * scale))
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        number = self._number % 0xFFFFFFFF + 1  # never 0, which stands for no frame
        offset = HEADER_BYTES + number % SLOTS * SLOT_BYTES
        byte_count = size[0] * size[1] * 4
        pixels = np.frombuffer(self._memory, np.uint8, byte_count, offset + HEADER_BYTES)
        bgra = pixels.reshape(size[1], size[0], 4)
        bgra[..., 3] = 255
        bgra[..., :3] = rgb[..., 2::-1]
        SLOT_HEADER.pack_into(self._memory, offset, number, *size)
        struct.pack_into("<I", self._memory, NEWEST_OFFSET, number)
        self._number = number

    def close(self) -> None:
        """Mark that there is no frame, and release the lock. Further calls have no effect."""
        if not self._memory.closed:
            struct.pack_into("<I", self._memory, NEWEST_OFFSET, 0)
            with contextlib.suppress(BufferError):  # an array still refers to the memory
                self._memory.close()
        self._file.close()


def _open_file(path: Path) -> BinaryIO:
    """Open or create the file, but never follow a symbolic link."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, FILE_MODE), "r+b", buffering=0)


def _check_private(path: Path, status: os.stat_result) -> None:
    """Check that only this user can access the file, and only by this name.

    Windows needs no check: its temporary folder belongs to the user.

    Raises:
        OutputError: another user may access the file.
    """
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(f"{path} is not a regular file: {REMEDY}")
    if sys.platform == "win32":
        return
    if status.st_uid != os.geteuid():
        message = f"{path} belongs to another user"
        raise OutputError(f"{message}: have its owner or root remove it, or go without --obs")
    if stat.S_IMODE(status.st_mode) != FILE_MODE or status.st_nlink != 1:
        raise OutputError(f"{path} is accessible to other users, or has another name: {REMEDY}")


def _map_file(descriptor: int) -> mmap.mmap:
    """Map the file into memory.

    The storage is reserved first, since writing to unreserved memory of a full file system would
    end the process (SIGBUS).
    """
    if os.fstat(descriptor).st_size != FILE_BYTES:
        os.ftruncate(descriptor, FILE_BYTES)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, FILE_BYTES)
    return mmap.mmap(descriptor, FILE_BYTES)
