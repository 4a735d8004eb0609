"""The one place where encoded pictures and the source's sound become a file: joined by remuxing, nothing re-encoded."""

import heapq
import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from .container import open_input, reason_of, reasons
from .errors import OutputError
from .format import Format

log = logging.getLogger(__name__)

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Endings of clips that can be written, and FFmpeg's names of their containers."""


def check_sound(source: Format, path: Path) -> None:
    """Find out before hours of work whether the output's container can hold the source's sound.

    Raises:
        OutputError: it cannot.
    """
    if source.path is None:
        return
    with open_input(source.path) as origin:
        if not origin.streams.audio:
            return
        trial = av.open(io.BytesIO(), "w", format=CONTAINERS[path.suffix.lower()])
        try:
            with reasons():
                for stream in origin.streams.audio:
                    trial.add_stream_from_template(stream)
                trial.start_encoding()
        except (av.error.FFmpegError, ValueError, TypeError) as error:
            names = ", ".join(s.codec_context.name if s.codec_context else "unknown" for s in origin.streams.audio)
            raise OutputError(
                f"a {path.suffix} file cannot hold this clip's sound ({names}): "
                f"write to {path.with_suffix('.mkv').name} instead, or drop the sound with -an ({reason_of(error)})"
            ) from None
        finally:
            trial.close()


def join(
    segments: Sequence[Path], source: Format, path: Path, end: Fraction | None = None, sound: bool = True, comment: str = ""
) -> None:
    """Write ``path``: the pictures of ``segments`` one after another, and every audio stream of the source, copied.

    Args:
        segments: encoded video files whose times go on from one to the next, of the same codec and size.
        source: where the sound is (``path``), and which part of it is wanted.
        end: where the pictures stop, in output seconds, when they stop before the source does.
        sound: False leaves the sound out.
        comment: a note for the container's metadata.

    Raises:
        OutputError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    options = {"movflags": "+faststart"} if CONTAINERS[suffix] in ("mp4", "mov") else {}
    stop = source.stop if end is None else source.start + end
    try:
        with ExitStack() as stack:
            output = stack.enter_context(av.open(f"file:{path}", "w", format=CONTAINERS[suffix], options=options))
            first = stack.enter_context(av.open(f"file:{segments[0]}"))
            rate: Any = {"framerate": source.rate} if source.rate else {}  # Matroska would show its clock's 1000 otherwise
            video = output.add_stream_from_template(first.streams.video[0], **rate)
            tracks = [_pictures(segments, video)]
            origin = stack.enter_context(open_input(source.path)) if source.path and sound else None
            if origin is not None:
                output.metadata.update({key: value for key, value in origin.metadata.items() if key in KEPT_METADATA})
                tracks += _sound(origin, output, source.start, stop)
                dropped = sorted({stream.type for stream in origin.streams} - {"video", "audio"})
                if dropped:
                    log.warning("%s: not copied yet: %s", source.path, ", ".join(dropped))
            if comment:
                output.metadata["comment"] = comment
            damaged = 0
            for _, track, packet in heapq.merge(*tracks, key=lambda item: item[:2]):
                try:
                    output.mux(packet)
                except (av.error.InvalidDataError, av.error.ArgumentError):
                    if track == PICTURES:
                        raise
                    damaged += 1
            if damaged:
                log.warning("%s: %d damaged packets of sound were left out", source.path, damaged)
    except (av.error.FFmpegError, OSError) as error:
        raise OutputError(f"cannot write {path} ({reason_of(error)}): free some space or choose another place") from None


KEPT_METADATA = ("title", "artist", "album", "date", "copyright", "description", "genre", "creation_time")

PICTURES, SOUND = 0, 1

Timed = tuple[Fraction, int, Any]
"""When a packet is decoded (seconds), which track it belongs to, the packet."""


def _pictures(segments: Sequence[Path], stream: Any) -> Iterator[Timed]:
    for segment in segments:
        with av.open(f"file:{segment}") as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.dts is not None:
                    time = packet.dts * Fraction(packet.time_base)
                    packet.stream = stream
                    yield time, PICTURES, packet


def _sound(origin: Any, output: Any, start: Fraction, stop: Fraction | None) -> list[Iterator[Timed]]:
    streams = {}
    for stream in origin.streams.audio:
        copy = output.add_stream_from_template(stream)
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition
        streams[stream.index] = copy
    return [_cut(origin, streams, start, stop)] if streams else []


def _cut(origin: Any, streams: dict[int, Any], start: Fraction, stop: Fraction | None) -> Iterator[Timed]:
    """Packets of sound that begin within [start, stop), on a clock that begins at ``start``."""
    sources = [origin.streams[index] for index in streams]
    whole = start == 0 and stop is None
    last: dict[int, tuple[int, int]] = {}  # stream -> time and duration of its last packet
    for packet in origin.demux(sources):
        if packet.dts is None:
            continue
        base = Fraction(packet.time_base)
        time = (packet.pts if packet.pts is not None else packet.dts) * base
        if not whole and (time < start or (stop is not None and time >= stop)):
            continue
        index = packet.stream.index
        moved = packet.dts - round(start / base)
        if index in last and moved <= last[index][0]:  # times jump back: go on where the sound was, as the pictures do
            moved = sum(last[index])
        if packet.pts is not None:
            packet.pts += moved - packet.dts
        packet.dts = moved
        last[index] = moved, max(packet.duration or 0, 1)
        packet.stream = streams[index]
        yield packet.dts * base, SOUND, packet
