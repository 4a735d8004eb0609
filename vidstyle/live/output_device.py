"""Base class of outputs that may be absent or disappear: a virtual camera, a stream, NDI.

A thread opens the device, sends the newest image at a constant rate, and opens the device again
after an error.
"""

import logging
import time
from contextlib import suppress
from threading import Event
from typing import ClassVar, Protocol

import av.error
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..errors import DeviceError
from ..io.color import from_rgb
from ..io.frame import Image, to_8_bits
from ..io.stream_info import ColorInfo
from ..runtime.worker import Worker

log = logging.getLogger(__name__)

DEVICE_ERRORS = (DeviceError, RuntimeError, OSError, ValueError, av.error.FFmpegError)
"""Exceptions of opening and sending where the device is absent or disappears."""

RETRY_SECONDS = 1.0
"""Interval in seconds at which an absent device is tried, and an open one is checked."""

REPEAT_SECONDS = 0.2
"""Interval in seconds at which an output that sends new images at once repeats the last one."""

SENDER_NAME = "vidstyle"
"""Name under which other programs list an output, unless the user names it."""

CLOSE_SECONDS = 2.0
"""Seconds that ``close`` waits for a device that blocks, before it aborts the operation."""


class DeviceConnection(Protocol):
    """An open device."""

    device: str

    def send(self, pixels: NDArray[np.uint8], /) -> None:
        """Send an image: (H * W * 3 / 2) bytes of I420, or (H * W * 4) of RGBA."""

    def close(self) -> None:
        """Release the device."""


