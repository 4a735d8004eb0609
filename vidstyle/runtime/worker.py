"""The threads of a render, and the queues between them."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

from .interrupts import check

QUEUE_SIZE = 4
"""Items kept ready between two stages: enough to smooth them out, little memory."""

PATIENCE_SECONDS, LIVE_PATIENCE_SECONDS = 0.1, 0.01
"""How often a waiting stage looks whether another one failed; how often a live one answers to keys meanwhile."""

SENTINEL = object()


class ProcessSetting:
    """A setting of the whole process that holds while anyone is within; several may be.

    Args:
        get, set: read it, and write it.
        value: meanwhile.
    """

    def __init__(self, get: Callable[[], Any], set: Callable[[Any], None], value: object) -> None:
        self._get, self._set, self._value = get, set, value
        self._within, self._usual, self._lock = 0, None, Lock()

    def __enter__(self) -> None:
        """Set it, unless somebody has."""
        with self._lock:
            if not self._within:
                self._usual = self._get()
                self._set(self._value)
            self._within += 1

    def __exit__(self, *_: object) -> None:
        """The last one sets it back."""
        with self._lock:
            self._within -= 1
            if not self._within:
                self._set(self._usual)


class Worker(Thread):
    """A thread with a bounded queue, into which it puts what it makes or from which it takes its work.

    The thread keeps its own error for whoever takes its items, and ends when it is told to. The
    queue is made of two ``SimpleQueue``, whose methods are single operations in C: an exception that
    a signal raises leaves neither of them with a lock held, or with a waiter that takes the wake-up
    of another, as it can ``queue.Queue``. At worst there is room for one item less.

    Args:
        work: what the thread does.
        name: of the thread.
        newest: only the newest item counts: one that nobody took in time gives way to the next.
    """

    def __init__(self, work: Callable[["Worker"], None], name: str, newest: bool = False) -> None:
        super().__init__(name=f"vidstyle-{name}", daemon=True)
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()  # an element for each item there is room for
        for _ in range(QUEUE_SIZE):
            self._room.put(None)
        self.newest, self.dropped = newest, 0
        self.idle: Callable[[], None] | None = None
        self.stopped = Event()
        self.error: BaseException | None = None
        self.waited = 0.0
        self._work = work
        self.start()

    def run(self) -> None:
        """What the thread does."""
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001 (handed on, to be raised there)
            self.error = error

    def put(self, item: object) -> bool:
        """Put an item into the queue, when there is room; ``SENTINEL`` needs none.

        Returns:
            False when the stage was stopped, or has ended, before there was room.
        """
        if item is SENTINEL:
            self.queue.put(SENTINEL)
            return True
        while self.is_alive() and not self.stopped.is_set():
            with suppress(Empty):
                if self.newest:
                    self._give_way()
                else:
                    self._room.get(timeout=PATIENCE_SECONDS)
                self.queue.put(item)
                return True
        return False

    def _give_way(self) -> None:
        with suppress(Empty):
            self.queue.get_nowait()
            self.dropped += 1

    def get(self) -> Any:
        """Take an item from the queue; ``SENTINEL`` when nothing more can come.

        Raises:
            KeyboardInterrupt: in the main thread, after a signal; see ``interrupts.check``.
        """
        began = time.perf_counter()
        try:
            while True:
                alive = (
                    self.is_alive() and not self.stopped.is_set()
                )  # before looking: its last item may come in between
                check()
                try:
                    item = self.queue.get(
                        timeout=LIVE_PATIENCE_SECONDS if self.idle else PATIENCE_SECONDS
                    )
                except Empty:
                    if not alive:
                        return SENTINEL
                    if self.idle:
                        self.idle()
                    continue
                if not self.newest:
                    self._room.put(None)
                return item
        finally:
            self.waited += time.perf_counter() - began

    def finish(self) -> None:
        """Let the thread work off what is in the queue, and wait until it has ended."""
        self.queue.put(SENTINEL)
        self.join()

    def __iter__(self) -> Iterator[Any]:
        """Take until nothing more can come; then raise the error that ended it, if one did."""
        while (item := self.get()) is not SENTINEL:
            yield item
        self.raise_error()

    def raise_error(self) -> None:
        """Raise what ended the thread, if something did."""
        if self.error is not None:
            raise self.error
