"""The microphone: sound with the times of its samples, kept for recordings.

The only module that imports sounddevice (MIT).
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError

try:
    import sounddevice
except ImportError:
    message = "a microphone needs sounddevice"
    raise DeviceError(f"{message}: pip install 'vidstyle[sound]'") from None
except OSError:  # its library is a package of its own on Linux
    message = "a microphone needs PortAudio"
    raise DeviceError(f"{message}: apt-get install libportaudio2") from None

log = logging.getLogger(__name__)

KEPT_SECONDS = 60.0
"""Seconds of sound that are kept: a camera may give no frames for so long."""

MAX_CHANNELS = 2

JUMP_SECONDS, SMOOTHING = 0.1, 0.01
"""A block begins where the one before it ended, corrected by this share of the difference to its
own time, unless they differ by so many seconds: times of some systems are off by tens of
milliseconds."""

Block = tuple[float, NDArray[np.int16]]
"""(Time of the first sample in seconds of ``time.monotonic``, (N, channels) samples)."""


class Microphone:
    """Listens from the start until ``close``. ``name`` is the device's, ``rate`` is in Hz.

    ``notify`` receives (line of text, whether it is an error) on any thread.

    Args:
        name: part of a device's name, its number, or "" for the system's default.

    Raises:
        DeviceError: there is no such microphone, or it cannot be opened.
    """

    def __init__(self, name: str = "") -> None:
        self.notify: Callable[[str, bool], None] = lambda text, error: log.error("%s", text)
        self._blocks: deque[Block] = deque()
        self._first = 0  # number of the first block that is kept
        self._end: float | None = None  # of the last block, in seconds of time.monotonic
        self._lock, self._closing = Lock(), False
        try:
            chosen = int(name) if name.isascii() and name.isdecimal() else name or None
            found: Any = sounddevice.query_devices(chosen, "input")
            self.name, self.rate = str(found["name"]), round(found["default_samplerate"])
            self.channels = min(MAX_CHANNELS, found["max_input_channels"])
            self._stream: Any = sounddevice.InputStream(
                device=found["index"],
                samplerate=self.rate,
                channels=self.channels,
                dtype="int16",
                callback=self._receive,
                finished_callback=self._finished,
            )
            self._stream.start()
        except (ValueError, sounddevice.PortAudioError) as error:
            reason = " ".join(str(error).split())
            raise DeviceError(f"no microphone {name!r} ({reason}): {_choices()}") from None

    def _receive(self, samples: NDArray[np.int16], count: int, times: Any, status: object) -> None:
        """Keep a block; called by PortAudio on a thread of its own."""
        # PortAudio has a clock of its own; some systems give no time of capture.
        age = times.currentTime - times.inputBufferAdcTime
        if not (times.inputBufferAdcTime and 0 <= age < KEPT_SECONDS):
            age = count / self.rate
        self.add(time.monotonic() - age, samples.copy())

    def add(self, start: float, samples: NDArray[np.int16]) -> None:
        """Keep a block of sound, which began at ``start``."""
        if self._end is not None and abs(start - self._end) < JUMP_SECONDS:
            start = self._end + SMOOTHING * (start - self._end)
        self._end = start + len(samples) / self.rate
        with self._lock:
            self._blocks.append((start, samples))
            while start - self._blocks[0][0] > KEPT_SECONDS:
                self._blocks.popleft()
                self._first += 1

    def after(self, number: int) -> tuple[int, list[Block]]:
        """Return the blocks from this number on, and the number after them. Thread-safe."""
        with self._lock:
            blocks = list(self._blocks)[max(0, number - self._first) :]
            return self._first + len(self._blocks), blocks

    def _finished(self) -> None:
        if not self._closing:
            message = f"the microphone {self.name} is gone"
            self.notify(f"{message}: recordings go on without sound", True)

    def close(self) -> None:
        """Release the device. Further calls have no effect."""
        self._closing = True
        self._stream.close()


def _choices() -> str:
    """Return a remedy: the names of the microphones."""
    devices: Any = sounddevice.query_devices()
    names = [device["name"] for device in devices if device["max_input_channels"]]
    return f"use one of {', '.join(names)}" if names else "connect one, or go without --microphone"
