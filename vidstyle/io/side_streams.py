"""What a clip has beside its pictures: sound, subtitles, chapters, attachments, a cover, tags."""

import io
import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from fractions import Fraction
from types import TracebackType
from typing import Any

import av
import av.error
from av.stream import Disposition

from .audio import AudioPlan, copy_audio, plan_audio
from .audio_encoder import ENCODED_AS, FAILURES, PREROLL_SECONDS, AudioEncoder
from .container import open_input, reasons
from .packets import Order, placed, readable
from .stream_info import VideoInfo
from .subtitles import TEXT, TICK, Transcoder
from .timestamps import AHEAD_SECONDS, DISCONTINUOUS, TimestampFixer, origin_of

log = logging.getLogger(__name__)

TimedPacket = tuple[Fraction, int, Any]
"""When a packet is decoded (seconds), which track it belongs to, the packet."""

SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}
"""What text becomes in a container that cannot hold it as it is."""

BEFORE_SECONDS = 60
"""How long before a part it is read: a cue may be on screen since then."""

OF_THE_FILE = (
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "duration",
    "comment",
)
"""Tags that say something about the old file, not about the clip."""

STATISTICS = (
    "bps",
    "duration",
    "number_of_frames",
    "number_of_bytes",
    "_statistics",
    "source_id",
    "encoder",
    "handler_name",
)
"""Beginnings of the names of a stream's tags that hold for the old file only."""

OTHER_CODES = {"deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb"}
"""Languages that QuickTime files name by their other code of ISO 639-2."""


