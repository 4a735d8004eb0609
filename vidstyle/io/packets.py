"""Packets of an opened file, in order: readable ones, on one clock, with times that rise."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av.error

from .container import reason_of
from .timestamps import AHEAD_SECONDS, TimestampFixer

log = logging.getLogger(__name__)

SAMPLE = Fraction(1, 48000)
"""Seconds, of a clock that is fine enough for sound."""


def readable(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets up to where the file cannot be read on."""
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, ValueError) as error:
            log.warning("what lies beside the pictures ends early: %s", reason_of(error))
            return
        if packet is None:
            return
        yield packet


def placed(packets: Iterator[Any], clock: TimestampFixer) -> Iterator[Any]:
    """Packets that say a time, moved to the clock."""
    for packet in packets:
        clock.place(packet)
        if packet.dts is not None:
            yield packet


class Order:
    """Sound whose times rise: what lies over what came before, or far off all alone, is damage.

    Args:
        start: where the part that is wanted begins, in seconds of the file's clock.
        at_once: whether packets may have the same time, as short ones do in milliseconds.

    ``astray`` counts the packets that were left out.
    """

    def __init__(self, start: Fraction, at_once: bool) -> None:
        self.astray = 0
        self._start, self._at_once = start, at_once
        self._ends: dict[int, Fraction] = {}
        self._last: dict[int, int] = {}
        self._far: dict[int, Any] = {}

    def sane(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Sound that jumps far ahead is believed when the next packet does so too: then it is a pause."""
        for packet in packets:
            index, base = packet.stream.index, Fraction(packet.time_base)
            time = packet.dts * base
            if packet.stream.type == "audio":
                held = self._far.pop(index, None)
                ahead = time > self._ends.get(index, time) + AHEAD_SECONDS
                if held is None and ahead:
                    self._far[index] = packet
                    continue
                if held is not None and ahead:
                    yield held
                self.astray += held is not None and not ahead
                self._ends[index] = time + (packet.duration or 0) * base
            yield packet
        self.astray += len(self._far)

    def follows(self, packet: Any) -> bool:
        """Set a packet to a clock that begins at ``start``; whether it comes after the one before."""
        index, base = packet.stream.index, Fraction(packet.time_base)
        unit = (
            base if (self._start / base).denominator == 1 else min(base, SAMPLE)
        )  # AVI counts in whole packets of sound
        packet.dts = round((packet.dts * base - self._start) / unit)
        packet.pts = None if packet.pts is None else round((packet.pts * base - self._start) / unit)
        packet.duration = round((packet.duration or 0) * base / unit)
        packet.time_base = unit
        if packet.dts < self._last.get(index, packet.dts - 1) + (not self._at_once):
            self.astray += 1
            return False
        self._last[index] = packet.dts
        return True
