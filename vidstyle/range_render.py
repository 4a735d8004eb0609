"""A range of the frames of a clip, stylised into closed segments."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from .errors import InputError
from .flow.cuts import LOOK_AHEAD_FRAMES
from .io.codecs import EncoderConfig
from .io.frame_range import FrameRange, FrameSpan
from .io.range_writer import EncodedSegment, RangeWriter
from .io.video_writer import choose_encoder
from .job import RenderJob, resolve_layout
from .pipeline import Report, run
from .stylizer.stylizer import Stylizer


@dataclass(frozen=True)
class RangeResult:
    """The segments of a range.

    Args:
        segments: in order.
        encoder: of the segments.
        frames: number of frames in them.
        at_end: whether the clip ends with the range.
    """

    segments: tuple[EncodedSegment, ...]
    encoder: EncoderConfig
    frames: int
    at_end: bool


def render_range(
    job: RenderJob,
    stylizer: Stylizer,
    span: FrameSpan,
    warm_up: int = 0,
    last_pts: int = -1,
    watch: Callable[[Report], None] = lambda _: None,
) -> RangeResult:
    """Stylise a range of frames. Its first frame is the first of a shot.

    Args:
        job: names the input, and the output that the segments are made for.
        stylizer: does the work.
        span: the frames, with those of the warm-up.
        warm_up: number of leading frames that are stylised and not written: the frames after them
            then continue a shot.
        last_pts: timestamp of the frame before the written ones, in units of the time base.
        watch: is called before the first frame and after each.

    Raises:
        InputError: the clip cannot be read, or has no frame in the range.
        VidstyleError: see ``pipeline.run``.
    """
    with FrameRange(job.open_source, span, LOOK_AHEAD_FRAMES, file_start(job)) as source:
        stylizer.settings = resolve_layout(stylizer.settings, source)
        stylizer.reset()
        encoder = choose_encoder(Path(job.output), source.format, job.encoding)
        with RangeWriter(encoder, source.format, warm_up, last_pts) as writer:
            report = run(source, stylizer, [writer], lambda _, report: watch(report), job.flow)
        frames = report.frames - warm_up
        if frames <= 0:
            raise InputError(
                f"{job.label} ends before frame {span.first + warm_up}: choose a range within it"
            )
        at_end = source.read <= report.frames
        return RangeResult(tuple(writer.segments), encoder, frames, at_end)


def file_start(job: RenderJob) -> Fraction | None:
    """Start of the timestamps of a job's input in seconds; None where the job starts there."""
    if not job.start:
        return None
    with replace(job, start=None, stop=None).open_source() as source:
        return source.format.start
