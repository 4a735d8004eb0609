"""Where frames come from: video files and still pictures. No PyAV type leaves this module, ``sink`` and ``mux``."""

import logging
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import av.error
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .container import open_input
from .errors import InputError
from .files import check_readable
from .frame import Frame
from .pictures import is_picture, read_picture

log = logging.getLogger(__name__)

UNSPECIFIED, BT709, BT601 = 2, 1, 6  # matrix coefficients, H.273 table 4
LIMITED, FULL = 1, 2
HD_LINES = 720
ACCURATE = 4 | 262144 | 8192 | 16384  # swscale: bicubic, accurate rounding, full chroma interpolation in and out


@dataclass(frozen=True)
class Color:
    """How YUV code values mean colours, as code points of H.273; ``range`` is 1 (limited) or 2 (full)."""

    matrix: int = BT709
    range: int = LIMITED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED


@dataclass(frozen=True)
class Format:
    """What is known of a source before its first frame is asked for.

    Args:
        size: (width, height) in px, as stored (not turned by ``rotation``).
        rate: frames per second, exact; None where frames have no fixed rate, or for a still.
        time_base: unit of the frames' times, in seconds.
        frames: how many there are, estimated; None where unknown.
        start, stop: the part of the source that is asked for, in its own seconds; times of frames count from ``start``.
        bit_depth: bits per component in the source.
        color: of the source, guessed where untagged: BT.709 from 720 lines on, else BT.601; limited range.
        rotation: degrees counter-clockwise by which a player turns the picture.
        sample_aspect_ratio: width of a pixel over its height.
        path: the file, in which a sink finds sound to copy; None where there is none.
    """

    size: tuple[int, int]
    rate: Fraction | None = None
    time_base: Fraction = Fraction(1, 90000)
    frames: int | None = None
    start: Fraction = Fraction(0)
    stop: Fraction | None = None
    bit_depth: int = 8
    color: Color = Color()
    rotation: int = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    path: Path | None = None


class Source(Protocol):
    """Yields frames in order of time, once; a context manager that closes itself."""

    @property
    def format(self) -> Format:
        """What is known before the first frame."""

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> "Source": ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def close(self) -> None:
        """Release what is open. Calling it twice does no harm."""


def open_source(path: str | Path, start: Fraction | None = None, stop: Fraction | None = None) -> Source:
    """A video file or, by the ending of its name, a still picture.

    Args:
        path: the file.
        start, stop: the part of a clip wanted, in seconds of its own clock.

    Raises:
        InputError: it cannot be read.
        ValueError: an empty part.
    """
    if start is not None and stop is not None and stop <= start:
        raise ValueError(f"the part from {float(start):g} s to {float(stop):g} s is empty")
    return Still(path) if is_picture(path) else VideoFile(path, start, stop)


class Still:
    """A picture file: one frame at time 0."""

    def __init__(self, path: str | Path) -> None:
        self._frame = Frame(read_picture(path))
        self.format = Format(self._frame.size, frames=1, path=Path(path))

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame

    def __enter__(self) -> "Still":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""


