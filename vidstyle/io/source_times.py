"""Frames of a part of a clip with their times in the whole file, by which a timeline changes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from ..errors import InputError
from .mapped_source import mapped
from .source import ImageSource, Source

END_TOLERANCE_SECONDS = 1
"""A keyframe may lie so much after the end of a clip: the number of its frames is an estimate."""


def with_source_times(source: Source, offset: Fraction, keyframes: Sequence[Fraction]) -> Source:
    """A source whose frames have ``Frame.source_time``. It is closed if the keyframes do not fit.

    Args:
        source: of the frames.
        offset: time in seconds from the start of the source's file to the start of the source.
        keyframes: times in seconds from the start of the file.

    Raises:
        InputError: see ``check_times``.
    """
    try:
        check_times(source, offset, keyframes)
    except InputError:
        source.close()
        raise
    return mapped(source, lambda frame: replace(frame, source_time=frame.time + offset))


def check_times(source: Source, offset: Fraction, keyframes: Iterable[Fraction]) -> None:
    """Check that a source has frames at the times of keyframes. Arguments as above.

    Raises:
        InputError: the source is an image, or ends before a keyframe.
    """
    info = source.format
    if isinstance(source, ImageSource):
        raise InputError(f"{info.label} is an image: name a clip, whose frames have times")
    if info.frames and info.rate and info.stop is None:
        end = max(offset, info.lead) + info.frames / info.rate
        if late := [time for time in keyframes if time > end + END_TOLERANCE_SECONDS]:
            raise InputError(
                f"{info.label} ends at {float(end):.2f} s, before {float(late[0]):.2f} s: choose a "
                "time within the clip"
            )
