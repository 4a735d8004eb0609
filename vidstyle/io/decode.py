"""Video files as frames: decoded, deinterlaced, with rising timestamps, in RGB."""

import logging
import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from fractions import Fraction
from inspect import GEN_RUNNING, getgeneratorstate
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import finalize

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from ..errors import InputError
from ..runtime.closing import Closing
from .color import color_of, depth_of, has_alpha, tags_of, to_rgb
from .container import StandardInput, codec_threads, open_input, timeout_error
from .files import PIPE, is_url, without_secrets
from .frame import Frame, Image
from .hdr import hdr_to_display, to_sdr
from .side_data import display_rotation, hdr_metadata_of, side_data_of, unsupported_views
from .stream_info import BT709, HLG, LIMITED, PQ, ColorInfo, VideoInfo
from .timestamps import TimestampFixer, declared_end, frame_rate, frame_time, lead_time, start_time
from .video_stream import (
    alpha_decoder,
    deinterlace,
    is_opaque,
    no_frame_message,
    select_video_stream,
    supported_color,
)

log = logging.getLogger(__name__)

NO_TIMESTAMPS_FLAG = 0x0080
"""FFmpeg's AVFMT_NOTIMESTAMPS: raw streams of H.264 and the like."""

TRUNCATION_SECONDS = 1
"""Time in seconds by which a clip may end before its declared end without a warning."""


