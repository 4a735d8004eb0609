"""Turns: several threads use one thing in the order in which they came, short uses before long."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from threading import Event, Lock

POLL_SECONDS = 0.05
"""Interval in seconds at which who waits looks whether it is still wanted."""

POLLS_BEFORE_NOTICE = 10
"""Number of such intervals after which who waits is told so: shorter waits are not worth a word."""


class StoppedError(Exception):
    """What waits or works is not wanted any more."""


class Turn:
    """A turn of one thread; ``paused`` is the time in seconds that it gave to others.

    Args:
        turns: that it is one of.
        short: see ``Turns.turn``.
        stop: see ``Turns.turn``.
    """

    def __init__(self, turns: "Turns", short: bool, stop: Event) -> None:
        self._turns, self.short, self._stop = turns, short, stop
        self.come, self.begun, self.paused = Event(), False, 0.0

    def go_on(self) -> None:
        """Let the short turns that wait come in between. Long ones call it often.

        Raises:
            StoppedError: the turn is not wanted any more.
        """
        if not self.short and self._turns.step_back(self):
            started = time.perf_counter()
            self.wait()
            self.paused += time.perf_counter() - started
        elif self._stop.is_set():
            raise StoppedError

    def wait(self, on_wait: Callable[[], None] = lambda: None) -> None:
        """Wait until the turn comes. Arguments and errors as of ``Turns.turn``."""
        for polls in count(1):
            come = self.come.wait(POLL_SECONDS)
            if self._stop.is_set():
                raise StoppedError
            if come:
                return
            if polls == POLLS_BEFORE_NOTICE:
                on_wait()


class Turns:
    """One thread at a time, first come, first served; but short turns come before long ones.

    A long turn that has begun is interrupted for the short ones that wait when it goes on, and
    goes on before those that come after them: however many short turns come, no long one waits for
    ever.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._queue: list[Turn] = []

    @contextmanager
    def turn(
        self, stop: Event, on_wait: Callable[[], None] = lambda: None, short: bool = False
    ) -> Iterator[Turn]:
        """Wait for the turn; it ends with the context.

        Args:
            stop: ends the turn when it is set.
            on_wait: is called once where others take their time.
            short: whether it is to come before long turns.

        Raises:
            StoppedError: ``stop`` was set before the turn came.
        """
        mine = Turn(self, short, stop)
        with self._lock:
            later = (at for at, each in enumerate(self._queue) if not (each.short or each.begun))
            self._queue.insert(next(later, len(self._queue)) if short else len(self._queue), mine)
            self._call_first()
        try:
            mine.wait(on_wait)
            yield mine
        finally:
            with self._lock:
                self._queue.remove(mine)
                self._call_first()

    def step_back(self, turn: Turn) -> bool:
        """Put the present turn behind the last short one that waits; False: none waits."""
        with self._lock:
            short = [at for at, each in enumerate(self._queue) if each.short]
            if not short:
                return False
            turn.come.clear()
            self._queue.insert(short[-1], self._queue.pop(0))
            self._call_first()
            return True

    def _call_first(self) -> None:
        """Let the first one begin, or go on. The lock is held."""
        for first in self._queue[:1]:
            first.begun = True
            first.come.set()
