"""One closed segment after another: the encoder starts anew with each."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from .codecs import EncoderConfig
from .encode import EncodedFile
from .frame import Frame
from .stream_info import VideoInfo

SEGMENT_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""File extension of a segment -> FFmpeg's name of its container."""


class SegmentEncoder:
    """Encodes frames into segments.

    Args:
        encoder: the configured encoder.
        source: of the frames.
        next_file: the path of the next segment, or an object with ``write``.
        last_pts: of the frame before, in units of the source's time base.
        end: of that frame in seconds.

    Raises:
        ValueError: a frame whose size differs from the first frame's.
        av.error.FFmpegError, OSError: a segment cannot be written. All methods raise these.
    """

    def __init__(
        self,
        encoder: EncoderConfig,
        source: VideoInfo,
        next_file: Callable[[], Any],
        last_pts: int = -1,
        end: Fraction = Fraction(0),
    ) -> None:
        self.last_pts, self.end = last_pts, end
        self._encoder, self._source, self._next_file = encoder, source, next_file
        self._file: EncodedFile | None = None
        self._size: tuple[int, int] | None = None

    def send(self, frame: Frame) -> None:
        """Encode one frame; the first one after ``finish`` begins a segment."""
        if frame.size != (self._size or frame.size):
            raise ValueError(
                f"a frame of {frame.size} px does not fit into a clip of {self._size} px"
            )
        self._size = frame.size
        if self._file is None:
            container = SEGMENT_CONTAINERS[self._encoder.ending]
            self._file = EncodedFile(self._next_file(), container, self._encoder, self._source)
        self.last_pts = max(round(frame.time / self._source.time_base), self.last_pts + 1)
        self._file.send(frame, self.last_pts)
        self.end = frame.time + frame.duration

    def finish(self) -> EncodedFile | None:
        """Close the segment and return it; None where no frame came."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
        return file
