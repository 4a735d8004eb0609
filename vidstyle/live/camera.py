"""Sources that do not wait: cameras, and files played at their own pace."""

import logging
import sys
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
from ..media.decode import VideoFile
from ..media.format import BT709, LIMITED, Color, Format
from ..media.frame import Frame, to_8_bits

log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90000)
CAMERA_COLOR = Color(BT709, LIMITED, BT709, BT709)

AGAIN_SECONDS = (0.5, 1.0, 2.0)
"""How long to wait before a lost camera is looked for again, each time a little longer."""

SLATE_SECONDS = 0.25
"""How often the slate is shown while a camera is lost."""

CameraStatus = Literal["ok", "silent", "lost"]


OURS = "vidstyle"
"""In the name of what this program itself feeds: no camera to paint."""


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
    if isinstance(name, int) or Path(name).exists() or "://" in name:
        return name
    found = cameras()
    return next((found[each] for each in found if name.lower() in each.lower()), name)


class LiveSource:
    """What cameras and paced files have in common.

    Times count from ``began``, seconds of ``time.monotonic``. ``mirror`` may be assigned at any time. ``status`` is "ok";
    "silent" when the source is open and gives no frames; "lost" when it cannot be read or opened.
    """

    format: Format
    status: CameraStatus = "ok"

    def __init__(self) -> None:
        self.mirror = False
        self.began = time.monotonic()
        self._arrived = self.began
        self._stopped = Event()
        self._frames: Iterator[Frame] | None = None

    @property
    def seconds_since_frame(self) -> float:
        """Seconds since the last frame arrived."""
        return time.monotonic() - self._arrived

    def __iter__(self) -> Iterator[Frame]:
        """The frames from now on: whoever asks again goes on."""
        if self._frames is None:
            self._frames = self._read_frames()
        return self._frames

    def _read_frames(self) -> Iterator[Frame]:
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
    """A webcam through OpenCV. When it is lost a slate is shown until it is back.

    Args:
        name: a number, a name or a part of one, a device's path, or an address.
        size: (width, height) in px wanted; ``format`` says what was obtained.
        rate: frames per second wanted.
        capture: what opens it; for tests.

    Raises:
        InputError: it cannot be opened, or gives no picture.
    """

    def __init__(
        self,
        name: int | str,
        size: tuple[int, int] | None = None,
        rate: float | None = None,
        capture: Callable[..., Any] = cv2.VideoCapture,
    ) -> None:
        super().__init__()
        self._name, self._size, self._rate, self._capture = name, size, rate, capture
        self.lost = 0
        self._device: Any = self._opened()
        image = self._read()
        if image is None:
            self.close()
            remedy = "see which there are with `vidstyle info`, and that no other program uses it"
            raise InputError(f"camera {name} cannot be opened or gives no picture: {remedy}")
        log.info("camera %s: %s", name, self._obtained(image))
        self._first: NDArray[np.uint8] | None = image
        self.format = Format(image.shape[1::-1], None, TIME_BASE, color=CAMERA_COLOR, live=True)

    def _opened(self) -> Any:
        device = self._capture(find_camera(self._name))  # by name anew: it may be back under another number
        if device.isOpened():
            device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # in this order: USB 2 has no room for more
            if self._size:
                device.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
                device.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
            if self._rate:
                device.set(cv2.CAP_PROP_FPS, self._rate)
            device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return device

    def _obtained(self, image: NDArray[np.uint8]) -> str:
        """What the camera gives, which need not be what it was asked for."""
        rate, code = self._device.get(cv2.CAP_PROP_FPS), int(self._device.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        kind = code.to_bytes(4, "little").decode("latin-1").strip()
        words = f"{image.shape[1]}x{image.shape[0]} at {rate:g} frames per second"
        words += f", {kind}" if kind.isprintable() and kind else ""
        asked = [f"{self._size[0]}x{self._size[1]}"] if self._size and self._size != image.shape[1::-1] else []
        asked += [f"{self._rate:g} frames per second"] if self._rate and self._rate != rate else []
        return words + (f" (asked for: {', '.join(asked)})" if asked else "")

    def _read(self) -> NDArray[np.uint8] | None:
        read, image = self._device.read() if self._device.isOpened() else (False, None)
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8) if read and image is not None else None

    def _read_frames(self) -> Iterator[Frame]:
        image, self._first = self._first, None
        while not self._stopped.is_set():
            if image is None:
                self.status = "lost"
                yield from self._waited_for()
            else:
                self.status, self._arrived = "ok", time.monotonic()
                yield self._frame(self._fitted(image))
            image = self._read()

    def _frame(self, image: NDArray[np.uint8]) -> Frame:
        ticks = round((time.monotonic() - self.began) / TIME_BASE)
        return Frame(self._turned(image), ticks * TIME_BASE)

    def _fitted(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """In the size of the first: a camera that is back may give another."""
        return image if image.shape[1::-1] == self.format.size else cv2.resize(image, self.format.size)  # type: ignore[return-value]

    def _waited_for(self) -> Iterator[Frame]:
        """A slate, now and then, until the camera is there again."""
        self.lost += 1
        log.warning("camera %s is lost: waiting for it", self._name)
        tries, again = 0, time.monotonic()
        while not self._stopped.is_set():
            if time.monotonic() >= again:
                self._device.release()
                self._device = self._opened()
                if self._device.isOpened():
                    log.info("camera %s is back", self._name)
                    return
                again = time.monotonic() + AGAIN_SECONDS[min(tries, len(AGAIN_SECONDS) - 1)]
                tries += 1
            yield self._frame(slate(self.format.size, "camera lost"))
            self._stopped.wait(SLATE_SECONDS)

    def close(self) -> None:
        """Let the camera go."""
        super().close()
        self._device.release()


class PacedFile(LiveSource):
    """A clip played at its own pace, once or for ever: a camera for shows, and for trying without one.

    Args:
        name: the clip.
        loop: whether it begins again at its end.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, name: str | Path, loop: bool = False) -> None:
        super().__init__()
        self._name, self._loop = name, loop
        with VideoFile(name) as clip:
            known = clip.format
        self.format = replace(known, frames=None, bit_depth=8, alpha=False, light=None, path=None, live=True)

    def _read_frames(self) -> Iterator[Frame]:
        self.began = time.monotonic()
        offset = end = Fraction(0)
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
            offset = end
            if not self._loop:
                return


def open_camera(name: str, loop: bool = False, size: tuple[int, int] | None = None, rate: float | None = None) -> LiveSource:
    """A camera by number, name, path or address; or a clip, where the name is an ordinary file's.

    Raises:
        InputError: it cannot be opened.
    """
    if Path(name).is_file():
        return PacedFile(name, loop)
    with suppress(ValueError):
        return Camera(int(name), size, rate)
    return Camera(name, size, rate)


def slate(size: tuple[int, int], words: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: words on dark grey."""
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    scale = size[0] / 400
    (width, height), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    place = (size[0] - width) // 2, (size[1] + height) // 2
    cv2.putText(image, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (220, 220, 220), 1, cv2.LINE_AA)
    return image
