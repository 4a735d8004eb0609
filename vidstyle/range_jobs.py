"""Renders by a farm: one range of frames to a file of segments, and files of segments to a clip."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from .errors import InputError, OutputError
from .io.codecs import EncoderConfig, try_hardware
from .io.files import check_readable, check_writable, fingerprint
from .io.frame_range import FrameSpan
from .io.locks import OutputLock
from .io.mux import SegmentError, report_dropped_streams
from .io.outputs import check_apart
from .io.part_folder import ENVIRONMENT_KEYS
from .io.segment_archive import (
    RangeInfo,
    joined_name,
    read_range,
    read_segments,
    write_archive,
)
from .io.shot_folder import Shot, ShotFolder
from .io.sink_base import Encoding, publish
from .io.source import Source, open_source
from .io.stream_info import VideoInfo
from .io.video_writer import join_output, write_errors
from .job import RenderJob, check_kinds
from .progress import EndEvent, ProgressDisplay
from .range_render import SEAM_FRAMES, render_range
from .render_job import announce
from .render_progress import ClipProgress
from .stylizer.stylizer import Stylizer

log = logging.getLogger(__name__)

MANY_FRAMES = 1_000_000
"""Number of frames that is named for a range to the end of a clip."""


def render_frames(
    job: RenderJob, stylizer: Stylizer, frames: tuple[int, int], seam: int = SEAM_FRAMES
) -> Path:
    """Stylise one range of the frames of a clip into a file of segments.

    Args:
        job: its output is a file such as ``000.mp4.segments``.
        stylizer: does the work.
        frames: numbers of the first and the last frame, counted from 0. A clip may end earlier.
        seam: number of last frames that fade to the next range, where that begins within a shot.

    Raises:
        VidstyleError: the clip cannot be read or has no such frames, or the file cannot be written.
    """
    path = check_writable(job.output, job.overwrite)
    check_apart([path], job.inputs)
    job = replace(job, output=joined_name(path))
    try_hardware(job.encoding.codec)
    with job.open_source() as source:
        check_kinds(job, source)
        info = source.format
    settings = stylizer.settings = job.layout(stylizer.settings, info)
    announce(replace(job, output=path), info, stylizer)
    first, started = frames[0], time.perf_counter()
    span = FrameSpan(first, frames[1] + 1)
    total = span.stop - first
    if info.frames and info.frames > first:  # the range may end after the clip
        total = min(total, info.frames - first)
    with ProgressDisplay("frame", total, job.quiet, job.batch_display, job.listener) as display:
        progress = ClipProgress(display, stylizer, 0, total)
        stylizer.on_iteration = progress.on_iteration
        result = render_range(job, stylizer, span, seam=seam, watch=progress.on_frame)
    encoder, stop = result.encoder, first + result.frames
    archive = RangeInfo(
        first,
        stop,
        result.at_end,
        encoder.ending,
        Path(job.output).suffix.lower(),
        with_encoder(job.identity(settings), encoder),
        job.tagged_encoding(settings).comment,
    )
    with write_errors(path, resumable=False):
        write_archive(path, archive, result.segments)
    log.info("%s: frames %d to %d%s", path, first, stop - 1, ", the last" * result.at_end)
    if job.listener:
        seconds = time.perf_counter() - started
        job.listener(EndEvent(job.label, str(path), result.frames, seconds))
    return path


def with_encoder(identity: Mapping[str, Any], encoder: EncoderConfig) -> dict[str, Any]:
    """The identity of a job whose segments an encoder makes; the same as ``VideoWriter``'s."""
    return {**identity, "encoder": encoder.name, "encoder options": dict(encoder.options)}


