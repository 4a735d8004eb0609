"""Animated GIF and WebP, encoded from lossless segments."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error

from ..errors import OutputError
from .container import codec_threads, reason_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Animation:
    """An animated image format.

    Args:
        container, encoder: FFmpeg's names.
        pixels: FFmpeg's name of the pixel format.
        time_base: in seconds.
        min_ticks: minimum duration of a frame in units of ``time_base``. Browsers show frames of 10
            ms and less for 100 ms.
        options: of the encoder.
    """

    container: str
    encoder: str
    pixels: str
    time_base: Fraction
    min_ticks: int
    options: tuple[tuple[str, str], ...] = ()


ANIMATIONS = {
    ".gif": Animation("gif", "gif", "pal8", Fraction(1, 100), 2),
    ".webp": Animation("webp", "libwebp_anim", "bgra", Fraction(1, 1000), 11, (("quality", "90"),)),
}
"""File extension -> format."""


def animate(segments: Sequence[Path], path: Path) -> None:
    """Encode an animation that loops for ever.

    A GIF gets one palette of 256 colours for all frames (FFmpeg's palettegen), with ordered
    dithering, which stays in place where nothing moves. Frames shorter than the format's minimum
    are dropped, and the previous frame lasts longer.

    Args:
        segments: lossless video files whose timestamps continue from one to the next.
        path: of the animation.

    Raises:
        OutputError: it cannot be written.
    """
    kind = ANIMATIONS[path.suffix.lower()]
    try:
        palette = _make_palette(segments) if kind.encoder == "gif" else None
        with av.open(f"file:{path}", "w", format=kind.container, options={"loop": "0"}) as output:
            stream: Any = None
            durations: dict[int, int] = {}
            frames = _decode(segments)
            for frame in _on_time_base(
                _apply_palette(frames, palette) if palette is not None else frames, kind
            ):
                if stream is None:
                    stream = output.add_stream(
                        kind.encoder, rate=1 / kind.time_base, options=dict(kind.options)
                    )
                    stream.width, stream.height, stream.pix_fmt = (
                        frame.width,
                        frame.height,
                        kind.pixels,
                    )
                    stream.codec_context.time_base = stream.time_base = kind.time_base
                durations[frame.pts] = frame.duration
                _mux(output, stream, frame, durations)
            if stream is not None:
                _mux(output, stream, None, durations)
    except (av.error.FFmpegError, OSError) as error:
        raise OutputError(
            f"cannot write {path} ({reason_of(error)}): free some space or choose another place"
        ) from None


def _mux(output: Any, stream: Any, frame: Any, durations: dict[int, int]) -> None:
    for packet in stream.encode(frame):
        packet.duration = durations.pop(
            packet.pts, packet.duration
        )  # the encoder of GIF forgets it
        output.mux(packet)


def _on_time_base(frames: Iterator[Any], kind: Animation) -> Iterator[Any]:
    """Round timestamps to the format's time base, and drop frames shorter than ``min_ticks``.

    The total duration stays the same.
    """
    previous: Any = None
    end, count, dropped = Fraction(0), 0, 0
    for frame in frames:
        count += 1
        begins = frame.pts * Fraction(frame.time_base)
        end = begins + frame.duration * Fraction(frame.time_base)
        time = int(begins / kind.time_base)
        if previous is not None and time < previous.pts + kind.min_ticks:
            dropped += 1
            continue
        if previous is not None:
            previous.duration = time - previous.pts
            yield previous
        frame.pts, frame.time_base = time, kind.time_base
        previous = frame
    if previous is not None:
        previous.duration = max(kind.min_ticks, round(end / kind.time_base) - previous.pts)
        yield previous
    if dropped:
        most = 1 / (kind.min_ticks * kind.time_base)
        message = (
            "%d of %d frames were dropped: browsers show at most %d frames per second of a %s file"
        )
        log.warning(message, dropped, count, most, kind.container)


def _decode(segments: Sequence[Path]) -> Iterator[Any]:
    for segment in segments:
        with codec_threads, av.open(f"file:{segment}") as container:
            yield from container.decode(video=0)


def _make_palette(segments: Sequence[Path]) -> Any:
    graph: Any = None
    for frame in _decode(segments):
        if graph is None:
            graph = av.filter.Graph()
            buffer = _add_buffer(graph, frame)
            graph.link_nodes(
                buffer, graph.add("palettegen", "reserve_transparent=1"), graph.add("buffersink")
            ).configure()
        graph.push(frame)
    graph.push(None)
    return graph.pull()


def _add_buffer(graph: Any, frame: Any) -> Any:
    return graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )


def _apply_palette(frames: Iterator[Any], palette: Any) -> Iterator[Any]:
    first = next(frames)
    graph = av.filter.Graph()
    images, colors, sink = (
        _add_buffer(graph, first),
        _add_buffer(graph, palette),
        graph.add("buffersink"),
    )
    use = graph.add("paletteuse", "dither=bayer:bayer_scale=3:diff_mode=rectangle")
    images.link_to(use, 0, 0)
    colors.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    colors.push(palette)
    colors.push(None)
    for frame in chain([first], frames, [None]):
        images.push(frame)
        with suppress(BlockingIOError, EOFError):
            while True:
                yield sink.pull()
