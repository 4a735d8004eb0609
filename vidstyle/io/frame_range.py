"""A range of the frames of a clip, by their numbers, with the times that they have in the clip."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import Any

from ..errors import InputError
from ..runtime.closing import Closing
from .frame import Frame
from .source import Source
from .stream_info import VideoInfo

log = logging.getLogger(__name__)

SEEK_MARGIN_SECONDS = Fraction(1, 2)
"""Time in seconds before the first frame at which decoding begins: a deinterlaced frame depends on
the frames before it."""


@dataclass(frozen=True)
class FrameSpan:
    """The frames ``first`` to ``stop`` (exclusive) of the part of a clip that is rendered.

    Args:
        first: number of the first frame, counted from 0.
        stop: number after the last frame. A clip that ends earlier ends the span.
        time: of the first frame in seconds, as ``Frame.time``; None: unknown.
    """

    first: int
    stop: int
    time: Fraction | None = None


class FrameRange(Closing):
    """A span of the frames of a clip, as a source.

    Where the time of the first frame is known, the clip is opened shortly before it. The frame must
    then have exactly that time; where it has not, as after a seek in a file without reliable
    timestamps, the clip is decoded from its start.

    Args:
        open_part: opens the clip from a time on, in seconds from the start of the file's
            timestamps; None: from the start of the part that is rendered.
        span: the frames.
        look_ahead: number of frames to read after them.

    ``wanted`` is the number of frames in the span, ``read`` the number of frames read so far.

    Raises:
        InputError: the clip cannot be read.
    """

    def __init__(
        self,
        open_part: Callable[[Fraction | None], Source],
        span: FrameSpan,
        look_ahead: int = 0,
    ) -> None:
        self._span, self._look_ahead = span, look_ahead
        self.wanted, self.read = span.stop - span.first, 0
        self._whole = open_part(None)
        self._part: Source | None = None
        self.format: VideoInfo = replace(self._whole.format, frames=self.wanted)
        if span.time is None or not span.first:
            return
        start = self._whole.format.start
        begin = start + span.time - SEEK_MARGIN_SECONDS
        if begin > start:
            try:
                self._part = open_part(begin - self._whole.format.file_start)
            except InputError as error:
                log.debug("%s: no seek to %.3f s (%s)", self.format.label, begin, error)
        if self._part and _without_times(self._part.format) != _without_times(self._whole.format):
            self._part.close()  # the size or the colours change within the clip
            self._part = None

    def __iter__(self) -> Iterator[Frame]:
        for frame in islice(self._frames(), self.wanted + self._look_ahead):
            self.read += 1
            yield frame

    def _frames(self) -> Iterator[Frame]:
        """The frames from the first on."""
        if self._part:
            frames = self._frames_after_seek(self._part)
            first = next(frames, None)
            if first is not None and first.time == self._span.time:
                yield first
                yield from frames
                return
            log.debug("%s: decoded from its start", self.format.label)
        self._whole.skip(self._span.first)
        for number, frame in enumerate(self._whole):
            if not number and self._span.time not in (None, frame.time):
                raise InputError(
                    f"frame {self._span.first} of {self.format.label} is at "
                    f"{float(frame.time):.3f} s and was at {float(self._span.time or 0):.3f} s: "
                    "the clip has changed; restart with overwrite=True",
                    "overwrite",
                )
            yield frame

    def _frames_after_seek(self, part: Source) -> Iterator[Frame]:
        offset = part.format.start - self._whole.format.start
        for frame in part:
            time = frame.time + offset
            if time >= (self._span.time or 0):
                yield replace(frame, time=time)

    def skip(self, count: int) -> None:
        """Skip frames."""
        raise NotImplementedError("a range begins where it was made to begin")

    def stop(self) -> None:
        """End a blocked reader in another thread."""
        for source in filter(None, (self._part, self._whole)):
            source.stop()

    def close(self) -> None:
        """Close the clip."""
        for source in filter(None, (self._part, self._whole)):
            source.close()


def _without_times(info: VideoInfo) -> Any:
    return replace(info, frames=None, start=Fraction(0), stop=None)
