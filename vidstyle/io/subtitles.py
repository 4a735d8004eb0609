"""Text subtitles from one codec into another."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.subtitles.subtitle import SubtitleSet

TEXT = ("subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text")
"""Codecs of text, by FFmpeg's names."""

TICK = Fraction(1, 1000)

HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""What an encoder of text asks for: FFmpeg's decoders give every cue as a line of Advanced SubStation Alpha."""


class Transcoder:
    """One stream of text cues into another codec.

    A cue ends where the next begins: MP4 shows one at a time, and would have the next begin late.

    Args:
        output: the container, before its header is written.
        codec: ``mov_text``, ``webvtt`` or ``subrip``.
    """

    def __init__(self, output: Any, codec: str) -> None:
        self.stream = output.add_stream(codec)
        self._one_at_a_time = codec == "mov_text"
        context = self.stream.codec_context
        context.subtitle_header = HEADER
        context.time_base = self.stream.time_base = TICK
        self._held: tuple[bytes, int, int] | None = None

    def packets(self, packet: Any, start: Fraction, length: Fraction) -> Iterator[Any]:
        """A packet of the source, shown at ``start`` for ``length`` seconds; what comes back may be the cue before."""
        for cue in packet.decode():
            text = getattr(cue, "ass", None)
            if text:
                begins = round(start / TICK)
                yield from self._coded(begins)
                self._held = bytes(text), begins, round(length / TICK)

    def rest(self) -> Iterator[Any]:
        """The last cue."""
        yield from self._coded()

    def _coded(self, until: int | None = None) -> Iterator[Any]:
        if self._held is None:
            return
        text, pts, duration = self._held
        if self._one_at_a_time and until is not None:
            duration = min(duration, max(1, until - pts))
        made = SubtitleSet.create(text=text, start=0, end=duration, pts=pts)
        coded = self.stream.codec_context.encode_subtitle(made)
        coded.stream, coded.time_base = self.stream, TICK
        coded.pts = coded.dts = pts
        coded.duration = duration
        yield coded
