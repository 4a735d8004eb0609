"""Audio tracks: stream-copied where the container can hold them, else re-encoded, else dropped."""

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

from .audio_encoder import ENCODER_LABELS, PYAV_ERRORS, TOLERANCE_SECONDS, AudioEncoder
from .channel_layouts import decode_audio, set_default_layout, use_native_order
from .container import open_input, reason_of, reasons

ENCODERS: Mapping[str, tuple[str, str]] = {
    "mp4": ("aac", "flac"),
    "mov": ("aac", "alac"),
    "matroska": ("aac", "flac"),
    "webm": ("libopus", "libopus"),
    "nut": ("aac", "flac"),
}
"""Container -> FFmpeg's audio encoders, for lossy sources and for lossless ones."""

MPEG_AUDIO = {"mp1", "mp2", "mp3"}
"""Layers of MPEG audio, which MP4 does not distinguish; the packets themselves do."""

TRIAL_PACKETS = 8
"""Number of packets of each audio track that are muxed in the trial."""

MAX_SEARCH_PACKETS, MAX_SEARCH_BYTES = 4000, 1 << 26
"""Limits of the search for these packets from the start of the file: packets of all streams, and
their size in bytes."""


@dataclass(frozen=True)
class AudioPlan:
    """The plan for one audio track: copied, re-encoded or dropped.

    Args:
        codec: the track's codec, FFmpeg's name.
        encoder: FFmpeg's name of the encoder; empty where packets are copied or the track is
            dropped.
        rate: sample rate of the output in Hz; 0 where unknown.
        refusal: why the container cannot hold the track as it is; empty where it can.
        kept: whether the output has the track.
        header: codec configuration (AudioSpecificConfig) that the source carries within packets, as
            AAC in MPEG streams (ADTS) does; empty elsewhere, and where FFmpeg needs none.
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
"""Container options for output to a pipe."""


class UnseekableFile:
    """A file that FFmpeg writes but cannot seek in, like a pipe."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        """Write and flush all data; returns the number of bytes."""
        self._file.write(data)
        self._file.flush()
        return len(data)


def plan_audio(
    path: str | Path, container: str, copy: bool = True, pipe: bool = False
) -> dict[int, AudioPlan]:
    """Decide for each audio track of a file whether it is copied, re-encoded or dropped.

    The first packets of each track are muxed into memory and read back, since only that shows what
    a muxer accepts and a demuxer restores.

    Args:
        path: a file or an address.
        container: FFmpeg's name of the output's container.
        copy: whether tracks may be copied; else all are re-encoded.
        pipe: whether the output is a pipe, which can hold less than a file.

    Returns:
        Stream index -> plan.

    Raises:
        InputError: the file cannot be opened.
    """
    with open_input(path) as origin:
        heads = _first_packets(origin)
        return {
            stream.index: _plan_track(stream, heads[stream.index], container, copy, pipe)
            for stream in origin.streams.audio
        }


def _first_packets(origin: Any) -> dict[int, list[Any]]:
    heads: dict[int, list[Any]] = {stream.index: [] for stream in origin.streams.audio}
    read = 0
    with suppress(*PYAV_ERRORS):
        for number, packet in enumerate(origin.demux()):
            read += packet.size
            head = heads.get(packet.stream.index)
            if packet.size and head is not None and len(head) < TRIAL_PACKETS:
                packet.dts = packet.pts if packet.dts is None else packet.dts
                head.append(packet)
            enough = all(len(head) == TRIAL_PACKETS for head in heads.values())
            if enough or number > MAX_SEARCH_PACKETS or read > MAX_SEARCH_BYTES:
                break
    return heads


def _plan_track(
    stream: Any, packets: Sequence[Any], container: str, copy: bool, pipe: bool
) -> AudioPlan:
    context = stream.codec_context
    if context is None:
        return AudioPlan(_fourcc(stream), refusal="unknown codec", kept=False)
    codec = context.codec.canonical_name
    use_native_order(context)
    frames = list(_decode_all(packets))
    # Into a Matroska file FFmpeg writes it by itself, and damages a file that has it already.
    by_itself = container == "matroska" and not pipe
    header = b"" if by_itself else _audio_specific_config(stream, packets)
    refusal: str | None = "copying it failed"
    if copy:
        refusal = _copy_refusal(stream, packets, frames, container, header, pipe)
    if refusal is None:
        return AudioPlan(codec, rate=context.sample_rate, header=header)
    encoder = ENCODERS[container][context.codec.lossless]
    try:
        return AudioPlan(codec, encoder, _try_encoder(stream, frames, container, encoder), refusal)
    except PYAV_ERRORS as error:
        return AudioPlan(
            codec, refusal=f"{refusal}; {ENCODER_LABELS[encoder]}: {reason_of(error)}", kept=False
        )


def _fourcc(stream: Any) -> str:
    """The four-character code of a codec that FFmpeg does not know."""
    with (
        suppress(*PYAV_ERRORS, UnicodeDecodeError),
        av.open(io.BytesIO(), "w", format="null") as free,
    ):
        readable = free.add_stream("aac")
        BitStreamFilterContext("null", stream, readable)
        return readable.codec_context.codec_tag.strip("\0 ") or "unknown"
    return "unknown"


def _decode_all(packets: Iterable[Any]) -> Iterator[Any]:
    for packet in packets:
        with suppress(*PYAV_ERRORS):
            yield from decode_audio(packet)


def _audio_specific_config(stream: Any, packets: Sequence[Any]) -> bytes:
    """The AudioSpecificConfig of AAC in ADTS packets (ISO/IEC 14496-3); empty elsewhere."""
    context = stream.codec_context
    if context.codec.canonical_name == "aac" and not context.extradata:
        with suppress(*PYAV_ERRORS):
            converter = BitStreamFilterContext("aac_adtstoasc", stream)
            for packet in packets:
                for converted in converter.filter(packet):
                    if converted.has_sidedata("new_extradata"):
                        return bytes(converted.get_sidedata("new_extradata"))
    return b""


def _copy_refusal(
    stream: Any,
    packets: Sequence[Any],
    frames: Sequence[Any],
    container: str,
    header: bytes,
    pipe: bool,
) -> str | None:
    """Why a container cannot hold a track as it is; None where it can."""
    file = io.BytesIO()
    target: Any = UnseekableFile(file) if pipe else file
    options = PIPE_OPTIONS[container] if pipe else {}
    try:
        with reasons(), av.open(target, "w", format=container, options=options) as output:
            copy = copy_audio(output, stream, header)
            output.start_encoding()
            for packet in packets:
                if packet.dts is not None:
                    packet.stream = copy
                    output.mux(packet)
    except PYAV_ERRORS as error:
        return reason_of(error)
    return _readback_refusal(file, stream.codec_context, frames) if frames else None


def _readback_refusal(file: io.BytesIO, expected: Any, frames: Sequence[Any]) -> str | None:
    """Why the muxed packets do not decode to the same audio frames at the same distances.

    None if they do.
    """
    file.seek(0)
    try:
        with av.open(file, "r") as container:
            (stream,) = container.streams.audio
            names = {stream.codec.canonical_name, expected.codec.canonical_name}
            if len(names) > 1 and not names <= MPEG_AUDIO:
                return f"it would be read as {stream.codec.canonical_name}"
            use_native_order(stream.codec_context)
            found = [frame for packet in container.demux(stream) for frame in decode_audio(packet)]
            declared_seconds = (stream.duration or 0) * Fraction(stream.time_base or 1)
    except PYAV_ERRORS:
        return "it could not be read back"
    if not found:
        return "it could not be read back"
    shortened = 0 < declared_seconds < _duration_seconds(found) / 2
    if shortened or abs(_gap_seconds(found) - _gap_seconds(frames)) > TOLERANCE_SECONDS:
        return "its timestamps would be lost"
    return None


def _gap_seconds(frames: Sequence[Any]) -> Fraction:
    """Total duration of the gaps between audio frames, in seconds."""
    timed = [frame for frame in frames if frame.pts is not None]
    if not timed:
        return Fraction(0)
    last = Fraction(timed[-1].pts * timed[-1].time_base)
    between = frames[frames.index(timed[0]) : frames.index(timed[-1])]
    return last - Fraction(timed[0].pts * timed[0].time_base) - _duration_seconds(between)


def _duration_seconds(frames: Sequence[Any]) -> Fraction:
    """Total duration of audio frames, in seconds."""
    return sum((Fraction(frame.samples, frame.sample_rate) for frame in frames), Fraction(0))


def _try_encoder(stream: Any, frames: Sequence[Any], container: str, encoder: str) -> int:
    """Encode audio frames into memory.

    Returns:
        The sample rate of the encoder in Hz.

    Raises:
        PYAV_ERRORS: the encoder does not work.
    """
    with av.open(io.BytesIO(), "w", format=container) as output:
        coder = AudioEncoder(output, stream, encoder)
        output.start_encoding()
        for number, frame in enumerate(frames):
            for packet in coder.encode(frame, None if number else Fraction(0)):
                output.mux(packet)
        return int(coder.stream.codec_context.sample_rate)


def copy_audio(output: Any, stream: Any, header: bytes = b"") -> Any:
    """Create a stream of an output that takes the packets of an audio track as they are.

    PyAV refuses codecs that FFmpeg does not list for a container, while ``ffmpeg -c copy`` leaves
    the decision to the muxer. Where PyAV refuses, a "null" bitstream filter sets the stream's
    codec.

    Args:
        output: the container, before its header is written.
        stream: of the source.
        header: as in ``AudioPlan``.

    Raises:
        PYAV_ERRORS: the container cannot hold the codec. Some raise when the header is written, or
            with the first packets.
    """
    try:
        copy = output.add_stream_from_template(stream)
        set_default_layout(copy)
        if header:
            copy.codec_context.extradata = header
        return copy
    except ValueError:
        if output.format.name == "webm":  # PyAV's list is complete there
            raise
    # The null muxer accepts every codec and drops the tag of the source's container.
    with av.open(io.BytesIO(), "w", format="null") as free:
        parameters = free.add_stream_from_template(stream)
        set_default_layout(parameters)
        free.start_encoding()
        copy = output.add_mux_stream("aac")
        BitStreamFilterContext("null", parameters, copy)
    copy.time_base = stream.time_base
    return copy
