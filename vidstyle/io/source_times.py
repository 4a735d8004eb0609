"""Frames of a part of a clip with their times in the whole file, by which a timeline changes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ..errors import InputError
from ..runtime.closing import Closing
from .frame import Frame
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
        InputError: the source is an image, or ends before a keyframe.
    """
    info = source.format
    problem = ""
    if isinstance(source, ImageSource):
        problem = "is an image: keyframes need a clip"
    elif info.frames and info.rate and info.stop is None:
        end = offset + info.frames / info.rate
        if late := [time for time in keyframes if time > end + END_TOLERANCE_SECONDS]:
            problem = (
                f"ends at {float(end):.2f} s, before the keyframe at {float(late[0]):.2f} s: "
                "choose a time within the clip"
            )
    if problem:
        source.close()
        raise InputError(f"{info.label} {problem}")
    return SourceWithTimes(source, offset)


class SourceWithTimes(Closing):
    """A clip whose frames have ``source_time``; all else is that of the clip."""

    def __init__(self, source: Source, offset: Fraction) -> None:
        self._source, self._offset = source, offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @property
    def format(self) -> Any:
        """Properties of the frames."""
        return self._source.format

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            yield replace(frame, source_time=frame.time + self._offset)

    def skip(self, count: int) -> None:
        """Skip frames."""
        self._source.skip(count)

    def stop(self) -> None:
        """End a blocked reader in another thread."""
        self._source.stop()

    def close(self) -> None:
        """Close the clip."""
        self._source.close()
