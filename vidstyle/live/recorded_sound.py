"""The sound of one recording, taken from the microphone and put in step with the frames."""

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..io.sound_track import SoundTrack

if TYPE_CHECKING:
    from .microphone import Microphone

PATIENCE_SECONDS = 1.0
"""Seconds of the recording after which sound that is missing is replaced by silence."""


class RecordedSound:
    """Moves sound from a microphone to the track of a recording.

    Frames and sound both have the time at which they were captured. So they are in step, however
    long the frames took to be stylised.

    Args:
        microphone: the microphone.
    """

    def __init__(self, microphone: "Microphone") -> None:
        self._microphone = microphone
        self._next = 0  # number of the next block
        self._end = Fraction(0)  # of the sound so far, in seconds of the recording
        self.track = SoundTrack(microphone.rate, microphone.channels)

    def feed(self, zero: float, time: Fraction) -> None:
        """Add the sound that came since the last call, without what was before the recording.

        A microphone that gives nothing is replaced by silence: a container holds frames back until
        there is sound to go with them.

        Args:
            zero: when the recording's first frame was captured, in seconds of ``time.monotonic``.
            time: of the present frame, in seconds of the recording.
        """
        rate = self._microphone.rate
        self._next, blocks = self._microphone.after(self._next)
        for start, samples in blocks:
            if start + len(samples) / rate > zero:
                self._add(samples, Fraction(start - zero))
        if time - self._end > PATIENCE_SECONDS:
            silence = np.zeros((rate // 100, self._microphone.channels), np.int16)
            self._add(silence, time - Fraction(len(silence), rate))

    def _add(self, samples: NDArray[np.int16], time: Fraction) -> None:
        self.track.add(samples, time)
        self._end = time + Fraction(len(samples), self._microphone.rate)
