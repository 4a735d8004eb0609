"""Sources that do not wait: cameras, and files played at their own pace."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.decode import VideoFile
from ..io.files import is_url
from ..io.frame import Frame, to_8_bits
from ..io.stream_info import BT709, LIMITED, ColorInfo, VideoInfo
from .capture import Capture, Picture, open_device

log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90000)
CAMERA_COLOR = ColorInfo(BT709, LIMITED, BT709, BT709)

FIRST_SECONDS = 12.0
"""How long a camera may take to be opened and to give its first picture."""

TELL_SECONDS = 2.0
"""After so long it is said that the camera is waited for."""

SILENT_SECONDS, SILENT_FRAMES = 2.0, 4
"""A camera is silent when nothing came for so long, and for as long as so many frames usually take."""

LATE_SECONDS = 1.0
"""How far a clip may fall behind its own pace, although frames are passed over, before its clock is set back."""

SLOW_TIMES = 3
"""After so many times it is said that a clip is too slow: once may be a machine that slept."""

CameraStatus = Literal["ok", "silent", "lost"]


class LiveSource:
    """What cameras and paced files have in common.

    Times count from ``began``, seconds of ``time.monotonic``. ``mirror`` may be assigned at any time.
    """

    format: VideoInfo

    def __init__(self) -> None:
        self.mirror = False
        self.began = time.monotonic()
        self._arrived = self.began
        self._stopped = Event()
        self._frames: Iterator[Frame] | None = None

    @property
    def status(self) -> CameraStatus:
        """ "ok"; "silent": the source is open and gives no frames; "lost": it cannot be read or opened."""
        return "ok"

    @property
    def seconds_since_frame(self) -> float:
        """Seconds since the last frame arrived."""
        return time.monotonic() - self._arrived

    @property
    def rate(self) -> float | None:
        """Frames per second that the source gives; None where that is not known."""
        return float(self.format.rate) if self.format.rate else None

    def __iter__(self) -> Iterator[Frame]:
        """The frames from now on: whoever asks again goes on."""
        if self._frames is None:
            self._frames = self._read_frames()
        return self._frames

    def _read_frames(self) -> Iterator[Frame]:
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _turned(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(image[:, ::-1]) if self.mirror else image

    def skip(self, count: int) -> None:
        """Of no use here: what was shown is over."""

    def stop(self) -> None:
        """Let the reader come to the end."""
        self._stopped.set()

    def close(self) -> None:
        """Release what is open. Calling it twice does no harm."""
        self.stop()


class Camera(LiveSource):
    """A webcam, or a camera at an address, through OpenCV. When it is lost it is looked for until it is back.

    Args:
        name: a number, a name or a part of one, a device's path, or an address.
        size: (width, height) in px wanted; ``format`` says what was obtained.
        rate: frames per second wanted.
        capture: what opens the camera; for tests.

    Raises:
        InputError: it cannot be opened, or gives no picture.
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
            self._first: Picture | None = self._first_picture()
            if self._first is None:
                raise InputError(self._why_not(name))
        except BaseException:
            self.close()
            raise
        self.format = VideoInfo(
            self._first.image.shape[1::-1], None, TIME_BASE, color=CAMERA_COLOR, live=True
        )

    def _first_picture(self) -> Picture | None:
        began, told = time.monotonic(), False
        while time.monotonic() - began < FIRST_SECONDS:
            if not told and time.monotonic() - began > TELL_SECONDS:
                log.info(
                    "waiting for camera %s, %g s at most", self._capture.shown_name, FIRST_SECONDS
                )
                told = True
            ended = self._capture.ended  # before looking: the last picture may come in between
            picture = self._capture.take(0.02)
            if picture is not None or ended:
                return picture
        return None

    def _why_not(self, name: int | str) -> str:
        remedy = "see which there are with `vidstyle info`, and that no other program uses it"
        if is_url(str(name)):
            remedy = "check the address, and that the camera is on and can be reached from here"
        answer = (
            "cannot be opened or gives no picture"
            if self._capture.ended
            else f"gave no picture in {FIRST_SECONDS:g} s"
        )
        return f"camera {self._capture.shown_name} {answer}: {remedy}"

    @property
    def status(self) -> CameraStatus:
        """ "ok"; "silent": the camera is open and gives no frames; "lost": it cannot be read or opened."""
        if self._capture.lost:
            return "lost"
        return (
            "silent"
            if self.seconds_since_frame > max(SILENT_SECONDS, SILENT_FRAMES / (self.rate or 1000))
            else "ok"
        )

    @property
    def losses(self) -> int:
        """How often the camera was lost."""
        return self._capture.losses

    @property
    def rate(self) -> float | None:
        """Frames per second that the camera gives, measured; at first what the camera says, or None."""
        return self._capture.rate

    def _read_frames(self) -> Iterator[Frame]:
        picture, self._first = self._first, None
        while not self._stopped.is_set():
            if picture is not None:
                self._arrived = picture.time
                ticks = max(0, round((picture.time - self.began) / TIME_BASE))
                yield Frame(self._turned(self._fitted(picture.image)), ticks * TIME_BASE)
            picture = self._capture.take(0.1)

    def _fitted(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """In the size of the first: a camera that is back may give another."""
        if image.shape[1::-1] == self.format.size:
            return image
        return cv2.resize(image, self.format.size)  # type: ignore[return-value]

    def close(self) -> None:
        """Let the camera go."""
        super().close()
        self._capture.close()


class PacedFile(LiveSource):
    """A clip played at its own pace, once or for ever: a camera for shows, and for trying without one.

    Frames whose time is over are passed over. Where even that is too slow the clip plays more slowly than it should.

    Args:
        name: the clip.
        loop: whether it begins again at its end.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, name: str | Path, loop: bool = False) -> None:
        super().__init__()
        self._name, self._loop, self._slowed = name, loop, 0
        with VideoFile(name) as clip:
            known = clip.format
        self.format = replace(
            known, frames=None, bit_depth=8, alpha=False, light=None, path=None, live=True
        )

    def _read_frames(self) -> Iterator[Frame]:
        self.began = time.monotonic()
        offset, end, skipped = Fraction(0), Fraction(0), 0
        while not self._stopped.is_set():
            with VideoFile(self._name, sdr=True) as clip:
                for frame in clip:
                    moment = offset + frame.time
                    self._stopped.wait(max(0.0, self.began + float(moment) - time.monotonic()))
                    if self._stopped.is_set():
                        return
                    end = moment + frame.duration
                    self._arrived = time.monotonic()
                    image = np.ascontiguousarray(to_8_bits(frame.image)[..., :3])
                    yield replace(frame, image=self._turned(image), time=moment)
                    skipped = self._catch_up(clip, moment, frame.duration)
            offset = (
                max(end, self._now()) if skipped else end
            )  # nothing says how long the last frames would have lasted
            if not self._loop:
                return

    def _now(self) -> Fraction:
        """The time that a frame of this moment has."""
        return round((time.monotonic() - self.began) / TIME_BASE) * TIME_BASE

    def _catch_up(self, clip: VideoFile, moment: Fraction, duration: Fraction) -> int:
        """Pass over the frames whose time is over, and return how many. They are decoded, but not turned into pictures."""
        late = self._now() - moment
        if late > LATE_SECONDS:
            self.began += float(late)
            late = Fraction(0)
            self._slowed += 1
            if self._slowed == SLOW_TIMES:
                log.warning(
                    "%s decodes more slowly than it plays, and is shown slowed down: use a smaller clip",
                    self._name,
                )
        skipped = max(0, int(late / duration) - 1) if duration > 0 else 0
        clip.skip(skipped)
        return skipped


def open_camera(
    name: str, loop: bool = False, size: tuple[int, int] | None = None, rate: float | None = None
) -> LiveSource:
    """A camera by number, name, path or address; or a clip, where the name is an ordinary file's.

    Raises:
        InputError: it cannot be opened.
    """
    if Path(name).is_file():
        return PacedFile(name, loop)
    with suppress(ValueError):
        return Camera(int(name), size, rate)
    return Camera(name, size, rate)
