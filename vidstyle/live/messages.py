"""Messages of a live session to its viewers: where a snapshot was saved, which command failed."""

import logging
import time
from collections import deque
from dataclasses import dataclass
from threading import Lock

log = logging.getLogger(__name__)

MAX_MESSAGES = 20
"""Number of messages kept for viewers that have not read them yet."""

ON_SCREEN_SECONDS = 5.0
"""Seconds for which the window shows a message."""


@dataclass(frozen=True)
class Message:
    """One line of text.

    ``number`` counts up from 1; ``time`` is in seconds of ``time.monotonic``.
    """

    number: int
    text: str
    error: bool
    time: float


class Messages:
    """The latest messages of a session. All methods are thread-safe."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=MAX_MESSAGES)
        self._number = 0
        self._lock = Lock()

    def add(self, text: str, error: bool = False) -> None:
        """Log a message and keep it for the viewers.

        Args:
            text: one line.
            error: whether the message reports a failure.
        """
        log.log(logging.ERROR if error else logging.INFO, "%s", text)
        with self._lock:
            self._number += 1
            self._messages.append(Message(self._number, text, error, time.monotonic()))

    def recent(self) -> list[Message]:
        """Return the messages kept, oldest first."""
        with self._lock:
            return list(self._messages)

    def on_screen(self) -> list[str]:
        """Return the newest message if it is at most ``ON_SCREEN_SECONDS`` old, else nothing."""
        messages = self.recent()
        new = messages and time.monotonic() - messages[-1].time < ON_SCREEN_SECONDS
        return [messages[-1].text] if new else []
