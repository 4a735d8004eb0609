"""Cameras through OpenCV: list them, and read one on a thread that reopens it when it is lost."""

import logging
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
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
"""Seconds before a lost camera is reopened; the last value repeats."""

STABLE_SECONDS = 5.0
"""Seconds with frames after which the waits of ``RETRY_SECONDS`` start again from the first."""

CLOSE_SECONDS = 4.0
"""Time limit in seconds for closing a camera: OpenCV may block for ``SELECT_SECONDS``."""

SELECT_SECONDS = 3
"""Seconds that OpenCV waits for a frame of a V4L2 camera."""

MIN_RATE_FRAMES, MAX_RATE_FRAMES = 9, 31
"""Number of frames from which the frame rate is measured."""

OWN_NAME = "vidstyle"
"""Part of the names of vidstyle's own virtual cameras, which are not listed as cameras."""

# OpenCV writes up to eight lines if no camera can be opened; vidstyle writes one.
opencv_log.setLogLevel(opencv_log.LOG_LEVEL_SILENT)

os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(SELECT_SECONDS))


class CapturedImage(NamedTuple):
    """(H, W, 3) uint8 RGB, and its time of arrival in seconds of ``time.monotonic``."""

    image: NDArray[np.uint8]
    time: float


def measured_rate(arrivals: Iterable[float]) -> float | None:
    """Frames per second from the median interval of arrivals, in seconds of ``time.monotonic``;
    None for fewer than ``MIN_RATE_FRAMES``."""
    times = list(arrivals)
    if len(times) < MIN_RATE_FRAMES:
        return None
    interval = statistics.median(after - before for before, after in pairwise(times))
    return 1 / max(1e-3, interval)


def list_cameras() -> dict[str, int | str]:
    """List the cameras of this machine.

    Returns:
        Name -> what OpenCV opens: the path of a device on Linux, a number elsewhere. A name that
        occurs twice gets " #2".
    """
    try:
        from cv2_enumerate_cameras import enumerate_cameras

        found = enumerate_cameras()
    except Exception:  # noqa: BLE001 (drivers fail in many ways; numbers still work as names)
        return {}
    cameras: dict[str, int | str] = {}
    for camera in sorted(found, key=lambda camera: camera.index):
        device = str(camera.path) if sys.platform.startswith("linux") else int(camera.index)
        if device not in cameras.values() and OWN_NAME not in camera.name.lower():
            number = sum(name.split(" #")[0] == camera.name for name in cameras) + 1
            cameras[camera.name if number == 1 else f"{camera.name} #{number}"] = device
    return cameras


def find_camera(name: int | str) -> int | str:
    """Return what OpenCV opens for a name.

    A number, a path or an address is returned unchanged; a name, or a part of one, is looked up.
    """
    if isinstance(name, int) or is_url(name) or Path(name).exists():
        return name
    found = list_cameras()
    return next((found[known] for known in found if name.lower() in known.lower()), name)


def open_device(name: int | str) -> Any:
    """Open a camera: ``NetworkCamera`` for an address, ``cv2.VideoCapture`` otherwise."""
    return NetworkCamera(name) if isinstance(name, str) and is_url(name) else cv2.VideoCapture(name)


