"""The sound of a recording: samples with their times, encoded beside the video while it is
written."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from .audio_encoder import AudioEncoder
from .channel_layouts import DEFAULT_LAYOUTS
from .metadata import TimedPacket

LOSSY_ENCODERS = {"webm": "libopus"}
"""Container -> FFmpeg's audio encoder; AAC for all others."""


class SoundTrack:
    """One audio track. Samples are placed at their times: gaps become silence, overlaps are cut.

    Args:
        rate: samples per second.
        channels: number of channels.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._layout = rate, DEFAULT_LAYOUTS[channels]
        self._blocks: deque[tuple[NDArray[np.int16], Fraction]] = deque()
        self._complete = False

    def add(self, samples: NDArray[np.int16], time: Fraction) -> None:
        """Take (N, channels) samples that begin at ``time`` seconds of the recording."""
        self._blocks.append((samples, time))

    def finish(self) -> None:
        """Take no more samples: what is held back is encoded with the next packets."""
        self._complete = True

    def add_to(self, output: Any, video: object) -> "Iterator[TimedPacket | None]":
        """Create the stream in an output container, before its header is written.

        Returns:
            The packets so far, then None until there are more.
        """
        # What the encoder asks of a source: the parameters of its decoder.
        source: Any = av.CodecContext.create("pcm_s16le", "r")
        source.sample_rate, source.layout, source.format = self._rate, self._layout, "s16"
        encoder = AudioEncoder(
            output, _Source(source), LOSSY_ENCODERS.get(output.format.name, "aac")
        )
        return self._packets(encoder)

    def _packets(self, encoder: AudioEncoder) -> "Iterator[TimedPacket | None]":
        index = encoder.stream.index
        while not self._complete or self._blocks:
            while self._blocks:
                samples, time = self._blocks.popleft()
                for packet in encoder.encode(self._frame(samples), time):
                    yield _time(packet), index, packet
            if not self._complete:
                yield None
        for packet in encoder.flush():
            yield _time(packet), index, packet

    def _frame(self, samples: NDArray[np.int16]) -> Any:
        packed = np.ascontiguousarray(samples).reshape(1, -1)
        frame: Any = av.AudioFrame.from_ndarray(packed, format="s16", layout=self._layout)
        frame.sample_rate = self._rate
        return frame


class _Source:
    """A stream without a container."""

    def __init__(self, codec_context: Any) -> None:
        self.codec_context = codec_context


def _time(packet: Any) -> Fraction:
    return Fraction(packet.dts * packet.time_base)
