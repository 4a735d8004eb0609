"""A camera at an address, read by a process: ``python -m vidstyle.live.network_camera`` < address.

FFmpeg blocks while a camera does not answer. A process can be killed then, a thread cannot. The
process reads the address from standard input, since the command line would show its password in the
list of processes. It writes images to standard output: width and height as two 32-bit integers,
then (H, W, 3) uint8 BGR. It ends when the camera does.
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

from ..runtime.own_process import module_command, module_environment

OPEN_SECONDS, READ_SECONDS = 10.0, 10.0
"""Time limits in seconds for opening a camera, and for its next image."""

HEADER = struct.Struct("<2I")
"""Width and height in px."""


class NetworkCamera:
    """A camera at an address, with the methods of ``cv2.VideoCapture`` that ``Capture`` uses.

    Args:
        address: such as rtsp://..., http://... or udp://...
    """

    def __init__(self, address: str) -> None:
        command = module_command("vidstyle.live.network_camera")
        quiet = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "SILENT"}
        pipes: Any = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.DEVNULL,
        }
        self._process: Any = subprocess.Popen(command, env=module_environment() | quiet, **pipes)
        self._send_address(address)

    def _send_address(self, address: str) -> None:
        with suppress(OSError):  # the process has ended already, which `read` reports
            self._process.stdin.write(address.encode() + b"\n")
            self._process.stdin.close()

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        """Whether the process is running."""
        return self._process.poll() is None

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """Wait for the next image and return (True, (H, W, 3) uint8 BGR), or (False, None).

        ``kill``, on another thread, ends the wait.
        """
        header = self._process.stdout.read(HEADER.size)
        if len(header) < HEADER.size:
            return False, None
        width, height = HEADER.unpack(header)
        image = np.empty((height, width, 3), np.uint8)
        if self._process.stdout.readinto(image.data.cast("B")) < image.nbytes:
            return False, None
        return True, image

    def set(self, setting: int, value: float) -> bool:
        """Return False: a camera at an address has no settings."""
        return False

    def get(self, setting: int) -> float:
        """Return 0: size and rate are unknown before the first image."""
        return 0.0

    def kill(self) -> None:
        """Kill the process. Thread-safe."""
        self._process.kill()

    def release(self) -> None:
        """Kill the process, on the thread that reads. Further calls have no effect."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def write_images(address: str, output: IO[bytes]) -> None:
    """Write a camera's images until it gives no more.

    Raises:
        OSError: the output was closed.
    """
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1000 * OPEN_SECONDS)]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * READ_SECONDS)]
    device = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    while True:
        success, image = device.read()
        if not success:
            return
        output.write(HEADER.pack(*image.shape[1::-1]))
        output.write(np.ascontiguousarray(image).data)
        output.flush()


def main() -> None:
    """Run the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends this one
    with suppress(OSError):
        write_images(sys.stdin.readline().rstrip("\n"), sys.stdout.buffer)
    os._exit(0)  # FFmpeg may block while it closes a connection that does not answer


if __name__ == "__main__":
    main()
