"""Progress of a render: frames of a clip, iterations of an image, and an estimate of the time."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .pipeline import Report
from .progress import Listener, ProgressDisplay, duration_text
from .stylizer.stylizer import Stylizer

log = logging.getLogger(__name__)


ESTIMATE_FRAMES = 4
"""Warm-started frames that are timed before the time for the rest of a clip is estimated."""


class ClipProgress:
    """Shows the frames of a clip, the iterations of its first frame, and an estimate of the time.

    Args:
        display: where to show them.
        stylizer: does the work.
        before: frames that an unfinished run finished.
        total: frames of the clip; None where unknown.
    """

    def __init__(
        self, display: ProgressDisplay, stylizer: Stylizer, before: int, total: int | None
    ) -> None:
        self._display, self._before, self._total = display, before, total
        self._stylizer, self._initial_steps = stylizer, stylizer.settings.initial_steps
        self._report = Report()
        self._iterations = self._backward_iterations = 0
        self._first_done = 0.0

    def on_iteration(self) -> None:
        """Called when an iteration begins."""
        if self._stylizer.separate:
            self._backward_iterations += 1
            note = f"backward pass: iteration {self._backward_iterations}"
        else:
            self._iterations += 1
            done = min(self._iterations, self._initial_steps)
            first = f"first frame: iteration {done}/{self._initial_steps}"
            note = losses_text(self._report) or first
        self._display.show(self._before + self._report.frames, note)

    def on_frame(self, report: Report) -> None:
        """Called before the first frame and after each."""
        self._report = report
        if not report.frames:
            return
        self._display.show(self._before + report.frames, losses_text(report))
        remaining = (self._total or 0) - self._before - report.frames
        if report.frames == 1:
            self._first_done = time.perf_counter()
        elif report.frames == 1 + ESTIMATE_FRAMES and remaining > ESTIMATE_FRAMES:
            per_frame = (time.perf_counter() - self._first_done) / ESTIMATE_FRAMES
            # The backward pass of the first window is done.
            windows = max(0, remaining + report.frames - report.backward_frames)
            backward = report.seconds["backward"] / max(1, report.backward_frames)
            seconds = per_frame * remaining + backward * windows
            log.info("about %s for the rest of the clip", duration_text(seconds))


@contextmanager
def iteration_progress(
    stylizer: Stylizer, quiet: bool, parent: ProgressDisplay | None, listener: Listener | None
) -> Iterator[None]:
    """Show the iterations of a single image; the arguments are those of ``ProgressDisplay``."""
    total, done = stylizer.settings.initial_steps, 0
    with ProgressDisplay("iteration", total, quiet, parent, listener) as display:

        def on_iteration() -> None:
            nonlocal done
            done += 1
            if done <= total:  # L-BFGS evaluates the loss once more at the end
                display.show(done)

        stylizer.on_iteration = on_iteration
        try:
            yield
        finally:
            stylizer.on_iteration = lambda: None


def losses_text(report: Report) -> str:
    """The losses of the last iteration, for a progress line; empty before the first."""
    if not report.iterations:
        return ""
    last = report.iterations[-1]
    return f"loss {last.total:.4f} (content {last.content:.3f}, style {last.style:.4f})"
