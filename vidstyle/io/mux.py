"""Muxing: encoded segments and the source's side streams become one file, without re-encoding."""

import heapq
import logging
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error

from ..errors import OutputError
from .container import open_input, reason_of, reasons
from .metadata import TimedPacket
from .side_streams import SideStreams
from .stream_info import VideoInfo

log = logging.getLogger(__name__)

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""File extension -> FFmpeg's name of the container."""

ALPHA_MODE_TAG = "alpha_mode"
"""Matroska's tag of VP8 and VP9 streams whose alpha lies in block additions."""

AUDIO_COPY = "copied sound"
"""Stands for stream copy of audio in ``FALLBACKS``: without it audio is re-encoded."""

FALLBACKS: tuple[tuple[str, ...], ...] = (
    (),
    (AUDIO_COPY,),
    ("subtitle",),
    ("audio",),
    ("audio", "subtitle", "attachment"),
)
"""Kinds of streams that each attempt leaves out; an attempt follows where the last one failed."""

MUXER_ERRORS = (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError)
"""Exceptions of a muxer that rejects a stream or packet. A full disk raises none of these."""

VIDEO_TRACK = -1
"""Track number of the video, which sorts before all others at equal dts."""


class Segment(NamedTuple):
    """An encoded video file that is joined with others.

    Args:
        path: of the file.
        pts: of its packets in decoding order, in units of the source's time base; None: they are
            read from the file.
        frames: number of frames that the file must hold; None: any.
    """

    path: Path
    pts: Sequence[int] | None = None
    frames: int | None = None


class SegmentError(OutputError):
    """A segment does not belong to the others, or is damaged.

    Args:
        segment: its file.
        reason: what is wrong with it, as the rest of a sentence that its name begins.
        remedy: for a render that can be started again.
        settings: as for ``VidstyleError``.
    """

    def __init__(
        self,
        segment: Path,
        reason: str,
        remedy: str = "restart with overwrite=True",
        settings: tuple[str, ...] = ("overwrite",),
    ) -> None:
        super().__init__(f"{segment} {reason}: {remedy}", *settings)
        self.segment, self.reason = segment, reason


def report_dropped_streams(source: VideoInfo, path: Path, sound: bool = True) -> None:
    """Log which side streams an output cannot hold or has to re-encode, before hours of work.

    Args:
        source: ``path`` is the file with the side streams.
        path: of the output.
        sound: whether audio is wanted.

    Raises:
        InputError: the source cannot be opened.
    """
    if source.path is None:
        return
    with SideStreams(
        source, CONTAINERS[path.suffix.lower()], without=() if sound else ("audio",)
    ) as side_streams:
        side_streams.report(f"{path.suffix} file")


def join(
    segments: Sequence[Segment],
    source: VideoInfo,
    path: Path,
    end: Fraction | None = None,
    sound: bool = True,
    comment: str = "",
) -> None:
    """Write ``path``: the video of ``segments`` one after another, and the side streams of the
    source.

    Args:
        segments: of the same codec and size; their timestamps continue from one to the next.
        source: ``path``, ``start`` and ``stop`` say which part of which file has the side streams;
            ``time_base`` is the unit of the segments' ``pts``.
        end: where the video ends, in output seconds, if it ends before the source does.
        sound: False leaves audio out.
        comment: the container's comment tag.

    Raises:
        OutputError: the file cannot be written.
        SegmentError: the segments do not belong together.
    """
    try:
        # A stream that is damaged throughout must not cost the others.
        for number, without in enumerate(FALLBACKS):
            try:
                _join(
                    segments, source, path, end, comment, {*without, *(() if sound else ("audio",))}
                )
            except MUXER_ERRORS as error:
                if source.path is None or number == len(FALLBACKS) - 1:
                    raise
                failed = error
                continue
            if without == (AUDIO_COPY,):
                log.warning(
                    "%s: its audio could not be copied and was re-encoded (%s)",
                    source.label,
                    reason_of(failed),
                )
            elif without:
                what = " and ".join("audio" if kind == "audio" else f"{kind}s" for kind in without)
                log.warning(
                    "%s: left out as damaged: %s (%s)",
                    source.label,
                    what,
                    reason_of(failed),
                )
            return
    except (av.error.FFmpegError, OSError) as error:
        raise OutputError(
            f"cannot write {path} ({reason_of(error)}): free some space or choose another place"
        ) from None


