"""``vidstyle live``: a camera in, its painting in a window, steered by keys."""

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from .camera import LiveSource
from .errors import OutputError, VidstyleError
from .flow import FlowMethod
from .format import Format
from .frame import Image
from .pace import Pace
from .pictures import write_picture
from .pipeline import Report, run
from .recorder import Recorder
from .style import Style
from .stylizer import Stylizer
from .window import Window

log = logging.getLogger(__name__)

FIRST_STEPS = 6
"""Of the first frame: the camera is to show at once, and the painting to form over it."""

HELP = (
    "n, p: next, previous style",
    "+ -: strength    [ ]: style scale",
    "o: original colours    c: source beside",
    "f: freeze    m: mirror",
    "s: snapshot    r: record",
    "h: this help    q: quit",
)


LOOK_BACK = 10_000
"""So many frames are remembered, two numbers of each, for what is said of a session at its end."""


class Closed(Exception):  # noqa: N818 (no error: somebody is done)
    """Whoever watches has closed the window, pressed q, or seen enough."""


@dataclass(frozen=True)
class Show:
    """How a live session goes.

    Args:
        fps: frames per second to reach.
        fade_seconds: how long one style turns into the next.
        seconds: when to end; None: never.
        window: whether there is one.
        record: where to record from the start; None: where key r says.
    """

    fps: float = 30.0
    fade_seconds: float = 1.0
    seconds: float | None = None
    window: bool = True
    record: Path | None = None

    def __post_init__(self) -> None:
        for name in ("fps", "fade_seconds"):
            if not 0 <= getattr(self, name) <= 1000 or (name == "fps" and self.fps == 0):
                raise ValueError(f"{name} is {getattr(self, name)}: it must be above 0, and 1000 at most")


