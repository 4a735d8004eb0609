"""How much work a live frame may get: steps, and at last the size of the painting."""

from dataclasses import replace

from .pipeline import Report
from .stylizer import Stylizer

MOST_STEPS = 8
LEAST_PAINT_PX = 96
SMALLER = 0.8
"""Factor by which the painting becomes smaller when one step takes too long."""

PATIENCE_FRAMES = 12
"""So many frames in a row must be late before it does."""

SHARE, LATE = 0.8, 0.95
"""Share of the time between two frames that is planned for, and that a frame may take: who is ready before the camera's next
frame is the least behind, and in step with it."""


class Pace:
    """Chooses steps, and at last the size of the painting, so that frames come in time."""

    def __init__(self, fps: float) -> None:
        self._interval = 1 / fps
        self._late = 0
        self._spent = {"motion": 0.0, "paint": 0.0}
        self.said = ""

    def adjust(self, stylizer: Stylizer, report: Report) -> None:
        """After a frame: what the next one may take."""
        motion, paint = (report.seconds[name] - self._spent[name] for name in ("motion", "paint"))
        self._spent = {name: report.seconds[name] for name in self._spent}
        if report.frames < 3 or not report.iterations:  # the first ones prepare
            return
        settings, steps = stylizer.settings, len(report.iterations)
        affordable = int((SHARE * self._interval - motion) / max(paint / steps, 1e-6))
        wanted = min(MOST_STEPS, max(1, affordable))
        if wanted != settings.steps:  # by one at a time: a single slow frame says little
            stylizer.settings = replace(settings, steps=settings.steps + (1 if wanted > settings.steps else -1))
        self._late = self._late + 1 if steps == 1 and motion + paint > LATE * self._interval else 0
        size = max(stylizer.paint_size(report.frame.size)) if report.frame else 0
        if self._late >= PATIENCE_FRAMES and size * SMALLER >= LEAST_PAINT_PX:
            self._late = 0
            stylizer.settings = replace(stylizer.settings, paint_size=round(size * SMALLER))
            self.said = f"painting at {round(size * SMALLER)} px to keep up"
