"""Animated GIF and WebP, from segments that hold every frame without loss."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error

from ..errors import OutputError
from .container import reason_of

ANIMATIONS = {".gif": ("gif", "gif"), ".webp": ("webp", "libwebp_anim")}
"""Endings, FFmpeg's names of their containers and encoders."""

GIF_TICK, WEBP_TICK = Fraction(1, 100), Fraction(1, 1000)
"""What each counts time in, in seconds."""

WEBP_QUALITY = "90"


def animate(segments: Sequence[Path], path: Path) -> None:
    """Write an animation that plays for ever.

    A GIF gets one palette of 256 colours, chosen from all of its frames (FFmpeg's palettegen), and dithering that stays where it
    is where nothing moves.

    Args:
        segments: lossless, their times going on from one to the next.
        path: of the animation.

    Raises:
        OutputError: it cannot be written.
    """
    gif = path.suffix.lower() == ".gif"
    container, encoder = ANIMATIONS[path.suffix.lower()]
    try:
        palette = _palette(segments) if gif else None
        with av.open(f"file:{path}", "w", format=container, options={"loop": "0"}) as output:
            stream: Any = None
            last = -1
            frames = _frames(segments)
            for frame in _in_palette(frames, palette) if palette is not None else frames:
                if stream is None:
                    options = {} if gif else {"quality": WEBP_QUALITY}
                    stream = output.add_stream(encoder, rate=1 / (GIF_TICK if gif else WEBP_TICK), options=options)
                    stream.width, stream.height = frame.width, frame.height
                    stream.pix_fmt = "pal8" if gif else "bgra"
                    stream.codec_context.time_base = stream.time_base = GIF_TICK if gif else WEBP_TICK
                time = round(frame.pts * Fraction(frame.time_base) / (GIF_TICK if gif else WEBP_TICK))
                last = max(time, last + 1)
                frame.duration = max(1, round(frame.duration * Fraction(frame.time_base) / (GIF_TICK if gif else WEBP_TICK)))
                frame.pts, frame.time_base = last, GIF_TICK if gif else WEBP_TICK
                output.mux(stream.encode(frame))
            if stream is not None:
                output.mux(stream.encode(None))
    except (av.error.FFmpegError, OSError) as error:
        raise OutputError(f"cannot write {path} ({reason_of(error)}): free some space or choose another place") from None


def _frames(segments: Sequence[Path]) -> Iterator[Any]:
    for segment in segments:
        with av.open(f"file:{segment}") as container:
            yield from container.decode(video=0)


def _palette(segments: Sequence[Path]) -> Any:
    graph: Any = None
    for frame in _frames(segments):
        if graph is None:
            graph = av.filter.Graph()
            buffer = _input(graph, frame)
            graph.link_nodes(buffer, graph.add("palettegen", "reserve_transparent=1"), graph.add("buffersink")).configure()
        graph.push(frame)
    graph.push(None)
    return graph.pull()


def _input(graph: Any, frame: Any) -> Any:
    return graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))


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
