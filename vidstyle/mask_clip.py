"""A clip of masks: masks that are drawn on single frames, carried along the motion of a clip."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .drawn_masks import Plan, carried_masks, plan_masks
from .errors import InputError, OutputError
from .flow.carried_mask import Mask
from .flow.methods import dis_flow
from .io.files import PIPE, check_writable
from .io.frame import Frame, to_8_bits
from .io.mask_file import read_mask
from .io.outputs import check_apart
from .io.part_folder import PartFolder
from .io.sink import open_sink
from .io.sink_base import Encoding, FileSink
from .io.source import Source, StatelessSource, open_source
from .io.source_times import check_times
from .io.stream_info import ColorInfo
from .progress import ProgressDisplay
from .runtime.interrupts import check, deferred

log = logging.getLogger(__name__)

LOSSLESS = "ffv1"
"""Codec of masks in a container that holds it: edges stay as they are."""

CRF = 8
"""Constant rate factor of masks in other containers."""

VIDEO_ENDINGS = ".mkv", ".mp4", ".mov", ".webm"
"""Endings of the clips that masks are written to."""

MakeDisplay = Callable[[str, int | None], ProgressDisplay]
"""Makes a display of progress of its unit and total."""

SHADE, TINT = 0.35, (0, 70, 0)
"""Brightness outside the mask in an overlay, and levels added inside."""


def carry_masks(
    clip: str | Path,
    masks: Mapping[Fraction, str | Path],
    outputs: Sequence[str | Path],
    *,
    rate: Fraction | None = None,
    overwrite: bool = False,
    make_display: MakeDisplay = ProgressDisplay,
) -> tuple[float, float]:
    """Carry masks along the motion, and write a clip of masks.

    Each mask counts for its whole shot; of several in a shot the one that is nearer in time does.

    Args:
        clip: whose motion is followed.
        masks: time in seconds -> image, white where the mask is, drawn on the frame at that time.
        outputs: clip to write, and maybe a second one, which shows the masks on the frames.
        rate: frames per second of an image sequence; None: 25.
        overwrite: replace existing files.
        make_display: makes what shows the progress, given the unit and the total.

    Returns:
        The time of the first frame whose mask is not empty, and the end of the last such frame, in
        seconds; 0 and 0 where there is none.

    Raises:
        InputError: the clip or a mask cannot be read, or a time lies after the end of the clip.
        OutputError: an output cannot be written.
    """
    _check_outputs(outputs, [clip, *masks.values()], overwrite)
    if str(clip) == PIPE:
        raise InputError(
            "a mask is carried along a clip that can be read twice: save standard input to a file"
        )
    open_from = partial(open_source, clip, rate=rate, apply_rotation=True)
    with open_from() as opened:
        plan = _plan(opened, masks)
    with open_from() as source, ExitStack() as stack, deferred():
        sinks = _open_sinks(outputs, source)
        for sink in sinks:
            stack.callback(sink.abandon)
        try:
            with make_display("frame", source.format.frames) as display:
                carried = carried_masks(source, open_from, plan, dis_flow, display.show)
                extent = _write(carried, sinks, source.format.lead)
        except BaseException:
            parts = [part for sink in sinks if (part := sink.close(complete=False))]
            for part in parts:
                log.error("not finished: the masks so far are in %s", part)
            raise
        for sink in sinks:
            sink.close()
    log.info("%s: the mask covers %.2f s to %.2f s", outputs[0], *extent)
    log.info("%s: use it with --mask, or with --region %s=STYLE", outputs[0], outputs[0])
    return extent


def _open_sinks(outputs: Sequence[str | Path], source: Source) -> list[FileSink]:
    """The sinks of the masks and of the overlay. An unfinished run cannot be resumed, so that it is
    replaced."""
    like, lossless = _Like(source), Path(outputs[0]).suffix.lower() == ".mkv"
    encoding = Encoding(LOSSLESS if lossless else None, None if lossless else CRF, sound=False)
    encodings = encoding, Encoding(sound=False)
    return [
        open_sink(output, like, True, each)
        for output, each in zip(outputs, encodings, strict=False)
    ]


def _check_outputs(
    outputs: Sequence[str | Path], inputs: Sequence[str | Path], overwrite: bool
) -> None:
    """Check that the outputs are clips, can be written, are neither inputs nor the same file, and
    have the names of no unfinished render.

    Raises:
        OutputError: one is not.
    """
    for name in outputs:
        if Path(name).suffix.lower() not in VIDEO_ENDINGS:
            endings = ", ".join(VIDEO_ENDINGS)
            raise OutputError(f"{name} is no clip: choose a name that ends in {endings}")
        folder = PartFolder(check_writable(name, overwrite), resumable=False)
        unfinished = folder.document()
        # An unfinished render, which has a job, can be resumed; unfinished masks cannot.
        folder.check(may_replace=overwrite or not (unfinished and unfinished["job"]))
    check_apart(outputs, inputs)


def _plan(source: Source, masks: Mapping[Fraction, str | Path]) -> Plan:
    """Read the masks, and the clip up to the last of them."""
    check_times(source, Fraction(0), masks)
    frames = iter(source)
    first = next(frames)
    drawn = {time: read_mask(path, first, source.format) for time, path in masks.items()}
    if (last := max(masks)) > 0:
        log.info("reading the clip up to %.2f s, to find its cuts", float(last))
    plan = plan_masks(chain([first], frames), drawn)
    if not plan.drawn:
        raise InputError(
            f"the last frame of {source.format.label} is at {float(plan.times[-1]):.2f} s, before "
            "all masks: choose times within the clip"
        )
    return plan


def _write(
    frames: Iterable[tuple[Frame, Mask]], sinks: Sequence[FileSink], lead: Fraction
) -> tuple[float, float]:
    """Send the mask of each frame to the first sink, and the overlay to the second.

    The first mask begins at ``lead``, as the clip's video does, though frames before it may be
    missing from a damaged clip: where the mask is used, both begin together.

    Returns:
        See ``carry_masks``.
    """
    covered: list[Frame] = []
    for number, (frame, mask) in enumerate(frames):
        check()
        covered = [*covered[:1], frame] if mask.any() else covered
        time = frame.time if number else min(lead, frame.time)
        sinks[0].send(replace(frame, image=np.repeat(mask[..., None], 3, 2), time=time))
        for sink in sinks[1:]:
            sink.send(replace(frame, image=overlaid(frame, mask)))
    if not covered:
        return 0.0, 0.0
    return float(covered[0].time), float(covered[-1].time + covered[-1].duration)


def overlaid(frame: Frame, mask: Mask) -> NDArray[np.uint8]:
    """A frame, (H, W, 3) uint8, dark outside its mask and tinted inside."""
    image = to_8_bits(frame.image)[..., :3].astype(np.float32)
    inside = mask[..., None] / 255
    shown = SHADE * image + inside * ((1 - SHADE) * image + np.array(TINT))
    levels: NDArray[np.uint8] = np.clip(shown, 0, 255).astype(np.uint8)
    return levels


class _Like(StatelessSource):
    """The format of a clip in 8 bits, without its other streams."""

    def __init__(self, source: Source) -> None:
        self.format = replace(
            source.format,
            bit_depth=8,
            alpha=False,
            color=ColorInfo(),
            hdr_metadata=None,
            path=None,
        )

    def __iter__(self) -> Iterator[Frame]:
        return iter(())
