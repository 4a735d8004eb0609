"""Threads with a bounded queue, and settings of the whole process that several threads share."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

from .interrupts import check

QUEUE_SIZE = 4
"""Maximum number of items in a queue: enough to even out the speeds of two threads, and little
memory."""

PATIENCE_SECONDS = 0.1
"""Interval in seconds at which a waiting thread checks whether the other thread ended."""

LIVE_PATIENCE_SECONDS = 0.01
"""The same with an ``on_idle``, which handles key presses."""

SENTINEL = object()
"""Ends a queue."""


class ProcessSetting:
    """A setting of the whole process that has another value while any thread is within the context.

    Args:
        get: reads the setting.
        set: writes the setting.
        value: within the context.
    """

    def __init__(self, get: Callable[[], Any], set: Callable[[Any], None], value: object) -> None:
        self._get, self._set, self._value = get, set, value
        self._entered, self._before, self._lock = 0, None, Lock()

    def __enter__(self) -> None:
        """Set the value, if this is the first context."""
        with self._lock:
            if not self._entered:
                self._before = self._get()
                self._set(self._value)
            self._entered += 1

    def __exit__(self, *_: object) -> None:
        """Restore the setting, if this is the last context."""
        with self._lock:
            self._entered -= 1
            if not self._entered:
                self._set(self._before)


class Worker(Thread):
    """A thread with a bounded queue, which it fills with its results or takes its work from.

    An error of the thread is kept, and raised where its items are taken. The queue consists of two
    ``SimpleQueue``, whose methods are single operations in C: an exception that a signal raises
    cannot leave a lock held, nor a waiting thread that takes the wake-up call of another, as it can
    with ``queue.Queue``. At worst the queue holds one item less from then on.

    Args:
        work: what the thread does.
        name: of the thread.
        newest: keep the newest item only: one that was not taken in time is dropped for the next.
    """

    def __init__(self, work: Callable[["Worker"], None], name: str, newest: bool = False) -> None:
        super().__init__(name=f"vidstyle-{name}", daemon=True)
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self._free: SimpleQueue[None] = SimpleQueue()  # one element for each item that still fits
        for _ in range(QUEUE_SIZE):
            self._free.put(None)
        self.newest, self.dropped = newest, 0
        self.on_idle: Callable[[], None] | None = None
        self.stopped = Event()
        self.error: BaseException | None = None
        self.waited = 0.0
        self._work = work
        self.start()

    def run(self) -> None:
        """Do the work; called in the thread."""
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001 (raised in the thread that takes the items)
            self.error = error

    def put(self, item: object) -> bool:
        """Put an item into the queue, and wait while the queue is full. ``SENTINEL`` always fits.

        Returns:
            False when the thread was stopped, or has ended, while the queue was full.
        """
        if item is SENTINEL:
            self.queue.put(SENTINEL)
            return True
        while self.is_alive() and not self.stopped.is_set():
            with suppress(Empty):
                if self.newest:
                    self._drop_oldest()
                else:
                    self._free.get(timeout=PATIENCE_SECONDS)
                self.queue.put(item)
                return True
        return False

    def _drop_oldest(self) -> None:
        with suppress(Empty):
            self.queue.get_nowait()
            self.dropped += 1

    def get(self) -> Any:
        """Take an item from the queue; ``SENTINEL`` when no item will follow.

        Raises:
            KeyboardInterrupt: in the main thread, after a signal; see ``interrupts.check``.
        """
        started = time.perf_counter()
        patience = LIVE_PATIENCE_SECONDS if self.on_idle else PATIENCE_SECONDS
        try:
            while True:
                # Asked before the queue is read: the last item may arrive in between.
                alive = self.is_alive() and not self.stopped.is_set()
                check()
                try:
                    item = self.queue.get(timeout=patience)
                except Empty:
                    if not alive:
                        return SENTINEL
                    if self.on_idle:
                        self.on_idle()
                    continue
                if not self.newest:
                    self._free.put(None)
                return item
        finally:
            self.waited += time.perf_counter() - started

    def finish(self) -> None:
        """Wait until the thread has handled all items of the queue and has ended."""
        self.queue.put(SENTINEL)
        self.join()

    def __iter__(self) -> Iterator[Any]:
        """Take items until no item will follow; then raise the error of the thread, if there is
        one."""
        while (item := self.get()) is not SENTINEL:
            yield item
        self.raise_error()

    def raise_error(self) -> None:
        """Raise the error of the thread, if there is one."""
        if self.error is not None:
            raise self.error
