"""A virtual camera: what is shown, as a webcam for other programs. The only module that imports pyvirtualcam (GPL-2)."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..errors import DeviceError
from ..media.color import from_rgb
from ..media.format import BT601, BT709, LIMITED, Color
from ..media.frame import Image, to_8_bits
from ..stage import Stage
from .loopback import loopback_devices, remedy

log = logging.getLogger(__name__)

SIZE, RATE = (1280, 720), 30
MATRICES = {"601": BT601, "709": BT709}
"""What programs for calls take a webcam's colours for, and what OBS does."""

AGAIN_SECONDS = 1.0
"""How often a device that is not there is looked for, and one that is there whether it still is."""


class Feed(Protocol):
    """An open virtual camera."""

    device: str

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture, (H * W * 3 / 2) bytes of I420."""

    def close(self) -> None:
        """Let it go."""


class VirtualCamera:
    """Holds a virtual camera open, and its rate: the newest picture is repeated until there is another.

    A ``Screen`` of a live session. A device that is not there, or goes, is waited for; the show goes on meanwhile. ``device`` is
    where it is, None while it is not; ``sent`` is how many pictures went there.

    Args:
        device: a path on Linux, a name elsewhere; None: the first there is.
        size: (width, height) in px, both even: others crash programs that look on. Pictures are scaled to fit, on black.
        rate: frames per second.
        matrix: of the YUV that is sent, ``601`` or ``709``.
        opened: what opens it, given (device, size, rate); for tests.

    Raises:
        ValueError: an odd size, no such matrix, no rate.
        DeviceError: what is needed for it cannot be installed while this runs.
    """

    def __init__(
        self,
        device: str | None = None,
        size: tuple[int, int] = SIZE,
        rate: float = RATE,
        matrix: str = "601",
        opened: Callable[[str | None, tuple[int, int], float], Feed] | None = None,
    ) -> None:
        if matrix not in MATRICES:
            raise ValueError(f"matrix is {matrix}: choose one of {', '.join(MATRICES)}")
        if min(size) < 2 or size[0] % 2 or size[1] % 2:
            raise ValueError(f"a virtual camera's sides must be even, not {size[0]}x{size[1]}")
        if not 0 < rate <= 1000:
            raise ValueError(f"a virtual camera's rate is {rate}: it must be above 0, and 1000 at most")
        self._wanted, self._size, self._rate = device, size, rate
        self._color = Color(MATRICES[matrix], LIMITED)
        self._opened = opened or way_in()
        self._image: Image | None = None
        self.device: str | None = None
        self.sent = 0
        self._said = ""
        self._thread: Stage | None = None

    def open(self, session: object) -> None:
        """Begin to send, black at first."""
        self._thread = Stage(self._keep_open, "virtual-camera")

    def show(self, image: Image) -> None:
        """Show (H, W, 3 or 4) RGB from now on. Does not wait."""
        self._image = image

    def close(self) -> None:
        """Let the camera go. Calling it twice does no harm."""
        if self._thread is not None:
            self._thread.stopped.set()
            self._thread.join()

    def _keep_open(self, stage: Stage) -> None:
        while not stage.stopped.is_set():
            try:
                feed = self._opened(self._wanted, self._size, self._rate)
            except (DeviceError, RuntimeError, OSError, ValueError, av.error.FFmpegError) as error:
                self._say(f"no virtual camera: {reason_of(error)}")
                stage.stopped.wait(AGAIN_SECONDS)
                continue
            self.device, self._said = feed.device, ""
            log.info("virtual camera %s: %dx%d at %g frames per second", feed.device, *self._size, self._rate)
            try:
                self._feed(feed, stage)
            except (RuntimeError, OSError, av.error.FFmpegError) as error:
                self._say(f"virtual camera {feed.device} is gone ({reason_of(error)}): waiting for it")
            finally:
                self.device = None
                with suppress(RuntimeError, OSError, av.error.FFmpegError):
                    feed.close()

    def _say(self, words: str) -> None:
        if words != self._said:  # once, not every second
            log.warning("%s", words)
        self._said = words

    def _feed(self, feed: Feed, stage: Stage) -> None:
        """Send the newest picture again and again, at the rate.

        Raises:
            OSError, RuntimeError: the device is gone.
        """
        reformatter = VideoReformatter()
        image: Image | None = None
        data = self._packed(np.zeros((self._size[1], self._size[0], 3), np.uint8), reformatter)
        is_there = identity(feed.device)
        due = looked = time.monotonic()
        while not stage.stopped.is_set():
            if self._image is not None and self._image is not image:
                image = self._image
                data = self._packed(fitted(image, self._size), reformatter)
            feed.send(data)
            self.sent += 1
            now = time.monotonic()
            if now - looked > AGAIN_SECONDS:  # pyvirtualcam goes on writing to what is no more
                looked = now
                if identity(feed.device) != is_there:
                    raise OSError("its device was removed")
            due = max(due + 1 / self._rate, now - 1 / self._rate)
            stage.stopped.wait(max(0.0, due - now))

    def _packed(self, image: NDArray[np.uint8], reformatter: VideoReformatter) -> NDArray[np.uint8]:
        return np.ascontiguousarray(from_rgb(image, "yuv420p", self._color, reformatter).to_ndarray(), np.uint8).reshape(-1)


def fitted(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of ``size``: the picture as large as it fits, in its own shape, on black."""
    source = to_8_bits(image)[..., :3]
    scale = min(size[0] / source.shape[1], size[1] / source.shape[0])
    width, height = (min(whole, max(1, round(side * scale))) for whole, side in zip(size, source.shape[1::-1], strict=True))
    scaled = cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    canvas[top : top + height, left : left + width] = scaled
    return canvas


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


def way_in() -> Callable[[str | None, tuple[int, int], float], Feed]:
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
        raise DeviceError("a virtual camera needs pyvirtualcam here: pip install 'vidstyle[virtualcam]'") from None


class PyVirtualCam:
    """Through pyvirtualcam, on Linux, Windows and macOS."""

    def __init__(self, device: str | None, size: tuple[int, int], rate: float, backend: str | None = None) -> None:
        import pyvirtualcam

        width, height = size
        form = pyvirtualcam.PixelFormat.I420
        self._camera: Any = pyvirtualcam.Camera(width, height, rate, fmt=form, device=device, backend=backend)
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
            self._stream: Any = self._output.add_stream("rawvideo", rate=Fraction(rate).limit_denominator(1001))
            self._stream.width, self._stream.height = size
            self._stream.pix_fmt = "yuv420p"
            self._output.start_encoding()
        except BaseException:
            self._output.close()
            raise

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture."""
        width, height = self._size
        frame = av.VideoFrame.from_ndarray(picture.reshape(height * 3 // 2, width), format="yuv420p")
        frame.pts = self._number
        self._number += 1
        self._output.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Let it go."""
        self._output.close()