def join_ranges(
    names: Sequence[Path],
    output: Path,
    clip: str | Path,
    sound: bool = True,
    overwrite: bool = False,
) -> Path:
    """Join files of segments and the sound, subtitles and metadata of their clip.

    Args:
        names: files of ``render_frames``, in any order.
        output: file to write, of the kind that the segments were made for.
        clip: the clip that was stylised.
        sound: whether the output has the clip's audio.
        overwrite: replace an existing output, and the files of an unfinished run.

    Raises:
        InputError, OutputError: a file cannot be read or written, frames are missing or twice
            there, or the files belong to different jobs.
    """
    check_writable(output, overwrite)
    check_apart([output], [clip, *names])
    ranges = sorted(((path, read_range(path)) for path in names), key=lambda r: r[1].first)
    _check_one_job(ranges)
    _check_complete(ranges)
    archive = ranges[0][1]
    if output.suffix.lower() != archive.output_ending:
        raise OutputError(
            f"{output} needs other segments: these were made for a file that ends in "
            f"{archive.output_ending}"
        )
    folder = ShotFolder(output, archive.ending, resumable=False)
    with OutputLock(output), _open_clip(clip, archive.job) as source:
        if output.suffix.lower() not in (".gif", ".webp"):
            report_dropped_streams(source.format, output, sound)
        folder.check(overwrite)
        with write_errors(output, resumable=False):
            folder.create(archive.job, [Shot(each.first, each.stop) for _, each in ranges])
            for number, (name, _) in enumerate(ranges):
                folder.add(number, read_segments(name))
        encoding = Encoding(sound=sound, comment=archive.comment)
        try:
            finish_shots(folder, output, source.format, encoding, overwrite)
        except SegmentError as error:
            raise _error_of_range(error, ranges) from None
    log.info("%s: %d frames", output, ranges[-1][1].stop)
    return output


def _error_of_range(error: SegmentError, ranges: Sequence[tuple[Path, RangeInfo]]) -> InputError:
    """The error of a segment as one of the file that it came from."""
    path, archive = ranges[int(error.segment.name.partition("-")[0])]
    return InputError(
        f"{path} does not fit the others, a segment of it {error.reason}: render it again with "
        f"--frames {archive.first}-{archive.stop - 1} and overwrite=True, by the versions that "
        "made the others (vidstyle info lists them)",
        "overwrite",
    )


def finish_shots(
    folder: ShotFolder, output: Path, source: VideoInfo, encoding: Encoding, overwrite: bool
) -> None:
    """Join the segments of all shots into the output, and remove their folder.

    Raises:
        OutputError: a shot is missing, or the output cannot be written.
    """
    join_output(folder, output, folder.segments(), source, encoding)
    with write_errors(output, resumable=False):
        publish(folder.part, output, overwrite)
        folder.remove()


def _open_clip(clip: str | Path, job: Mapping[str, Any]) -> Source:
    """Open the part of the clip that the segments were made from."""
    seen = job.get(f"contents of {job.get('input')}")
    if seen is not None and fingerprint(check_readable(clip)) != seen:
        raise InputError(
            f"{clip} is not the clip that the segments were made from ({job['input']}): name "
            "that one after --source"
        )
    start, stop, rate = (
        None if job.get(key) in (None, "None", "0") else Fraction(str(job[key]))
        for key in ("start", "stop", "rate")
    )
    return open_source(clip, start, stop, rate, bool(job.get("sdr")))


def _check_one_job(ranges: Sequence[tuple[Path, RangeInfo]]) -> None:
    """Check that all ranges were made from one clip with the same settings."""
    first, expected = ranges[0]
    for path, archive in ranges[1:]:
        given, wanted = {**archive.job}, {**expected.job}
        given["ending"], wanted["ending"] = archive.output_ending, expected.output_ending
        differing = [key for key in wanted if given.get(key) != wanted[key]]
        for key in [key for key in differing if key in ENVIRONMENT_KEYS]:
            differing.remove(key)
            log.warning(
                "%s was %s for %s and %s for %s: frames may differ in the last bit",
                *(key, wanted[key], first, given.get(key), path),
            )
        if differing:
            key = differing[0]
            raise InputError(
                f"{path} and {first} are of different renders: {key} is {given.get(key)} and "
                f"{wanted[key]}; render both with the same arguments"
            )


def _check_complete(ranges: Sequence[tuple[Path, RangeInfo]]) -> None:
    """Check that every frame of the clip is there, once."""
    expected, before = 0, ranges[0][0]
    for path, archive in ranges:
        if archive.first > expected:
            raise InputError(
                f"frames {expected} to {archive.first - 1} are missing: render them with --frames "
                f"{expected}-{archive.first - 1}, and name that file too"
            )
        if archive.first < expected:
            raise InputError(
                f"frames {archive.first} to {min(expected, archive.stop) - 1} are both in {before} "
                f"and in {path}: leave one of the files out, or render ranges that do not overlap"
            )
        expected, before = archive.stop, path
    if not ranges[-1][1].at_end:
        raise InputError(
            f"the frames from {expected} on are missing: render them with --frames "
            f"{expected}-{expected + MANY_FRAMES} (a range may end after the clip), and name that "
            "file too"
        )
