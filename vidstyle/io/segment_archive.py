"""Files of segments: one range of a clip, stylised elsewhere, to be joined with the others.

``clip.mp4.segments`` is an uncompressed ZIP file with the segments ``000000.mp4`` ... and
``range.json``, which says which frames they are, of which clip, and how they were made.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from .animation import ANIMATIONS
from .files import check_readable, replacing
from .mux import CONTAINERS
from .range_writer import EncodedSegment

SUFFIX = ".segments"
"""File extension."""

MANIFEST_FILE = "range.json"

WRITER = "vidstyle segments 1"
"""Value of ``written by`` in the manifest: the program and the version of the format."""


@dataclass(frozen=True)
class RangeInfo:
    """What a file of segments says about itself.

    Args:
        first: number of the first frame, counted from 0.
        stop: number after the last frame.
        at_end: whether the clip ends there.
        ending: file extension of the segments.
        output_ending: that of the file that they are made for.
        job: what is rendered and how; equal for all ranges of a clip.
        comment: of the joined file.
    """

    first: int
    stop: int
    at_end: bool
    ending: str
    output_ending: str
    job: Mapping[str, Any]
    comment: str


def write_archive(path: Path, info: RangeInfo, segments: Sequence[EncodedSegment]) -> None:
    """Write a file of segments atomically.

    Raises:
        OSError: it cannot be written.
    """
    manifest = {
        "written by": WRITER,
        **asdict(info),
        "segments": [segment.frames for segment in segments],
    }
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST_FILE, json.dumps(manifest, indent=1))
        for number, segment in enumerate(segments):
            archive.writestr(f"{number:06}{info.ending}", segment.data)


def read_range(path: Path) -> RangeInfo:
    """Read what a file of segments says about itself.

    Raises:
        InputError: it is no such file, or is damaged.
    """
    with _damage_named(path), zipfile.ZipFile(check_readable(path)) as archive:
        manifest = _manifest(archive)
        return RangeInfo(**{field.name: manifest[field.name] for field in fields(RangeInfo)})


def read_segments(path: Path) -> list[EncodedSegment]:
    """Read the segments of a file.

    Raises:
        InputError: it is no such file, or is damaged.
    """
    with _damage_named(path), zipfile.ZipFile(check_readable(path)) as archive:
        manifest = _manifest(archive)
        return [
            EncodedSegment(archive.read(f"{number:06}{manifest['ending']}"), int(frames))
            for number, frames in enumerate(manifest["segments"])
        ]


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(archive.read(MANIFEST_FILE))
    kinds = {"first": int, "stop": int, "at_end": bool, "ending": str, "output_ending": str}
    kinds |= {"job": dict, "comment": str, "segments": list}
    if manifest["written by"] != WRITER or not all(
        isinstance(manifest[key], kind) for key, kind in kinds.items()
    ):
        raise ValueError("another version")
    if sum(manifest["segments"]) != manifest["stop"] - manifest["first"]:
        raise ValueError("frames are missing")
    return manifest


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        raise InputError(
            f"{path} is no file of segments, or is damaged: render it again with --frames"
        ) from None


def joined_name(path: Path) -> Path:
    """The name of the file that segments are made for: ``clip.mp4.segments`` -> ``clip.mp4``.

    Raises:
        OutputError: the name is not of this form.
    """
    joined = path.with_suffix("")
    if path.suffix != SUFFIX or joined.suffix.lower() not in (*CONTAINERS, *ANIMATIONS):
        example = path.name if path.suffix.lower() in CONTAINERS else f"{path.stem}.mp4"
        raise OutputError(
            f"{path} is no name for a range of frames, which vidstyle join puts together: call it "
            f"{example}{SUFFIX}, or use -ss and -t for a part of the clip as a file of its own"
        )
    return joined
