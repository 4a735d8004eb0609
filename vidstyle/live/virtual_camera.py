"""A virtual camera: what is shown, as a webcam for other programs. The only module that imports pyvirtualcam (GPL-2)."""

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
MATRICES = {"601": BT601, "709": BT709}
"""What programs for calls take a webcam's colours for, and what OBS does."""


class VirtualCamera(OutputDevice):
    """Holds a virtual camera open, and its rate, black before the first picture.

    Args:
        device: a path on Linux, a name elsewhere; None: the first there is.
        size: (width, height) in px, both even: others crash programs that look on.
        rate: frames per second.
        matrix: of the YUV that is sent, ``601`` or ``709``.
        opened: what opens it, given (device, size, rate); for tests.

    Raises:
        ValueError: an odd size, no such matrix, no rate.
        DeviceError: what is needed for it cannot be installed while this runs.
    """

    what = "virtual camera"

    def __init__(
        self,
        device: str | None = None,
        size: tuple[int, int] = SIZE,
        rate: float = RATE,
        matrix: str = "601",
        opened: Callable[[str | None, tuple[int, int], float], DeviceConnection] | None = None,
    ) -> None:
        if matrix not in MATRICES:
            raise ValueError(f"matrix is {matrix}: choose one of {', '.join(MATRICES)}")
        super().__init__(size, rate, ColorInfo(MATRICES[matrix], LIMITED))
        self._wanted = device
        self._opened = opened or way_in()
        self._identity: tuple[int, int] | None = None

    def _open(self, size: tuple[int, int]) -> DeviceConnection:
        feed = self._opened(self._wanted, size, self._rate)
        self._identity = identity(feed.device)
        return feed

    def _is_gone(self, feed: DeviceConnection) -> bool:
        """pyvirtualcam goes on writing to what is no more."""
        return identity(feed.device) != self._identity

    def _reason(self, error: Exception) -> str:
        return reason_of(error)


def identity(device: str) -> tuple[int, int] | None:
    """What tells a device from another that took its place; None where it has no file, or none any more."""
    with suppress(OSError):
        status = Path(device).stat()
        return status.st_ino, status.st_rdev
    return None


def reason_of(error: Exception) -> str:
    """What went wrong, in one line, with the remedy for it."""
    said = " ".join(str(error).split())
    if isinstance(error, DeviceError):
        return said
    return remedy(said) if "No v4l2 loopback device found" in said else f"{said}; {remedy(said)}"


def way_in() -> Callable[[str | None, tuple[int, int], float], DeviceConnection]:
    """What opens virtual cameras here: pyvirtualcam where it is installed, else FFmpeg on Linux.

    Raises:
        DeviceError: there is neither.
    """
    try:
        import pyvirtualcam  # noqa: F401 (whether it is there)

        return PyVirtualCam
    except ImportError:
        if sys.platform.startswith("linux"):
            return Loopback
        raise DeviceError(
            "a virtual camera needs pyvirtualcam here: pip install 'vidstyle[virtualcam]'"
        ) from None


class PyVirtualCam:
    """Through pyvirtualcam, on Linux, Windows and macOS."""

    def __init__(
        self, device: str | None, size: tuple[int, int], rate: float, backend: str | None = None
    ) -> None:
        import pyvirtualcam

        width, height = size
        form = pyvirtualcam.PixelFormat.I420
        self._camera: Any = pyvirtualcam.Camera(
            width, height, rate, fmt=form, device=device, backend=backend
        )
        self.device: str = self._camera.device

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture."""
        self._camera.send(picture)

    def close(self) -> None:
        """Let it go."""
        self._camera.close()


class Loopback:
    """Straight to a v4l2loopback device, through FFmpeg. Linux."""

    def __init__(self, device: str | None, size: tuple[int, int], rate: float) -> None:
        found = device or next(iter(loopback_devices()), None)
        if found is None:
            raise DeviceError(remedy("no device"))
        self.device, self._size, self._number = found, size, 0
        self._output: Any = av.open(found, "w", format="v4l2")
        try:
            self._stream: Any = self._output.add_stream(
                "rawvideo", rate=Fraction(rate).limit_denominator(1001)
            )
            self._stream.width, self._stream.height = size
            self._stream.pix_fmt = "yuv420p"
            self._output.start_encoding()
        except BaseException:
            self._output.close()
            raise

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture."""
        frame = from_i420(picture, self._size)
        frame.pts = self._number
        self._number += 1
        self._output.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Let it go."""
        self._output.close()