class VideoFile(Closing):
    """The first video stream, other than cover art, of a file, an address or standard input.

    Args:
        name: the file, a URL, or ``-``.
        start: where the part starts, in seconds from the start of the file's timestamps.
        stop: where it ends.
        sdr: whether HDR is converted to standard dynamic range; else the sink writes HDR again.
        apply_rotation: rotate frames as players show them; else ``format.rotation`` has the angle.

    Raises:
        InputError: no media file, no video stream, or not a single frame that can be decoded.
    """

    def __init__(
        self,
        name: str | Path,
        start: Fraction | None = None,
        stop: Fraction | None = None,
        sdr: bool = False,
        apply_rotation: bool = False,
    ) -> None:
        self._name = str(name)
        self._label = without_secrets(self._name)  # for messages
        self._sdr, self._apply_rotation = sdr, apply_rotation
        self._quarter_turns, self._mirrored = 0, False
        self._pipe = StandardInput()
        self._declared_end: Fraction | None = None
        self._frames: Generator[Any, None, None] = self._deinterlaced()
        self._damaged = self._without_timestamp = self._resampled = self._skipped = 0
        try:
            if self._name == PIPE:
                self._pipe.keep_copy()
            self._container = open_input(self._name, self._pipe)
        except BaseException:
            self._pipe.drop_copy()
            raise
        codec_threads.__enter__()
        # Called by ``close``, or when the source is garbage-collected.
        self._leave_codec_threads = finalize(self, codec_threads.__exit__)
        if len(self._container.streams) == 1:  # no side streams to read later
            self._pipe.drop_copy()
        try:
            self._stream = select_video_stream(self._container, self._label)
            self._container_color = tags_of(self._stream.codec_context)
            origin = start_time(self._container)
            part = (start or Fraction(0)) + origin, None if stop is None else stop + origin
            self._frames = self._decode_from(part[0] if start else None)
            first = next(self._frames, None)
            if first is None or (part[1] is not None and frame_time(first, part[0]) >= part[1]):
                raise InputError(no_frame_message(self._label, start, stop))
            self._first: av.VideoFrame | None = first
            # A part starts with its first frame, whose distance may be below the time base.
            self.format = self._describe(
                first, frame_time(first, part[0]) if start else part[0], part[1]
            )
        except BaseException:
            self.close()
            if self._pipe.interrupted:
                raise KeyboardInterrupt from None
            self._pipe.raise_failure()
            raise

    def _describe(self, first: Any, start: Fraction, stop: Fraction | None) -> VideoInfo:
        stream = self._stream
        tagged = color_of(stream.codec_context, self._container_color)
        color = supported_color(first, tagged, self._label)
        rate = frame_rate(stream)
        frames = self._estimate_frames(rate, start, stop)
        self._declared_end = declared_end(self._container, stream)
        self._decoded_color = color  # of the decoder; the format has that of the frames
        self._hdr_metadata, bit_depth = None, depth_of(first)
        side_data = side_data_of(first, stream.codec_context.name)
        if color.transfer in (PQ, HLG) and bit_depth > 8:
            self._hdr_metadata = hdr_metadata_of(side_data)
            if self._sdr:
                color, bit_depth = ColorInfo(BT709, LIMITED, BT709, BT709), 8
        rotation, self._mirrored = display_rotation(first, side_data)
        for view in unsupported_views(side_data):
            log.warning(
                "%s: its %s metadata is dropped: players will show the output as it is stored",
                self._label,
                view,
            )
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        self._decoded_size = size = first.width, first.height
        if self._apply_rotation and rotation % 90 == 0:
            self._quarter_turns, rotation = rotation // 90 % 4, 0
            size, aspect = (size[::-1], 1 / aspect) if self._quarter_turns % 2 else (size, aspect)
        return VideoInfo(
            size=size,
            rate=rate,
            # Deinterlaced frames have half of it.
            time_base=Fraction(stream.time_base or first.time_base),
            frames=frames,
            start=start,
            stop=stop,
            bit_depth=bit_depth,
            alpha=has_alpha(first)
            and not (stream.codec_context.name == "gif" and is_opaque(first)),
            color=color,
            hdr_metadata=self._hdr_metadata if color.transfer == PQ else None,
            rotation=rotation,
            sample_aspect_ratio=aspect,
            incomplete=self._name == PIPE,
            path=self._path(),
            file_start=start_time(self._container),
            lead=lead_time(self._container, stream),
            name="standard input" if self._name == PIPE else "",
        )

    def _path(self) -> Path | str | None:
        """The file or address of the side streams."""
        if self._name == PIPE:
            return self._pipe.copy
        return self._name if is_url(self._name) else Path(self._name)

    def _estimate_frames(
        self, rate: Fraction | None, start: Fraction, stop: Fraction | None
    ) -> int | None:
        """Number of frames from ``start`` to ``stop``, by the header; None where it has none."""
        stream, end = self._stream, None
        lead, origin = lead_time(self._container, stream), start_time(self._container)
        if stream.duration:
            end = lead + stream.duration * Fraction(stream.time_base)
        elif self._container.duration:
            end = Fraction(self._container.duration, av.time_base)
        if not end or not rate:
            return int(stream.frames) or None
        part = start > origin or stop is not None
        until = end if stop is None else min(stop - origin, end)
        frames = max(1, math.ceil((until - max(start - origin, lead)) * rate))
        return frames if part else int(stream.frames) or frames

    def _decode_from(self, start: Fraction | None) -> Generator[Any, None, None]:
        """Frames from ``start`` on. Where a seek lands too late, an earlier one is tried."""
        if not start:
            yield from self._deinterlaced()
            return
        # Without timestamps the position after a seek is unknown.
        timeless = self._container.format.flags & NO_TIMESTAMPS_FLAG
        for earlier in (0, 10, None) if self._name != PIPE and not timeless else (None,):
            if earlier is None and self._name != PIPE:
                self._container.close()
                self._container = open_input(self._name)
                self._stream = select_video_stream(self._container, self._label)
            elif earlier is not None:
                with suppress(av.error.FFmpegError, OverflowError):
                    self._container.seek(
                        max(0, int((start - earlier) / self._stream.time_base)), stream=self._stream
                    )
            frames = self._deinterlaced()
            first = next(frames, None)
            if first is not None and (earlier is None or frame_time(first, start) <= start):
                yield from (
                    frame for frame in chain([first], frames) if frame_time(frame, start) >= start
                )
                return

    def _deinterlaced(self) -> Generator[Any, None, None]:
        def skipped() -> None:
            self._damaged += 1

        yield from deinterlace(self._decode(), self._stream, skipped)

    def _decode(self) -> Generator[Any, None, None]:
        """Decoded frames; damaged packets are skipped and counted."""
        packets = self._container.demux(self._stream)
        clock = TimestampFixer(self._container, self._stream)
        alpha = alpha_decoder(self._stream)
        timeless, decoded = self._container.format.flags & NO_TIMESTAMPS_FLAG, 0
        tick = 1 / (frame_rate(self._stream) or Fraction(25))
        keeps_pts = self._container.format.name != "avi"  # AVI has dts only, FFmpeg guesses pts
        while True:
            packet = None
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                clock.rebase(packet)
                for frame in (
                    packet.decode()
                    if alpha is None
                    else alpha.decode(packet if packet.size else None)
                ):
                    if not keeps_pts and frame.dts is not None:
                        frame.pts = frame.dts
                    if frame.pts is None and timeless:
                        frame.pts = round(decoded * tick / frame.time_base)
                        self._without_timestamp += 1
                    decoded += 1
                    yield frame
            except (av.error.FFmpegError, ValueError, OverflowError) as error:
                if isinstance(error, av.error.ExitError):
                    raise timeout_error(self._name) from None
                self._damaged += 1
                if packet is None:  # the rest of the file cannot be read
                    break
        self._warn(self._damaged, "damaged packets were skipped")
        self._warn(clock.jumps, "jumps of its timestamps were closed")
        if clock.jumps:
            self._declared_end = None  # it is wrong after a jump

    def _warn(self, count: int, what: str) -> None:
        if count:
            log.warning("%s: %d %s", self._label, count, what)

    def __iter__(self) -> Iterator[Frame]:
        reformatter = VideoReformatter()
        start, stop = self.format.start, self.format.stop
        tick = 1 / self.format.rate if self.format.rate else self.format.time_base
        end: Fraction | None = None
        last: Fraction | None = None
        decoded = self._first
        self._first = None
        while decoded is not None:
            unit = Fraction(decoded.time_base or self.format.time_base)
            expected = start if end is None else end
            time = expected if decoded.pts is None else decoded.pts * unit
            self._without_timestamp += decoded.pts is None
            if last is not None and time <= last:
                time = max(expected, last + self.format.time_base)
            if stop is not None and time >= stop:
                return
            duration = decoded.duration * unit if decoded.duration else tick
            if stop is not None:  # a frame that is shown for long ends with the part
                duration = min(duration, max(tick, stop - time))
            end, last = time + duration, time
            if self._skipped:
                self._skipped -= 1
            else:
                yield Frame(self._to_image(decoded, reformatter), time - start, duration)
            decoded = next(self._frames, None)
        self._pipe.raise_failure()
        self._report_end(end)

    def _to_image(self, decoded: Any, reformatter: VideoReformatter) -> Image:
        self._resampled += (decoded.width, decoded.height) != self._decoded_size
        image = to_rgb(decoded, self._decoded_size, self._decoded_color, reformatter)
        if self._mirrored or self._quarter_turns:
            image = np.ascontiguousarray(
                np.rot90(image[:, ::-1] if self._mirrored else image, self._quarter_turns)
            )  # type: ignore[assignment]
        if self._hdr_metadata and self._sdr:
            return (
                to_sdr(image, self._decoded_color.transfer, self._hdr_metadata.peak_nits) >> 8
            ).astype("uint8")
        return (
            hdr_to_display(image, self._hdr_metadata.peak_nits)
            if self.format.hdr_metadata and self._hdr_metadata
            else image
        )

    def _report_end(self, end: Fraction | None) -> None:
        self._warn(self._without_timestamp, "frames had no timestamp and follow one another")
        self._warn(self._resampled, "frames of another size were resampled to the first one's")
        if (
            self._declared_end
            and end is not None
            and end < self._declared_end - TRUNCATION_SECONDS
            and not self.format.stop
        ):
            origin = start_time(self._container)
            ends, declared = float(end - origin), float(self._declared_end - origin)
            log.warning(
                "%s ends after %.1f s instead of the declared %.1f s: it is truncated",
                self._label,
                ends,
                declared,
            )

    def skip(self, count: int) -> None:
        """Skip frames: they are decoded but not converted."""
        self._skipped = count

    def stop(self) -> None:
        """End a blocked reader in another thread."""
        self._pipe.stop()

    def close(self) -> None:
        """Close the file, unless another thread that was told to stop still reads it."""
        if getgeneratorstate(self._frames) == GEN_RUNNING:
            log.warning("%s does not answer and stays open", self._label)
            return
        self._frames.close()
        self._container.close()
        self._stream = None  # the last reference: the decoder's threads end
        self._leave_codec_threads()
        self._pipe.drop_copy()
