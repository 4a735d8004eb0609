"""What a live session tells its viewers: where a snapshot is, which command failed and why."""

import logging
import time
from collections import deque
from dataclasses import dataclass
from threading import Lock

log = logging.getLogger(__name__)

KEPT_MESSAGES = 20
"""Number of messages kept for viewers that have not read them yet."""

ON_SCREEN_SECONDS = 5.0
"""Seconds for which the window shows a message."""


@dataclass(frozen=True)
class Message:
    """One line of text.

    ``number`` counts up from 1; ``moment`` is in seconds of ``time.monotonic``.
    """

    number: int
    text: str
    error: bool
    moment: float


class Messages:
    """The latest messages of a session. All methods may be called on any thread."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=KEPT_MESSAGES)
        self._number = 0
        self._lock = Lock()

    def add(self, text: str, error: bool = False) -> None:
        """Keep a message, and log it.

        Args:
            text: one line.
            error: whether it reports a failure.
        """
        log.log(logging.ERROR if error else logging.INFO, "%s", text)
        with self._lock:
            self._number += 1
            self._messages.append(Message(self._number, text, error, time.monotonic()))

    def recent(self) -> list[Message]:
        """The messages kept, oldest first."""
        with self._lock:
            return list(self._messages)

    def on_screen(self) -> list[str]:
        """The newest message, while the window should show it; otherwise nothing."""
        messages = self.recent()
        fresh = messages and time.monotonic() - messages[-1].moment < ON_SCREEN_SECONDS
        return [messages[-1].text] if fresh else []
