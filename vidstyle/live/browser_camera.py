"""The camera of a browser as a live source: frames are handed in by the connection to it.

Only the newest frame is kept. The long side of the session's frames is fixed, and their aspect
ratio is that of the browser's frames: a browser that sends a smaller picture for a while, as it
does while a connection is slow, changes nothing, and a phone that is rotated changes ``format``.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event

import numpy as np
from numpy.typing import NDArray

from ..io.frame import Frame
from ..io.stream_info import VideoInfo
from .camera import CAMERA_COLOR, SILENT_FRAMES, SILENT_SECONDS, TIME_BASE, CameraStatus, LiveSource
from .capture import MAX_RATE_FRAMES, measured_rate

log = logging.getLogger(__name__)

BROWSER_SIZE = 640, 360
"""(width, height) in px that a browser's camera is asked for."""

SAME_ASPECT = 0.03
"""Relative difference of two aspect ratios below which they count as one: smaller pictures of a
camera have rounded sides."""

WAIT_SECONDS = 0.1
"""Interval in seconds at which a source without frames looks whether it was stopped."""

INSTRUCTION = "no camera yet", "open the page and press: Use this device's camera"

ReadImage = Callable[[tuple[int, int]], NDArray[np.uint8]]
"""Returns a frame in a size of (width, height) px: (H, W, 3) uint8 RGB."""


class BrowserCamera(LiveSource):
    """The camera of a browser. ``put``, ``connect`` and ``disconnect`` are thread-safe.

    ``wanted_size`` and ``wanted_rate`` are what the browser is asked for.

    Args:
        size: (width, height) in px.
        rate: frames per second.
    """

    def __init__(self, size: tuple[int, int] = BROWSER_SIZE, rate: float = 30.0) -> None:
        super().__init__()
        self.wanted_size, self.wanted_rate = size, rate
        self.format = VideoInfo(size, None, TIME_BASE, color=CAMERA_COLOR, live=True)
        self._connected = False
        self._newest: deque[tuple[tuple[int, int], ReadImage, float]] = deque(maxlen=1)
        self._came = Event()
        self._arrivals: deque[float] = deque(maxlen=MAX_RATE_FRAMES)

    @property
    def status(self) -> CameraStatus:
        """ "ok", "silent" (connected, but without frames) or "lost" (no browser is connected)."""
        if not self._connected:
            return "lost"
        limit = max(SILENT_SECONDS, SILENT_FRAMES / (self.rate or 1000))
        return "silent" if self.seconds_since_frame > limit else "ok"

    @property
    def instruction(self) -> tuple[str, str] | None:
        """Two lines that say how to get frames, while no browser is connected."""
        return None if self._connected else INSTRUCTION

    @property
    def rate(self) -> float | None:
        """Frames per second, measured; None before that."""
        return measured_rate(self._arrivals)

    def connect(self) -> None:
        """A browser is connected, and its frames will come."""
        self._arrivals.clear()
        self._last_arrival = time.monotonic()
        self._connected = True
        log.info("the camera of a browser is connected")

    def disconnect(self) -> None:
        """The browser is gone."""
        if self._connected:
            log.info("the camera of a browser is gone")
        self._connected = False
        self._newest.clear()

    def put(self, size: tuple[int, int], read: ReadImage, now: float) -> None:
        """Take a frame, in place of an earlier one that was not read yet. Does not block.

        Args:
            size: (width, height) of the frame in px.
            read: converts the frame; it is called by the thread that reads this source.
            now: time of arrival in seconds of ``time.monotonic``.
        """
        self._last_arrival = now
        self._arrivals.append(now)
        self._newest.append((size, read, now))
        self._came.set()

    def _read_frames(self) -> Iterator[Frame | None]:
        while not self._stopped.is_set():
            if not self._came.wait(WAIT_SECONDS):
                yield None
                continue
            self._came.clear()
            try:
                size, read, now = self._newest.pop()
            except IndexError:  # the browser has gone meanwhile
                continue
            self._follow(size)
            ticks = max(0, round((now - self.start_time) / TIME_BASE))
            yield Frame(self._mirrored(read(self.format.size)), ticks * TIME_BASE)

    def _follow(self, size: tuple[int, int]) -> None:
        """Change ``format`` if the aspect ratio differs from that of a frame."""
        width, height = self.format.size
        if abs(width * size[1] / (height * size[0]) - 1) > SAME_ASPECT:
            long_side = max(self.wanted_size)
            scale = long_side / max(size)
            width, height = (max(2, 2 * round(side * scale / 2)) for side in size)
            self.format = replace(self.format, size=(width, height))
