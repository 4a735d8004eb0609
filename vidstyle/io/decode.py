"""Clips as frames: decoded, deinterlaced, with times that rise, in RGB."""

import logging
import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from inspect import GEN_RUNNING, getgeneratorstate
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import finalize

import av
import av.error
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from ..errors import InputError
from ..runtime.limits import threads
from ..settings import MAX_SIDE_PX
from .color import color_of, depth_of, guessed_matrix, has_alpha, to_rgb
from .container import StandardInput, no_answer, open_input, threaded
from .files import PIPE, is_url
from .frame import Frame, Image
from .hdr import to_paint, to_sdr
from .heif import HEIF_BRANDS
from .side_data import light_of, lost_views, side_data_of, turned
from .stream_info import BT709, HLG, LIMITED, PQ, ColorInfo, VideoInfo
from .timestamps import TimestampFixer, origin_of, promised_end, rate_of, time_of

log = logging.getLogger(__name__)

INTERLACED = (2, 3, 4, 5)
"""FFmpeg's AVFieldOrder, for all orders of two fields."""

NO_TIMESTAMPS = 0x0080
"""FFmpeg's AVFMT_NOTIMESTAMPS, of a container's format: bare streams of H.264 and the like."""

SHORT_SECONDS = 1
"""How much earlier than its header says a clip may end before that is worth a word."""


