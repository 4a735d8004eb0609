"""Demuxed packets in order: up to the first read error, on one timeline, with rising timestamps."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av.error

from .container import reason_of
from .timestamps import MAX_FORWARD_SECONDS, TimestampFixer

log = logging.getLogger(__name__)

FINEST_TICK = Fraction(1, 48000)
"""Finest time base of rebased packets, in seconds: one sample of 48 kHz audio."""


def read_until_error(packets: Iterator[Any]) -> Iterator[Any]:
    """Yield packets up to the first one that FFmpeg cannot read, and log why reading ended."""
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, ValueError) as error:
            log.warning(
                "audio and subtitles end early, the file cannot be read on: %s", reason_of(error)
            )
            return
        if packet is None:
            return
        yield packet


def with_fixed_timestamps(packets: Iterator[Any], clock: TimestampFixer) -> Iterator[Any]:
    """Move packets to a continuous timeline; drop packets without any timestamp."""
    for packet in packets:
        clock.rebase(packet)
        if packet.dts is not None:
            yield packet


class AudioOrder:
    """Drops audio packets that overlap earlier ones or lie far off on their own: the file is
    damaged there.

    Args:
        start: where the wanted part begins, in seconds of the file's timeline.
        at_once: whether two packets may have the same dts, as short ones do in milliseconds.

    ``dropped`` counts the packets left out.
    """

    def __init__(self, start: Fraction, at_once: bool) -> None:
        self.dropped = 0
        self._start, self._at_once = start, at_once
        self._ends: dict[int, Fraction] = {}
        self._last: dict[int, int] = {}
        self._far: dict[int, Any] = {}

    def without_outliers(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Drop single audio packets that jump ahead by more than ``MAX_FORWARD_SECONDS``.

        A jump is a pause, and kept, when the next packet of the stream follows it.
        """
        for packet in packets:
            index, base = packet.stream.index, Fraction(packet.time_base)
            time = packet.dts * base
            if packet.stream.type == "audio":
                held = self._far.pop(index, None)
                ahead = time > self._ends.get(index, time) + MAX_FORWARD_SECONDS
                if held is None and ahead:
                    self._far[index] = packet
                    continue
                if held is not None and ahead:
                    yield held
                self.dropped += held is not None and not ahead
                self._ends[index] = time + (packet.duration or 0) * base
            yield packet
        self.dropped += len(self._far)

    def rebase(self, packet: Any) -> bool:
        """Set a packet's timestamps relative to ``start``, in place.

        Returns:
            Whether its dts rises; the caller drops the packet otherwise.
        """
        index, base = packet.stream.index, Fraction(packet.time_base)
        unit = (
            base if (self._start / base).denominator == 1 else min(base, FINEST_TICK)
        )  # AVI's time base is one packet of audio
        packet.dts = round((packet.dts * base - self._start) / unit)
        packet.pts = None if packet.pts is None else round((packet.pts * base - self._start) / unit)
        packet.duration = round((packet.duration or 0) * base / unit)
        packet.time_base = unit
        if packet.dts < self._last.get(index, packet.dts - 1) + (not self._at_once):
            self.dropped += 1
            return False
        self._last[index] = packet.dts
        return True
