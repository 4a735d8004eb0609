"""Rate control: choose the steps per frame and the working size for the speed of this machine.

A step's cost is measured with every frame. Where one step fits into the camera's frame interval,
the controller fits as many as it can. Where it does not, the display shows the frames in between
(``display``), and the controller lowers the working size only until ``SLOW_FPS`` frames per second
are stylised, and not below ``LEGIBLE_PX``: a smaller picture has no strokes any more. The working
size is raised again when there has been time for a larger one for a while, with exponential
backoff.
"""

import statistics
from collections import deque
from dataclasses import replace

from ..pipeline import Report
from ..stylizer.stylizer import Stylizer
from .pyramid_start import MIN_FRAME_STEPS, START_LEVELS, PyramidStart

LEGIBLE_PX = 320
"""Smallest working size, long side in px: below it strokes of most styles are a blur."""

SLOW_FPS = 8.0
"""Stylised frames per second down to which the working size is kept."""

SIZE_FACTOR = 0.8
"""Largest factor by which the working size shrinks at once, and the factor by which it grows."""

LATE_FRAMES, LATE_SECONDS = 2, 0.3
"""The working size shrinks after so many more late than timely frames, which took so many seconds.
"""

GROWTH_SECONDS, MAX_GROWTH_SECONDS = 4.0, 40.0
"""Seconds with time for a larger working size after which it grows.

The seconds double, up to the second value, each time the working size has to shrink again.
"""

MEDIAN_FRAMES = 8
"""Largest number of late frames over which the median time is taken."""

START_FRAME_SECONDS = 0.3
"""Time of a frame, where the camera's interval is too short, up to which it takes more steps during
a start: the style forms sooner, but what moves should be stylised more than three times a second.
"""

WARM_UP_FRAMES = 2
"""First frames that are not measured: memory is allocated, kernels are compiled."""

PLANNED_SHARE = 0.8
"""Share of the frame interval for which steps are planned.

A frame that is ready before the camera's next one adds the least latency.
"""

LATE_SHARE = 0.9
"""Share of the frame interval above which a frame with one step counts as late."""

GROWTH_SHARE = 0.6
"""Share of the frame interval that a frame with one step at a larger working size may take."""