def _join(
    segments: Sequence[Segment],
    source: VideoInfo,
    path: Path,
    end: Fraction | None,
    comment: str,
    without: Collection[str],
) -> None:
    container = CONTAINERS[path.suffix.lower()]
    with ExitStack() as stack:
        stop = source.stop if end is None else source.start + end
        copied = AUDIO_COPY not in without
        side_streams = (
            stack.enter_context(SideStreams(source, container, stop, without, copied))
            if source.path is not None
            else None
        )
        # Without the flag the tags of Apple's cameras are lost.
        tags = "+use_metadata_tags" if side_streams and side_streams.has_quicktime_tags else ""
        options = {"movflags": f"+faststart{tags}"} if container in ("mp4", "mov") else {}
        if options and side_streams and side_streams.audio_rate:
            # The unit of edit lists, which are rounded down to milliseconds otherwise.
            options["movie_timescale"] = str(side_streams.audio_rate)
        output = stack.enter_context(
            av.open(f"file:{path}", "w", format=container, options=options)
        )
        start = segments[0].path
        first = _video_stream(stack.enter_context(open_input(start)), start)
        # Without a rate Matroska would show the 1000 ticks of its time base.
        rate: Any = {"framerate": source.rate} if source.rate else {}
        video: Any = output.add_stream_from_template(first, opaque=True, **rate)
        if container != "matroska" and first.codec_context.name == "hevc":
            video.codec_context.codec_tag = "hvc1"  # the only tag that Apple's players read
        # Not all codecs carry the aspect ratio in their bitstream.
        video.codec_context.sample_aspect_ratio = source.sample_aspect_ratio
        if ALPHA_MODE_TAG in first.metadata:
            video.metadata[ALPHA_MODE_TAG] = first.metadata[ALPHA_MODE_TAG]
        tracks = [_video_packets(segments, source.time_base, video, first)]
        if side_streams:
            tracks.append(side_streams.add_to(output, video))
        if comment:
            output.metadata["comment"] = comment
        with reasons():
            output.start_encoding()
        damaged = _mux(output, tracks)
        if damaged:
            log.warning(
                "%s: %d damaged packets of audio and subtitles were left out",
                source.label,
                damaged,
            )


def _mux(output: Any, tracks: Sequence[Iterator[TimedPacket]]) -> int:
    """Mux the packets of all tracks in order of dts; return how many were rejected as damaged."""
    damaged = 0
    for _, track, packet in heapq.merge(*tracks, key=lambda item: item[:2]):
        try:
            output.mux(packet)
        except MUXER_ERRORS:
            if track == VIDEO_TRACK:
                raise
            damaged += 1
    return damaged


def _video_packets(
    segments: Sequence[Segment], time_base: Fraction, stream: Any, first: Any
) -> Iterator[TimedPacket]:
    """Yield the video packets with new dts.

    The dts of each segment start again. The new dts are the sorted pts, delayed by the largest
    reordering of any segment, so all timestamps are needed before the first packet is written.
    """
    unit = Fraction(first.time_base)
    all_pts: list[int] = []
    delay = 0
    for segment in segments:
        times = _packet_times(segment, time_base, first)
        if segment.frames not in (None, len(times)):
            raise SegmentError(
                segment.path,
                f"holds {len(times)} frames instead of {segment.frames}",
                "delete the file, then resume=True stylises these frames again",
                ("resume",),
            )
        ranks = {pts: rank for rank, pts in enumerate(sorted(times))}
        delay = max([delay, *(number - ranks[pts] for number, pts in enumerate(times))])
        all_pts += sorted(times)
    step = all_pts[1] - all_pts[0] if len(all_pts) > 1 else 1
    number = 0
    for segment in segments:
        for packet in _read_segment(segment.path, first):
            packet.dts = (
                all_pts[number - delay] if number >= delay else all_pts[0] - (delay - number) * step
            )
            packet.stream = stream
            yield packet.dts * unit, VIDEO_TRACK, packet
            number += 1


def _packet_times(segment: Segment, time_base: Fraction, first: Any) -> list[int]:
    """The pts of a segment's packets in decoding order, in units of the files."""
    if segment.pts is None:
        return [packet.pts for packet in _read_segment(segment.path, first)]
    ratio = time_base / Fraction(first.time_base)
    half = Fraction(1, 2)  # rounding to nearest, as FFmpeg's muxers do
    return [math.floor(pts * ratio + half) for pts in segment.pts]


def _read_segment(segment: Path, first: Any) -> Iterator[Any]:
    """Yield the video packets of a segment that have a pts.

    Raises:
        SegmentError: the segment is damaged, or its codec parameters differ from the first
            segment's.
    """
    with open_input(segment) as container:
        stream = _video_stream(container, segment)
        parameters, expected = (_stream_parameters(each.codec_context) for each in (stream, first))
        if parameters != expected or stream.time_base != first.time_base:
            raise SegmentError(segment, "has another codec or size than the first")
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    yield packet
        except av.error.FFmpegError as error:
            raise SegmentError(segment, f"is damaged ({reason_of(error)})") from None


def _video_stream(container: Any, segment: Path) -> Any:
    for stream in container.streams.video:
        if stream.codec_context is not None and stream.codec_context.width:
            return stream
    raise SegmentError(segment, "is damaged and holds no video")


def _stream_parameters(context: Any) -> tuple[Any, ...]:
    return (
        context.name,
        context.width,
        context.height,
        context.pix_fmt,
        bytes(context.extradata or b""),
    )
