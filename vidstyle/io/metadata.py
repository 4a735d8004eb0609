"""Metadata copied from the source file: tags, chapters, attachments and cover art."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.stream import Disposition

TimedPacket = tuple[Fraction, int, Any]
"""(dts in seconds, track number, packet), the item that tracks are merged by."""

FILE_TAGS = (
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "duration",
    "comment",
)
"""Tags that describe the source file rather than the clip; they are not copied."""

STATISTICS_TAGS = (
    "bps",
    "duration",
    "number_of_frames",
    "number_of_bytes",
    "_statistics",
    "source_id",
    "encoder",
    "handler_name",
)
"""Prefixes of stream tags that hold for the source file only; they are not copied."""

ISO_639_2_B = {"deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb"}
"""Language codes of ISO 639-2/T -> ISO 639-2/B, which QuickTime files use."""


def copy_file_tags(output: Any, source: Any) -> None:
    """Copy the tags of an input container that describe the clip to an output container."""
    tags = source.metadata.items()
    output.metadata.update({key: value for key, value in tags if key.lower() not in FILE_TAGS})


def copy_stream_tags(copy: Any, stream: Any, container: str) -> None:
    """Copy language, title and other tags of a stream, and its disposition."""
    tags = {
        key: value
        for key, value in stream.metadata.items()
        if not key.lower().startswith(STATISTICS_TAGS)
    }
    if container == "mov" and tags.get("language") in ISO_639_2_B:
        tags["language"] = ISO_639_2_B[tags["language"]]
    copy.metadata.update(tags)
    copy.disposition = stream.disposition


def chapters_within(
    source: Any, start: Fraction, stop: Fraction | None
) -> Iterator[dict[str, Any]]:
    """Yield the chapters that overlap a part of a file, trimmed to it and on its timeline.

    Args:
        source: the input container.
        start, stop: the part, in seconds of the file's timeline.
    """
    for chapter in source.chapters():
        unit = Fraction(chapter["time_base"])
        begins, ends = (chapter[name] * unit - start for name in ("start", "end"))
        if stop is not None:
            ends = min(ends, stop - start)
        if ends > max(0, begins):
            yield {**chapter, "start": round(max(0, begins) / unit), "end": round(ends / unit)}


def copy_attachments(output: Any, source: Any) -> None:
    """Copy all attachments, such as fonts, to a Matroska output."""
    for stream in source.streams.attachments:
        mime_type = stream.mimetype or "application/octet-stream"
        output.add_attachment(stream.name or "attachment", mime_type, stream.data)


def copy_cover(output: Any, source: Any, cover: Any) -> Iterator[TimedPacket]:
    """Copy cover art: as an attachment to Matroska, else as a video stream of one packet.

    Args:
        output, source: the containers.
        cover: the source's stream with the disposition ``attached_pic``.

    Returns:
        The packet to mux, where cover art is a stream.
    """
    packet = next((packet for packet in source.demux(cover) if packet.size), None)
    source.seek(0)
    if packet is None:
        return
    if output.format.name == "matroska":
        kind = "png" if cover.codec_context.name == "png" else "jpeg"
        name = f"cover.{kind[:3].replace('jpe', 'jpg')}"
        output.add_attachment(name, f"image/{kind}", bytes(packet))
        return
    stream = output.add_stream_from_template(cover)
    stream.disposition = Disposition.attached_pic
    copy = av.Packet(bytes(packet))
    copy.stream, copy.pts, copy.dts, copy.time_base = stream, 0, 0, Fraction(1, 90000)
    copy.is_keyframe = True
    yield Fraction(0), cover.index, copy
