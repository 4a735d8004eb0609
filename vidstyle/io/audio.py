"""Sound tracks: copied where the output's container can hold them, re-encoded where it cannot, left out where neither works."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext

from .audio_encoder import ENCODED_AS, FAILURES, TOLERANCE_SECONDS, AudioEncoder
from .channel_layouts import frames_of, name_channels, set_common_order
from .container import open_input, reason_of, reasons

ENCODERS: Mapping[str, tuple[str, str]] = {
    "mp4": ("aac", "flac"),
    "mov": ("aac", "alac"),
    "matroska": ("aac", "flac"),
    "webm": ("libopus", "libopus"),
    "nut": ("aac", "flac"),
}
"""FFmpeg's encoders per container: for lossy sources, and for lossless ones."""

MPEG_AUDIO = {"mp1", "mp2", "mp3"}
"""Layers of MPEG audio, which MP4 does not tell apart: the packets themselves do."""

TRIAL_PACKETS = 8
"""How many packets of each sound track are tried in the output's container."""

SEARCH_PACKETS, SEARCH_BYTES = 4000, 1 << 26
"""How far into a file these packets are looked for."""


@dataclass(frozen=True)
class AudioPlan:
    """What becomes of one sound track.

    Args:
        codec: the track's own codec, by FFmpeg's name.
        encoder: FFmpeg's name of the encoder; empty where packets are copied, or where the track is left out.
        rate: samples per second in the output; 0 where unknown.
        refusal: why the container cannot hold the track as it is; empty where it can.
        kept: whether the track is in the output.
        header: what decoders have to know before the first packet, where the source says it within packets (AAC in MPEG
            streams); empty elsewhere.
    """

    codec: str
    encoder: str = ""
    rate: int = 0
    refusal: str = ""
    kept: bool = True
    header: bytes = b""


PIPE_OPTIONS = {
    "matroska": {"flush_packets": "1", "live": "1"},
    "nut": {"flush_packets": "1", "strict": "-1"},
}
"""FFmpeg's options of containers that are written to a pipe."""


