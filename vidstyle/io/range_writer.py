"""Segments in memory: the stylised frames of a range, to be joined with those of other ranges."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from .checkpoints import Checkpoint
from .codecs import EncoderConfig
from .frame import Frame
from .segment_encoder import SegmentEncoder
from .sink_base import FileSink, OutputErrors
from .stream_info import VideoInfo
from .video_writer import SEGMENT_SECONDS


@dataclass(frozen=True)
class EncodedSegment:
    """A closed segment: the content of its file, and the number of its frames."""

    data: bytes
    frames: int


class RangeWriter(FileSink):
    """Encodes the frames of a range into the segments that ``VideoWriter`` makes of them.

    Args:
        encoder: the configured encoder.
        source: of the frames.
        warm_up: number of leading frames that are not written.
        last_pts: of the frame before the range, in units of the source's time base.

    ``segments`` are the finished ones.
    """

    segment_seconds = SEGMENT_SECONDS

    def __init__(
        self, encoder: EncoderConfig, source: VideoInfo, warm_up: int = 0, last_pts: int = -1
    ) -> None:
        self.segments: list[EncodedSegment] = []
        self._warm_up = warm_up
        self._data = BytesIO()
        self._encoder = SegmentEncoder(encoder, source, self._next_file, last_pts)

    def _next_file(self) -> BytesIO:
        self._data = BytesIO()
        return self._data

    def send(self, frame: Frame) -> None:
        """Encode one frame, unless it is one of the warm-up."""
        if self._warm_up:
            self._warm_up -= 1
            return
        with self._errors():
            self._encoder.send(frame)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """End the segment; the state is not kept."""
        with self._errors():
            file = self._encoder.finish()
        if file is not None and file.frames:
            self.segments.append(EncodedSegment(self._data.getvalue(), file.frames))

    def close(self, complete: bool = True) -> Path | None:
        """End the last segment."""
        self.checkpoint(Checkpoint(0, 0, {}))
        return None

    def _errors(self) -> OutputErrors:
        return OutputErrors("cannot encode a segment", "choose another codec", "codec")
