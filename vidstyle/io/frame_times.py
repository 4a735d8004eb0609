"""Times of all frames of a clip, by which a frame has a number also where the rate is variable."""

import logging
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error

from ..errors import InputError
from ..runtime.interrupts import check
from .container import open_input
from .stream_info import VideoInfo
from .timestamps import TimestampFixer, start_time
from .video_stream import select_video_stream

log = logging.getLogger(__name__)


def frame_times(info: VideoInfo) -> Sequence[Fraction]:
    """Times of all frames of a clip's file, in order, in seconds from the start of its timestamps.

    The packets are read and not decoded.

    Args:
        info: of the clip, or of a part of it.

    Returns:
        Empty where the clip is no file, or a packet has no time of its own.
    """
    if not isinstance(info.path, Path) or info.incomplete:
        return ()
    try:
        with open_input(info.path) as container:
            return _packet_times(container, info.label)
    except (av.error.FFmpegError, InputError, ValueError) as error:
        log.debug("%s: no times of its frames (%s)", info.label, error)
        return ()


def _packet_times(container: Any, label: str) -> Sequence[Fraction]:
    stream = select_video_stream(container, label)
    clock, origin = TimestampFixer(container, stream), start_time(container)
    # AVI has dts only, FFmpeg guesses pts.
    kind = "dts" if container.format.name == "avi" else "pts"
    times = []
    for packet in container.demux(stream):
        check()
        if not packet.size or packet.is_discard:
            continue
        clock.rebase(packet)
        ticks = getattr(packet, kind)
        if ticks is None:
            return ()
        times.append(ticks * Fraction(packet.time_base) - origin)
    return sorted(times) if len(set(times)) == len(times) else ()


def nearest(times: Sequence[Fraction], time: Fraction) -> int:
    """The number of the frame whose time is nearest."""
    after = bisect_left(times, time)
    if after in (0, len(times)):
        return max(0, after - 1)
    return after if times[after] - time < time - times[after - 1] else after - 1