class ForwardOnly:
    """A file as FFmpeg writes it that cannot seek, like a pipe."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        """Write all of it."""
        self._file.write(data)
        self._file.flush()
        return len(data)


def plan_audio(
    path: str | Path, container: str, copy: bool = True, pipe: bool = False
) -> dict[int, AudioPlan]:
    """Find out what becomes of each sound track of a file, by writing its first packets into memory and reading them back.

    Args:
        path: the file, or an address.
        container: FFmpeg's name of the output's.
        copy: whether tracks may be copied; else all are re-encoded.
        pipe: whether the output is a pipe, which can hold less than a file.

    Returns:
        Index of the stream -> plan.

    Raises:
        InputError: the file cannot be opened.
    """
    with open_input(path) as origin:
        heads = _first_packets(origin)
        return {
            stream.index: _plan(stream, heads[stream.index], container, copy, pipe)
            for stream in origin.streams.audio
        }


def _first_packets(origin: Any) -> dict[int, list[Any]]:
    heads: dict[int, list[Any]] = {stream.index: [] for stream in origin.streams.audio}
    read = 0
    with suppress(*FAILURES):
        for number, packet in enumerate(origin.demux()):
            read += packet.size
            head = heads.get(packet.stream.index)
            if packet.size and head is not None and len(head) < TRIAL_PACKETS:
                packet.dts = packet.pts if packet.dts is None else packet.dts
                head.append(packet)
            enough = all(len(head) == TRIAL_PACKETS for head in heads.values())
            if enough or number > SEARCH_PACKETS or read > SEARCH_BYTES:
                break
    return heads


def _plan(stream: Any, packets: Sequence[Any], container: str, copy: bool, pipe: bool) -> AudioPlan:
    context = stream.codec_context
    if context is None:
        return AudioPlan(_tag(stream), refusal="its codec is not known", kept=False)
    codec = context.codec.canonical_name
    set_common_order(context)
    frames, header = list(_decoded(packets)), _header(stream, packets)
    refusal: str | None = "copying it failed"
    if copy:
        refusal = _why_not_copied(stream, packets, frames, container, header, pipe)
    if refusal is None:
        return AudioPlan(codec, rate=context.sample_rate, header=header)
    encoder = ENCODERS[container][context.codec.lossless]
    try:
        return AudioPlan(codec, encoder, _try_encoder(stream, frames, container, encoder), refusal)
    except FAILURES as error:
        return AudioPlan(
            codec, refusal=f"{refusal}; {ENCODED_AS[encoder]}: {reason_of(error)}", kept=False
        )


def _tag(stream: Any) -> str:
    """The four-character code by which a file names a codec that is not known here."""
    with suppress(*FAILURES, UnicodeDecodeError), av.open(io.BytesIO(), "w", format="null") as free:
        readable = free.add_stream("aac")
        BitStreamFilterContext("null", stream, readable)
        return readable.codec_context.codec_tag.strip("\0 ") or "unknown"
    return "unknown"


def _decoded(packets: Iterable[Any]) -> Iterator[Any]:
    for packet in packets:
        with suppress(*FAILURES):
            yield from frames_of(packet)


def _header(stream: Any, packets: Sequence[Any]) -> bytes:
    """The AudioSpecificConfig of AAC whose packets carry headers of their own (ADTS)."""
    context = stream.codec_context
    if context.codec.canonical_name == "aac" and not context.extradata:
        with suppress(*FAILURES):
            converter = BitStreamFilterContext("aac_adtstoasc", stream)
            for packet in packets:
                for converted in converter.filter(packet):
                    if converted.has_sidedata("new_extradata"):
                        return bytes(converted.get_sidedata("new_extradata"))
    return b""


def _why_not_copied(
    stream: Any,
    packets: Sequence[Any],
    frames: Sequence[Any],
    container: str,
    header: bytes,
    pipe: bool,
) -> str | None:
    """Why a container cannot hold a track as it is; None where it can."""
    file = io.BytesIO()
    target: Any = ForwardOnly(file) if pipe else file
    options = PIPE_OPTIONS[container] if pipe else {}
    try:
        with reasons(), av.open(target, "w", format=container, options=options) as output:
            copy = copy_audio(output, stream, header)
            output.start_encoding()
            for packet in packets:
                if packet.dts is not None:
                    packet.stream = copy
                    output.mux(packet)
    except FAILURES as error:
        return reason_of(error)
    return _why_not_read(file, stream.codec_context, frames) if frames else None


def _why_not_read(file: io.BytesIO, expected: Any, frames: Sequence[Any]) -> str | None:
    """Why what was written cannot be decoded to the same blocks of sound, at the same distances; None where it can."""
    file.seek(0)
    try:
        with av.open(file, "r") as container:
            (stream,) = container.streams.audio
            names = {stream.codec.canonical_name, expected.codec.canonical_name}
            if len(names) > 1 and not names <= MPEG_AUDIO:
                return f"it would be taken for {stream.codec.canonical_name}"
            set_common_order(stream.codec_context)
            found = [frame for packet in container.demux(stream) for frame in frames_of(packet)]
            said = (stream.duration or 0) * Fraction(stream.time_base or 1)
    except FAILURES:
        return "it could not be read back"
    if not found:
        return "it could not be read back"
    shortened = 0 < said < _lasting(found) / 2
    if shortened or abs(_pauses(found) - _pauses(frames)) > TOLERANCE_SECONDS:
        return "its times would be lost"
    return None


def _pauses(frames: Sequence[Any]) -> Fraction:
    """By how many seconds blocks of sound lie further apart than they last, from the first to the last."""
    timed = [frame for frame in frames if frame.pts is not None]
    if not timed:
        return Fraction(0)
    last = Fraction(timed[-1].pts * timed[-1].time_base)
    between = frames[frames.index(timed[0]) : frames.index(timed[-1])]
    return last - Fraction(timed[0].pts * timed[0].time_base) - _lasting(between)


def _lasting(frames: Sequence[Any]) -> Fraction:
    """How many seconds blocks of sound last together."""
    return sum((Fraction(frame.samples, frame.sample_rate) for frame in frames), Fraction(0))


def _try_encoder(stream: Any, frames: Sequence[Any], container: str, encoder: str) -> int:
    """Encode blocks of sound into memory; returns the rate in samples per second.

    Raises:
        FAILURES: it does not work.
    """
    with av.open(io.BytesIO(), "w", format=container) as output:
        coder = AudioEncoder(output, stream, encoder)
        output.start_encoding()
        for number, frame in enumerate(frames):
            for packet in coder.encode(frame, None if number else Fraction(0)):
                output.mux(packet)
        return int(coder.stream.codec_context.sample_rate)


def copy_audio(output: Any, stream: Any, header: bytes = b"") -> Any:
    """Create a stream of an output that takes a sound track's packets as they are.

    Args:
        output: the container, before its header is written.
        stream: the source's.
        header: as in ``AudioPlan``.

    PyAV asks FFmpeg which codecs a container is meant for, and refuses all others; what ``ffmpeg -c copy`` writes is decided by
    the muxer itself. So where PyAV refuses, a bitstream filter that changes nothing names the codec to the stream.

    Raises:
        FAILURES: the container cannot hold it. Some say so when the header is written, or with the first packets.
    """
    try:
        copy = output.add_stream_from_template(stream)
        name_channels(copy)
        if header:
            copy.codec_context.extradata = header
        return copy
    except ValueError:
        if output.format.name == "webm":  # which holds what PyAV knows of, and nothing else
            raise
    with av.open(
        io.BytesIO(), "w", format="null"
    ) as free:  # takes everything, and forgets the tag of the source's container
        parameters = free.add_stream_from_template(stream)
        name_channels(parameters)
        free.start_encoding()
        copy = output.add_mux_stream("aac")
        BitStreamFilterContext("null", parameters, copy)
    copy.time_base = stream.time_base
    return copy
