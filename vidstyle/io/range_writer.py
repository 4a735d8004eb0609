"""Segments in memory: the stylised frames of a range, to be joined with those of other ranges."""

from collections import deque
from collections.abc import Sequence
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
        last_pts: of the frame before the range, in units of the source's time base.
        hold: number of the last frames that are kept back until ``close``, so that
            ``replace_tail`` can change them.

    ``segments`` are the finished ones.
    """

    segment_seconds = SEGMENT_SECONDS

    def __init__(
        self, encoder: EncoderConfig, source: VideoInfo, last_pts: int = -1, hold: int = 0
    ) -> None:
        self.segments: list[EncodedSegment] = []
        self._hold = hold
        self._held: deque[Frame | Checkpoint] = deque()
        self._data = BytesIO()
        self._encoder = SegmentEncoder(encoder, source, self._next_file, last_pts)

    def _next_file(self) -> BytesIO:
        self._data = BytesIO()
        return self._data

    @property
    def tail(self) -> list[Frame]:
        """The frames that are kept back."""
        return [item for item in self._held if isinstance(item, Frame)]

    def replace_tail(self, frames: Sequence[Frame]) -> None:
        """Replace the last frames by others of the same times.

        Args:
            frames: as many as are to be replaced, in order.
        """
        if not frames:
            return
        others = dict(zip(map(id, self.tail[-len(frames) :]), frames, strict=True))
        for index, item in enumerate(self._held):
            self._held[index] = others.get(id(item), item)

    def send(self, frame: Frame) -> None:
        """Take one frame."""
        self._held.append(frame)
        while len(self.tail) > self._hold:
            self._release()

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """End the segment; the state is not kept."""
        self._held.append(checkpoint)
        while isinstance(self._held[0], Checkpoint):
            self._release()
            if not self._held:
                return

    def _release(self) -> None:
        """Encode the oldest frame that is kept back, or end the segment after it."""
        item = self._held.popleft()
        with OutputErrors("cannot encode a segment", "choose another codec", "codec"):
            if isinstance(item, Frame):
                self._encoder.send(item)
                return
            file = self._encoder.finish()
        if file is not None and file.frames:
            self.segments.append(EncodedSegment(self._data.getvalue(), file.frames))

    def close(self, complete: bool = True) -> Path | None:
        """Encode what was kept back, and end the last segment."""
        self._held.append(Checkpoint(0, 0, {}))
        while self._held:
            self._release()
        return None
