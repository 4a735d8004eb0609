"""``vidstyle live``: a camera in, its painting in a window and on a page, steered by keys and from there."""

import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from queue import Empty, Full, Queue
from typing import Any, Protocol

import cv2
import numpy as np

from ..errors import VidstyleError
from ..flow.methods import FlowMethod
from ..io.frame import Image
from ..io.images import write_image
from ..pipeline import Report, run
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from .camera import CameraStatus, LiveSource
from .commands import check_command
from .controls import Controls
from .filenames import is_unused, unused_name
from .keys import HELP, KEYS
from .latency_stamp import with_clock
from .messages import Messages
from .rate_control import FrameRateController
from .recorder import Recorder
from .slate import Slates
from .startup import LiveOptions, SessionClosed
from .window import Window

log = logging.getLogger(__name__)

MOST_COMMANDS = 1000
"""Number of commands that may wait for the next frame."""

LOOK_BACK = 10_000
"""So many frames are remembered, two numbers of each, for what is said of a session at its end."""


class Output(Protocol):
    """What else shows the pictures, and may tell the session what to do: the control page, a virtual camera."""

    def open(self, session: "Session") -> None:
        """The session begins."""

    def show(self, image: Image) -> None:
        """Show (H, W, 3 or 4) RGB, which is not changed afterwards. It must not wait."""

    def close(self) -> None:
        """The session is over."""