class OutputDevice:
    """An ``Output`` that sends the newest image to a device, on a thread of its own.

    Images are scaled to fit, with black borders. ``device`` is the device's name while it is open,
    else None; ``sent`` counts the images sent. Subclasses set ``kind``. By default images are sent
    at the rate; a subclass with ``repeat_seconds`` sends a new image at once, and repeats the last
    one after so many seconds.

    Args:
        size: (width, height) in px, both even; None: the first image's, rounded up to even.
        rate: images per second.
        color: matrix and range of the I420 sent; None: RGBA with an alpha of 255 is sent.

    Raises:
        ValueError: the rate is out of range, or a side is odd.
    """

    kind: ClassVar[str]
    repeat_seconds: ClassVar[float | None] = None

    def __init__(self, size: tuple[int, int] | None, rate: float, color: ColorInfo | None) -> None:
        if not 0 < rate <= 1000:
            message = f"the rate of a {self.kind} is {rate}"
            raise ValueError(f"{message}: it must be above 0, and 1000 at most")
        if size is not None and (min(size) < 2 or size[0] % 2 or size[1] % 2):
            raise ValueError(f"a {self.kind}'s sides must be even, not {size[0]}x{size[1]}")
        self._size, self._rate, self._color = size, rate, color
        self._image: Image | None = None
        self._new_image = Event()
        self.device: str | None = None
        self.sent = 0
        self._last_warning = ""
        self._thread: Worker | None = None

    def _connect(self, size: tuple[int, int]) -> DeviceConnection:
        """Open the device.

        Raises:
            One of ``DEVICE_ERRORS``.
        """
        raise NotImplementedError

    def _is_removed(self, connection: DeviceConnection) -> bool:
        """Whether the device was removed although ``send`` raises no error."""
        return False

    def _abort(self) -> None:
        """End an operation that blocks. Called on another thread than the operation's."""

    def _describe_error(self, error: Exception) -> str:
        """Return the problem and a remedy in one line."""
        return str(error)

    def open(self, session: object) -> None:
        """Start the thread. If the size is known, the first image sent is black."""
        self._thread = Worker(self._run, self.kind.replace(" ", "-"))

    def show(self, image: Image) -> None:
        """Send (H, W, 3 or 4) RGB from now on. Does not block."""
        self._image = image
        self._new_image.set()

    def close(self) -> None:
        """Release the device and end the thread. Further calls have no effect."""
        if self._thread is not None:
            self._thread.stopped.set()
            self._new_image.set()
            self._thread.join(CLOSE_SECONDS)
            if self._thread.is_alive():
                self._abort()
                self._thread.join(CLOSE_SECONDS)

    def _run(self, worker: Worker) -> None:
        """Keep the device connected. An unexpected error ends this output alone, and is logged."""
        try:
            self._keep_connected(worker)
        except Exception:
            log.exception("the session goes on without its %s", self.kind)
            raise

    def _keep_connected(self, worker: Worker) -> None:
        while self._size is None and not worker.stopped.wait(0.01):
            if self._image is not None:
                height, width = self._image.shape[:2]
                self._size = width + width % 2, height + height % 2
        while self._size is not None and not worker.stopped.is_set():
            try:
                connection = self._connect(self._size)
            except DEVICE_ERRORS as error:
                self._warn_once(f"no {self.kind}: {self._describe_error(error)}")
                worker.stopped.wait(RETRY_SECONDS)
                continue
            self.device, self._last_warning = connection.device, ""
            format_text = "{}x{} at {:g} frames per second".format(*self._size, self._rate)
            log.info("%s %s: %s", self.kind, connection.device, format_text)
            try:
                self._send_images(connection, self._size, worker)
            except DEVICE_ERRORS as error:
                reason = self._describe_error(error)
                self._warn_once(f"{self.kind} {connection.device} is gone ({reason}): retrying")
                worker.stopped.wait(RETRY_SECONDS)
            finally:
                self.device = None
                with suppress(*DEVICE_ERRORS):
                    connection.close()

    def _warn_once(self, message: str) -> None:
        """Log a warning, unless it is the same as the last one."""
        if message != self._last_warning:
            log.warning("%s", message)
        self._last_warning = message

    def _send_images(
        self, connection: DeviceConnection, size: tuple[int, int], worker: Worker
    ) -> None:
        """Send the newest image again and again until the worker is stopped.

        Raises:
            One of ``DEVICE_ERRORS``: the device disappeared.
        """
        reformatter = VideoReformatter()
        image: Image | None = None
        pixels = self._to_pixels(np.zeros((size[1], size[0], 3), np.uint8), reformatter)
        due = last_check = time.monotonic()
        while not worker.stopped.is_set():
            self._new_image.clear()
            if self._image is not None and self._image is not image:
                image = self._image
                pixels = self._to_pixels(letterbox(image, size), reformatter)
            connection.send(pixels)
            self.sent += 1
            now = time.monotonic()
            if now - last_check > RETRY_SECONDS:
                last_check = now
                if self._is_removed(connection):
                    raise OSError("it was removed")
            if self.repeat_seconds is not None:
                self._new_image.wait(self.repeat_seconds)
                continue
            due = max(due + 1 / self._rate, now - 1 / self._rate)
            worker.stopped.wait(max(0.0, due - now))

    def _to_pixels(
        self, image: NDArray[np.uint8], reformatter: VideoReformatter
    ) -> NDArray[np.uint8]:
        if self._color is None:
            return cv2.cvtColor(image, cv2.COLOR_RGB2RGBA).reshape(-1).astype(np.uint8, copy=False)
        frame = from_rgb(image, "yuv420p", self._color, reformatter)
        return np.ascontiguousarray(frame.to_ndarray(), np.uint8).reshape(-1)


class SharedOutput(OutputDevice):
    """An output that other programs list by its name. It sends each new image at once, as RGBA.

    Args:
        name: "": ``SENDER_NAME``.
        rate: expected number of frames per second.

    Raises:
        ValueError: the rate is out of range.
    """

    repeat_seconds = REPEAT_SECONDS

    def __init__(self, name: str, rate: float) -> None:
        super().__init__(None, rate, None)
        self._name = name or SENDER_NAME


def letterbox(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale an image to fit into a size, and pad it with black.

    Args:
        image: (H, W, 3 or 4) RGB; alpha is dropped.
        size: (width, height) in px.

    Returns:
        (H, W, 3) uint8 of this size.
    """
    source = to_8_bits(image)[..., :3]
    scale = min(size[0] / source.shape[1], size[1] / source.shape[0])
    width, height = (
        min(limit, max(1, round(side * scale)))
        for limit, side in zip(size, source.shape[1::-1], strict=True)
    )
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(source, (width, height), interpolation=interpolation)
    padded = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    padded[top : top + height, left : left + width] = scaled
    return padded
