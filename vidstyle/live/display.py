"""The display of a live session: every camera frame is shown, at the rate of the camera.

Stylised frames come from another thread, at the rate at which frames can be stylised. Where that is
slower than the camera, the last one is warped to each camera frame (``reprojection``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from ..io.frame import Frame, Image
from .camera import LiveSource
from .keys import HELP
from .latency_stamp import draw_stamp
from .output import Output
from .reprojection import Reprojection
from .slate import SlateGenerator
from .timing import FrameTimings
from .window import Window

RATE_FRAMES = 8
"""Number of stylised frames from which their rate is computed."""

LATE_INTERVALS = 1.5
"""Frame intervals after which a camera's frame is late, and is not waited for."""

KEEPS_UP_SHARE = 0.8
"""Share of the camera's rate above which stylised frames are shown as they are."""


class Display:
    """Shows frames in the window and sends them to the outputs. All methods but ``add`` and
    ``keeps_up`` belong to the main thread.

    ``image`` is the stylised image that was shown last, ``timings`` those of the shown frames, and
    ``actions`` maps names to functions without arguments.

    Args:
        source: the camera.
        window: preview window; None: no window.
        outputs: further receivers.
        lines: returns the text over the window's frame.
        record: receives each frame of the camera as it is shown.
    """

    def __init__(
        self,
        source: LiveSource,
        window: Window | None,
        outputs: Sequence[Output],
        lines: Callable[[], list[str]],
        record: Callable[[Frame], object],
    ) -> None:
        self.window, self.outputs = window, outputs
        self.timings = FrameTimings()
        self.image: Image | None = None
        self.frozen = self.side_by_side = False
        self._show_help = self._stamped = False
        self._source, self._lines, self._record = source, lines, record
        self._slates = SlateGenerator(source)
        self._stylized: Reprojection | None = None
        self._shown: tuple[Reprojection | None, Frame | None] = None, None
        self._last_time = Fraction(-1)
        self._stylized_rate = FrameTimings(recent=RATE_FRAMES)
        self.actions: Mapping[str, Callable[[], None]] = {
            "side_by_side": lambda: self._toggle("side_by_side"),
            "freeze": lambda: self._toggle("frozen"),
            "help": lambda: self._toggle("_show_help"),
            "latency_stamp": lambda: self._toggle("_stamped"),
        }

    def add(self, source: Frame, stylized: Frame, now: float) -> None:
        """Take a stylised frame, which ``refresh`` shows. Thread-safe.

        Args:
            source: the frame of the camera.
            stylized: the same frame stylised.
            now: seconds of ``time.monotonic``.
        """
        self._stylized_rate.add(now, self._source.start_time + float(source.time))
        self._stylized = Reprojection(source, stylized)

    @property
    def stylized_fps(self) -> float:
        """Stylised frames per second, recently."""
        return self._stylized_rate.fps()

    def keeps_up(self) -> bool:
        """Whether about every frame of the camera is stylised."""
        rate = self._source.rate
        return rate is None or self.stylized_fps >= KEEPS_UP_SHARE * rate

    def refresh(self, now: float) -> bool:
        """Show the camera's newest frame, or a slate if there is none.

        Args:
            now: seconds of ``time.monotonic``.

        Returns:
            False if there is nothing new to show.
        """
        if self._stylized is None:
            return self._show_slate()
        stylized = self._stylized
        frame = self._frame_to_show(stylized)
        if frame is self._shown[1] and (stylized is self._shown[0] or self._expects_frame(now)):
            return not self.frozen and self._show_slate()
        self._shown = stylized, frame
        self._show(stylized, frame, now)
        return True

    def _expects_frame(self, now: float) -> bool:
        """Whether the camera's next frame is due: a new stylised frame is shown with it."""
        rate, last = self._source.rate, self.timings.last_shown
        return rate is not None and last is not None and now - last < LATE_INTERVALS / rate

    def _frame_to_show(self, stylized: Reprojection) -> Frame:
        """The frame of the camera to show: never an earlier one than before."""
        newest, own = self._source.newest, stylized.source
        if newest is None or newest.time < own.time:
            return own
        return own if self.keeps_up() and own.time >= self._last_time else newest

    def _show(self, stylized: Reprojection, frame: Frame, now: float) -> None:
        image = stylized.at(frame)
        self._last_time = frame.time
        self.timings.add(now, self._source.start_time + float(frame.time))
        self._record(replace(stylized.stylized, image=image, time=frame.time))
        if not self.frozen or self.image is None:
            shown = _beside(frame.image, image) if self.side_by_side else image
            self.image = shown
            for output in self.outputs:
                output.show(draw_stamp(shown) if self._stamped else shown)
        self._show_in_window(self.image)

    def _show_slate(self) -> bool:
        """Show the camera's status instead of a frame, as long as the camera gives no frames."""
        image = self._slates.next_slate(None if self.image is None else self.image.shape[1::-1])
        if image is None:
            return False
        for output in self.outputs:
            output.show(image)
        self._show_in_window(image)
        return True

    def _show_in_window(self, image: Image | None) -> None:
        if self.window is not None and image is not None:
            self.window.show(image, HELP if self._show_help else self._lines())

    def _toggle(self, attribute: str) -> None:
        setattr(self, attribute, not getattr(self, attribute))


def _beside(source: Image, stylized: Image) -> Image:
    """The source, in the size of the stylised frame, to the left of it."""
    size = stylized.shape[1], stylized.shape[0]
    scaled = cv2.resize(source[..., :3], size, interpolation=cv2.INTER_AREA)
    return np.concatenate([scaled, stylized[..., :3]], 1)
