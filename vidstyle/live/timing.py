"""Timing of the frames shown: frame rate, latency, and regularity."""

import statistics
import time
from collections import deque
from itertools import pairwise
from typing import NamedTuple

MAX_TIMINGS = 10_000
"""Number of frames kept for the summary at the end of a session."""

RECENT_FRAMES = 30
"""Number of frames shown from which the present frame rate and latency are computed."""


class Timing(NamedTuple):
    """When a frame was shown, and when it was captured: seconds of ``time.monotonic``."""

    shown: float
    captured: float


class FrameTimings:
    """The timings of the latest ``MAX_TIMINGS`` frames.

    Args:
        recent: number of frames from which the present frame rate and latency are computed.
    """

    def __init__(self, recent: int = RECENT_FRAMES) -> None:
        self._recent_count = recent
        self._timings: deque[Timing] = deque(maxlen=MAX_TIMINGS)

    def add(self, shown: float, captured: float) -> None:
        """Add a frame. Both times are in seconds of ``time.monotonic``."""
        self._timings.append(Timing(shown, captured))

    @property
    def last_shown(self) -> float | None:
        """When the last frame was shown; None before the first."""
        return self._timings[-1].shown if self._timings else None

    def fps(self) -> float:
        """Return the frames shown per second recently; it decreases while no frame comes."""
        times = [timing.shown for timing in self._recent()]
        if len(times) < 2:
            return 0.0
        seconds, intervals = times[-1] - times[0], len(times) - 1
        overdue = max(0.0, time.monotonic() - times[-1] - 2 * seconds / intervals)
        return intervals / (seconds + overdue)

    def latency(self) -> float:
        """Return the median time in seconds from capture to display of the recent frames."""
        delays = [timing.shown - timing.captured for timing in self._recent()]
        return statistics.median(delays) if delays else 0.0

    def summary(self) -> str:
        """Return frame rate, latency and regularity of all frames in one line; "" for none."""
        intervals = [after.shown - before.shown for before, after in pairwise(self._timings)]
        if not intervals:
            return ""
        slow, median = sorted(intervals)[int(0.95 * len(intervals))], statistics.median(intervals)
        return (
            f"{1 / median:.1f} frames per second, latency {1000 * self.latency():.0f} ms; "
            f"95th percentile of the frame interval: {slow / median:.2f} times the median"
        )

    def _recent(self) -> list[Timing]:
        count = min(self._recent_count, len(self._timings))
        return [self._timings[-number] for number in range(count, 0, -1)]