class Capture:
    """Reads a camera on a thread of its own, and keeps the newest image only.

    A lost camera is reopened until it gives images again. ``lost`` says whether the camera is lost
    now, ``loss_count`` how often it was lost.

    Args:
        name: as for ``find_camera``.
        size: (width, height) in px to request.
        rate: frames per second to request.
        capture: opens the camera; for tests.
    """

    def __init__(
        self,
        name: int | str,
        size: tuple[int, int] | None,
        rate: float | None,
        capture: Callable[..., Any] = open_device,
    ) -> None:
        self._name, self._size, self._rate, self._capture = name, size, rate, capture
        self.display_name = without_secrets(str(name))
        self.lost, self.loss_count = False, 0
        self._reported_rate = 0.0
        self._arrivals: deque[float] = deque(maxlen=MAX_RATE_FRAMES)
        self._device: Any = None
        if sys.platform == "darwin":  # macOS asks the user for permission on the main thread only
            self._device = self._open_device()
        self._thread = Worker(self._keep_reading, "camera", newest=True)

    @property
    def rate(self) -> float | None:
        """Frames per second, measured; before that as the driver reports, or None."""
        return measured_rate(self._arrivals) or self._reported_rate or None

    @property
    def ended(self) -> bool:
        """Whether no image can come any more: there was no first one, or ``close`` was called."""
        return not self._thread.is_alive()

    def take(self, seconds: float) -> CapturedImage | None:
        """Remove and return the newest image; None if none arrives within so many seconds."""
        try:
            captured: CapturedImage = self._thread.queue.get(timeout=seconds)
            return captured
        except Empty:
            self._thread.raise_error()
            return None

    def close(self) -> None:
        """Release the camera. Further calls have no effect."""
        self._thread.stopped.set()
        device = self._device
        if isinstance(device, NetworkCamera):
            device.kill()
        self._thread.join(CLOSE_SECONDS)

    def _keep_reading(self, worker: Worker) -> None:
        attempt = 0
        while not worker.stopped.is_set():
            start = time.monotonic()
            self._read_until_lost(worker)
            if worker.stopped.is_set() or not self.loss_count:
                return
            stable = self._arrivals and self._arrivals[-1] - start > STABLE_SECONDS
            attempt = 0 if stable else min(attempt + 1, len(RETRY_SECONDS) - 1)
            self._arrivals.clear()
            worker.stopped.wait(RETRY_SECONDS[attempt])

    def _read_until_lost(self, worker: Worker) -> None:
        """Open the camera, and put its images into the queue until one cannot be read."""
        try:
            self._device = self._device or self._open_device()
            # `close` may have been called before there was a device that it could kill.
            image = None if worker.stopped.is_set() else self._read_image()
            if image is None:
                return
            event = " is back" if self.lost else f": {self._describe_format(image)}"
            log.info("camera %s%s", self.display_name, event)
            self.lost = False
            while image is not None:
                self._arrivals.append(time.monotonic())
                if not worker.put(CapturedImage(image, self._arrivals[-1])):
                    return
                image = self._read_image()
            if worker.stopped.is_set():  # `close` has ended the device
                return
            self.lost = True
            self.loss_count += 1
            log.warning("camera %s is lost: waiting for it", self.display_name)
        finally:
            device, self._device = self._device, None
            if device is not None:
                device.release()

    def _open_device(self) -> Any:
        # The name is looked up again, since a reconnected camera may have another number.
        device = self._capture(find_camera(self._name))
        if device.isOpened():
            # The format comes first: uncompressed frames above 640x480 exceed the rate of USB 2.
            device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            if self._size:
                device.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
                device.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
            if self._rate:
                device.set(cv2.CAP_PROP_FPS, self._rate)
            device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return device

    def _read_image(self) -> NDArray[np.uint8] | None:
        """Read the next image, (H, W, 3) uint8 RGB; None if there is none."""
        try:
            success, bgr = self._device.read() if self._device.isOpened() else (False, None)
            if not success or bgr is None:
                return None
            return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        except cv2.error:  # raised by some drivers when a camera is unplugged
            return None

    def _describe_format(self, image: NDArray[np.uint8]) -> str:
        """Describe the camera's size, rate and codec, and what was requested if that differs."""
        rate = self._device.get(cv2.CAP_PROP_FPS)
        fourcc = int(self._device.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        self._reported_rate = rate if 1 <= rate <= 1000 else 0.0
        codec = fourcc.to_bytes(4, "little").decode("latin-1").strip("\0 ")
        text = f"{image.shape[1]}x{image.shape[0]}"
        if self._reported_rate:
            text += f" at {rate:g} frames per second"
        if codec and codec.isprintable():
            text += f", {codec}"
        requested = []
        if self._size and self._size != image.shape[1::-1]:
            requested.append(f"{self._size[0]}x{self._size[1]}")
        if self._rate and self._reported_rate not in (0, self._rate):
            requested.append(f"{self._rate:g} frames per second")
        return text + (f" (requested: {', '.join(requested)})" if requested else "")