class SideStreams:
    """All of that of one clip, as far as a container can hold it.

    Args:
        source: names the file, and the part that is wanted.
        container: FFmpeg's name of the output's.
        stop: where to stop, on the file's own clock, in seconds.
        without: kinds of streams to leave out.
        copies_sound: whether sound may be copied; else all of it is re-encoded.
        pipe: whether the output is a pipe.

    ``left_out`` names what of the source is not in the output.

    Raises:
        InputError: the source cannot be opened.
    """

    def __init__(
        self,
        source: VideoInfo,
        container: str,
        stop: Fraction | None = None,
        without: Collection[str] = (),
        copies_sound: bool = True,
        pipe: bool = False,
    ) -> None:
        self._source, self._kind, self._without = source, container, without
        self._origin = open_input(str(source.path))
        try:
            self._start, self._stop = source.start, source.stop if stop is None else stop
            self._whole = self._start <= origin_of(self._origin) and self._stop is None
            self.left_out: list[str] = []
            self._sound: dict[int, AudioPlan] = {}
            if self._origin.streams.audio and "audio" not in without:
                self._sound = plan_audio(source.path or "", container, copies_sound, pipe)
            self._copied: list[Any] = []
            self._rewritten: list[Any] = []
            self._cover: Any = None
            self._pictures: Any = None
            for stream in self._origin.streams:
                if stream.type not in without:
                    self._sort(stream)
        except BaseException:
            self._origin.close()
            raise

    def __enter__(self) -> "SideStreams":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the source's file."""
        self._origin.close()

    @property
    def apple_tags(self) -> bool:
        """Whether there are tags of QuickTime's kind, such as com.apple.quicktime.make."""
        return any(key.startswith("com.apple.quicktime") for key in self._origin.metadata)

    @property
    def sound_rate(self) -> int:
        """Samples per second of the first sound in the output; 0 where there is none."""
        return next((plan.rate for plan in self._sound.values() if plan.kept), 0)

    def report(self, output: str) -> None:
        """Log what is left out and what is re-encoded, each in one line.

        Args:
            output: what the container is called, such as ``.mp4 file``.
        """
        for kind in self.left_out:
            log.warning("%s: not kept in a %s: %s", self._source.path, output, kind)
        encoded: dict[str, list[str]] = {}
        for plan in self._sound.values():
            log.debug("%s: sound %s", self._source.path, plan)
            if plan.encoder and plan.codec not in encoded.setdefault(plan.encoder, []):
                encoded[plan.encoder].append(plan.codec)
        for encoder, codecs in encoded.items():
            said = "%s: a %s cannot hold %s: this sound is re-encoded as %s (-an leaves it out)"
            log.warning(said, self._source.path, output, " and ".join(codecs), ENCODED_AS[encoder])

    def _sort(self, stream: Any) -> None:
        """Where a stream of the source goes."""
        name = (
            stream.codec_context.name if getattr(stream, "codec_context", None) else "unknown codec"
        )
        if stream.type == "video":
            self._sort_pictures(stream, name)
        elif stream.type == "audio":
            if self._sound[stream.index].kept:
                self._copied.append(stream)
            else:
                self.left_out.append(
                    f"a sound track ({self._sound[stream.index].codec}, which cannot be decoded)"
                )
        elif stream.type == "subtitle" and self._fits(stream):
            self._copied.append(stream)
        elif stream.type == "subtitle" and name in TEXT and self._kind in SUBTITLES:
            self._rewritten.append(stream)
        elif stream.type == "subtitle":
            self.left_out.append(f"subtitles ({name})")
        elif stream.type == "attachment" and self._kind != "matroska":
            self.left_out.append(f"an attachment ({stream.name})")
        elif (
            stream.type == "data" and not self._origin.chapters()
        ):  # an MP4's chapters show as a stream of data too
            self.left_out.append("a stream of data")

    def _sort_pictures(self, stream: Any, name: str) -> None:
        if stream.disposition & Disposition.attached_pic:
            if (
                self._cover is None
                and self._kind != "webm"
                and (self._kind == "matroska" or self._fits(stream))
            ):
                self._cover = stream
            else:
                self.left_out.append(f"cover art ({name})")
        elif self._pictures is None:
            self._pictures = stream
        else:
            self.left_out.append(f"a further video stream ({name})")

    def _fits(self, stream: Any) -> bool:
        """Whether the container can hold a stream as it is."""
        try:
            with reasons(), av.open(io.BytesIO(), "w", format=self._kind) as trial:
                trial.add_stream_from_template(stream)
                trial.start_encoding()
        except FAILURES:
            return False
        return True

    def add_to(self, output: Any, pictures: Any) -> Iterator[TimedPacket]:
        """Create streams, chapters, attachments and tags of an output, before its header is written; returns the packets.

        Args:
            output: the container.
            pictures: its video stream, which gets the tags of the source's.
        """
        output.metadata.update(
            {
                key: value
                for key, value in self._origin.metadata.items()
                if key.lower() not in OF_THE_FILE
            }
        )
        if self._pictures is not None:
            _tag(pictures, self._pictures, self._kind)
        copies, rewriters = {}, {}
        encoders: dict[int, AudioEncoder] = {}
        end = None if self._stop is None else self._stop - self._start
        for stream in self._copied:
            plan = self._sound.get(stream.index)
            if plan is not None and plan.encoder:
                encoders[stream.index] = AudioEncoder(output, stream, plan.encoder, end)
                made = encoders[stream.index].stream
            else:
                made = copies[stream.index] = (
                    copy_audio(output, stream, plan.header)
                    if plan
                    else output.add_stream_from_template(stream)
                )
            _tag(made, stream, self._kind)
        for stream in self._rewritten:
            rewriters[stream.index] = Transcoder(output, SUBTITLES[self._kind])
            _tag(rewriters[stream.index].stream, stream, self._kind)
        self._add_attachments(output)
        covers = list(self._add_cover(output))
        chapters = list(self._chapters())
        if chapters:
            output.set_chapters(chapters)
        return self._packets(covers, copies, rewriters, encoders)

    def _add_attachments(self, output: Any) -> None:
        if self._kind == "matroska" and "attachment" not in self._without:
            for stream in self._origin.streams.attachments:
                output.add_attachment(
                    stream.name or "attachment",
                    stream.mimetype or "application/octet-stream",
                    stream.data,
                )

    def _add_cover(self, output: Any) -> Iterator[TimedPacket]:
        """Matroska keeps a cover as an attachment, MP4 as a stream of one picture."""
        if self._cover is None:
            return
        packet = next((packet for packet in self._origin.demux(self._cover) if packet.size), None)
        self._origin.seek(0)
        if packet is None:
            return
        if self._kind == "matroska":
            kind = "png" if self._cover.codec_context.name == "png" else "jpeg"
            output.add_attachment(
                f"cover.{kind[:3].replace('jpe', 'jpg')}", f"image/{kind}", bytes(packet)
            )
            return
        stream = output.add_stream_from_template(self._cover)
        stream.disposition = Disposition.attached_pic
        copy = av.Packet(bytes(packet))
        copy.stream, copy.pts, copy.dts, copy.time_base = stream, 0, 0, Fraction(1, 90000)
        copy.is_keyframe = True
        yield Fraction(0), self._cover.index, copy

    def _chapters(self) -> Iterator[dict[str, Any]]:
        """Those that lie in the part, on its clock."""
        for chapter in self._origin.chapters():
            unit = Fraction(chapter["time_base"])
            begins, ends = (
                chapter["start"] * unit - self._start,
                chapter["end"] * unit - self._start,
            )
            if self._stop is not None:
                ends = min(ends, self._stop - self._start)
            if ends > max(0, begins):
                yield {**chapter, "start": round(max(0, begins) / unit), "end": round(ends / unit)}

    def _packets(
        self,
        covers: list[TimedPacket],
        copies: dict[int, Any],
        rewriters: dict[int, Transcoder],
        encoders: dict[int, AudioEncoder],
    ) -> Iterator[TimedPacket]:
        yield from covers
        wanted = [*self._copied, *self._rewritten]
        if not wanted:
            return
        lead = [] if self._pictures is None else [self._pictures]
        self._seek()
        clock = TimestampFixer(self._origin, self._pictures or wanted[0])
        leading, passed = (
            {each.index for each in (*lead, *wanted) if each.type != "subtitle"},
            set[int](),
        )
        order = Order(self._start, self._kind in ("matroska", "webm"))
        for packet in order.sane(placed(readable(self._origin.demux([*lead, *wanted])), clock)):
            index, base = packet.stream.index, Fraction(packet.time_base)
            time, length = (
                (packet.pts if packet.pts is not None else packet.dts) * base,
                (packet.duration or 0) * base,
            )
            if self._stop is not None and time > self._stop + AHEAD_SECONDS:
                passed.add(index)
                if passed >= leading:  # each of them: they may be far apart in the file
                    break
            if packet.stream.type == "subtitle":
                yield from self._cue(packet, time, length, copies, rewriters)
            elif index in encoders:
                if self._is_heard(time, length):
                    yield from _timed(index, encoders[index].packets(packet, self._start))
            elif (
                index in copies
                and self._within(time)
                and not self._is_cut_away(time, length)
                and order.follows(packet)
            ):
                packet.stream = copies[index]
                yield packet.dts * Fraction(packet.time_base), index, packet
        yield from self._rest(rewriters, encoders)
        if order.astray:
            log.warning(
                "%s: %d packets of sound lay over others or far off, and were left out",
                self._source.path,
                order.astray,
            )

    def _rest(
        self, rewriters: dict[int, Transcoder], encoders: dict[int, AudioEncoder]
    ) -> Iterator[TimedPacket]:
        """What encoders still hold back."""
        for index, rewriter in rewriters.items():
            for made in rewriter.rest():
                yield made.pts * TICK, index, made
        for index, encoder in encoders.items():
            yield from _timed(index, encoder.rest())
        damaged = sum(encoder.damaged for encoder in encoders.values())
        if damaged:
            log.warning("%s: %d damaged packets of sound were left out", self._source.path, damaged)

    def _seek(self) -> None:
        """What lies long before the part need not be read, where the clock of the file can be trusted."""
        if (
            self._start > origin_of(self._origin) + BEFORE_SECONDS
            and not self._origin.format.flags & DISCONTINUOUS
        ):
            with suppress(av.error.FFmpegError):
                self._origin.seek(int((self._start - BEFORE_SECONDS) * av.time_base))

    def _is_cut_away(self, time: Fraction, length: Fraction) -> bool:
        """Whether sound lies before where an edit list begins, but for the packet from which a decoder starts."""
        return (
            self._whole and self._kind in ("matroska", "webm") and time + 2 * length <= self._start
        )

    def _within(self, time: Fraction) -> bool:
        return self._whole or (time >= self._start and (self._stop is None or time < self._stop))

    def _is_heard(self, time: Fraction, length: Fraction) -> bool:
        """Whether sound that is re-encoded lies in the part, or so shortly before that its decoder needs it."""
        return time + length >= self._start - PREROLL_SECONDS and (
            self._stop is None or time < self._stop
        )

    def _cue(
        self,
        packet: Any,
        time: Fraction,
        length: Fraction,
        copies: dict[int, Any],
        rewriters: dict[int, Transcoder],
    ) -> Iterator[TimedPacket]:
        """A cue as far as it lies in the part, copied or in another codec."""
        index, unit = packet.stream.index, Fraction(packet.time_base)
        begins, ends = max(time, self._start), time + length
        if self._stop is not None:
            ends = min(ends, self._stop)
        if (
            length == 0 and index in copies
        ):  # pictures stay until the next one, and do not say for how long
            if not self._within(time):
                return
        elif ends <= begins:
            return
        if index in rewriters:
            for made in rewriters[index].packets(packet, begins - self._start, ends - begins):
                yield made.pts * TICK, index, made
            return
        packet.pts = packet.dts = round((begins - self._start) / unit)
        packet.duration = round(max(Fraction(0), ends - begins) / unit)
        packet.stream = copies[index]
        yield begins - self._start, index, packet


def _timed(index: int, packets: Iterator[Any]) -> Iterator[TimedPacket]:
    for packet in packets:
        yield packet.dts * Fraction(packet.time_base), index, packet


def _tag(copy: Any, stream: Any, container: str) -> None:
    """Language, title, and what a player shows by itself."""
    tags = {
        key: value
        for key, value in stream.metadata.items()
        if not key.lower().startswith(STATISTICS)
    }
    if container == "mov" and tags.get("language") in OTHER_CODES:
        tags["language"] = OTHER_CODES[tags["language"]]
    copy.metadata.update(tags)
    copy.disposition = stream.disposition
