"""Live sources: cameras, and video files played at their own frame rate."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.decode import VideoFile
from ..io.files import is_url
from ..io.frame import Frame, rgb_8_bits
from ..io.stream_info import BT709, LIMITED, ColorInfo, VideoInfo
from ..runtime.closing import Closing
from .capture import Capture, CapturedImage, open_device
from .stylized_area import StylizedArea

log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90000)
"""Unit of frame times, in seconds."""

CAMERA_COLOR = ColorInfo(BT709, LIMITED, BT709, BT709)

OPEN_SECONDS = 12.0
"""Time limit in seconds for opening a camera and receiving its first frame."""

WAIT_MESSAGE_SECONDS = 2.0
"""Seconds of waiting for a camera after which a message is logged."""

SILENT_SECONDS, SILENT_FRAMES = 2.0, 4
"""A camera is silent after so many seconds, and so many frame intervals, without a frame."""

MAX_DELAY_SECONDS = 1.0
"""Seconds that a file may be late, although frames are skipped, before its clock is set back."""

SLOW_WARNING_COUNT = 3
"""Number of clock corrections after which a warning is logged. One may be a suspended machine."""

CameraStatus = Literal["ok", "silent", "lost"]


class LiveSource(Closing):
    """Base class of the sources that do not wait for the pipeline.

    Frame times count from ``start_time``, which is in seconds of ``time.monotonic``. ``mirror`` may
    be assigned at any time. ``area`` gives frames their masks. ``newest`` is the last frame that
    came, and ``arrived`` is set whenever one comes.
    """

    format: VideoInfo

    def __init__(self) -> None:
        self.mirror = False
        self.area = StylizedArea()
        self.newest: Frame | None = None
        self.arrived = Event()
        self.start_time = time.monotonic()
        self._last_arrival = self.start_time
        self._stopped = Event()
        self._frames: Iterator[Frame | None] | None = None

    @property
    def status(self) -> CameraStatus:
        """ "ok", "silent" (open, but without frames) or "lost" (cannot be read or opened)."""
        return "ok"

    @property
    def instruction(self) -> tuple[str, str] | None:
        """Two lines that say how to get frames; None where only the status is shown."""
        return None

    @property
    def seconds_since_frame(self) -> float:
        """Seconds since the last frame arrived."""
        return time.monotonic() - self._last_arrival

    @property
    def rate(self) -> float | None:
        """Frames per second of the source; None if unknown."""
        return float(self.format.rate) if self.format.rate else None

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames from now on. A second iteration continues the first one."""
        return (frame for frame in self.with_pauses() if frame is not None)

    def with_pauses(self) -> Iterator[Frame | None]:
        """Iterate like ``iter``, with a None at intervals while no frame comes: whoever iterates
        can stop between two frames, and leave the next one to another iteration."""
        if self._frames is None:
            self._frames = map(self._announced, self._read_frames())
        return self._frames

    def _announced(self, frame: Frame | None) -> Frame | None:
        """The frame with its masks, which other threads learn of."""
        if frame is None:
            return None
        self.newest = self.area.with_masks(frame)
        self.arrived.set()
        return self.newest

    def _read_frames(self) -> Iterator[Frame | None]:
        raise NotImplementedError

    def _mirrored(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(image[:, ::-1]) if self.mirror else image

    def skip(self, count: int) -> None:
        """Do nothing: a live source has no frames to skip when a render is resumed."""

    def stop(self) -> None:
        """End the iteration. Thread-safe."""
        self._stopped.set()

    def close(self) -> None:
        """Release the device or file. Further calls have no effect."""
        self.stop()
        self.area.close()


class Camera(LiveSource):
    """A webcam, or a camera at an address, through OpenCV. A lost camera is reopened.

    Args:
        name: a number, a name or a part of one, the path of a device, or an address.
        size: (width, height) in px to request; ``format`` has the actual size.
        rate: frames per second to request.
        capture: opens the camera; for tests.

    Raises:
        InputError: the camera cannot be opened, or gives no frame.
    """

    def __init__(
        self,
        name: int | str,
        size: tuple[int, int] | None = None,
        rate: float | None = None,
        capture: Callable[..., Any] = open_device,
    ) -> None:
        super().__init__()
        self._capture = Capture(name, size, rate, capture)
        try:
            self._first: CapturedImage | None = self._wait_for_first()
            if self._first is None:
                raise InputError(self._open_error(name))
        except BaseException:
            self.close()
            raise
        size = self._first.image.shape[1::-1]
        self.format = VideoInfo(size, None, TIME_BASE, color=CAMERA_COLOR, live=True)

    def _wait_for_first(self) -> CapturedImage | None:
        start, logged = time.monotonic(), False
        while time.monotonic() - start < OPEN_SECONDS:
            if not logged and time.monotonic() - start > WAIT_MESSAGE_SECONDS:
                name = self._capture.display_name
                log.info("waiting for camera %s, for up to %g s", name, OPEN_SECONDS)
                logged = True
            # Read before `take`: the last frame may arrive in between.
            ended = self._capture.ended
            captured = self._capture.take(0.02)
            if captured is not None or ended:
                return captured
        return None

    def _open_error(self, name: int | str) -> str:
        remedy = "list the cameras with `vidstyle info`, and close other programs that use it"
        if is_url(str(name)):
            remedy = "check the address, and that the camera is on and can be reached from here"
        problem = f"gave no frame in {OPEN_SECONDS:g} s"
        if self._capture.ended:
            problem = "cannot be opened or gives no frame"
        return f"camera {self._capture.display_name} {problem}: {remedy}"

    @property
    def status(self) -> CameraStatus:
        """ "ok", "silent" (open, but without frames) or "lost" (cannot be read or opened)."""
        if self._capture.lost:
            return "lost"
        limit = max(SILENT_SECONDS, SILENT_FRAMES / (self.rate or 1000))
        return "silent" if self.seconds_since_frame > limit else "ok"

    @property
    def loss_count(self) -> int:
        """Number of times the camera was lost."""
        return self._capture.loss_count

    @property
    def rate(self) -> float | None:
        """Frames per second, measured; before that as the driver reports, or None."""
        return self._capture.rate

    def _read_frames(self) -> Iterator[Frame | None]:
        captured, self._first = self._first, None
        while not self._stopped.is_set():
            if captured is None:
                yield None
            else:
                self._last_arrival = captured.time
                ticks = max(0, round((captured.time - self.start_time) / TIME_BASE))
                yield Frame(self._mirrored(self._resized(captured.image)), ticks * TIME_BASE)
            captured = self._capture.take(0.1)

    def _resized(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize to the first frame's size: a reopened camera may have another one."""
        if image.shape[1::-1] == self.format.size:
            return image
        return cv2.resize(image, self.format.size)  # type: ignore[return-value]

    def close(self) -> None:
        """Release the camera. Further calls have no effect."""
        super().close()
        self._capture.close()


class PacedFile(LiveSource):
    """A video file played at its own frame rate, once or in a loop, instead of a camera.

    Its frames are upright, and HDR becomes SDR. Late frames are skipped. If decoding is too slow
    even so, the file plays in slow motion.

    Args:
        name: the file.
        loop: whether to start again at the end.

    Raises:
        InputError: the file cannot be read.
    """

    def __init__(self, name: str | Path, loop: bool = False) -> None:
        super().__init__()
        self._name, self._loop, self._correction_count = name, loop, 0
        with self._open() as clip:
            known = clip.format
        self.format = replace(
            known, frames=None, bit_depth=8, alpha=False, hdr_metadata=None, path=None, live=True
        )

    def _open(self) -> VideoFile:
        return VideoFile(self._name, sdr=True, apply_rotation=True)

    def _read_frames(self) -> Iterator[Frame]:
        self.start_time = time.monotonic()
        offset, end, skipped = Fraction(0), Fraction(0), 0
        while not self._stopped.is_set():
            with self._open() as clip:
                for frame in clip:
                    due = offset + frame.time
                    self._stopped.wait(max(0.0, self.start_time + float(due) - time.monotonic()))
                    if self._stopped.is_set():
                        return
                    end = due + frame.duration
                    self._last_arrival = time.monotonic()
                    image = rgb_8_bits(frame.image)
                    yield replace(frame, image=self._mirrored(image), time=due)
                    skipped = self._skip_late_frames(clip, due, frame.duration)
            # The durations of frames skipped at the end of the file are unknown.
            offset = max(end, self._now()) if skipped else end
            if not self._loop:
                return

    def _now(self) -> Fraction:
        """Return the frame time of the present moment, in seconds."""
        return round((time.monotonic() - self.start_time) / TIME_BASE) * TIME_BASE

    def _skip_late_frames(self, clip: VideoFile, due: Fraction, duration: Fraction) -> int:
        """Skip the frames that should have been shown already, without converting them to RGB.

        Returns:
            Number of frames skipped.
        """
        delay = self._now() - due
        if delay > MAX_DELAY_SECONDS:
            self.start_time += float(delay)
            delay = Fraction(0)
            self._correction_count += 1
            if self._correction_count == SLOW_WARNING_COUNT:
                message = "%s decodes too slowly and plays in slow motion: use a smaller file"
                log.warning(message, self._name)
        skipped = max(0, int(delay / duration) - 1) if duration > 0 else 0
        clip.skip(skipped)
        return skipped


def open_camera(
    name: str, loop: bool = False, size: tuple[int, int] | None = None, rate: float | None = None
) -> LiveSource:
    """Open a camera by number, name, path or address; or a video file, if ``name`` is one.

    Args:
        name: the camera or file.
        loop: whether a file starts again at its end.
        size: (width, height) in px to request of a camera.
        rate: frames per second to request of a camera.

    Raises:
        InputError: it cannot be opened.
    """
    if Path(name).is_file():
        return PacedFile(name, loop)
    with suppress(ValueError):
        return Camera(int(name), size, rate)
    return Camera(name, size, rate)