class VideoFile:
    """The first real video stream of a file (cover art does not count).

    Raises:
        InputError: no media file, no video stream, or not a single frame that can be decoded.
    """

    def __init__(self, path: str | Path, start: Fraction | None = None, stop: Fraction | None = None) -> None:
        self._path = check_readable(path)
        self._damaged = 0
        self._container = open_input(self._path)
        try:
            self._stream = self._video_stream()
            self._frames = self._decode_from(start)
            first = next(self._frames, None)
            if first is None or (stop is not None and _time(first, start or Fraction(0)) >= stop):
                raise InputError(self._why_empty(start, stop))
            self._first: av.VideoFrame | None = first
            self.format = self._describe(first, start, stop)
        except BaseException:
            self._container.close()
            raise

    def _video_stream(self) -> Any:
        for stream in self._container.streams.video:
            if not stream.disposition & Disposition.attached_pic:
                if stream.codec_context is None:
                    raise InputError(f"{self._path}: its video codec is not known here; convert it to H.264 first")
                stream.thread_type = "AUTO"
                return stream
        raise InputError(f"{self._path} holds no video stream: give a clip, or a picture file such as a PNG")

    def _why_empty(self, start: Fraction | None, stop: Fraction | None) -> str:
        if stop is not None:
            return f"{self._path} has no frame from {float(start or 0):g} s to {float(stop):g} s: choose a longer part"
        if start:
            return f"{self._path} has no frame at or after {float(start):g} s: choose an earlier start"
        return f"{self._path} holds no frame that can be decoded: it is empty or damaged; get it again"

    def _describe(self, first: Any, start: Fraction | None, stop: Fraction | None) -> Format:
        stream, context = self._stream, self._stream.codec_context
        tagged = context.colorspace not in (0, UNSPECIFIED)  # 0 is RGB, which has no matrix
        guess = BT709 if context.height >= HD_LINES else BT601
        color = Color(
            context.colorspace if tagged else guess,
            FULL if context.color_range == FULL else LIMITED,
            context.color_primaries,
            context.color_trc,
        )
        try:
            _rgb(first, (first.width, first.height), color, VideoReformatter())
        except av.error.FFmpegError:
            log.warning(
                "%s: colours are tagged with matrix %d, which is not known here; taken as %d", self._path, color.matrix, guess
            )
            color = replace(color, matrix=guess)
        rate = stream.average_rate or stream.guessed_rate
        container_duration = Fraction(self._container.duration, av.time_base) if self._container.duration else None
        duration = stream.duration * stream.time_base if stream.duration else container_duration
        frames = stream.frames or (round(duration * rate) if duration and rate else None)
        if duration and (start or stop is not None) and rate:
            frames = max(1, round((min(stop or duration, duration) - (start or 0)) * rate))
        return Format(
            size=(first.width, first.height),
            rate=Fraction(rate) if rate else None,
            time_base=Fraction(stream.time_base),
            frames=frames,
            start=start or Fraction(0),
            stop=stop,
            bit_depth=max((component.bits for component in first.format.components), default=8),
            color=color,
            rotation=first.rotation,
            sample_aspect_ratio=Fraction(stream.sample_aspect_ratio or 1),
            path=self._path,
        )

    def _decode_from(self, start: Fraction | None) -> Generator[Any, None, None]:
        """Frames from ``start`` on. Some containers seek too far: then from earlier, at last from the beginning."""
        if not start:
            yield from self._decode()
            return
        for earlier in (0, 10, None):
            if earlier is None:
                self._container.close()
                self._container = open_input(self._path)
                self._stream = self._video_stream()
            else:
                with suppress(av.error.FFmpegError, OverflowError):
                    self._container.seek(max(0, int((start - earlier) / self._stream.time_base)), stream=self._stream)
            frames = self._decode()
            first = next(frames, None)
            if first is not None and (earlier is None or _time(first, start) <= start):
                yield from (frame for frame in chain([first], frames) if _time(frame, start) >= start)
                return

    def _decode(self) -> Generator[Any, None, None]:
        """Frames as PyAV gives them; damaged packets are passed over and counted."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                yield from packet.decode()
            except (av.error.FFmpegError, ValueError):
                self._damaged += 1
                if packet is None:
                    break
        if self._damaged:
            log.warning("%s: %d damaged packets were passed over", self._path, self._damaged)

    def __iter__(self) -> Iterator[Frame]:
        reformatter = VideoReformatter()
        color, start, stop = self.format.color, self.format.start, self.format.stop
        tick = 1 / self.format.rate if self.format.rate else self.format.time_base
        end: Fraction | None = None
        last: Fraction | None = None
        decoded = self._first
        self._first = None
        while decoded is not None:
            unit = Fraction(decoded.time_base or self.format.time_base)
            expected = start if end is None else end
            time = expected if decoded.pts is None else decoded.pts * unit
            if last is not None and time <= last:
                time = max(expected, last + self.format.time_base)
            if stop is not None and time >= stop:
                break
            duration = decoded.duration * unit if decoded.duration else tick
            end, last = time + duration, time
            yield Frame(_rgb(decoded, self.format.size, color, reformatter), time - start, duration)
            decoded = next(self._frames, None)

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._frames.close()
        self._container.close()


def _time(frame: Any, otherwise: Fraction) -> Fraction:
    """When a decoded frame is shown, in seconds; ``otherwise`` where it does not say."""
    return Fraction(frame.pts * frame.time_base) if frame.pts is not None else otherwise


def _rgb(frame: Any, size: tuple[int, int], color: Color, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """(H, W, 3) uint8; a frame of another size than the clip's is resampled to it."""
    if frame.format.name[:3] not in ("rgb", "gbr", "bgr"):
        frame.colorspace = color.matrix  # swscale asks the frame
    rgb = reformatter.reformat(
        frame,
        width=size[0],
        height=size[1],
        format="rgb24",
        src_color_range=color.range,
        dst_color_range=FULL,
        interpolation=ACCURATE,
    )
    return np.ascontiguousarray(rgb.to_ndarray(), np.uint8)