class FrameRateController:
    """Adapts a stylizer's steps and working size to a target frame rate.

    ``target_fps`` and ``max_steps`` may be assigned at any time. ``note`` is a line for viewers
    while the working size is reduced or few frames are stylised, else "".

    Args:
        target_fps: frames per second, at most the camera's.
        max_steps: largest number of steps per frame.
    """

    def __init__(self, target_fps: float, max_steps: int) -> None:
        self.target_fps, self.max_steps = target_fps, max_steps
        self._late_frames, self._late_seconds, self._early_seconds = 0, 0.0, 0.0
        self._late_times: deque[float] = deque(maxlen=MEDIAN_FRAMES)
        # The setting to restore after a start or a reduced size; its value in px while the size is
        # reduced, else 0.
        self._full_setting: int | None = None
        self._full_px = 0
        self._growth_seconds = GROWTH_SECONDS
        self._last_seconds: dict[str, float] = {}
        self._start: PyramidStart | None = None
        self._start_steps = MIN_FRAME_STEPS  # limit of the steps per frame of a start
        self._final_px = 0  # working size at the end of the start
        self.note = ""

    def restart(
        self, stylizer: Stylizer, frame_size: tuple[int, int], coarse_levels: int = START_LEVELS
    ) -> None:
        """Stylise the next frames coarse to fine: at the start, and after a change of style.

        Not where a program is prepared for each size, as on a GPU: that takes longer.

        Args:
            stylizer: between two frames.
            frame_size: (width, height) of the camera's frames in px.
            coarse_levels: number of pyramid levels below the final size.
        """
        if stylizer.features.device.type != "cpu" or stylizer.settings.engine == "compile":
            return
        if self._start is None:
            self._final_px = max(stylizer.working_size(frame_size))
            if not self._full_px:
                self._full_setting = stylizer.settings.working_size
        self._start = PyramidStart(self._final_px, coarse_levels)
        self._apply_start(stylizer)

    def adjust(self, stylizer: Stylizer, report: Report) -> None:
        """Adapt the stylizer's settings after a frame."""
        seconds = {
            name: total - self._last_seconds.get(name, 0.0)
            for name, total in report.seconds.items()
            if name != "read"
        }
        self._last_seconds = dict(report.seconds)
        if not report.iterations or report.frame is None:
            return
        frame_seconds = sum(seconds.values())
        step_seconds = seconds["stylize"] / len(report.iterations)
        fixed_seconds = frame_seconds - seconds["stylize"]
        size = max(stylizer.working_size(report.frame.size))
        if self._start is not None:
            self._start.advance(len(report.iterations))
            self._start_steps = self._affordable_start_steps(step_seconds, fixed_seconds)
            if report.frames > WARM_UP_FRAMES:
                self._limit_final_size(size, fixed_seconds + step_seconds)
            self._apply_start(stylizer)
            return
        if report.frames <= WARM_UP_FRAMES:
            return
        self._choose_steps(stylizer, step_seconds, fixed_seconds)
        self._count_lateness(fixed_seconds + step_seconds, frame_seconds)
        late = self._late_frames >= LATE_FRAMES and self._late_seconds >= LATE_SECONDS
        if late and size > LEGIBLE_PX:
            self._shrink(stylizer, size)
        elif self._full_px and self._early_seconds >= self._growth_seconds:
            self._grow(stylizer, size)

    def _apply_start(self, stylizer: Stylizer) -> None:
        """Set size and steps for the next frame of a start; end the start after its last one."""
        size = self._start.size_px if self._start else None
        if self._start is None or size is None:
            self._start = None
            self._set_working_size(stylizer, self._final_px)
            return
        steps = min(self._start.frame_steps, self._start_steps, self.max_steps)
        stylizer.settings = replace(stylizer.settings, working_size=size, steps=steps)

    def _affordable_start_steps(self, step_seconds: float, fixed_seconds: float) -> int:
        """Steps per frame of a start: those that fit into the camera's interval, if any do."""
        interval = PLANNED_SHARE / self.target_fps
        fits = fixed_seconds + MIN_FRAME_STEPS * step_seconds < interval
        planned_seconds = interval if fits else START_FRAME_SECONDS
        return max(MIN_FRAME_STEPS, _steps_within(planned_seconds, step_seconds, fixed_seconds))

    def _limit_final_size(self, size: int, least_seconds: float) -> None:
        """Lower the final size of a start to what this machine can do, from a frame before.

        Args:
            size: working size of that frame, long side in px.
            least_seconds: time of a frame with one step at that size.
        """
        affordable = size * (LATE_SHARE / self._slowest_fps / max(least_seconds, 1e-6)) ** 0.5
        limited = min(self._final_px, max(LEGIBLE_PX, round(affordable)))
        if self._start is None or limited >= SIZE_FACTOR * self._final_px:
            return
        self._full_px = self._full_px or self._final_px
        self._final_px = limited
        self._start.limit(limited)

    @property
    def _slowest_fps(self) -> float:
        return min(self.target_fps, SLOW_FPS)

    def _choose_steps(self, stylizer: Stylizer, step_seconds: float, fixed_seconds: float) -> None:
        fits = fixed_seconds + step_seconds < LATE_SHARE / self.target_fps
        fps = self.target_fps if fits else self._slowest_fps
        affordable = _steps_within(PLANNED_SHARE / fps, step_seconds, fixed_seconds)
        wanted, steps = min(self.max_steps, max(1, affordable)), stylizer.settings.steps
        if wanted != steps:  # gradually: a single slow frame is weak evidence
            change = 1 if wanted > steps else min(-1, -((steps - wanted) // 2))
            steps = min(steps + change, self.max_steps)
            stylizer.settings = replace(stylizer.settings, steps=steps)

    def _count_lateness(self, least_seconds: float, frame_seconds: float) -> None:
        """Update the counters of late and early frames.

        Args:
            least_seconds: time of a frame with one step.
            frame_seconds: time of this frame.
        """
        interval = 1 / self._slowest_fps
        if least_seconds > LATE_SHARE * interval:
            self._late_frames += 1
            self._late_seconds += frame_seconds
            self._late_times.append(least_seconds)
        else:
            self._late_frames = max(0, self._late_frames - 1)
            self._late_seconds = max(0.0, self._late_seconds - interval)
        if not self._late_frames:
            self._late_times.clear()
        elapsed = max(frame_seconds, interval)
        # The time of a step is proportional to the number of pixels.
        if least_seconds / SIZE_FACTOR**2 < GROWTH_SHARE * interval:
            self._early_seconds += elapsed
        else:
            self._early_seconds = max(0.0, self._early_seconds - 4 * elapsed)

    def _shrink(self, stylizer: Stylizer, size: int) -> None:
        if self._full_px:  # the last growth may have been too early: wait longer for the next one
            self._growth_seconds = min(MAX_GROWTH_SECONDS, 2 * self._growth_seconds)
        else:
            self._full_setting, self._full_px = stylizer.settings.working_size, size
        planned_seconds = PLANNED_SHARE / self._slowest_fps
        factor = (planned_seconds / statistics.median(self._late_times)) ** 0.5
        new_size = round(size * min(SIZE_FACTOR, factor))
        self._set_working_size(stylizer, max(LEGIBLE_PX, new_size))

    def _grow(self, stylizer: Stylizer, size: int) -> None:
        self._set_working_size(stylizer, min(self._full_px, round(size / SIZE_FACTOR)))

    def _set_working_size(self, stylizer: Stylizer, size: int) -> None:
        full = self._full_px in (0, size)
        working_size = self._full_setting if full else size
        stylizer.settings = replace(stylizer.settings, working_size=working_size)
        self.note = "" if full else f"working size reduced to {size} px for this machine's speed"
        self._full_px = 0 if full else self._full_px
        self._late_frames, self._late_seconds, self._early_seconds = 0, 0.0, 0.0
        self._late_times.clear()


def _steps_within(seconds: float, step_seconds: float, fixed_seconds: float) -> int:
    """Number of steps of a frame that takes so many seconds, besides what each frame takes."""
    return int((seconds - fixed_seconds) / max(step_seconds, 1e-6))
