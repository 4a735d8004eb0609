"""A camera at an address, read by a process of its own: ``python -m vidstyle.live.network_camera`` < address.

A camera that does not answer keeps whoever reads it waiting inside FFmpeg. A process can be killed then, a thread cannot.
The process takes the address on standard input, where no list of processes shows the password in it, and writes pictures
on standard output: width and height as two 32-bit numbers, then (H, W, 3) uint8 in BGR. It ends when the camera does.
"""

import os
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

OPEN_SECONDS, READ_SECONDS = 10.0, 10.0
"""How long a camera may take to be opened, and to give its next picture."""

HEADER = struct.Struct("<2I")
"""Width and height in px."""


class NetworkCamera:
    """A camera at an address, with the methods of ``cv2.VideoCapture`` that are used here.

    Args:
        address: such as rtsp://..., http://... or udp://...
    """

    def __init__(self, address: str) -> None:
        command = [sys.executable, "-m", "vidstyle.live.network_camera"]
        quiet = {**os.environ, "OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "SILENT"}
        pipes: Any = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.DEVNULL,
        }
        self._process: Any = subprocess.Popen(command, env=quiet, **pipes)
        self._tell(address)

    def _tell(self, address: str) -> None:
        with suppress(OSError):  # the process is gone already
            self._process.stdin.write(address.encode() + b"\n")
            self._process.stdin.close()

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        """Whether its process still runs."""
        return self._process.poll() is None

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """The next picture, (H, W, 3) uint8 in BGR. Waits for it; ``kill`` ends the wait."""
        header = self._process.stdout.read(HEADER.size)
        if len(header) < HEADER.size:
            return False, None
        width, height = HEADER.unpack(header)
        image = np.empty((height, width, 3), np.uint8)
        if self._process.stdout.readinto(image.data.cast("B")) < image.nbytes:
            return False, None
        return True, image

    def set(self, setting: int, value: float) -> bool:
        """An address gives what it gives."""
        return False

    def get(self, setting: int) -> float:
        """Nothing is known beforehand."""
        return 0.0

    def kill(self) -> None:
        """End the process at once; may be called on any thread."""
        self._process.kill()

    def release(self) -> None:
        """End the process. Only on the thread that reads. Calling it twice does no harm."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def send_pictures(address: str, output: IO[bytes]) -> None:
    """Write a camera's pictures until it gives no more.

    Raises:
        OSError: nobody reads them.
    """
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1000 * OPEN_SECONDS)]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * READ_SECONDS)]
    device = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    while True:
        read, image = device.read()
        if not read:
            return
        output.write(HEADER.pack(*image.shape[1::-1]))
        output.write(np.ascontiguousarray(image).data)
        output.flush()


def main() -> None:
    """Run the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started the process ends it
    with suppress(OSError):
        send_pictures(sys.stdin.readline().rstrip("\n"), sys.stdout.buffer)
    os._exit(0)  # FFmpeg may take long to close a connection that does not answer


if __name__ == "__main__":
    main()
