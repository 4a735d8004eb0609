"""The video stream of an opened file: its selection, colours, alpha decoder and deinterlacing."""

import logging
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import Any

import av
import av.error
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from ..errors import InputError
from ..runtime.limits import threads
from ..settings import MAX_SIDE_PX
from .color import default_matrix, to_rgb
from .files import PIPE
from .heif import HEIF_BRANDS
from .stream_info import ColorInfo

log = logging.getLogger(__name__)

INTERLACED = (2, 3, 4, 5)
"""FFmpeg's AVFieldOrder, for all orders of two fields."""


def select_video_stream(container: Any, name: str) -> Any:
    """The first video stream that is not cover art.

    Args:
        container: the opened file.
        name: of the file, for errors.

    Raises:
        InputError: no video stream, an unknown codec, a HEIF image, or frames that are too large.
    """
    # FFmpeg would decode a single tile of a HEIF image.
    if container.metadata.get("major_brand", "").encode() in HEIF_BRANDS:
        raise InputError(f"{name} is a HEIF image: save it as a file and give its name")
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        context = stream.codec_context
        if context is None:
            raise InputError(f"{name} has an unknown video codec: convert it to H.264 first")
        if max(context.width, context.height) > MAX_SIDE_PX:
            size = f"{context.width}x{context.height} px"
            raise InputError(f"{name} claims frames of {size}: it is damaged, or must be resized")
        stream.thread_type = "AUTO"
        context.thread_count = threads()
        return stream
    raise InputError(f"{name} has no video stream: give a clip, or an image file such as a PNG")


def no_frame_message(name: str, start: Fraction | None, stop: Fraction | None) -> str:
    """The error message for a file, or a part of it in seconds, without any frame."""
    if stop is not None:
        part = f"from {float(start or 0):g} s to {float(stop):g} s"
        return f"{name} has no frame {part}: choose a longer part"
    if start:
        return f"{name} has no frame at or after {float(start):g} s: choose an earlier time"
    if name == PIPE:
        remedy = "pipe Matroska, NUT or YUV4MPEG, not MP4, or name a file"
        return f"standard input has no frame that can be decoded: {remedy}"
    return f"{name} has no frame that can be decoded: it is empty or damaged; get it again"


def is_opaque(frame: Any) -> bool:
    """Whether a decoded frame is fully opaque, although its format has alpha, as GIF's has."""
    return bool(frame.to_ndarray(format="rgba")[..., 3].min() == 255)


def supported_color(first: Any, color: ColorInfo, name: str) -> ColorInfo:
    """The colour tags of a stream, with the default matrix where swscale lacks the tagged one.

    Args:
        first: a decoded frame.
        color: the tags.
        name: of the file, for the warning.
    """
    try:
        to_rgb(first, (first.width, first.height), color, VideoReformatter())
    except (av.error.FFmpegError, ValueError):
        guess = default_matrix(first.height)
        log.warning("%s: unknown colour matrix %d; using %d", name, color.matrix, guess)
        return replace(color, matrix=guess)
    return color


def alpha_decoder(stream: Any) -> Any:
    """libvpx's decoder for VP8 and VP9 with alpha, which FFmpeg's own decoders drop; else None."""
    name = stream.codec_context.name
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if tags.get("alpha_mode") != "1" or name not in ("vp8", "vp9"):
        return None
    return av.CodecContext.create("libvpx" if name == "vp8" else "libvpx-vp9", "r")


def deinterlace(
    frames: Generator[Any, None, None], stream: Any, skipped: Callable[[], None]
) -> Generator[Any, None, None]:
    """Deinterlace by bwdif, one frame out for each frame in; progressive frames pass unchanged.

    Args:
        frames: decoded.
        stream: that they belong to.
        skipped: called for each frame of another size or format than the first, which is dropped.
    """
    first = next(frames, None)
    if first is None:
        return
    if not (first.interlaced_frame or stream.codec_context.field_order in INTERLACED):
        yield first
        yield from frames
        return
    graph = av.filter.Graph()
    buffer = graph.add_buffer(
        template=stream, width=first.width, height=first.height, format=first.format
    )
    bwdif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    graph.link_nodes(buffer, bwdif, graph.add("buffersink")).configure()
    for frame in chain([first], frames, [None]):
        if frame is not None and frame_format(frame) != frame_format(first):
            skipped()
            continue
        graph.push(frame)
        with suppress(BlockingIOError, EOFError):
            while True:
                yield graph.pull()


def frame_format(frame: Any) -> tuple[int, int, str]:
    """(width, height, pixel format) of a decoded frame."""
    return frame.width, frame.height, frame.format.name
