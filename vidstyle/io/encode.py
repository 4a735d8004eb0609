"""One file of encoded pictures: one encoder, with the frames' own times."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from ..errors import OutputError
from ..runtime.limits import threads
from .codecs import EncoderConfig
from .color import from_rgb
from .container import reason_of, threaded
from .frame import Frame
from .hdr import from_paint
from .side_streams import SideStreams, TimedPacket
from .stream_info import FULL, RGB, VideoInfo

FRAGMENTS = {"movflags": "hybrid_fragmented+frag_keyframe+delay_moov"}
"""What is there stays playable after a kill; closed normally it is an ordinary MP4."""

MAX_X264_THREADS = 12
"""Each of x264's threads holds frames of its own: more would fill the memory of a machine with many cores."""


class EncodedFile:
    """One encoder and the file it writes: pictures only, with the frames' own times.

    Args:
        file: a path, or something with ``write``.
        container: FFmpeg's name of its kind.
        coder: the encoder.
        source: colours, time base, rotation and pixel shape.
        options: of the container.

    ``beside`` may be assigned before the first frame: what of a source goes into the file with the pictures.

    Raises:
        av.error.FFmpegError, OSError: it cannot be written; so do all methods.
    """

    def __init__(
        self,
        file: Any,
        container: str,
        coder: EncoderConfig,
        source: VideoInfo,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._coder, self._source = coder, source
        self._reformatter = VideoReformatter()
        name = f"file:{file}" if isinstance(file, Path) else file
        usual = FRAGMENTS if container in ("mp4", "mov") else {}
        self._container: Any = av.open(
            name, "w", format=container, options=dict(usual if options is None else options)
        )
        self._stream: Any = None
        self._threads = ExitStack()
        self._written = False
        self.frames = 0
        self.beside: SideStreams | None = None
        self._following: Iterator[TimedPacket] = iter(())
        self._next: TimedPacket | None = None
        self._durations: dict[int, int] = {}

    def send(self, frame: Frame, pts: int) -> None:
        """Encode a frame, at ``pts`` in units of the source's time base."""
        source, coder = self._source, self._coder
        image = frame.image
        if not coder.odd:
            height, width = (side - side % 2 for side in image.shape[:2])
            image = image[:height, :width]
        if self._stream is None:
            self._begin((image.shape[1], image.shape[0]))
        if source.light is not None and image.dtype == np.uint16:
            image = from_paint(image, source.light.peak_nits)
        picture = from_rgb(image, coder.pixels, source.color, self._reformatter)
        picture.pts, picture.time_base = pts, source.time_base
        self._durations[pts] = round(frame.duration / source.time_base)
        self._write(picture)
        self._follow(frame.time)
        self.frames += 1

    def _begin(self, size: tuple[int, int]) -> None:
        source, coder = self._source, self._coder
        self._threads.enter_context(threaded)
        stream = self._container.add_stream(
            coder.name, rate=source.rate or Fraction(25), options=dict(coder.options)
        )
        stream.width, stream.height, stream.pix_fmt = *size, coder.pixels
        context, color = stream.codec_context, source.color
        if coder.name == "libx264":
            # As many as x264 takes by itself. Not an option of the coder, since those tell one job from another.
            context.thread_count = min(MAX_X264_THREADS, 3 * threads() // 2)
        if coder.tag and self._container.format.name in ("mp4", "mov"):
            context.codec_tag = coder.tag
        context.time_base = stream.time_base = source.time_base
        context.sample_aspect_ratio = source.sample_aspect_ratio
        if av.VideoFormat(coder.pixels).is_rgb:
            color = replace(color, matrix=RGB, range=FULL)
        context.colorspace, context.color_range = color.matrix, color.range
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        if source.rotation:
            stream.set_display_rotation(source.rotation)
        self._open(context, size)
        if self.beside is not None:
            self._following = self.beside.add_to(self._container, stream)
            self._next = next(self._following, None)
        self._container.start_encoding()
        self._stream = stream

    def _open(self, context: Any, size: tuple[int, int]) -> None:
        try:
            context.open(strict=False)
        except (av.error.FFmpegError, ValueError) as error:
            said = (
                f"the encoder {self._coder.name} refuses these pictures of {size[0]}x{size[1]} px"
            )
            raise OutputError(
                f"{said} ({reason_of(error)}): choose another codec", "codec"
            ) from None

    def _write(self, picture: "av.VideoFrame | None") -> None:
        packets = self._stream.encode(picture)
        held_back = (
            self._stream.codec_context.name == "libx265" and picture is None and not self._written
        )
        if held_back:  # fewer frames than x265 holds back: it has made up their dts
            for number, packet in enumerate(packets):
                packet.dts = min(self._durations) - len(packets) + number
        for packet in packets:
            packet.duration = self._durations.pop(
                packet.pts, 0
            )  # encoders forget how long frames last
            self._container.mux(packet)
            self._written = True

    def _follow(self, time: Fraction | None = None) -> None:
        """Write what lies beside the pictures, up to a time or to the end; what is damaged is left out."""
        while self._next is not None and (time is None or self._next[0] <= time):
            with suppress(av.error.InvalidDataError, av.error.ArgumentError):
                self._container.mux(self._next[2])
            self._next = next(self._following, None)

    def close(self) -> None:
        """Write what the encoder holds back, what lies beside the pictures, and the end of the file."""
        try:
            if self._stream is not None:
                self._write(None)
                self._follow()
        finally:
            self._container.close()
            self._stream = None  # the encoder's threads end with the last reference to it
            self._threads.close()
