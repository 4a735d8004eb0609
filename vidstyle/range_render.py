"""A range of the frames of a clip, stylised into closed segments."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from .crossfade import crossfade
from .errors import InputError
from .flow.clip_motion import with_motion_tasks
from .flow.cuts import LOOK_AHEAD_FRAMES
from .flow.methods import FlowMethod, load_flow
from .flow.motion import Motion
from .io.codecs import EncoderConfig
from .io.frame import Frame
from .io.frame_range import FrameRange, FrameSpan
from .io.range_writer import EncodedSegment, RangeWriter
from .io.video_writer import choose_encoder
from .job import RenderJob
from .pipeline import Report, run
from .stylizer.stylizer import Stylizer

SEAM_FRAMES = 24
"""Number of frames over which the end of a part of a shot fades to the next part."""


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
    last_pts: int = -1,
    seam: int = 0,
    watch: Callable[[Report], None] = lambda _: None,
) -> RangeResult:
    """Stylise a range of frames. Its first frame is the first of a shot.

    Args:
        job: names the input, and the output that the segments are made for.
        stylizer: does the work.
        span: the frames.
        last_pts: timestamp of the frame before them, in units of the time base.
        seam: number of last frames that fade to the range that follows, unless that begins with a
            cut; see ``_frames_towards``.
        watch: is called before the first frame and after each.

    Raises:
        InputError: the clip cannot be read, or has no frame in the range.
        VidstyleError: see ``pipeline.run``.
    """
    with FrameRange(job.open_source, span, LOOK_AHEAD_FRAMES) as source:
        job.prepare(stylizer, source.format)
        stylizer.reset()
        encoder = choose_encoder(Path(job.output), source.format, job.encoding)
        with RangeWriter(encoder, source.format, last_pts, seam) as writer:
            report = run(source, stylizer, [writer], lambda _, report: watch(report), job.flow)
            if not report.frames:
                raise InputError(
                    f"{job.label} ends before frame {span.first}: choose a range within it"
                )
            at_end = source.read <= report.frames
            if tail := [] if at_end or stylizer.settings.init != "previous" else writer.tail:
                first = span.first + report.frames - len(tail)
                again = FrameSpan(first, first + len(tail) + 1, tail[0].time)
                with FrameRange(job.open_source, again, LOOK_AHEAD_FRAMES) as ending:
                    others = _frames_towards(ending, stylizer, job.flow)
                    writer.replace_tail(_faded(tail, others))
        return RangeResult(tuple(writer.segments), encoder, report.frames, at_end)


def _frames_towards(frames: FrameRange, stylizer: Stylizer, flow: FlowMethod | None) -> list[Frame]:
    """The last frames of a part of a shot as they would follow from the next part, in order.

    The next part begins with a cold start at its first frame. Here the same frame is stylised in
    the same way, and the frames before it from it, in reverse order. No part needs to wait for
    another, and a fade to these frames ends at the image that the next part begins with.

    Args:
        frames: the last frames of the part, and the first of the next.
        stylizer: does the work; its state is lost.
        flow: optical flow method; None: as the settings say.

    Returns:
        None of the frames before a cut; no frames where the next part begins with a cut.
    """
    device = stylizer.features.device
    tasks = list(
        islice(
            with_motion_tasks(
                frames,
                flow or load_flow(stylizer.settings.flow, device),
                LOOK_AHEAD_FRAMES,
                lambda: stylizer.flow_px(frames.format.size),
                0,
                reverse=True,
            ),
            frames.wanted,
        )
    )
    stylizer.reset()
    pairs = [(frame, task()) for frame, task in tasks]
    if stylizer.timeline:
        pairs = list(stylizer.timeline.with_cuts(pairs))
    found: list[Frame] = []
    motion: Motion | None = None
    for frame, forward in reversed(pairs):
        if not found and forward.cut:
            return []
        found.insert(0, stylizer(frame, motion))
        if forward.cut or forward.restyled is not None:
            break
        motion = forward.reverse or Motion()
    return found[:-1]


def _faded(frames: list[Frame], others: list[Frame]) -> list[Frame]:
    """The last of the frames, as many as the others, in a crossfade to these."""
    last = frames[len(frames) - len(others) :]
    return [
        replace(frame, image=crossfade(frame.image, other.image, number / (len(others) + 1)))
        for number, (frame, other) in enumerate(zip(last, others, strict=True), 1)
    ]