class Session:
    """What is on: the picture shown, and what whoever watches asks for. Called by ``run`` on the main thread.

    ``shown`` says of the last frames when each was shown and when it was there, in seconds of ``time.monotonic``;
    ``state`` is what a screen tells of the session, as plain data, new with every frame.

    Args:
        show: how it goes.
        source: the camera.
        stylizer: starts with the first style.
        styles: (name, style).
        window: None: there is none.
        screens: what else shows it.
    """

    def __init__(
        self,
        show: LiveOptions,
        source: LiveSource,
        stylizer: Stylizer,
        styles: Sequence[tuple[str, Style]],
        window: Window | None = None,
        screens: Sequence[Output] = (),
    ) -> None:
        self._show, self._source, self._stylizer = show, source, stylizer
        self.window, self._screens = window, screens
        self.messages = Messages()
        self.recorder = Recorder(replace(source.format, rate=None), tell=self.messages.add)
        self._pace = FrameRateController(show.fps, show.most_steps)
        self.steering = Controls(stylizer, styles, source, self._pace, show.fade_seconds)
        self._slates = Slates(source)
        self._seen = 0
        self._began = time.monotonic()
        self.shown: deque[tuple[float, float]] = deque(maxlen=LOOK_BACK)
        self._frozen = self._helping = self._beside = self._clocked = False
        self._image: Image | None = None
        self._orders: Queue[Callable[[], None]] = Queue(MOST_COMMANDS)
        self.actions: Mapping[str, Callable[[], None]] = {
            **self.steering.actions,
            "beside": lambda: self._toggle("_beside"),
            "freeze": lambda: self._toggle("_frozen"),
            "help": lambda: self._toggle("_helping"),
            "clock": lambda: self._toggle("_clocked"),
            "snapshot": self._snapshot,
            "record": self._record,
            "quit": self._quit,
        }
        self.state: dict[str, Any] = self.steering.state()
        if show.record is not None:
            self.recorder.start(show.record, overwrite=True)
        for screen in screens:
            screen.open(self)

    def __call__(self, stylizer: Stylizer, report: Report) -> None:
        """Show what is new, do what was asked for."""
        if report.frames > self._seen and report.frame is not None:
            self._seen = report.frames
            now = time.monotonic()
            self.shown.append((now, self._source.began + float(report.frame.time)))
            self._pace.fps = min(self._show.fps, self._source.rate or self._show.fps)
            self._pace.adjust(stylizer, report)
            self.steering.fade()
            self._draw(report)
            self.state = self._told(report)
        elif not self._frozen:
            self._show_slate(report)
        key = self.window.key() if self.window is not None else None
        if key is not None:
            self.press(key)
        try:
            while True:
                self._obey(self._orders.get_nowait())
        except Empty:
            pass
        if self._show.seconds is not None and time.monotonic() - self._began > self._show.seconds:
            raise SessionClosed

    @property
    def camera_status(self) -> CameraStatus:
        """ "ok"; "silent": the camera is open and gives no frames; "lost": it cannot be read or opened."""
        return self._source.status

    @property
    def seconds_since_frame(self) -> float:
        """Seconds since the last frame of the camera arrived."""
        return self._source.seconds_since_frame

    def press(self, key: str) -> None:
        """Do what a key says.

        Raises:
            Closed: it says to end.
        """
        if key in KEYS:
            self._obey(self.actions[KEYS[key]])

    def order(self, given: Mapping[str, Any]) -> None:
        """Have something done before the next frame; may be called on any thread.

        Args:
            given: any of ``do`` (one of ``actions``), ``turn`` (as ``Controls.turn`` takes them), ``mix`` (one weight per
                style).

        Raises:
            ValueError: the command cannot be carried out, and none of it is. The text is one line
                in plain words.
        """
        check_command(given, self.actions, len(self.steering.styles))
        if "mix" in given:
            self._put(lambda: self.steering.mix(given["mix"]))
        if "turn" in given:
            self._put(lambda: self.steering.turn(**given["turn"]))
        if "do" in given:
            self._put(self.actions[given["do"]])

    def add_style(self, name: str, image: Image) -> None:
        """Analyse one more style on the calling thread, and switch to it before the next frame.

        Raises:
            VidstyleError: the picture cannot be used as a style.
            ValueError: too many commands are waiting.
        """
        style = Style.from_images([image], self._stylizer.features)
        look_at([style], self._stylizer, self._source.format.size)
        self._put(lambda: self.steering.add(name, style))

    def status(self) -> dict[str, Any]:
        """``state`` with what may change while no frame comes: camera and messages.

        May be called on any thread.
        """
        return {
            **self.state,
            "camera": self.camera_status,
            "seconds_since_frame": round(self.seconds_since_frame, 2),
            "messages": [
                {"number": each.number, "text": each.text, "error": each.error}
                for each in self.messages.recent()
            ],
        }

    def _put(self, action: Callable[[], None]) -> None:
        try:
            self._orders.put_nowait(action)
        except Full:
            raise ValueError(f"{MOST_COMMANDS} commands are waiting already: send fewer") from None

    def _obey(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (
            VidstyleError,
            ValueError,
        ) as error:  # a full disk, or weights for fewer styles, is no reason to end the show
            self.messages.add(str(error), error=True)

    def _draw(self, report: Report) -> None:
        if report.frame is None or (self._frozen and self._image is not None):
            image = self._image
        elif self._beside and report.source is not None:
            source = cv2.resize(
                report.source.image[..., :3], report.frame.size, interpolation=cv2.INTER_AREA
            )
            image = np.concatenate([source, report.frame.image[..., :3]], 1)
        else:
            image = report.frame.image
        if image is None:
            return
        for screen in self._screens if image is not self._image else ():
            screen.show(with_clock(image) if self._clocked else image)
        self._image = image
        if self.window is not None:
            self.window.show(image, HELP if self._helping else self.lines(report))

    def _show_slate(self, report: Report) -> None:
        """Say in the picture's place that the camera gives none, as long as it does not."""
        image = self._slates.due(None if self._image is None else self._image.shape[1::-1])
        if image is None:
            return
        for screen in self._screens:
            screen.show(image)
        if self.window is not None:
            self.window.show(image, HELP if self._helping else self.lines(report))
        self.state = self._told(report)

    def lines(self, report: Report) -> list[str]:
        """What is written over the picture."""
        camera = [] if self.camera_status == "ok" else [f"camera {self.camera_status}"]
        words = f"{self.rate():.1f} fps  {1000 * self.latency():.0f} ms  {len(report.iterations)} steps  {self.steering.name}"
        said = [self._pace.said] * bool(self._pace.said)
        modes = [*["recording"] * self.recorder.running, *["frozen"] * self._frozen]
        return [words, *camera, *said, *modes, *self.messages.on_screen()]

    def _told(self, report: Report) -> dict[str, Any]:
        return {
            **self.steering.state(),
            "frames": report.frames,
            "dropped": report.dropped,
            "fps": round(self.rate(), 2),
            "latency_ms": round(1000 * self.latency(), 1),
            "steps": len(report.iterations),
            "loss": finite_loss(report),
            "paint_px": max(self._stylizer.working_size(self._source.format.size)),
            "said": self._pace.said,
            "recording": self.recorder.running,
            "freeze": self._frozen,
            "beside": self._beside,
        }

    def rate(self) -> float:
        """Frames shown per second, of late. It goes down while no frame comes."""
        times = [when for when, _ in self._late()]
        if len(times) < 2:
            return 0.0
        seconds, frames = times[-1] - times[0], len(times) - 1
        overdue = max(0.0, time.monotonic() - times[-1] - 2 * seconds / frames)
        return frames / (seconds + overdue)

    def latency(self) -> float:
        """Seconds from when a frame was there to when its painting was shown, median of late."""
        late = [shown - there for shown, there in self._late()]
        return statistics.median(late) if late else 0.0

    def _late(self) -> list[tuple[float, float]]:
        return [self.shown[-number] for number in range(min(30, len(self.shown)), 0, -1)]

    def _toggle(self, name: str) -> None:
        setattr(self, name, not getattr(self, name))

    def _quit(self) -> None:
        raise SessionClosed

    def _snapshot(self) -> None:
        if self._image is None:
            self.messages.add("no snapshot was saved: there is no picture yet", error=True)
            return
        path = unused_name("png")
        write_image(path, self._image)
        self.messages.add(f"snapshot: {path.absolute()}")

    def _record(self) -> None:
        if self.recorder.running:
            self.recorder.stop()
            return
        wanted = self._show.record
        path = wanted if wanted is not None and is_unused(wanted) else unused_name("mp4")
        self.recorder.start(path)

    def close(self) -> None:
        """Close the window and the screens, and wait until what was recorded is finished.

        Raises:
            VidstyleError: what could not be recorded.
        """
        self.recorder.stop()
        for screen in self._screens:
            screen.close()
        if self.window is not None:
            self.window.close()
        self.recorder.close()


def live(
    session: Session, source: LiveSource, stylizer: Stylizer, flow: FlowMethod | None = None
) -> None:
    """Paint what a camera gives until somebody closes the window or the camera ends, and say how it went.

    Raises:
        VidstyleError: a recording that cannot be written, a camera that cannot be read on.
    """
    try:
        run(source, stylizer, [session.recorder], session, flow)
    except SessionClosed:
        pass
    finally:
        session.close()
    intervals = [after - before for (before, _), (after, _) in pairwise(session.shown)]
    if intervals:
        slow, median = sorted(intervals)[int(0.95 * len(intervals))], statistics.median(intervals)
        figures = f"{1 / median:.1f} frames per second, {1000 * session.latency():.0f} ms late"
        log.info(
            "%s; the 95th percentile of the time between frames is %.2f times its median",
            figures,
            slow / median,
        )


def look_at(styles: Sequence[Style], stylizer: Stylizer, frame_size: tuple[int, int]) -> None:
    """Look at styles beforehand, so that switching to them is quick."""
    size_px = round(max(stylizer.working_size(frame_size)) * stylizer.settings.style_scale)
    layers = (
        stylizer.features.fast_style_layers
        if stylizer.settings.fast_style_layers
        else stylizer.features.style_layers
    )
    for style in styles:
        style.grams(size_px, stylizer.settings.style_layers or layers)


def finite_loss(report: Report) -> float | None:
    """The last loss of a frame; None where there is none, or one that JSON cannot hold."""
    loss = report.iterations[-1].total if report.iterations else math.nan
    return loss if math.isfinite(loss) else None
