"""The threads of a render, and the queues between them."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread
from typing import Any

AHEAD = 4
"""Items kept ready between two stages: enough to smooth them out, little memory."""

PATIENCE_SECONDS, LIVE_PATIENCE_SECONDS = 0.1, 0.01
"""How often a waiting stage looks whether another one failed; how often a live one answers to keys meanwhile."""

END = object()


class Meanwhile:
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


class Stage(Thread):
    """A thread that keeps its own error for whoever takes what it makes, and stops when told to.

    Where only the ``newest`` item counts, one that nobody took in time gives way to the next.
    """

    def __init__(self, work: Callable[["Stage"], None], name: str, newest: bool = False) -> None:
        super().__init__(name=f"vidstyle-{name}", daemon=True)
        self.queue: Queue[Any] = Queue(1 if newest else AHEAD)
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
        """Put into the bounded queue; False when the stage was stopped, or has ended, before there was room."""
        while self.is_alive() and not self.stopped.is_set():
            if self.newest and item is not END:
                with suppress(Empty):
                    self.queue.get_nowait()
                    self.dropped += 1
            try:
                self.queue.put(item, timeout=PATIENCE_SECONDS)
                return True
            except Full:
                continue
        return False

    def get(self) -> Any:
        """Take from the queue; ``END`` when nothing more can come."""
        began = time.perf_counter()
        try:
            while True:
                alive = self.is_alive() and not self.stopped.is_set()  # before looking: its last item may come in between
                try:
                    return self.queue.get(timeout=LIVE_PATIENCE_SECONDS if self.idle else PATIENCE_SECONDS)
                except Empty:
                    if not alive:
                        return END
                    if self.idle:
                        self.idle()
        finally:
            self.waited += time.perf_counter() - began

    def __iter__(self) -> Iterator[Any]:
        """Take until nothing more can come; then raise the error that ended it, if one did."""
        while (item := self.get()) is not END:
            yield item
        self.raise_error()

    def raise_error(self) -> None:
        """Raise what ended the thread, if something did."""
        if self.error is not None:
            raise self.error
