"""Cameras through OpenCV: which there are, and a thread that reads one and opens it again when it is lost."""

import logging
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

import cv2
import cv2.utils.logging as opencv_log
import numpy as np
from numpy.typing import NDArray

from ..io.files import is_url, without_secrets
from ..runtime.worker import Worker
from .network_camera import NetworkCamera

log = logging.getLogger(__name__)

RETRY_SECONDS = (0.5, 1.0, 2.0)
"""How long to wait before a lost camera is opened again, each time a little longer."""

STEADY_SECONDS = 5.0
"""A camera that gave pictures for so long is waited for as if it were lost for the first time."""

CLOSE_SECONDS = 4.0
"""How long a camera may take to close. A local one can wait inside OpenCV for as long as ``SELECT_SECONDS``."""

SELECT_SECONDS = 3
"""How long OpenCV waits for a picture of a V4L2 camera before it gives up."""

MEASURED_FRAMES, LEAST_FRAMES = 31, 9
"""From the times of how many frames the rate is measured, at most and at least."""

OURS = "vidstyle"
"""In the name of what this program itself feeds: no camera to paint."""

opencv_log.setLogLevel(
    opencv_log.LOG_LEVEL_SILENT
)  # up to eight lines where no camera can be opened: we write one

os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(SELECT_SECONDS))


class Picture(NamedTuple):
    """(H, W, 3) uint8 RGB, and when it arrived in seconds of ``time.monotonic``."""

    image: NDArray[np.uint8]
    time: float


def cameras() -> dict[str, int | str]:
    """The cameras of this machine by name, and what OpenCV opens them by: a device's path on Linux, else a number."""
    try:
        from cv2_enumerate_cameras import enumerate_cameras

        found = enumerate_cameras()
    except Exception:  # noqa: BLE001 (it asks drivers in many ways; a camera may still be named by its number)
        return {}
    named: dict[str, int | str] = {}
    for camera in sorted(found, key=lambda camera: camera.index):
        opened_by = str(camera.path) if sys.platform.startswith("linux") else int(camera.index)
        if opened_by not in named.values() and OURS not in camera.name.lower():
            number = sum(name.split(" #")[0] == camera.name for name in named) + 1
            named[camera.name if number == 1 else f"{camera.name} #{number}"] = opened_by
    return named


def find_camera(name: int | str) -> int | str:
    """What OpenCV opens a camera by: a number, a path or an address as it is; a name, or a part of one, is looked up."""
    if isinstance(name, int) or is_url(name) or Path(name).exists():
        return name
    found = cameras()
    return next((found[each] for each in found if name.lower() in each.lower()), name)


def open_device(name: int | str) -> Any:
    """A ``cv2.VideoCapture`` for a camera of this machine, a ``NetworkCamera`` for an address."""
    return NetworkCamera(name) if isinstance(name, str) and is_url(name) else cv2.VideoCapture(name)


