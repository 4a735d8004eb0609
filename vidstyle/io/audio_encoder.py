"""Sound re-encoded: decoded, put where its times say, encoded again."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.error

from .channel_layouts import USUAL_LAYOUTS, frames_of, layout_of, set_common_order, usual_layout

ENCODED_AS = {"aac": "AAC", "flac": "FLAC", "alac": "ALAC", "libopus": "Opus"}
"""What people call what those encoders write."""

BITS_PER_SAMPLE, MAX_BITS_PER_SECOND = 3, 128_000
"""Of lossy sound, for each channel: 128 kbit/s from 43 kHz on, 24 kbit/s for the 8 kHz of a telephone."""

PREROLL_SECONDS = Fraction(1, 2)
"""How long before a part sound is decoded: many decoders need earlier packets."""

TOLERANCE_SECONDS = Fraction(1, 25)
"""Differences between a decoded block's time and the end of the one before that are taken for rounding: larger ones become
silence, or are cut away."""

FAILURES = (av.error.FFmpegError, ValueError, TypeError, AttributeError, IndexError)
"""What PyAV raises where a container, encoder or filter refuses something."""


class AudioEncoder:
    """Re-encodes one sound track of a source, on a clock of whole samples: pauses become silence, overlaps are cut away.

    Args:
        output: the container, before its header is written.
        stream: the source's.
        encoder: one of ``ENCODED_AS``.
        end: where sound stops, in seconds of the output's clock; None: where the source ends.

    ``damaged`` counts the packets that could not be decoded.

    Raises:
        FAILURES: the container does not take the encoder, or the encoder nothing like this sound.
    """

    def __init__(self, output: Any, stream: Any, encoder: str, end: Fraction | None = None) -> None:
        self._source, self._end = stream, end
        self._order = set_common_order(stream.codec_context)
        rate, layout, sample_format = _settings(encoder, stream.codec_context)
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
        self._next = 0  # where the next block is expected, in samples of the source
        self._written = 0  # where it would come in samples of the output

    def packets(self, packet: Any, start: Fraction) -> Iterator[Any]:
        """Re-encode a packet of the source; what comes back may belong to earlier ones.

        Args:
            packet: on the source's clock.
            start: where the output's clock begins on that, in seconds.
        """
        try:
            for frame in frames_of(packet):
                time = None if frame.pts is None else Fraction(frame.pts * frame.time_base) - start
                yield from self.encode(frame, time)
        except FAILURES:
            self.damaged += 1

    def rest(self) -> Iterator[Any]:
        """What decoder, filter and encoder still hold back."""
        with suppress(*FAILURES):
            for frame in self._source.codec_context.decode(None):
                yield from self.encode(frame, None)
        yield from self._drain()
        yield from self._encoded(None)

    def encode(self, frame: Any, time: Fraction | None) -> Iterator[Any]:
        """Encode a block of sound that begins at ``time``, in seconds of the output's clock; None: after the one before."""
        rate = frame.sample_rate
        kind = (rate, frame.format.name, layout_of(frame).name)
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
            while (
                begins - self._next > rate
            ):  # the resampler makes silence too, but all of it at once
                yield from self._push(_silence(kind), self._next)
                self._next += rate
        yield from self._push(frame, begins)
        self._next = ends

    def _resampler(self, kind: tuple[Any, ...], first: int) -> Any:
        """FFmpeg's resampler, which also puts blocks where their times say.

        Args:
            kind: rate, sample format and channel layout of the source.
            first: where its output begins, in samples.
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
            if (
                packet.size or not self._whole_packets
            ):  # FLAC's last one holds nothing but its checksum
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


def _settings(encoder: str, context: Any) -> tuple[int, str, str]:
    """(samples per second, channel layout, sample format) that an encoder takes and that are nearest to the source's.

    Raises:
        FAILURES: it takes nothing like it.
    """
    codec: Any = av.Codec(encoder, "w")
    rate = context.sample_rate
    if codec.audio_rates and rate not in codec.audio_rates:
        rate = min(
            (each for each in codec.audio_rates if each >= rate), default=max(codec.audio_rates)
        )
    formats = sorted(codec.audio_formats, key=lambda each: each.bytes)
    sample_format = formats[-1 if context.format is None or context.format.bytes > 2 else 0].name
    given = layout_of(context)
    for layout in dict.fromkeys(
        (usual_layout(given), USUAL_LAYOUTS.get(given.nb_channels, "7.1"), "stereo")
    ):
        trial: Any = av.CodecContext.create(encoder, "w")
        trial.sample_rate, trial.format, trial.time_base = rate, sample_format, Fraction(1, rate)
        with suppress(*FAILURES):
            trial.layout, trial.bit_rate = layout, _bits_per_second(rate, layout)
            trial.open()
            return rate, layout, sample_format
    raise ValueError(f"{given.nb_channels} channels of {context.sample_rate} Hz are not taken")
