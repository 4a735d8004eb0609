"""One encoded video stream in one file, with the frames' own timestamps."""

from array import array
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
from ..runtime.scheduling import kept_scheduling
from .codecs import EncoderConfig
from .color import from_rgb
from .container import codec_threads, reason_of
from .frame import Frame
from .hdr import display_to_hdr
from .metadata import TimedPacket
from .side_streams import SideStreams
from .sound_track import SoundTrack
from .stream_info import FULL, RGB, VideoInfo

FRAGMENTS = {"movflags": "hybrid_fragmented+frag_keyframe+delay_moov"}
"""MP4 options: a killed file stays playable, and a closed one is an ordinary MP4."""

MAX_X264_THREADS = 12
"""Each thread of x264 holds its own frames; more threads would fill the memory of many-core
machines."""


class EncodedFile:
    """One video encoder and the file it writes to.

    Args:
        file: a path, or an object with ``write``.
        container: FFmpeg's name of the container.
        encoder: the configured encoder.
        source: colours, time base, rotation and sample aspect ratio.
        options: of the container.

    ``side_streams`` may be assigned before the first frame: their packets are muxed with the video.
    ``packet_pts`` are the pts of the video packets so far, in decoding order.

    Raises:
        av.error.FFmpegError, OSError: the file cannot be written. All methods raise these too.
    """

    def __init__(
        self,
        file: Any,
        container: str,
        encoder: EncoderConfig,
        source: VideoInfo,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._encoder, self._source = encoder, source
        self._reformatter = VideoReformatter()
        name = f"file:{file}" if isinstance(file, Path) else file
        # The file of a later segment begins with an empty edit, which is rounded down to this unit.
        timescale = {"movie_timescale": str(source.time_base.denominator)}
        usual = {**FRAGMENTS, **timescale} if container in ("mp4", "mov") else {}
        self._container: Any = av.open(
            name, "w", format=container, options=dict(usual if options is None else options)
        )
        self._stream: Any = None
        self._threads = ExitStack()
        self.packet_pts = array("q")  # eight bytes each: a recording may last for days
        self.frames = 0
        self.side_streams: SideStreams | SoundTrack | None = None
        self._side_packets: Iterator[TimedPacket | None] = iter(())
        self._next_side_packet: TimedPacket | None = None
        self._durations: dict[int, int] = {}

    def send(self, frame: Frame, pts: int) -> None:
        """Encode a frame with ``pts`` in units of the source's time base."""
        source, encoder = self._source, self._encoder
        image = frame.image
        if not encoder.odd_sizes:
            height, width = (side - side % 2 for side in image.shape[:2])
            image = image[:height, :width]
        if self._stream is None:
            self._begin((image.shape[1], image.shape[0]))
        if source.hdr_metadata is not None and image.dtype == np.uint16:
            image = display_to_hdr(image, source.hdr_metadata.peak_nits)
        video_frame = from_rgb(image, encoder.pixels, source.color, self._reformatter)
        video_frame.pts, video_frame.time_base = pts, source.time_base
        self._durations[pts] = round(frame.duration / source.time_base)
        self._write(video_frame)
        self._mux_side_packets(frame.time)
        self.frames += 1

    def _begin(self, size: tuple[int, int]) -> None:
        source, encoder = self._source, self._encoder
        self._threads.enter_context(codec_threads)
        stream = self._container.add_stream(
            encoder.name, rate=source.rate or Fraction(25), options=dict(encoder.options)
        )
        stream.width, stream.height, stream.pix_fmt = *size, encoder.pixels
        context, color = stream.codec_context, source.color
        if encoder.name == "libx264":
            # x264's own default. It is not in the encoder's options, which identify a job.
            context.thread_count = min(MAX_X264_THREADS, 3 * threads() // 2)
        if encoder.tag and self._container.format.name in ("mp4", "mov"):
            context.codec_tag = encoder.tag
        context.time_base = stream.time_base = source.time_base
        context.sample_aspect_ratio = source.sample_aspect_ratio
        if av.VideoFormat(encoder.pixels).is_rgb:
            color = replace(color, matrix=RGB, range=FULL)
        context.colorspace, context.color_range = color.matrix, color.range
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        if source.rotation:
            stream.set_display_rotation(source.rotation)
        self._open(context, size)
        if self.side_streams is not None:
            self._side_packets = self.side_streams.add_to(self._container, stream)
            self._next_side_packet = next(self._side_packets, None)
        self._container.start_encoding()
        self._stream = stream

    def _open(self, context: Any, size: tuple[int, int]) -> None:
        try:
            with kept_scheduling():
                context.open(strict=False)
        except (av.error.FFmpegError, ValueError) as error:
            raise OutputError(
                f"encoder {self._encoder.name} rejects frames of {size[0]}x{size[1]} px "
                f"({reason_of(error)}): choose another codec",
                "codec",
            ) from None

    def _write(self, video_frame: "av.VideoFrame | None") -> None:
        packets = self._stream.encode(video_frame)
        held_back = (
            self._stream.codec_context.name == "libx265"
            and video_frame is None
            and not self.packet_pts
        )
        if held_back:  # x265 invents dts for a clip shorter than its delay
            for number, packet in enumerate(packets):
                packet.dts = min(self._durations) - len(packets) + number
        for packet in packets:
            # Encoders do not pass durations on.
            packet.duration = self._durations.pop(packet.pts, 0)
            self.packet_pts.append(packet.pts)
            self._container.mux(packet)

    def _mux_side_packets(self, time: Fraction | None = None) -> None:
        """Mux packets of the side streams up to a time, or all of them; drop damaged ones."""
        if self._next_side_packet is None:  # there may be more by now
            self._next_side_packet = next(self._side_packets, None)
        while self._next_side_packet is not None and (
            time is None or self._next_side_packet[0] <= time
        ):
            with suppress(av.error.InvalidDataError, av.error.ArgumentError):
                self._container.mux(self._next_side_packet[2])
            self._next_side_packet = next(self._side_packets, None)

    def close(self) -> None:
        """Flush the encoder and the side streams, and finish the file."""
        try:
            if self._stream is not None:
                self._write(None)
                self._mux_side_packets()
        finally:
            self._container.close()
            self._stream = None  # the last reference: the encoder's threads end
            self._threads.close()
