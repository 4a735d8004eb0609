"""Virtual camera output: the frames as a webcam for other programs.

The only module that imports pyvirtualcam (GPL-2).
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..io.color import from_i420
from ..io.stream_info import BT601, BT709, LIMITED, ColorInfo
from .output_device import DeviceConnection, OutputDevice
from .v4l2loopback import loopback_devices, remedy

SIZE, RATE = (1280, 720), 30
"""Default (width, height) in px, and frames per second."""

MATRICES = {"601": BT601, "709": BT709}
"""YUV matrices: video call programs assume BT.601 of a webcam, OBS assumes BT.709."""

OpenDevice = Callable[[str | None, tuple[int, int], float], DeviceConnection]
"""Opens a virtual camera, given (device, (width, height), rate)."""


class VirtualCamera(OutputDevice):
    """Keeps a virtual camera open and sends at a constant rate, black before the first frame.

    Args:
        device: a path on Linux, a name elsewhere; None: the first device found.
        size: (width, height) in px, both even: odd sides crash some programs.
        rate: frames per second.
        matrix: YUV matrix, ``601`` or ``709``.
        open_device: opens the device; None: ``select_backend()``.

    Raises:
        ValueError: an odd side, an unknown matrix, or the rate is out of range.
        DeviceError: a package is missing.
    """

    kind = "virtual camera"

    def __init__(
        self,
        device: str | None = None,
        size: tuple[int, int] = SIZE,
        rate: float = RATE,
        matrix: str = "601",
        open_device: OpenDevice | None = None,
    ) -> None:
        if matrix not in MATRICES:
            raise ValueError(f"{matrix!r} is not a valid matrix: use one of {', '.join(MATRICES)}")
        super().__init__(size, rate, ColorInfo(MATRICES[matrix], LIMITED))
        self._requested_device = device
        self._open_device = open_device or select_backend()
        self._file_identity: tuple[int, int] | None = None

    def _connect(self, size: tuple[int, int]) -> DeviceConnection:
        connection = self._open_device(self._requested_device, size, self._rate)
        self._file_identity = file_identity(connection.device)
        return connection

    def _is_removed(self, connection: DeviceConnection) -> bool:
        """Whether the device's file was removed or replaced: pyvirtualcam raises no error then."""
        return file_identity(connection.device) != self._file_identity

    def _describe_error(self, error: Exception) -> str:
        return describe_error(error)


def file_identity(device: str) -> tuple[int, int] | None:
    """Return inode and device number, which differ after a replacement; None without a file."""
    with suppress(OSError):
        status = Path(device).stat()
        return status.st_ino, status.st_rdev
    return None


def describe_error(error: Exception) -> str:
    """Return what went wrong and a remedy, in one line."""
    message = " ".join(str(error).split())
    if isinstance(error, DeviceError):
        return message
    if "No v4l2 loopback device found" in message:
        return remedy(message)
    return f"{message}; {remedy(message)}"


def select_backend() -> OpenDevice:
    """Return what opens virtual cameras: pyvirtualcam if it is installed, else FFmpeg on Linux.

    Raises:
        DeviceError: neither is available.
    """
    try:
        import pyvirtualcam  # noqa: F401 (whether it is installed)

        return PyVirtualCamConnection
    except ImportError:
        if sys.platform.startswith("linux"):
            return FFmpegConnection
        message = "a virtual camera needs pyvirtualcam on this system"
        raise DeviceError(f"{message}: pip install 'vidstyle[virtualcam]'") from None


class PyVirtualCamConnection:
    """A virtual camera through pyvirtualcam, on Linux, Windows and macOS."""

    def __init__(
        self, device: str | None, size: tuple[int, int], rate: float, backend: str | None = None
    ) -> None:
        import pyvirtualcam

        width, height = size
        pixel_format = pyvirtualcam.PixelFormat.I420
        self._camera: Any = pyvirtualcam.Camera(
            width, height, rate, fmt=pixel_format, device=device, backend=backend
        )
        self.device: str = self._camera.device

    def send(self, i420: NDArray[np.uint8]) -> None:
        """Send an image: (H * W * 3 / 2) bytes of I420."""
        self._camera.send(i420)

    def close(self) -> None:
        """Release the device."""
        self._camera.close()


class FFmpegConnection:
    """A v4l2loopback device through FFmpeg's v4l2 muxer. Linux only."""

    def __init__(self, device: str | None, size: tuple[int, int], rate: float) -> None:
        found = device or next(iter(loopback_devices()), None)
        if found is None:
            raise DeviceError(remedy("no device"))
        self.device, self._size, self._frame_number = found, size, 0
        self._output: Any = av.open(found, "w", format="v4l2")
        try:
            fraction = Fraction(rate).limit_denominator(1001)
            self._stream: Any = self._output.add_stream("rawvideo", rate=fraction)
            self._stream.width, self._stream.height = size
            self._stream.pix_fmt = "yuv420p"
            self._output.start_encoding()
        except BaseException:
            self._output.close()
            raise

    def send(self, i420: NDArray[np.uint8]) -> None:
        """Send an image: (H * W * 3 / 2) bytes of I420."""
        frame = from_i420(i420, self._size)
        frame.pts = self._frame_number
        self._frame_number += 1
        self._output.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Release the device."""
        self._output.close()
