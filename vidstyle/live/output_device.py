"""What is shown, sent on to something that may not be there yet, or go: a virtual camera, a stream."""

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

FAILURES = (DeviceError, RuntimeError, OSError, ValueError, av.error.FFmpegError)
"""What opening and sending raise where the other side is not there, or goes."""

AGAIN_SECONDS = 1.0
"""How often what is not there is tried again, and what is there looked at whether it still is."""

GOODBYE_SECONDS = 2.0
"""How long a feed that does not answer is waited for at the end, before it is aborted."""


class DeviceConnection(Protocol):
    """What takes pictures, open."""

    device: str

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture, (H * W * 3 / 2) bytes of I420."""

    def close(self) -> None:
        """Let it go."""


class OutputDevice:
    """Holds a ``DeviceConnection`` open: the newest picture is repeated until there is another.

    A ``Output`` of a live session. What is not there, or goes, is waited for; the show goes on meanwhile. ``device`` is where it
    is, None while it is not; ``sent`` is how many pictures went there. Pictures go out at the rate; where ``still_seconds`` says
    so, at once when they are new, and the last again after so long.

    Args:
        size: (width, height) in px, both even. Pictures are scaled to fit, on black. None: of the first picture, before which
            nothing is opened.
        rate: frames per second.
        color: of the YUV that is sent.
    """

    what: ClassVar[str] = "feed"
    still_seconds: ClassVar[float | None] = None

    def __init__(self, size: tuple[int, int] | None, rate: float, color: ColorInfo) -> None:
        if not 0 < rate <= 1000:
            raise ValueError(
                f"the rate of a {self.what} is {rate}: it must be above 0, and 1000 at most"
            )
        if size is not None and (min(size) < 2 or size[0] % 2 or size[1] % 2):
            raise ValueError(f"a {self.what}'s sides must be even, not {size[0]}x{size[1]}")
        self._size, self._rate, self._color = size, rate, color
        self._image: Image | None = None
        self._arrived = Event()
        self.device: str | None = None
        self.sent = 0
        self._said = ""
        self._thread: Worker | None = None

    def _open(self, size: tuple[int, int]) -> DeviceConnection:
        """Open it.

        Raises:
            One of ``FAILURES``.
        """
        raise NotImplementedError

    def _is_gone(self, feed: DeviceConnection) -> bool:
        """Whether what is open has gone without a word."""
        return False

    def _abort(self) -> None:
        """End whatever opening or sending waits for."""

    def _reason(self, error: Exception) -> str:
        """What went wrong, in one line, with the remedy for it."""
        return str(error)

    def open(self, session: object) -> None:
        """Begin to send, black at first where the size is known."""
        self._thread = Worker(self._keep_open, self.what.replace(" ", "-"))

    def show(self, image: Image) -> None:
        """Show (H, W, 3 or 4) RGB from now on. Does not wait."""
        self._image = image
        self._arrived.set()

    def close(self) -> None:
        """Let it go. Calling it twice does no harm."""
        if self._thread is not None:
            self._thread.stopped.set()
            self._arrived.set()
            self._thread.join(GOODBYE_SECONDS)
            if self._thread.is_alive():
                self._abort()
                self._thread.join(GOODBYE_SECONDS)

    def _keep_open(self, stage: Worker) -> None:
        while self._size is None and not stage.stopped.wait(0.01):
            if self._image is not None:
                height, width = self._image.shape[:2]
                self._size = width + width % 2, height + height % 2
        while self._size is not None and not stage.stopped.is_set():
            try:
                feed = self._open(self._size)
            except FAILURES as error:
                self._say(f"no {self.what}: {self._reason(error)}")
                stage.stopped.wait(AGAIN_SECONDS)
                continue
            self.device, self._said = feed.device, ""
            log.info(
                "%s %s: %dx%d at %g frames per second",
                self.what,
                feed.device,
                *self._size,
                self._rate,
            )
            try:
                self._feed(feed, self._size, stage)
            except FAILURES as error:
                self._say(
                    f"{self.what} {feed.device} is gone ({self._reason(error)}): waiting for it"
                )
                stage.stopped.wait(AGAIN_SECONDS)
            finally:
                self.device = None
                with suppress(*FAILURES):
                    feed.close()

    def _say(self, words: str) -> None:
        if words != self._said:  # once, not every second
            log.warning("%s", words)
        self._said = words

    def _feed(self, feed: DeviceConnection, size: tuple[int, int], stage: Worker) -> None:
        """Send the newest picture again and again.

        Raises:
            One of ``FAILURES``: it is gone.
        """
        reformatter = VideoReformatter()
        image: Image | None = None
        data = self._packed(np.zeros((size[1], size[0], 3), np.uint8), reformatter)
        due = looked = time.monotonic()
        while not stage.stopped.is_set():
            self._arrived.clear()
            if self._image is not None and self._image is not image:
                image = self._image
                data = self._packed(fitted(image, size), reformatter)
            feed.send(data)
            self.sent += 1
            now = time.monotonic()
            if now - looked > AGAIN_SECONDS:
                looked = now
                if self._is_gone(feed):
                    raise OSError("it was removed")
            if self.still_seconds is not None:
                self._arrived.wait(self.still_seconds)
                continue
            due = max(due + 1 / self._rate, now - 1 / self._rate)
            stage.stopped.wait(max(0.0, due - now))

    def _packed(self, image: NDArray[np.uint8], reformatter: VideoReformatter) -> NDArray[np.uint8]:
        return np.ascontiguousarray(
            from_rgb(image, "yuv420p", self._color, reformatter).to_ndarray(), np.uint8
        ).reshape(-1)


def fitted(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of ``size``: the picture as large as it fits, in its own shape, on black."""
    source = to_8_bits(image)[..., :3]
    scale = min(size[0] / source.shape[1], size[1] / source.shape[0])
    width, height = (
        min(whole, max(1, round(side * scale)))
        for whole, side in zip(size, source.shape[1::-1], strict=True)
    )
    scaled = cv2.resize(
        source, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    canvas[top : top + height, left : left + width] = scaled
    return canvas
