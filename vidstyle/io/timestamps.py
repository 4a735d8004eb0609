"""One clock for all streams of a file, where its own jumps: recordings joined end to end, counters that wrap around."""

import re
from fractions import Fraction
from typing import Any

import av

BACK_SECONDS, AHEAD_SECONDS = Fraction(1, 2), Fraction(10)
"""A step of the pictures' clock further back than this is a jump. So is one further ahead, where the container's clock is
known to be one that wraps or is cut (MPEG streams); elsewhere a picture may well stand for a minute."""

BACK_FRAMES = 17
"""The same in frames, elsewhere: what FFmpeg makes up for a missing dts wanders by as many as may be reordered."""

DISCONTINUOUS = 0x0200
"""FFmpeg's AVFMT_TS_DISCONT, of a container's format."""


MAX_RATE = 1000
"""Frames per second. What is above is the unit of a container's clock, taken for a rate (raw DV: 60000)."""


def rate_of(stream: Any) -> Fraction | None:
    """Frames per second of a video stream; None where nothing credible is known."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= MAX_RATE:
            return Fraction(rate)
    return None


def time_of(frame: Any, otherwise: Fraction) -> Fraction:
    """When a decoded frame is shown, in seconds; ``otherwise`` where it does not say."""
    return Fraction(frame.pts * frame.time_base) if frame.pts is not None else otherwise


def promised_end(container: Any, stream: Any) -> Fraction | None:
    """When pictures end by the file's own clock, in seconds, as its header says; None where the header speaks of the whole file.

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
    """Moves packets, in the order of the file, so that their times go on where they jump.

    The pictures lead: what a jump of theirs moves, it moves for every stream, so that sound stays in step.

    Args:
        container: the file.
        pictures: its video stream.
    """

    def __init__(self, container: Any, pictures: Any) -> None:
        self.jumps = 0
        self._ahead = AHEAD_SECONDS if container.format.flags & DISCONTINUOUS else None
        self._pictures = pictures.index
        self._tick = (
            1 / (rate_of(pictures) or Fraction(25)) if pictures.type == "video" else Fraction(1, 25)
        )
        self._back = (
            BACK_SECONDS if self._ahead is not None else max(BACK_SECONDS, BACK_FRAMES * self._tick)
        )
        self._shift = self._before = Fraction(0)
        self._next: dict[int, Fraction] = {}

    def place(self, packet: Any) -> None:
        """Move a packet's pts and dts. Pictures are expected to come in order of their dts."""
        raw = packet.dts if packet.dts is not None else packet.pts
        if raw is None:
            return
        unit, index = Fraction(packet.time_base), packet.stream.index
        if (
            packet.dts is None and index == self._pictures
        ):  # Matroska keeps none, and pts jump about where frames are reordered
            packet.pts = raw + round(self._shift / unit)
            return
        time = raw * unit
        expected = self._next.get(index)
        shift = self._shift
        if expected is not None and index == self._pictures:
            shift = self._watched(time, expected)
        elif expected is not None:  # near a jump a packet may belong to either side of it
            shift = min((self._shift, self._before), key=lambda shift: abs(time + shift - expected))
        length = (
            packet.duration * unit
            if packet.duration
            else self._tick
            if index == self._pictures
            else Fraction(0)
        )
        self._next[index] = time + shift + length
        ticks = round(shift / unit)
        if ticks:
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks

    def _watched(self, time: Fraction, expected: Fraction) -> Fraction:
        step = time + self._shift - expected
        if step < -self._back or (self._ahead is not None and step > self._ahead):
            self.jumps += 1
            self._before, self._shift = self._shift, self._shift - step
        return self._shift


def origin_of(container: Any) -> Fraction:
    """When a file's own clock begins, in seconds: recordings of broadcasts count from anywhere."""
    begins = Fraction(max(0, container.start_time or 0), av.time_base)
    # FFmpeg rounds it to microseconds, which would make no time after it exact.
    exact = [
        s.start_time * Fraction(s.time_base)
        for s in container.streams
        if s.start_time is not None and s.time_base
    ]
    near = [time for time in exact if abs(time - begins) < Fraction(2, av.time_base)]
    return min(near) if near else begins