class Capture:
    """Reads a camera in a thread of its own. When the camera is lost it is opened again until it gives pictures.

    ``lost`` says whether the camera is lost now, ``losses`` how often it was.

    Args:
        name: as ``find_camera`` takes it.
        size: (width, height) in px wanted.
        rate: frames per second wanted.
        capture: what opens the camera; for tests.
    """

    def __init__(
        self,
        name: int | str,
        size: tuple[int, int] | None,
        rate: float | None,
        capture: Callable[..., Any] = open_device,
    ) -> None:
        self._name, self._size, self._rate, self._capture = name, size, rate, capture
        self.shown_name = without_secrets(str(name))
        self.lost, self.losses = False, 0
        self._told_rate = 0.0
        self._arrivals: deque[float] = deque(maxlen=MEASURED_FRAMES)
        self._device: Any = None
        if sys.platform == "darwin":  # macOS asks the user for permission on the main thread only
            self._device = self._opened()
        self._thread = Worker(self._keep_reading, "camera", newest=True)

    @property
    def rate(self) -> float | None:
        """Frames per second: measured, at first what the camera says; None where nothing is known."""
        arrivals = list(self._arrivals)
        if len(arrivals) < LEAST_FRAMES:
            return self._told_rate or None
        return 1 / max(
            1e-3, statistics.median(after - before for before, after in pairwise(arrivals))
        )

    @property
    def ended(self) -> bool:
        """Whether no picture can come any more: the camera gave none at first, or ``close`` was called."""
        return not self._thread.is_alive()

    def take(self, seconds: float) -> Picture | None:
        """The newest picture that nobody took yet; None where none comes within this time."""
        try:
            picture: Picture = self._thread.queue.get(timeout=seconds)
            return picture
        except Empty:
            self._thread.raise_error()
            return None

    def close(self) -> None:
        """Let the camera go. Calling it twice does no harm."""
        self._thread.stopped.set()
        device = self._device
        if isinstance(device, NetworkCamera):
            device.kill()
        self._thread.join(CLOSE_SECONDS)

    def _keep_reading(self, stage: Worker) -> None:
        tries = 0
        while not stage.stopped.is_set():
            began = time.monotonic()
            self._read_until_lost(stage)
            if stage.stopped.is_set() or not self.losses:
                return
            steady = self._arrivals and self._arrivals[-1] - began > STEADY_SECONDS
            tries = 0 if steady else min(tries + 1, len(RETRY_SECONDS) - 1)
            self._arrivals.clear()
            stage.stopped.wait(RETRY_SECONDS[tries])

    def _read_until_lost(self, stage: Worker) -> None:
        """Open the camera and hand its pictures over until one does not come."""
        try:
            self._device = self._device or self._opened()
            image = (
                None if stage.stopped.is_set() else self._read()
            )  # ``close`` may have come too early for its ``kill``
            if image is None:
                return
            log.info(
                "camera %s%s",
                self.shown_name,
                " is back" if self.lost else f": {self._obtained(image)}",
            )
            self.lost = False
            while image is not None:
                self._arrivals.append(time.monotonic())
                if not stage.put(Picture(image, self._arrivals[-1])):
                    return
                image = self._read()
            if stage.stopped.is_set():  # ``close`` has ended it
                return
            self.lost = True
            self.losses += 1
            log.warning("camera %s is lost: looking for it", self.shown_name)
        finally:
            device, self._device = self._device, None
            if device is not None:
                device.release()

    def _opened(self) -> Any:
        device = self._capture(
            find_camera(self._name)
        )  # by name anew: it may be back under another number
        if device.isOpened():
            device.set(
                cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")
            )  # first: USB 2 has no room for more
            if self._size:
                device.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
                device.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
            if self._rate:
                device.set(cv2.CAP_PROP_FPS, self._rate)
            device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return device

    def _read(self) -> NDArray[np.uint8] | None:
        """The next picture; None where none comes."""
        try:
            read, image = self._device.read() if self._device.isOpened() else (False, None)
            return (
                np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
                if read and image is not None
                else None
            )
        except cv2.error:  # raised by some drivers when a camera is unplugged
            return None

    def _obtained(self, image: NDArray[np.uint8]) -> str:
        """What the camera gives, which need not be what it was asked for."""
        rate, code = (
            self._device.get(cv2.CAP_PROP_FPS),
            int(self._device.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF,
        )
        self._told_rate = rate if 1 <= rate <= 1000 else 0.0
        kind = code.to_bytes(4, "little").decode("latin-1").strip("\0 ")
        words = f"{image.shape[1]}x{image.shape[0]}" + (
            f" at {rate:g} frames per second" if self._told_rate else ""
        )
        words += f", {kind}" if kind.isprintable() and kind else ""
        asked = (
            [f"{self._size[0]}x{self._size[1]}"]
            if self._size and self._size != image.shape[1::-1]
            else []
        )
        asked += (
            [f"{self._rate:g} frames per second"]
            if self._rate and self._told_rate not in (0, self._rate)
            else []
        )
        return words + (f" (asked for: {', '.join(asked)})" if asked else "")
