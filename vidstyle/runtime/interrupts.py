"""Signals that ask the program to end: SIGINT, SIGTERM and SIGHUP.

Python runs a signal handler in the main thread only, between any two instructions. An exception
that such a handler raises can leave a lock held or a queue half changed; it ends the process where
C++ has called Python, as while PyTorch is imported; and code that FFmpeg calls back drops it. While
the main thread waits in C code, no handler runs at all. So no handler raises anything here:

- A signal is noted, and ``check`` raises KeyboardInterrupt at points where nothing can be left half
  changed.
- Where there is nothing to finish, a program that does not come to such a point within
  ``NOTICE_SECONDS``, or has not ended ``GRACE_SECONDS`` after it, is ended.
- Where there is something to finish (``deferred``), it may take its time; a second signal ends the
  program at once, whatever the main thread does.

The last two are done by a thread that learns of every signal through ``signal.set_wakeup_fd``.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import FrameType
from typing import Any

INTERRUPTED = 130
"""The exit code of a program that was interrupted, as shells have it: 128 + SIGINT."""

NOTICE_SECONDS = 1.0
"""Time in seconds from a signal to ``check`` that a program without unfinished work may take."""

GRACE_SECONDS = 5.0
"""Time in seconds from KeyboardInterrupt to the end of a program without unfinished work."""

REPEAT_SECONDS = 0.5
"""Signals that follow the first one within this time count as the same: GNU timeout sends SIGTERM
to a process and to its group, a closed terminal sends SIGHUP and SIGTERM, and people press Ctrl-C
twice in a row."""

HINT_SECONDS = 1.0
"""Time of finishing in seconds after which the user is told that a second signal ends it."""

POLL_SECONDS = 0.1
"""Interval in seconds at which the thread checks whether the program ended after a signal."""

SHOW_CURSOR = b"\x1b[?25h"
"""Escape sequence that shows the cursor of a terminal again; progress bars hide the cursor."""


class Interrupts:
    """The signals that came since ``start``, and what is done about them."""

    def __init__(self) -> None:
        self.active = self.requested = self._raised = False
        self._deferring = 0
        self._before: dict[int, Any] = {}
        self._wakeup = -1
        self._sender: socket.socket | None = None

    def start(self) -> None:
        """Handle signals from now on; those that are ignored, as under nohup, stay ignored."""
        self.requested = self._raised = False
        names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        handlers = {
            getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names
        }
        self._before = {n: handler for n, handler in handlers.items() if handler != signal.SIG_IGN}
        receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        threading.Thread(target=self._watch, args=[receiver], name="signals", daemon=True).start()
        self._wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self.active = True
        for number in self._before:
            signal.signal(number, self._on_signal)

    def stop(self) -> None:
        """Restore the handlers that there were before ``start``."""
        if self._sender is None:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._sender.close()  # which ends the thread
        self._sender, self.active, self.requested = None, False, False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """See the function ``deferred``."""
        self._deferring += 1
        try:
            yield
        finally:
            self._deferring -= 1
        if not self._deferring:
            self.check()

    def check(self) -> None:
        """See the function ``check``."""
        if self.requested and _in_main_thread():
            self._raised = True
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler, without which Python would not tell the thread of the signal."""
        self.requested = True

    def _watch(self, receiver: socket.socket) -> None:
        """Receive the numbers of signals until the sender is closed. End the program if need be."""
        first: float | None = None
        last, told = 0.0, False
        while True:
            try:
                received = receiver.recv(64)
                if not received:
                    return
            except TimeoutError:
                received = b""
            now = time.monotonic()
            if first is None:
                if not self._before.keys() & set(received):  # another signal with a handler
                    continue
                self.requested, first, last = True, now, now
                receiver.settimeout(POLL_SECONDS)
            elif self._before.keys() & set(received) and now - first > REPEAT_SECONDS:
                end_now("interrupted again: ended at once")
            if self._deferring:
                last = now
                if not told and now - first > HINT_SECONDS:
                    told = True
                    _say("interrupted: finishing what is done so far; again to end at once")
            elif now - last > (GRACE_SECONDS if self._raised else NOTICE_SECONDS):
                end_now("interrupted")


_signals = Interrupts()

if hasattr(os, "register_at_fork"):
    # Signals of a child would reach its parent through the socket that they share.
    os.register_at_fork(after_in_child=_signals.stop)


def deferred() -> AbstractContextManager[None]:
    """A context in which there is something to finish after a first signal, however long it takes.

    The end of the context raises KeyboardInterrupt like ``check``. Contexts may be nested. Outside
    of ``handled`` they change nothing.
    """
    return _signals.deferred()


def check() -> None:
    """Raise KeyboardInterrupt if a signal was noted. Only the main thread does."""
    _signals.check()


@contextmanager
def handled() -> Iterator[Interrupts]:
    """Handle SIGINT, SIGTERM and SIGHUP as this module says.

    Does nothing outside of the main thread, or within another such context.
    """
    if _signals.active or not _in_main_thread():
        yield _signals
        return
    _signals.start()
    try:
        yield _signals
    finally:
        _signals.stop()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def end_now(reason: str) -> None:
    """End the process at once: no ``finally`` and no destructor is run, no thread is waited for."""
    if os.isatty(2):
        with suppress(OSError):
            os.write(2, SHOW_CURSOR)
    _say(reason)
    os._exit(INTERRUPTED)


def _say(words: str) -> None:
    """Write a line to standard error, past Python's buffers, which another thread may hold."""
    with suppress(OSError):
        os.write(2, f"vidstyle: {words}\n".encode())
