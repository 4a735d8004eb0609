"""The one place where encoded pictures and what the source has beside its own become a file: by remuxing, nothing re-encoded."""

import heapq
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from ..errors import OutputError
from .container import open_input, reason_of, reasons
from .side_streams import SideStreams, TimedPacket
from .stream_info import VideoInfo

log = logging.getLogger(__name__)

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Endings of clips that can be written, and FFmpeg's names of their containers."""

ALPHA = "alpha_mode"
"""Matroska's word that alpha lies beside the pictures of VP8 and VP9."""

COPIED_SOUND = "copied sound"
"""Not a kind of stream: sound that is copied. Without it, sound is re-encoded."""

ATTEMPTS: tuple[tuple[str, ...], ...] = (
    (),
    (COPIED_SOUND,),
    ("subtitle",),
    ("audio",),
    ("audio", "subtitle", "attachment"),
)
"""What is left out of a file that cannot be written with it, tried in this order."""

REFUSALS = (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError)
"""What FFmpeg raises where a muxer does not take a stream or a packet, which a full disk does not cause."""

PICTURES = -1
"""The pictures' track, before all others where times are equal."""


def report_losses(source: VideoInfo, path: Path, sound: bool = True) -> None:
    """Log what of a source is not kept in the output, or not as it is, before hours of work.

    Args:
        source: where the rest is (``path``).
        path: of the output.
        sound: whether sound is wanted.

    Raises:
        InputError: the source cannot be opened.
    """
    if source.path is None:
        return
    with SideStreams(
        source, CONTAINERS[path.suffix.lower()], without=() if sound else ("audio",)
    ) as beside:
        beside.report(f"{path.suffix} file")


def join(
    segments: Sequence[Path],
    source: VideoInfo,
    path: Path,
    end: Fraction | None = None,
    sound: bool = True,
    comment: str = "",
) -> None:
    """Write ``path``: the pictures of ``segments`` one after another, and all that the source has beside its own.

    Args:
        segments: encoded video files whose times go on from one to the next, of the same codec and size.
        source: where the rest is (``path``), and which part of it is wanted.
        end: where the pictures stop, in output seconds, when they stop before the source does.
        sound: False leaves the sound out.
        comment: a note for the container's metadata.

    Raises:
        OutputError: the file cannot be written, or the segments do not belong together.
    """
    try:
        for number, without in enumerate(
            ATTEMPTS
        ):  # a stream that is damaged throughout costs no other
            try:
                _join(
                    segments, source, path, end, comment, {*without, *(() if sound else ("audio",))}
                )
            except REFUSALS as error:
                if source.path is None or number == len(ATTEMPTS) - 1:
                    raise
                failed = error
                continue
            if without == (COPIED_SOUND,):
                log.warning(
                    "%s: its sound could not be copied and was re-encoded (%s)",
                    source.path,
                    reason_of(failed),
                )
            elif without:
                what = " and ".join("sound" if kind == "audio" else f"{kind}s" for kind in without)
                log.warning(
                    "%s: damaged, and left out: %s (%s)", source.path, what, reason_of(failed)
                )
            return
    except (av.error.FFmpegError, OSError) as error:
        raise OutputError(
            f"cannot write {path} ({reason_of(error)}): free some space or choose another place"
        ) from None


def _join(
    segments: Sequence[Path],
    source: VideoInfo,
    path: Path,
    end: Fraction | None,
    comment: str,
    without: Collection[str],
) -> None:
    container = CONTAINERS[path.suffix.lower()]
    with ExitStack() as stack:
        stop = source.stop if end is None else source.start + end
        copied = COPIED_SOUND not in without
        beside = (
            stack.enter_context(SideStreams(source, container, stop, without, copied))
            if source.path is not None
            else None
        )
        own_names = (
            "+use_metadata_tags" if beside and beside.apple_tags else ""
        )  # else Apple's cameras' notes are lost
        options = {"movflags": f"+faststart{own_names}"} if container in ("mp4", "mov") else {}
        if options and beside and beside.sound_rate:
            options["movie_timescale"] = str(
                beside.sound_rate
            )  # of edit lists, else in whole milliseconds, rounded down
        output = stack.enter_context(
            av.open(f"file:{path}", "w", format=container, options=options)
        )
        first = _video(stack.enter_context(open_input(segments[0])), segments[0])
        rate: Any = (
            {"framerate": source.rate} if source.rate else {}
        )  # Matroska would show its clock's 1000 otherwise
        video: Any = output.add_stream_from_template(first, opaque=True, **rate)
        if container != "matroska" and first.codec_context.name == "hevc":
            video.codec_context.codec_tag = "hvc1"  # the only one that Apple's players know
        video.codec_context.sample_aspect_ratio = (
            source.sample_aspect_ratio
        )  # not all codecs carry it themselves
        if ALPHA in first.metadata:
            video.metadata[ALPHA] = first.metadata[ALPHA]
        tracks = [_pictures(segments, video, first)]
        if beside:
            tracks.append(beside.add_to(output, video))
        if comment:
            output.metadata["comment"] = comment
        with reasons():
            output.start_encoding()
        damaged = _mux(output, tracks)
        if damaged:
            log.warning(
                "%s: %d damaged packets beside the pictures were left out", source.path, damaged
            )


def _mux(output: Any, tracks: Sequence[Iterator[TimedPacket]]) -> int:
    """Write all packets in order of time; returns how many were damaged."""
    damaged = 0
    for _, track, packet in heapq.merge(*tracks, key=lambda item: item[:2]):
        try:
            output.mux(packet)
        except REFUSALS:
            if track == PICTURES:
                raise
            damaged += 1
    return damaged


def _pictures(segments: Sequence[Path], stream: Any, first: Any) -> Iterator[TimedPacket]:
    """The pictures' packets. Each encoder begins with a dts of its own, so they are made anew, from all pts in order."""
    unit = Fraction(first.time_base)
    shown: list[int] = []
    delay = 0
    for segment in segments:
        times = [packet.pts for packet in _packets(segment, first)]
        ranks = {pts: rank for rank, pts in enumerate(sorted(times))}
        delay = max([delay, *(number - ranks[pts] for number, pts in enumerate(times))])
        shown += sorted(times)
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    number = 0
    for segment in segments:
        for packet in _packets(segment, first):
            packet.dts = (
                shown[number - delay] if number >= delay else shown[0] - (delay - number) * step
            )
            packet.stream = stream
            yield packet.dts * unit, PICTURES, packet
            number += 1


def _packets(segment: Path, first: Any) -> Iterator[Any]:
    with open_input(segment) as container:
        stream = _video(container, segment)
        kind, expected = (_kind(each.codec_context) for each in (stream, first))
        if kind != expected or stream.time_base != first.time_base:
            raise OutputError(
                f"{segment} is of another kind than the segments before it: start anew with overwrite=True",
                "overwrite",
            )
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    yield packet
        except av.error.FFmpegError as error:
            raise OutputError(
                f"{segment} was damaged since ({reason_of(error)}): start anew with overwrite=True",
                "overwrite",
            ) from None


def _video(container: Any, segment: Path) -> Any:
    for stream in container.streams.video:
        if stream.codec_context is not None and stream.codec_context.width:
            return stream
    raise OutputError(
        f"{segment} was damaged since, it holds no pictures: start anew with overwrite=True",
        "overwrite",
    )


def _kind(context: Any) -> tuple[Any, ...]:
    return (
        context.name,
        context.width,
        context.height,
        context.pix_fmt,
        bytes(context.extradata or b""),
    )