class VideoFile:
    """The first real video stream of a file (cover art does not count), an address, or standard input.

    Args:
        name: the file, a URL, or ``-``.
        start: where the part starts, in seconds from the start of the file's timestamps.
        stop: where it ends.
        sdr: whether HDR is turned into standard range; else it is to be written as HDR again.
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
        self._sdr, self._upright = sdr, apply_rotation
        self._turns, self._mirrored = 0, False
        self._pipe = StandardInput()
        self._ends: Fraction | None = None
        self._frames: Generator[Any, None, None] = self._deinterlaced()
        self._damaged = self._timeless = self._resampled = self._skipped = 0
        try:
            if self._name == PIPE:
                self._pipe.keep_copy()
            self._container = open_input(self._name, self._pipe)
        except BaseException:
            self._pipe.drop_copy()
            raise
        threaded.__enter__()
        self._leave_threaded = finalize(
            self, threaded.__exit__
        )  # by close, or when nobody has the source any more
        if (
            len(self._container.streams) == 1
        ):  # nothing to be found again beside the pictures, which may be many bytes
            self._pipe.drop_copy()
        try:
            self._stream = self._video_stream()
            origin = origin_of(self._container)
            part = (start or Fraction(0)) + origin, None if stop is None else stop + origin
            self._frames = self._decode_from(part[0] if start else None)
            first = next(self._frames, None)
            if first is None or (part[1] is not None and time_of(first, part[0]) >= part[1]):
                raise InputError(self._why_empty(start, stop))
            self._first: av.VideoFrame | None = first
            # A part begins with its first picture: the clock may be too coarse to say how long after ``start`` that is.
            self.format = self._describe(
                first, time_of(first, part[0]) if start else part[0], part[1]
            )
        except BaseException:
            self.close()
            if self._pipe.interrupted:
                raise KeyboardInterrupt from None
            self._pipe.raise_failure()
            raise

    def _video_stream(self) -> Any:
        if (
            self._container.metadata.get("major_brand", "").encode() in HEIF_BRANDS
        ):  # FFmpeg would give one of its tiles
            raise InputError(
                f"{self._name} holds a HEIF picture: save it as a file and give its name"
            )
        for stream in self._container.streams.video:
            if not stream.disposition & Disposition.attached_pic:
                context = stream.codec_context
                if context is None:
                    raise InputError(
                        f"{self._name}: its video codec is not known here; convert it to H.264 first"
                    )
                if max(context.width, context.height) > MAX_SIDE_PX:
                    size = f"{context.width}x{context.height} px"
                    raise InputError(
                        f"{self._name} says its pictures are {size}: damaged, or to be made smaller first"
                    )
                stream.thread_type = "AUTO"
                stream.codec_context.thread_count = threads()
                return stream
        raise InputError(
            f"{self._name} holds no video stream: give a clip, or a picture file such as a PNG"
        )

    def _why_empty(self, start: Fraction | None, stop: Fraction | None) -> str:
        if stop is not None:
            return f"{self._name} has no frame from {float(start or 0):g} s to {float(stop):g} s: choose a longer part"
        if start:
            return (
                f"{self._name} has no frame at or after {float(start):g} s: choose an earlier start"
            )
        if self._name == PIPE:
            return "standard input holds no frame that can be decoded: pipe Matroska, NUT or YUV4MPEG, not MP4, or name a file"
        return (
            f"{self._name} holds no frame that can be decoded: it is empty or damaged; get it again"
        )

    def _describe(self, first: Any, start: Fraction, stop: Fraction | None) -> VideoInfo:
        stream = self._stream
        color = self._known_color(first, color_of(stream.codec_context))
        rate = rate_of(stream)
        container_duration = (
            Fraction(self._container.duration, av.time_base) if self._container.duration else None
        )
        duration = (
            stream.duration * Fraction(stream.time_base) if stream.duration else container_duration
        )
        frames = stream.frames or (math.ceil(duration * rate) if duration and rate else None)
        origin = origin_of(self._container)
        if duration and (start > origin or stop is not None) and rate:
            until = duration if stop is None else min(stop - origin, duration)
            frames = max(1, math.ceil((until - (start - origin)) * rate))
        self._ends = promised_end(self._container, stream)
        self._read_as = color  # what the decoder gives, whatever is said of what is made of it
        self._light, bit_depth, side_data = (
            None,
            depth_of(first),
            side_data_of(first, stream.codec_context.name),
        )
        if color.transfer in (PQ, HLG) and bit_depth > 8:
            self._light = light_of(side_data)
            if self._sdr:
                color, bit_depth = ColorInfo(BT709, LIMITED, BT709, BT709), 8
        rotation, self._mirrored = turned(first, side_data)
        for view in lost_views(side_data):
            log.warning(
                "%s: its %s metadata cannot be kept: players will show the output as it is stored",
                self._name,
                view,
            )
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        self._decoded_size = size = first.width, first.height
        if self._upright and rotation % 90 == 0:
            self._turns, rotation = rotation // 90 % 4, 0
            size, aspect = (size[::-1], 1 / aspect) if self._turns % 2 else (size, aspect)
        return VideoInfo(
            size=size,
            rate=rate,
            time_base=Fraction(
                stream.time_base or first.time_base
            ),  # also deinterlaced, which counts in half of it
            frames=frames,
            start=start,
            stop=stop,
            bit_depth=bit_depth,
            alpha=has_alpha(first)
            and not (stream.codec_context.name == "gif" and self._opaque(first)),
            color=color,
            light=self._light if color.transfer == PQ else None,
            rotation=rotation,
            sample_aspect_ratio=aspect,
            incomplete=self._name == PIPE,
            path=self._pipe.copy
            if self._name == PIPE
            else self._name
            if is_url(self._name)
            else Path(self._name),
        )

    def _opaque(self, frame: Any) -> bool:
        """Whether a frame lets nothing show through: every GIF could."""
        return bool(frame.to_ndarray(format="rgba")[..., 3].min() == 255)

    def _known_color(self, first: Any, color: ColorInfo) -> ColorInfo:
        try:
            to_rgb(first, (first.width, first.height), color, VideoReformatter())
        except (av.error.FFmpegError, ValueError):
            guess = guessed_matrix(first.height)
            log.warning(
                "%s: colours are tagged with matrix %d, which is not known here; taken as %d",
                self._name,
                color.matrix,
                guess,
            )
            return replace(color, matrix=guess)
        return color

    def _decode_from(self, start: Fraction | None) -> Generator[Any, None, None]:
        """Frames from ``start`` on. Some containers seek too far: then from earlier, at last from the beginning."""
        if not start:
            yield from self._deinterlaced()
            return
        timeless = (
            self._container.format.flags & NO_TIMESTAMPS
        )  # then nothing says where a seek has led to
        for earlier in (0, 10, None) if self._name != PIPE and not timeless else (None,):
            if earlier is None and self._name != PIPE:
                self._container.close()
                self._container = open_input(self._name)
                self._stream = self._video_stream()
            elif earlier is not None:
                with suppress(av.error.FFmpegError, OverflowError):
                    self._container.seek(
                        max(0, int((start - earlier) / self._stream.time_base)), stream=self._stream
                    )
            frames = self._deinterlaced()
            first = next(frames, None)
            if first is not None and (earlier is None or time_of(first, start) <= start):
                yield from (
                    frame for frame in chain([first], frames) if time_of(frame, start) >= start
                )
                return

    def _deinterlaced(self) -> Generator[Any, None, None]:
        """Two fields of different moments become one picture: bwdif, one frame out for each frame in."""
        frames = self._decode()
        first = next(frames, None)
        if first is None:
            return
        if not (first.interlaced_frame or self._stream.codec_context.field_order in INTERLACED):
            yield first
            yield from frames
            return
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(
                template=self._stream, width=first.width, height=first.height, format=first.format
            ),
            graph.add("bwdif", "mode=send_frame:deint=interlaced"),
            graph.add("buffersink"),
        ).configure()
        for frame in chain([first], frames, [None]):
            if frame is not None and (frame.width, frame.height, frame.format.name) != _kind(first):
                self._damaged += 1  # the filter takes one kind of picture
                continue
            graph.push(frame)
            with suppress(BlockingIOError, EOFError):
                while True:
                    yield graph.pull()

    def _decode(self) -> Generator[Any, None, None]:
        """Frames as PyAV gives them; damaged packets are passed over and counted."""
        packets = self._container.demux(self._stream)
        clock = TimestampFixer(self._container, self._stream)
        alpha = self._alpha_decoder()
        timeless, decoded = self._container.format.flags & NO_TIMESTAMPS, 0
        tick = 1 / (rate_of(self._stream) or Fraction(25))
        keeps_pts = (
            self._container.format.name != "avi"
        )  # which counts chunks: pts are FFmpeg's guess, that dts are not
        while True:
            packet = None
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                clock.place(packet)
                for frame in (
                    packet.decode()
                    if alpha is None
                    else alpha.decode(packet if packet.size else None)
                ):
                    if not keeps_pts and frame.dts is not None:
                        frame.pts = frame.dts
                    if frame.pts is None and timeless:
                        frame.pts = round(decoded * tick / frame.time_base)
                        self._timeless += 1
                    decoded += 1
                    yield frame
            except (av.error.FFmpegError, ValueError, OverflowError) as error:
                if isinstance(error, av.error.ExitError):
                    raise no_answer(self._name) from None
                self._damaged += 1
                if packet is None:  # the file cannot be read on: what is left of it is lost
                    break
        self._warn(self._damaged, "damaged packets were passed over")
        self._warn(clock.jumps, "jumps in its times were closed")
        if clock.jumps:
            self._ends = None  # what the header says of it means nothing then

    def _alpha_decoder(self) -> Any:
        """FFmpeg's own decoders of VP8 and VP9 leave alpha out: libvpx does not. None where there is none."""
        name = self._stream.codec_context.name
        beside = {key.lower(): value for key, value in self._stream.metadata.items()}.get(
            "alpha_mode"
        ) == "1"
        if not beside or name not in ("vp8", "vp9"):
            return None
        return av.CodecContext.create("libvpx" if name == "vp8" else "libvpx-vp9", "r")

    def _warn(self, count: int, what: str) -> None:
        if count:
            log.warning("%s: %d %s", self._name, count, what)

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
            self._timeless += decoded.pts is None
            if last is not None and time <= last:
                time = max(expected, last + self.format.time_base)
            if stop is not None and time >= stop:
                return
            duration = decoded.duration * unit if decoded.duration else tick
            end, last = time + duration, time
            if self._skipped:
                self._skipped -= 1
            else:
                yield Frame(self._picture(decoded, reformatter), time - start, duration)
            decoded = next(self._frames, None)
        self._pipe.raise_failure()
        self._tell_of_the_end(end)

    def _picture(self, decoded: Any, reformatter: VideoReformatter) -> Image:
        self._resampled += (decoded.width, decoded.height) != self._decoded_size
        image = to_rgb(decoded, self._decoded_size, self._read_as, reformatter)
        if self._mirrored or self._turns:
            image = np.ascontiguousarray(
                np.rot90(image[:, ::-1] if self._mirrored else image, self._turns)
            )  # type: ignore[assignment]
        if self._light and self._sdr:
            return (to_sdr(image, self._read_as.transfer, self._light.peak_nits) >> 8).astype(
                "uint8"
            )
        return (
            to_paint(image, self._light.peak_nits) if self.format.light and self._light else image
        )

    def _tell_of_the_end(self, end: Fraction | None) -> None:
        self._warn(self._timeless, "frames said no time and were put one after another")
        self._warn(self._resampled, "frames of another size were resampled to the first one's")
        if (
            self._ends
            and end is not None
            and end < self._ends - SHORT_SECONDS
            and not self.format.stop
        ):
            origin = origin_of(self._container)
            ends, said = float(end - origin), float(self._ends - origin)
            log.warning(
                "%s ends after %.1f s, though its header says %.1f s: it was cut short",
                self._name,
                ends,
                said,
            )

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def skip(self, count: int) -> None:
        """Pass over so many frames, as if they had been read: decoded they must be, but not turned into pictures."""
        self._skipped = count

    def stop(self) -> None:
        """Let a reader in another thread, who waits for standard input, come to the end."""
        self._pipe.stop()

    def close(self) -> None:
        """Close the file. It stays open while another thread, which was told to stop and did not, reads it."""
        if getgeneratorstate(self._frames) == GEN_RUNNING:
            log.warning("%s does not answer and is left open", self._name)
            return
        self._frames.close()
        self._container.close()
        self._stream = None  # the decoder's threads end with the last reference to it
        self._leave_threaded()
        self._pipe.drop_copy()


def _kind(frame: Any) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
