"""Audio re-encoding: decode, place each frame at its timestamp, encode."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.error

from .channel_layouts import (
    DEFAULT_LAYOUTS,
    channel_layout,
    decode_audio,
    default_layout,
    use_native_order,
)

ENCODER_LABELS = {"aac": "AAC", "flac": "FLAC", "alac": "ALAC", "libopus": "Opus"}
"""FFmpeg's name of an encoder -> the codec's common name."""

BITS_PER_SAMPLE, MAX_BITS_PER_SECOND = 3, 128_000
"""Bit rate of lossy audio per channel: 128 kbit/s from 43 kHz on, 24 kbit/s at 8 kHz."""

PREROLL_SECONDS = Fraction(1, 2)
"""Time in seconds before a part at which decoding starts: many decoders need earlier packets."""

TOLERANCE_SECONDS = Fraction(1, 25)
"""Deviations of a frame's timestamp from the end of the previous frame that count as rounding, in
seconds. Larger ones become silence or are cut."""

PYAV_ERRORS = (av.error.FFmpegError, ValueError, TypeError, AttributeError, IndexError)
"""Exceptions of PyAV where a container, encoder or filter rejects its input."""


class AudioEncoder:
    """Re-encodes one audio track on a timeline of whole samples: gaps become silence, overlaps are
    cut.

    Args:
        output: the container, before its header is written.
        stream: of the source.
        encoder: a key of ``ENCODER_LABELS``.
        end: where audio stops, in output seconds; None for the source's end.

    ``damaged`` counts packets that could not be decoded.

    Raises:
        PYAV_ERRORS: the container rejects the encoder, or the encoder rejects this kind of audio.
    """

    def __init__(self, output: Any, stream: Any, encoder: str, end: Fraction | None = None) -> None:
        self._source, self._end = stream, end
        self._order = use_native_order(stream.codec_context)
        rate, layout, sample_format = _nearest_parameters(encoder, stream.codec_context)
        self._rate, self._layout, self._format = rate, layout, sample_format
        bits = _bits_per_second(rate, layout)
        self.stream = output.add_stream(
            encoder, rate=rate, layout=layout, format=sample_format, bit_rate=bits
        )
        self.stream.codec_context.time_base = self.stream.time_base = Fraction(1, rate)
        self._whole_packets = output.format.name == "nut"
        self.damaged = 0
        self._graph: Any = None
        self._kind: tuple[Any, ...] = ()
        self._next = 0  # expected start of the next frame, in source samples
        self._written = 0  # the same in output samples

    def packets(self, packet: Any, start: Fraction) -> Iterator[Any]:
        """Re-encode a packet of the source; the packets returned may belong to earlier ones.

        Args:
            packet: on the source's timeline.
            start: the output's zero on that timeline, in seconds.
        """
        try:
            for frame in decode_audio(packet):
                time = None if frame.pts is None else Fraction(frame.pts * frame.time_base) - start
                yield from self.encode(frame, time)
        except PYAV_ERRORS:
            self.damaged += 1

    def flush(self) -> Iterator[Any]:
        """Packets that the decoder, the resampler and the encoder still hold."""
        with suppress(*PYAV_ERRORS):
            for frame in self._source.codec_context.decode(None):
                yield from self.encode(frame, None)
        yield from self._drain()
        yield from self._encoded(None)

    def encode(self, frame: Any, time: Fraction | None) -> Iterator[Any]:
        """Encode an audio frame that begins at ``time`` output seconds; None: directly after the
        previous one."""
        rate = frame.sample_rate
        kind = (rate, frame.format.name, channel_layout(frame).name)
        if kind != self._kind and self._graph is not None:
            yield from self._drain()
            self._next = round(Fraction(self._written, self._rate) * rate)
        begins = self._next if time is None else round(time * rate)
        ends = begins + frame.samples
        late = self._end is not None and begins >= self._end * rate
        if ends <= 0 or late or (self._kind and ends <= self._next - TOLERANCE_SECONDS * rate):
            return
        if self._graph is None:
            first = (
                self._written if self._kind else max(0, round(Fraction(begins, rate) * self._rate))
            )
            self._graph, self._kind = self._resampler(kind, first), kind
        else:
            # The resampler inserts silence too, but a long gap all at once.
            while begins - self._next > rate:
                yield from self._push(_silence(kind), self._next)
                self._next += rate
        yield from self._push(frame, begins)
        self._next = ends

    def _resampler(self, kind: tuple[Any, ...], first: int) -> Any:
        """FFmpeg's aresample, which also aligns frames with their timestamps.

        Args:
            kind: sample rate, sample format and channel layout of the source.
            first: first output sample.
        """
        rate, sample_format, layout = kind
        graph = av.filter.Graph()
        given = {"sample_rate": str(rate), "sample_fmt": sample_format, "channel_layout": layout}
        source = graph.add("abuffer", time_base=f"1/{rate}", **given)
        made = f"osr={self._rate}:osf={self._format}:ochl={self._layout}"
        timed = f"async=1:min_hard_comp={float(TOLERANCE_SECONDS)}:first_pts={first}"
        cut = "" if self._end is None else f"end_pts={round(self._end * self._rate)}"
        order = graph.add("channelmap", self._order) if self._order else graph.add("anull")
        graph.link_nodes(
            source,
            order,
            graph.add("aresample", f"{made}:{timed}"),
            graph.add("atrim", cut),
            graph.add("abuffersink"),
        ).configure()
        return graph

    def _push(self, frame: Any, position: int) -> Iterator[Any]:
        frame.pts, frame.time_base = position, Fraction(1, frame.sample_rate)
        self._graph.push(frame)
        yield from self._pull()

    def _pull(self) -> Iterator[Any]:
        with suppress(BlockingIOError, EOFError):
            while True:
                frame = self._graph.pull()
                self._written = frame.pts + frame.samples
                yield from self._encoded(frame)

    def _encoded(self, frame: Any) -> Iterator[Any]:
        for packet in self.stream.encode(frame):
            # The last packet of FLAC is empty, with a checksum as side data.
            if packet.size or not self._whole_packets:
                yield packet

    def _drain(self) -> Iterator[Any]:
        if self._graph is not None:
            with suppress(EOFError):
                self._graph.push(None)
            yield from self._pull()
            self._graph = None


def _silence(kind: tuple[Any, ...]) -> Any:
    """One second of silence."""
    rate, sample_format, layout = kind
    graph = av.filter.Graph()
    source = graph.add("anullsrc", f"sample_rate={rate}:channel_layout={layout}:nb_samples={rate}")
    graph.link_nodes(
        source, graph.add("aformat", sample_format), graph.add("abuffersink")
    ).configure()
    return graph.pull()


def _bits_per_second(rate: int, layout: str) -> int:
    return min(MAX_BITS_PER_SECOND, BITS_PER_SAMPLE * rate) * av.AudioLayout(layout).nb_channels


def _nearest_parameters(encoder: str, context: Any) -> tuple[int, str, str]:
    """The parameters nearest to the source's that an encoder accepts.

    Returns:
        (sample rate in Hz, channel layout, sample format).

    Raises:
        PYAV_ERRORS: it accepts nothing similar.
    """
    codec: Any = av.Codec(encoder, "w")
    rate = context.sample_rate
    if codec.audio_rates and rate not in codec.audio_rates:
        rate = min(
            (each for each in codec.audio_rates if each >= rate), default=max(codec.audio_rates)
        )
    formats = sorted(codec.audio_formats, key=lambda each: each.bytes)
    sample_format = formats[-1 if context.format is None or context.format.bytes > 2 else 0].name
    given = channel_layout(context)
    for layout in dict.fromkeys(
        (default_layout(given), DEFAULT_LAYOUTS.get(given.nb_channels, "7.1"), "stereo")
    ):
        trial: Any = av.CodecContext.create(encoder, "w")
        trial.sample_rate, trial.format, trial.time_base = rate, sample_format, Fraction(1, rate)
        with suppress(*PYAV_ERRORS):
            trial.layout, trial.bit_rate = layout, _bits_per_second(rate, layout)
            trial.open()
            return rate, layout, sample_format
    raise ValueError(f"no support for {given.nb_channels} channels at {context.sample_rate} Hz")