class Session:
    """What is on: styles, keys, the picture shown. Called by ``run`` on the main thread.

    ``shown`` says of the last frames when each was shown and when it was there, in seconds of ``time.monotonic``.
    """

    def __init__(self, show: Show, source: LiveSource, stylizer: Stylizer, styles: Sequence[tuple[str, Style]]) -> None:
        self._show, self._source, self._styles = show, source, list(styles)
        self.recorder = Recorder(self._painted_format(stylizer))
        self.window = Window() if show.window else None
        self._pace = Pace(show.fps)
        self._steadiness = stylizer.settings.temporal_weight
        self._number = self._seen = 0
        self._from: Style | None = None
        self._faded = 0.0
        self._began = time.monotonic()
        self.shown: deque[tuple[float, float]] = deque(maxlen=LOOK_BACK)
        self._frozen = self._helping = self._beside = False
        self._image: Image | None = None
        if show.record is not None:
            self.recorder.start(show.record, overwrite=True)

    def _painted_format(self, stylizer: Stylizer) -> Format:
        return replace(self._source.format, rate=None)

    def __call__(self, stylizer: Stylizer, report: Report) -> None:
        """Show what is new, do what keys say."""
        if report.frames > self._seen and report.frame is not None:
            self._seen = report.frames
            now = time.monotonic()
            self.shown.append((now, self._source.began + float(report.frame.time)))
            self._pace.adjust(stylizer, report)
            self._fade(stylizer)
            self._draw(report)
        if self.window is not None:
            key = self.window.key()
            if key is not None:
                self.press(key, stylizer)
        if self._show.seconds is not None and time.monotonic() - self._began > self._show.seconds:
            raise Closed

    def _draw(self, report: Report) -> None:
        if self.window is None or report.frame is None:
            return
        if not self._frozen or self._image is None:
            self._image = report.frame.image
            if self._beside and report.source is not None:
                source = cv2.resize(report.source.image[..., :3], report.frame.size, interpolation=cv2.INTER_AREA)
                self._image = np.concatenate([source, report.frame.image[..., :3]], 1)
        self.window.show(self._image, HELP if self._helping else self.lines(report))

    def lines(self, report: Report) -> list[str]:
        """What is written over the picture."""
        name = self._styles[self._number][0]
        words = [f"{self.rate():.1f} fps  {1000 * self.latency():.0f} ms  {len(report.iterations)} steps  {name}"]
        words += [self._pace.said] * bool(self._pace.said) + ["recording"] * self.recorder.running + ["frozen"] * self._frozen
        return words

    def rate(self) -> float:
        """Frames shown per second, of late."""
        times = [when for when, _ in self.shown][-30:]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0

    def latency(self) -> float:
        """Seconds from when a frame was there to when its painting was shown, median of late."""
        late = [shown - there for shown, there in self.shown][-30:]
        return statistics.median(late) if late else 0.0

    def _fade(self, stylizer: Stylizer) -> None:
        """One style turns into the next, a little with each frame."""
        now = self._styles[self._number][1]
        if self._from is None:
            return
        share = (time.monotonic() - self._faded) / self._show.fade_seconds if self._show.fade_seconds else 1.0
        if share < 1:
            stylizer.style = Style.blend([self._from, now], [1 - share, share])
            return
        self._from = None
        stylizer.style = now
        stylizer.loosen()
        self._set(stylizer, temporal_weight=self._steadiness)

    def press(self, key: str, stylizer: Stylizer) -> None:
        """Do what a key says.

        Raises:
            Closed: it says to end.
        """
        settings = stylizer.settings
        actions: dict[str, Callable[[], None]] = {
            "n": lambda: self._switch(1, stylizer),
            "p": lambda: self._switch(-1, stylizer),
            "o": lambda: self._set(stylizer, original_colors=not settings.original_colors),
            "+": lambda: self._set(stylizer, strength=min(1.0, round(settings.strength + 0.1, 1))),
            "-": lambda: self._set(stylizer, strength=max(0.0, round(settings.strength - 0.1, 1))),
            "]": lambda: self._set(stylizer, style_scale=min(10.0, settings.style_scale * 1.25)),
            "[": lambda: self._set(stylizer, style_scale=max(0.1, settings.style_scale / 1.25)),
            "m": lambda: self._mirror(stylizer),
            "s": self._snapshot,
            "r": self._record,
        }
        if key in ("q", "escape", "close"):
            raise Closed
        if key in ("c", "f", "h"):
            name = {"c": "_beside", "f": "_frozen", "h": "_helping"}[key]
            setattr(self, name, not getattr(self, name))
        elif key in actions or key == "=":
            try:
                actions["+" if key == "=" else key]()
            except VidstyleError as error:  # a full disk is no reason to end the show
                log.error("%s", error)

    def _set(self, stylizer: Stylizer, **changed: object) -> None:
        stylizer.settings = replace(stylizer.settings, **changed)  # type: ignore[arg-type]

    def _switch(self, by: int, stylizer: Stylizer) -> None:
        """The painting before is no example while one style turns into the next."""
        self._from = stylizer.style
        self._number = (self._number + by) % len(self._styles)
        self._faded = time.monotonic()
        stylizer.loosen()
        self._set(stylizer, temporal_weight=0.0)

    def _mirror(self, stylizer: Stylizer) -> None:
        self._source.mirror = not self._source.mirror
        stylizer.reset()

    def _snapshot(self) -> None:
        if self._image is None:
            return
        path = _free("png")
        write_picture(path, self._image)
        log.info("snapshot: %s", path)

    def _record(self) -> None:
        if self.recorder.running:
            log.info("recorded: %s", self.recorder.close())
            return
        path = self._show.record if self._show.record is not None and not self._show.record.exists() else _free("mp4")
        self.recorder.start(path)
        log.info("recording: %s", path)

    def close(self) -> None:
        """Finish the recording and close the window."""
        recorded = self.recorder.close()
        if recorded is not None:
            log.info("recorded: %s", recorded)
        if self.window is not None:
            self.window.close()


def live(
    show: Show, source: LiveSource, stylizer: Stylizer, styles: Sequence[tuple[str, Style]], flow: FlowMethod | None = None
) -> Session:
    """Paint what a camera gives until somebody closes the window or the camera ends. Returns what was shown.

    Raises:
        VidstyleError: no display, a recording that cannot be written.
    """
    size_px = round(max(stylizer.paint_size(source.format.size)) * stylizer.settings.style_scale)
    layers = stylizer.features.few_layers if stylizer.settings.few_layers else stylizer.features.style_layers
    for _, style in styles:  # looked at now, so that switching is quick
        style.grams(size_px, stylizer.settings.style_layers or layers)
    session = Session(show, source, stylizer, styles)
    try:
        run(source, stylizer, [session.recorder], session, flow)
    except Closed:
        pass
    finally:
        session.close()
    intervals = [after - before for (before, _), (after, _) in pairwise(session.shown)]
    if intervals:
        slow, median = sorted(intervals)[int(0.95 * len(intervals))], statistics.median(intervals)
        figures = f"{1 / median:.1f} frames per second, {1000 * session.latency():.0f} ms late"
        log.info("%s; the 95th percentile of the time between frames is %.2f times its median", figures, slow / median)
    return session


def _free(ending: str) -> Path:
    """A name of the present moment that no file has."""
    moment = time.strftime("vidstyle-%Y%m%d-%H%M%S")
    names = (Path(f"{moment}{more}.{ending}") for more in ("", *(f"-{number}" for number in range(2, 100))))
    for name in names:
        if not name.exists():
            return name
    raise OutputError(f"there are too many files called {moment}: move some away")
