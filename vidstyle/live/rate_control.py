"""How much work a live frame may get: steps, and at last the size of the painting."""

import statistics
from collections import deque
from dataclasses import replace

from ..pipeline import Report
from ..stylizer.stylizer import Stylizer

LEAST_PAINT_PX = 128
"""Below it a step takes hardly less time: most of it is spent on other things than pixels."""
SMALLER = 0.8
"""Factor by which the painting becomes smaller when one step takes too long, at least, and larger again."""

LATE_FRAMES, LATE_SECONDS = 2, 0.3
"""The painting becomes smaller when so many frames more were late than in time, which took so many seconds."""

GROWTH_SECONDS, MOST_GROWTH_SECONDS = 4.0, 40.0
"""The painting grows again after so many seconds with room for a larger one; twice as many each time it grew in vain."""

MEDIAN_FRAMES = 8
"""Of how many late frames the median is taken at most."""

PREPARING_FRAMES = 2
"""Frames beside a GPU that say nothing of its speed, since work is recorded during them."""

SHARE, LATE, ROOM = 0.8, 0.9, 0.6
"""Share of the time between two frames that is planned for, and that a frame may take: who is ready before the camera's next
frame is the least behind, and in step with it. The last is what one step of a larger painting may take."""


class FrameRateController:
    """Chooses steps, and at last the size of the painting, so that frames come in time.

    ``fps`` and ``most_steps`` may be assigned.

    Args:
        fps: frames per second to reach: no more than the camera gives.
        most_steps: how many steps a frame may get at most.
    """

    def __init__(self, fps: float, most_steps: int) -> None:
        self.fps, self.most_steps = fps, most_steps
        self._late_frames, self._late_seconds, self._early_seconds = 0, 0.0, 0.0
        self._late: deque[float] = deque(maxlen=MEDIAN_FRAMES)
        self._asked: int | None = None  # the size that was asked for, while the painting is smaller
        self._full_px = 0  # what that means; 0: it is not smaller
        self._growth_seconds = GROWTH_SECONDS
        self._spent: dict[str, float] = {}
        self.said = ""

    def adjust(self, stylizer: Stylizer, report: Report) -> None:
        """After a frame: what the next one may take."""
        spent = {
            name: seconds - self._spent.get(name, 0.0)
            for name, seconds in report.seconds.items()
            if name != "read"
        }
        self._spent = dict(report.seconds)
        preparing = stylizer.features.device.type != "cpu" and report.frames <= PREPARING_FRAMES
        if preparing or not report.iterations:
            return
        took, step = sum(spent.values()), spent["paint"] / len(report.iterations)
        beside = took - spent["paint"]
        self._choose_steps(stylizer, step, beside)
        self._count(beside + step, took)
        size = max(stylizer.working_size(report.frame.size)) if report.frame else 0
        if (
            self._late_frames >= LATE_FRAMES
            and self._late_seconds >= LATE_SECONDS
            and size > LEAST_PAINT_PX
        ):
            self._shrink(stylizer, size)
        elif self._full_px and self._early_seconds >= self._growth_seconds:
            self._grow(stylizer, size)

    def _choose_steps(self, stylizer: Stylizer, step: float, beside: float) -> None:
        affordable = int((SHARE / self.fps - beside) / max(step, 1e-6))
        wanted, steps = min(self.most_steps, max(1, affordable)), stylizer.settings.steps
        if wanted != steps:  # not all at once: a single slow frame says little
            by = 1 if wanted > steps else min(-1, -((steps - wanted) // 2))
            stylizer.settings = replace(stylizer.settings, steps=min(steps + by, self.most_steps))

    def _count(self, least: float, took: float) -> None:
        """Count how long frames were late, or had room. ``least``: what a frame with one step takes, in seconds."""
        interval = 1 / self.fps
        if least > LATE * interval:
            self._late_frames += 1
            self._late_seconds += took
            self._late.append(least)
        else:
            self._late_frames = max(0, self._late_frames - 1)
            self._late_seconds = max(0.0, self._late_seconds - interval)
        if not self._late_frames:
            self._late.clear()
        passed = max(took, interval)
        room = least / SMALLER**2 < ROOM * interval  # time goes with the pixels
        self._early_seconds = (
            self._early_seconds + passed if room else max(0.0, self._early_seconds - 4 * passed)
        )

    def _shrink(self, stylizer: Stylizer, size: int) -> None:
        if self._full_px:  # it may have grown in vain: the next time it waits for longer
            self._growth_seconds = min(MOST_GROWTH_SECONDS, 2 * self._growth_seconds)
        else:
            self._asked, self._full_px = stylizer.settings.working_size, size
        factor = min(SMALLER, (SHARE / self.fps / statistics.median(self._late)) ** 0.5)
        self._become(stylizer, max(LEAST_PAINT_PX, round(size * factor)))

    def _grow(self, stylizer: Stylizer, size: int) -> None:
        self._become(stylizer, min(self._full_px, round(size / SMALLER)))

    def _become(self, stylizer: Stylizer, size: int) -> None:
        whole = size == self._full_px
        stylizer.settings = replace(stylizer.settings, working_size=self._asked if whole else size)
        self.said = "" if whole else f"painting at {size} px to keep up"
        self._full_px = 0 if whole else self._full_px
        self._late_frames, self._late_seconds, self._early_seconds = 0, 0.0, 0.0
        self._late.clear()
