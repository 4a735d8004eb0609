"""The sound of one recording, taken from the microphone and put in step with the frames."""

from fractions import Fraction
from typing import TYPE_CHECKING

from ..io.sound_track import SoundTrack

if TYPE_CHECKING:
    from .microphone import Microphone


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
        self.track = SoundTrack(microphone.rate, microphone.channels)

    def feed(self, zero: float) -> None:
        """Add the sound that came since the last call, without what was before the recording.

        Args:
            zero: when the recording's first frame was captured, in seconds of ``time.monotonic``.
        """
        self._next, blocks = self._microphone.after(self._next)
        for start, samples in blocks:
            if start + len(samples) / self._microphone.rate > zero:
                self.track.add(samples, Fraction(start - zero))
