"""Animated GIF and WebP, from segments that hold every frame without loss."""

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
from .container import reason_of, threaded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Animation:
    """A kind of animated picture.

    Args:
        container, encoder: FFmpeg's names.
        pixels: FFmpeg's name of the pixel format.
        tick: what it counts time in, in seconds.
        least: the shortest time a frame may stand, in ticks. Browsers let frames of 10 ms and less stand for 100 ms.
        options: of the encoder.
    """

    container: str
    encoder: str
    pixels: str
    tick: Fraction
    least: int
    options: tuple[tuple[str, str], ...] = ()


ANIMATIONS = {
    ".gif": Animation("gif", "gif", "pal8", Fraction(1, 100), 2),
    ".webp": Animation("webp", "libwebp_anim", "bgra", Fraction(1, 1000), 11, (("quality", "90"),)),
}
"""By the endings of their names."""


def animate(segments: Sequence[Path], path: Path) -> None:
    """Write an animation that plays for ever.

    A GIF gets one palette of 256 colours, chosen from all of its frames (FFmpeg's palettegen), and dithering that stays where it
    is where nothing moves. Frames that would stand too briefly are left out, and the one before stands for longer.

    Args:
        segments: lossless, their times going on from one to the next.
        path: of the animation.

    Raises:
        OutputError: it cannot be written.
    """
    kind = ANIMATIONS[path.suffix.lower()]
    try:
        palette = _palette(segments) if kind.encoder == "gif" else None
        with av.open(f"file:{path}", "w", format=kind.container, options={"loop": "0"}) as output:
            stream: Any = None
            lasting: dict[int, int] = {}
            frames = _frames(segments)
            for frame in _timed(
                _in_palette(frames, palette) if palette is not None else frames, kind
            ):
                if stream is None:
                    stream = output.add_stream(
                        kind.encoder, rate=1 / kind.tick, options=dict(kind.options)
                    )
                    stream.width, stream.height, stream.pix_fmt = (
                        frame.width,
                        frame.height,
                        kind.pixels,
                    )
                    stream.codec_context.time_base = stream.time_base = kind.tick
                lasting[frame.pts] = frame.duration
                _mux(output, stream, frame, lasting)
            if stream is not None:
                _mux(output, stream, None, lasting)
    except (av.error.FFmpegError, OSError) as error:
        raise OutputError(
            f"cannot write {path} ({reason_of(error)}): free some space or choose another place"
        ) from None


def _mux(output: Any, stream: Any, frame: Any, lasting: dict[int, int]) -> None:
    for packet in stream.encode(frame):
        packet.duration = lasting.pop(packet.pts, packet.duration)  # the encoder of GIF forgets it
        output.mux(packet)


def _timed(frames: Iterator[Any], kind: Animation) -> Iterator[Any]:
    """Frames in whole ticks, none shorter than ``kind.least``, together as long as all that are given."""
    shown: Any = None
    end, count, dropped = Fraction(0), 0, 0
    for frame in frames:
        count += 1
        begins = frame.pts * Fraction(frame.time_base)
        end = begins + frame.duration * Fraction(frame.time_base)
        time = int(begins / kind.tick)
        if shown is not None and time < shown.pts + kind.least:
            dropped += 1
            continue
        if shown is not None:
            shown.duration = time - shown.pts
            yield shown
        frame.pts, frame.time_base = time, kind.tick
        shown = frame
    if shown is not None:
        shown.duration = max(kind.least, round(end / kind.tick) - shown.pts)
        yield shown
    if dropped:
        most = 1 / (kind.least * kind.tick)
        said = (
            "%d of %d frames were left out: browsers show at most %d frames a second of a %s file"
        )
        log.warning(said, dropped, count, most, kind.container)


def _frames(segments: Sequence[Path]) -> Iterator[Any]:
    for segment in segments:
        with threaded, av.open(f"file:{segment}") as container:
            yield from container.decode(video=0)


def _palette(segments: Sequence[Path]) -> Any:
    graph: Any = None
    for frame in _frames(segments):
        if graph is None:
            graph = av.filter.Graph()
            buffer = _input(graph, frame)
            graph.link_nodes(
                buffer, graph.add("palettegen", "reserve_transparent=1"), graph.add("buffersink")
            ).configure()
        graph.push(frame)
    graph.push(None)
    return graph.pull()


def _input(graph: Any, frame: Any) -> Any:
    return graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )


def _in_palette(frames: Iterator[Any], palette: Any) -> Iterator[Any]:
    first = next(frames)
    graph = av.filter.Graph()
    pictures, colours, sink = _input(graph, first), _input(graph, palette), graph.add("buffersink")
    use = graph.add("paletteuse", "dither=bayer:bayer_scale=3:diff_mode=rectangle")
    pictures.link_to(use, 0, 0)
    colours.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    colours.push(palette)
    colours.push(None)
    for frame in chain([first], frames, [None]):
        pictures.push(frame)
        with suppress(BlockingIOError, EOFError):
            while True:
                yield sink.pull()
