"""The picture in memory that other programs on this machine share: no codec, no delay. Read by OBS's script source."""

import contextlib
import mmap
import os
import struct
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from ..errors import OutputError
from ..media.frame import Image, fit, to_8_bits

MAGIC, VERSION = b"VST1", 1
HEADER, SLOT_HEADER = struct.Struct("<4sIII"), struct.Struct("<III")
"""Of the file: magic, version, how many slots, number of the newest picture (0: none). Of a slot: number of its picture, width,
height. Each takes ``HEAD_BYTES``; in a slot rows of BGRA follow, without gaps. Picture N lies in slot N modulo their number."""

HEAD_BYTES, SLOTS = 64, 3
MOST_PX = (1920, 1080)
"""(width, height) that a slot has room for; larger pictures are made smaller."""

SLOT_BYTES = HEAD_BYTES + MOST_PX[0] * MOST_PX[1] * 4
FILE_BYTES = HEAD_BYTES + SLOTS * SLOT_BYTES


def shared_file() -> Path:
    """Where it is: in memory on Linux, among the temporary files elsewhere."""
    memory = Path("/dev/shm")
    folder = memory if sys.platform.startswith("linux") and os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    return folder / "vidstyle-picture"


class SharedPicture:
    """Keeps the newest picture in shared memory. A ``Screen`` of a live session.

    The file stays the same when vidstyle is started again, so that whoever has it open sees the next picture at once.

    Raises:
        OutputError: the file cannot be made.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or shared_file()
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o600)
            try:
                if os.fstat(handle).st_size != FILE_BYTES:
                    os.ftruncate(handle, FILE_BYTES)
                self._memory = mmap.mmap(handle, FILE_BYTES)
            finally:
                os.close(handle)
        except OSError as error:
            raise OutputError(f"cannot make {self.path} ({error.strerror}): remove it, or go without --obs") from None
        magic, version, slots, newest = HEADER.unpack_from(self._memory)
        same = (magic, version, slots) == (MAGIC, VERSION, SLOTS)
        self._number = newest if same else 0
        HEADER.pack_into(self._memory, 0, MAGIC, VERSION, SLOTS, self._number)

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
        bgra = np.frombuffer(self._memory, np.uint8, size[0] * size[1] * 4, place + HEAD_BYTES).reshape(size[1], size[0], 4)
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
