"""Continuous timelines for files with timestamp jumps: joined recordings, wrapped counters."""

import re
from fractions import Fraction
from typing import Any

import av

MAX_BACKWARD_SECONDS, MAX_FORWARD_SECONDS = Fraction(1, 2), Fraction(10)
"""A larger backward step of the video's dts is a jump. In containers whose timestamps may wrap
(MPEG streams) so is a forward step above the second value; elsewhere a frame may last a minute."""

MAX_BACKWARD_FRAMES = 17
"""The same in frames: FFmpeg's guess of a missing dts varies by as many frames."""

DISCONTINUOUS_FLAG = 0x0200
"""FFmpeg's AVFMT_TS_DISCONT."""


MAX_RATE = 1000
"""Frames per second; higher values are a time base mistaken for a rate (raw DV: 60000)."""


def frame_rate(stream: Any) -> Fraction | None:
    """Frames per second of a video stream; None where no plausible value is known."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= MAX_RATE:
            return Fraction(rate)
    return None


def frame_time(frame: Any, otherwise: Fraction) -> Fraction:
    """Timestamp of a decoded frame in seconds; ``otherwise`` where it has none."""
    return Fraction(frame.pts * frame.time_base) if frame.pts is not None else otherwise


def declared_end(container: Any, stream: Any) -> Fraction | None:
    """End of the video by the header, in seconds of the file's timeline; None where the header has
    none.

    Args:
        container: the file.
        stream: its video stream.
    """
    tags = {key.upper(): value for key, value in stream.metadata.items()}
    tag = re.fullmatch(
        r"(\d+):(\d+):(\d+(?:\.\d*)?)", tags.get("DURATION", "")
    )  # Matroska's, as FFmpeg writes it
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])
    if container.format.name in ("flv", "matroska,webm") or not stream.duration:
        return None
    return Fraction((max(0, stream.start_time or 0) + stream.duration) * stream.time_base)


class TimestampFixer:
    """Shifts the timestamps of packets, in file order, so that they continue across jumps.

    The video leads: its shift applies to every stream, which keeps audio in sync.

    Args:
        container: the file.
        video: its video stream.
    """

    def __init__(self, container: Any, video: Any) -> None:
        self.jumps = 0
        self._ahead = MAX_FORWARD_SECONDS if container.format.flags & DISCONTINUOUS_FLAG else None
        self._video_index = video.index
        self._tick = (
            1 / (frame_rate(video) or Fraction(25)) if video.type == "video" else Fraction(1, 25)
        )
        self._back = (
            MAX_BACKWARD_SECONDS
            if self._ahead is not None
            else max(MAX_BACKWARD_SECONDS, MAX_BACKWARD_FRAMES * self._tick)
        )
        self._shift = self._before = Fraction(0)
        self._next: dict[int, Fraction] = {}

    def rebase(self, packet: Any) -> None:
        """Shift a packet's pts and dts. Video packets must come in order of dts."""
        raw = packet.dts if packet.dts is not None else packet.pts
        if raw is None:
            return
        unit, index = Fraction(packet.time_base), packet.stream.index
        # Matroska has no dts, and pts are not monotonic where frames are reordered.
        if packet.dts is None and index == self._video_index:
            packet.pts = raw + round(self._shift / unit)
            return
        time = raw * unit
        expected = self._next.get(index)
        shift = self._shift
        if expected is not None and index == self._video_index:
            shift = self._video_shift(time, expected)
        elif expected is not None:  # near a jump a packet may belong to either side
            shift = min((self._shift, self._before), key=lambda shift: abs(time + shift - expected))
        length = (
            packet.duration * unit
            if packet.duration
            else self._tick
            if index == self._video_index
            else Fraction(0)
        )
        self._next[index] = time + shift + length
        ticks = round(shift / unit)
        if ticks:
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks

    def _video_shift(self, time: Fraction, expected: Fraction) -> Fraction:
        step = time + self._shift - expected
        if step < -self._back or (self._ahead is not None and step > self._ahead):
            self.jumps += 1
            self._before, self._shift = self._shift, self._shift - step
        return self._shift


def start_time(container: Any) -> Fraction:
    """Start of a file's timeline in seconds: broadcast recordings start anywhere."""
    begins = Fraction(max(0, container.start_time or 0), av.time_base)
    # FFmpeg rounds it to microseconds; the exact value is that of a stream.
    exact = [
        s.start_time * Fraction(s.time_base)
        for s in container.streams
        if s.start_time is not None and s.time_base
    ]
    near = [time for time in exact if abs(time - begins) < Fraction(2, av.time_base)]
    return min(near) if near else begins


def lead_time(container: Any, video: Any) -> Fraction:
    """Time in seconds from the start of a file's timeline to its video stream."""
    if video.start_time is None:
        return Fraction(0)
    begins = Fraction(video.start_time * video.time_base)
    return max(Fraction(0), begins - start_time(container))
