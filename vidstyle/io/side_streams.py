"""Side streams of a clip: audio, subtitles, chapters, attachments, cover art and tags."""

import io
import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.error
from av.stream import Disposition

from ..runtime.closing import Closing
from .audio import AudioPlan, copy_audio, plan_audio
from .audio_encoder import ENCODER_LABELS, PREROLL_SECONDS, PYAV_ERRORS, AudioEncoder
from .container import open_input, reasons
from .metadata import (
    TimedPacket,
    chapters_within,
    copy_attachments,
    copy_cover,
    copy_file_tags,
    copy_stream_tags,
)
from .packets import AudioOrder, read_until_error, with_fixed_timestamps
from .stream_info import VideoInfo
from .subtitles import SUBTITLE_TIME_BASE, TEXT_CODECS, SubtitleTranscoder
from .timestamps import DISCONTINUOUS_FLAG, MAX_FORWARD_SECONDS, TimestampFixer, start_time

log = logging.getLogger(__name__)

SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}
"""Container -> the codec that text subtitles are converted to where it cannot hold their own."""

SUBTITLE_LOOKBACK_SECONDS = 60
"""Time in seconds before a part at which reading starts: a subtitle may be on screen since then."""


class SideStreams(Closing):
    """The side streams of one clip, as far as a container can hold them.

    Args:
        source: ``path``, ``start`` and ``stop`` say which part of which file.
        container: FFmpeg's name of the output's container.
        stop: where to stop, in seconds of the source's timeline.
        without: kinds of streams to leave out.
        copy_audio_packets: whether audio may be stream-copied; else all of it is re-encoded.
        pipe: whether the output is a pipe.

    ``dropped`` names the streams of the source that the output lacks.

    Raises:
        InputError: the source cannot be opened.
    """

    def __init__(
        self,
        source: VideoInfo,
        container: str,
        stop: Fraction | None = None,
        without: Collection[str] = (),
        copy_audio_packets: bool = True,
        pipe: bool = False,
    ) -> None:
        self._source, self._container, self._without = source, container, without
        self._input = open_input(str(source.path))
        try:
            self._start, self._stop = source.start, source.stop if stop is None else stop
            self._whole = self._start <= start_time(self._input) and self._stop is None
            self.dropped: list[str] = []
            self._audio: dict[int, AudioPlan] = {}
            if self._input.streams.audio and "audio" not in without:
                self._audio = plan_audio(source.path or "", container, copy_audio_packets, pipe)
            self._copied: list[Any] = []
            self._transcoded: list[Any] = []
            self._cover: Any = None
            self._video: Any = None
            for stream in self._input.streams:
                if stream.type not in without:
                    self._assign(stream)
        except BaseException:
            self._input.close()
            raise

    def close(self) -> None:
        """Close the source file."""
        self._input.close()

    @property
    def has_quicktime_tags(self) -> bool:
        """Whether the source has QuickTime tags such as com.apple.quicktime.make."""
        return any(key.startswith("com.apple.quicktime") for key in self._input.metadata)

    @property
    def audio_rate(self) -> int:
        """Sample rate of the first audio track of the output, in Hz; 0 without audio."""
        return next((plan.rate for plan in self._audio.values() if plan.kept), 0)

    def report(self, output: str) -> None:
        """Log each dropped stream, and each audio codec that is re-encoded, in one line.

        Args:
            output: what to call the output, such as ``.mp4 file``.
        """
        for kind in self.dropped:
            log.warning("%s: dropped, a %s cannot hold it: %s", self._source.label, output, kind)
        encoded: dict[str, list[str]] = {}
        for plan in self._audio.values():
            log.debug("%s: audio %s", self._source.label, plan)
            if plan.encoder and plan.codec not in encoded.setdefault(plan.encoder, []):
                encoded[plan.encoder].append(plan.codec)
        for encoder, codecs in encoded.items():
            message = "%s: a %s cannot hold %s audio: it is re-encoded as %s (-an drops it)"
            log.warning(
                message, self._source.label, output, " and ".join(codecs), ENCODER_LABELS[encoder]
            )

    def _assign(self, stream: Any) -> None:
        """Decide whether a stream is copied, transcoded or dropped."""
        name = (
            stream.codec_context.name if getattr(stream, "codec_context", None) else "unknown codec"
        )
        if stream.type == "video":
            self._assign_video(stream, name)
        elif stream.type == "audio":
            if self._audio[stream.index].kept:
                self._copied.append(stream)
            else:
                codec = self._audio[stream.index].codec
                self.dropped.append(f"an audio track ({codec}, which cannot be decoded)")
        elif stream.type == "subtitle" and self._can_copy(stream):
            self._copied.append(stream)
        elif stream.type == "subtitle" and name in TEXT_CODECS and self._container in SUBTITLES:
            self._transcoded.append(stream)
        elif stream.type == "subtitle":
            self.dropped.append(f"subtitles ({name})")
        elif stream.type == "attachment" and self._container != "matroska":
            self.dropped.append(f"an attachment ({stream.name})")
        elif stream.type == "data" and not self._input.chapters():  # MP4 chapters are data too
            self.dropped.append("a data stream")

    def _assign_video(self, stream: Any, name: str) -> None:
        if stream.disposition & Disposition.attached_pic:
            if (
                self._cover is None
                and self._container != "webm"
                and (self._container == "matroska" or self._can_copy(stream))
            ):
                self._cover = stream
            else:
                self.dropped.append(f"cover art ({name})")
        elif self._video is None:
            self._video = stream
        else:
            self.dropped.append(f"a further video stream ({name})")

    def _can_copy(self, stream: Any) -> bool:
        """Whether the container can hold a stream as it is."""
        try:
            with reasons(), av.open(io.BytesIO(), "w", format=self._container) as trial:
                trial.add_stream_from_template(stream)
                trial.start_encoding()
        except PYAV_ERRORS:
            return False
        return True

    def add_to(self, output: Any, video: Any) -> Iterator[TimedPacket]:
        """Create the side streams, chapters, attachments and tags of an output before its header is
        written.

        Args:
            output: the output container.
            video: its video stream, which gets the tags of the source's video stream.

        Returns:
            The packets of the side streams, in order of dts.
        """
        copy_file_tags(output, self._input)
        if self._video is not None:
            copy_stream_tags(video, self._video, self._container)
        copies, transcoders = {}, {}
        encoders: dict[int, AudioEncoder] = {}
        end = None if self._stop is None else self._stop - self._start
        for stream in self._copied:
            plan = self._audio.get(stream.index)
            if plan is not None and plan.encoder:
                encoders[stream.index] = AudioEncoder(output, stream, plan.encoder, end)
                made = encoders[stream.index].stream
            else:
                made = copies[stream.index] = (
                    copy_audio(output, stream, plan.header)
                    if plan
                    else output.add_stream_from_template(stream)
                )
            copy_stream_tags(made, stream, self._container)
        for stream in self._transcoded:
            transcoders[stream.index] = SubtitleTranscoder(output, SUBTITLES[self._container])
            copy_stream_tags(transcoders[stream.index].stream, stream, self._container)
        if self._container == "matroska" and "attachment" not in self._without:
            copy_attachments(output, self._input)
        covers = [] if self._cover is None else list(copy_cover(output, self._input, self._cover))
        chapters = list(chapters_within(self._input, self._start, self._stop))
        if chapters:
            output.set_chapters(chapters)
        return self._packets(covers, copies, transcoders, encoders)

    def _packets(
        self,
        covers: list[TimedPacket],
        copies: dict[int, Any],
        transcoders: dict[int, SubtitleTranscoder],
        encoders: dict[int, AudioEncoder],
    ) -> Iterator[TimedPacket]:
        yield from covers
        wanted = [*self._copied, *self._transcoded]
        if not wanted:
            return
        lead = [] if self._video is None else [self._video]
        self._seek()
        clock = TimestampFixer(self._input, self._video or wanted[0])
        leading, passed = (
            {each.index for each in (*lead, *wanted) if each.type != "subtitle"},
            set[int](),
        )
        order = AudioOrder(self._start, self._container in ("matroska", "webm"))
        for packet in order.without_outliers(
            with_fixed_timestamps(read_until_error(self._input.demux([*lead, *wanted])), clock)
        ):
            index, base = packet.stream.index, Fraction(packet.time_base)
            time, length = (
                (packet.pts if packet.pts is not None else packet.dts) * base,
                (packet.duration or 0) * base,
            )
            if self._stop is not None and time > self._stop + MAX_FORWARD_SECONDS:
                passed.add(index)
                if passed >= leading:  # streams may be interleaved far apart
                    break
            if packet.stream.type == "subtitle":
                yield from self._subtitle_packets(packet, time, length, copies, transcoders)
            elif index in encoders:
                if self._is_needed(time, length):
                    yield from _with_track(index, encoders[index].packets(packet, self._start))
            elif (
                index in copies
                and self._within(time)
                and not self._is_before_edit_list(time, length)
                and order.rebase(packet)
            ):
                packet.stream = copies[index]
                yield packet.dts * Fraction(packet.time_base), index, packet
        yield from self._flush(transcoders, encoders)
        if order.dropped:
            log.warning(
                "%s: %d overlapping or stray audio packets were dropped",
                self._source.label,
                order.dropped,
            )

    def _flush(
        self, transcoders: dict[int, SubtitleTranscoder], encoders: dict[int, AudioEncoder]
    ) -> Iterator[TimedPacket]:
        """Packets that the transcoders still hold."""
        for index, rewriter in transcoders.items():
            for made in rewriter.flush():
                yield made.pts * SUBTITLE_TIME_BASE, index, made
        for index, encoder in encoders.items():
            yield from _with_track(index, encoder.flush())
        damaged = sum(encoder.damaged for encoder in encoders.values())
        if damaged:
            log.warning("%s: %d damaged audio packets were dropped", self._source.label, damaged)

    def _seek(self) -> None:
        """Skip what lies long before the part, where the container's timestamps are continuous."""
        if (
            self._start > start_time(self._input) + SUBTITLE_LOOKBACK_SECONDS
            and not self._input.format.flags & DISCONTINUOUS_FLAG
        ):
            with suppress(av.error.FFmpegError):
                self._input.seek(int((self._start - SUBTITLE_LOOKBACK_SECONDS) * av.time_base))

    def _is_before_edit_list(self, time: Fraction, length: Fraction) -> bool:
        """Whether an audio packet ends before an edit list begins, apart from the one that primes
        the decoder."""
        return (
            self._whole
            and self._container in ("matroska", "webm")
            and time + 2 * length <= self._start
        )

    def _within(self, time: Fraction) -> bool:
        return self._whole or (time >= self._start and (self._stop is None or time < self._stop))

    def _is_needed(self, time: Fraction, length: Fraction) -> bool:
        """Whether re-encoded audio lies in the part, or before it within the decoder's preroll."""
        return time + length >= self._start - PREROLL_SECONDS and (
            self._stop is None or time < self._stop
        )

    def _subtitle_packets(
        self,
        packet: Any,
        time: Fraction,
        length: Fraction,
        copies: dict[int, Any],
        transcoders: dict[int, SubtitleTranscoder],
    ) -> Iterator[TimedPacket]:
        """A subtitle packet, trimmed to the part, copied or transcoded."""
        index, unit = packet.stream.index, Fraction(packet.time_base)
        begins, ends = max(time, self._start), time + length
        if self._stop is not None:
            ends = min(ends, self._stop)
        if length == 0 and index in copies:  # bitmap subtitles last until the next one
            if not self._within(time):
                return
        elif ends <= begins:
            return
        if index in transcoders:
            for made in transcoders[index].packets(packet, begins - self._start, ends - begins):
                yield made.pts * SUBTITLE_TIME_BASE, index, made
            return
        packet.pts = packet.dts = round((begins - self._start) / unit)
        packet.duration = round(max(Fraction(0), ends - begins) / unit)
        packet.stream = copies[index]
        yield begins - self._start, index, packet


def _with_track(index: int, packets: Iterator[Any]) -> Iterator[TimedPacket]:
    for packet in packets:
        yield packet.dts * Fraction(packet.time_base), index, packet
