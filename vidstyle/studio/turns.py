"""Turns: several threads use one thing in the order in which they came."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock

POLL_SECONDS = 0.05
"""Interval in seconds at which who waits looks whether it is still wanted."""


class StoppedError(Exception):
    """What waits or works is not wanted any more."""


class Turns:
    """One thread at a time, first come, first served."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._queue: deque[Event] = deque()

    @contextmanager
    def turn(self, stop: Event, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait for the turn; it ends with the context.

        Args:
            stop: ends the waiting when it is set.
            on_wait: is called once if others come first.

        Raises:
            StoppedError: ``stop`` was set before the turn came.
        """
        mine = Event()
        with self._lock:
            self._queue.append(mine)
            first = self._queue[0] is mine
            if first:
                mine.set()
        try:
            if not first:
                on_wait()
            while not mine.wait(POLL_SECONDS):
                if stop.is_set():
                    raise StoppedError
            if stop.is_set():
                raise StoppedError
            yield
        finally:
            with self._lock:
                self._queue.remove(mine)
                if self._queue:
                    self._queue[0].set()
