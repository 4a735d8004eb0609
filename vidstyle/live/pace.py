"""How much work a live frame may get: steps, and at last the size of the painting."""

import statistics
from collections import deque
from dataclasses import replace

from ..painting.stylizer import Stylizer
from ..pipeline import Report

MOST_STEPS = 8
LEAST_PAINT_PX = 128
"""Below it a step takes hardly less time: most of it is spent on other things than pixels."""
SMALLER = 0.8
"""Factor by which the painting becomes smaller when one step takes too long, at least, and larger again."""

PATIENCE_FRAMES, GROWTH_FRAMES = 8, 120
"""So many more frames must be late than in time before it does; so many have room for a larger one before it grows again."""

SHARE, LATE, ROOM = 0.8, 0.9, 0.6
"""Share of the time between two frames that is planned for, and that a frame may take: who is ready before the camera's next
frame is the least behind, and in step with it. The last is what one step of a larger painting may take."""


class Pace:
    """Chooses steps, and at last the size of the painting, so that frames come in time. ``most_steps`` may be assigned.

    Args:
        fps: frames per second to reach.
    """

    def __init__(self, fps: float) -> None:
        self.most_steps = MOST_STEPS
        self._interval = 1 / fps
        self._late = self._early = 0
        self._took: deque[float] = deque(maxlen=PATIENCE_FRAMES)
        self._asked: int | None = None  # the size that was asked for, while the painting is smaller
        self._full_px = 0  # what that means; 0: it is not smaller
        self._growth_frames = GROWTH_FRAMES
        self._spent: dict[str, float] = {}
        self.said = ""

    def adjust(self, stylizer: Stylizer, report: Report) -> None:
        """After a frame: what the next one may take."""
        spent = {name: seconds - self._spent.get(name, 0.0) for name, seconds in report.seconds.items() if name != "read"}
        self._spent = dict(report.seconds)
        if report.frames < 3 or not report.iterations:  # the first ones prepare
            return
        settings, steps = stylizer.settings, len(report.iterations)
        took, step = sum(spent.values()), spent["paint"] / steps
        beside = took - spent["paint"]
        affordable = int((SHARE * self._interval - beside) / max(step, 1e-6))
        wanted = min(self.most_steps, max(1, affordable))
        if wanted != settings.steps:  # by one at a time: a single slow frame says little
            stylizer.settings = replace(settings, steps=settings.steps + (1 if wanted > settings.steps else -1))
        self._late = self._late + 1 if took > LATE * self._interval else max(0, self._late - 1)
        self._took.append(took)
        room = (beside + step) / SMALLER**2 < ROOM * self._interval  # time goes with the pixels
        self._early = self._early + 1 if room else max(0, self._early - 4)
        size = max(stylizer.paint_size(report.frame.size)) if report.frame else 0
        if self._late >= PATIENCE_FRAMES and steps == 1 and size > LEAST_PAINT_PX:
            self._shrink(stylizer, size)
        elif self._full_px and self._early >= self._growth_frames:
            self._grow(stylizer, size)

    def _shrink(self, stylizer: Stylizer, size: int) -> None:
        if self._full_px:  # it may have grown in vain: the next time it waits for longer
            self._growth_frames = min(10 * GROWTH_FRAMES, 2 * self._growth_frames)
        else:
            self._asked, self._full_px = stylizer.settings.paint_size, size
        factor = min(SMALLER, (SHARE * self._interval / statistics.median(self._took)) ** 0.5)
        self._become(stylizer, max(LEAST_PAINT_PX, round(size * factor)))

    def _grow(self, stylizer: Stylizer, size: int) -> None:
        self._become(stylizer, min(self._full_px, round(size / SMALLER)))

    def _become(self, stylizer: Stylizer, size: int) -> None:
        whole = size == self._full_px
        stylizer.settings = replace(stylizer.settings, paint_size=self._asked if whole else size)
        self.said = "" if whole else f"painting at {size} px to keep up"
        self._full_px = 0 if whole else self._full_px
        self._late = self._early = 0
