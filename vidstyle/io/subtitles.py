"""Text subtitles, transcoded from one codec to another."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.subtitles.subtitle import SubtitleSet

TEXT_CODECS = ("subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text")
"""FFmpeg's names of text subtitle codecs."""

SUBTITLE_TIME_BASE = Fraction(1, 1000)
"""Time base of transcoded subtitles, in seconds."""

ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, \
Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""Header that text encoders need: FFmpeg's decoders return each cue as a line of ASS."""


class SubtitleTranscoder:
    """Transcodes one stream of text cues.

    In mov_text a cue ends where the next one begins: MP4 shows one cue at a time, and players would
    show the next one late.

    Args:
        output: the container, before its header is written.
        codec: ``mov_text``, ``webvtt`` or ``subrip``.
    """

    def __init__(self, output: Any, codec: str) -> None:
        self.stream = output.add_stream(codec)
        self._one_at_a_time = codec == "mov_text"
        context = self.stream.codec_context
        context.subtitle_header = ASS_HEADER
        context.time_base = self.stream.time_base = SUBTITLE_TIME_BASE
        self._held: tuple[bytes, int, int] | None = None

    def packets(self, packet: Any, start: Fraction, length: Fraction) -> Iterator[Any]:
        """Transcode a packet shown at ``start`` for ``length`` seconds; yields the previous cue,
        which ends now."""
        for cue in packet.decode():
            text = getattr(cue, "ass", None)
            if text:
                begins = round(start / SUBTITLE_TIME_BASE)
                yield from self._encode_held(begins)
                self._held = bytes(text), begins, round(length / SUBTITLE_TIME_BASE)

    def flush(self) -> Iterator[Any]:
        """The last cue."""
        yield from self._encode_held()

    def _encode_held(self, until: int | None = None) -> Iterator[Any]:
        if self._held is None:
            return
        text, pts, duration = self._held
        if self._one_at_a_time and until is not None:
            duration = min(duration, max(1, until - pts))
        made = SubtitleSet.create(text=text, start=0, end=duration, pts=pts)
        coded = self.stream.codec_context.encode_subtitle(made)
        coded.stream, coded.time_base = self.stream, SUBTITLE_TIME_BASE
        coded.pts = coded.dts = pts
        coded.duration = duration
        yield coded
