"""A clip of masks: masks that are drawn on single frames, carried along the motion of a clip."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import OutputError
from .flow.carried_mask import Mask, carried_mask
from .flow.clip_motion import with_motion
from .flow.methods import load_flow
from .io.files import check_writable
from .io.frame import Frame, to_8_bits
from .io.mask_file import read_mask
from .io.outputs import check_apart
from .io.sink import open_sink
from .io.sink_base import Encoding, FileSink
from .io.source import Source, StatelessSource, open_source
from .io.source_times import check_times
from .io.stream_info import ColorInfo
from .progress import ProgressDisplay
from .runtime.device import choose_device
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
    output: str | Path,
    *,
    overlay: str | Path | None = None,
    overwrite: bool = False,
    make_display: MakeDisplay = ProgressDisplay,
) -> Path:
    """Carry masks along the motion, and write a clip of masks.

    Each mask counts from its time to the end of the shot, or to the next mask.

    Args:
        clip: whose motion is followed.
        masks: time in seconds -> image, white where the mask is, drawn on the frame at that time.
        output: clip to write.
        overlay: clip to write that shows the masks on the frames; None: none.
        overwrite: replace existing files.
        make_display: makes what shows the progress, given the unit and the total.

    Raises:
        InputError: the clip or a mask cannot be read, or a time lies after the end of the clip.
        OutputError: an output cannot be written.
    """
    outputs = [output, *([] if overlay is None else [overlay])]
    for name in outputs:
        if Path(name).suffix.lower() not in VIDEO_ENDINGS:
            endings = ", ".join(VIDEO_ENDINGS)
            raise OutputError(f"{name} is no clip: choose a name that ends in {endings}")
        check_writable(name, overwrite)
    check_apart(outputs, [clip, *masks.values()])
    with open_source(clip, apply_rotation=True) as opened:
        check_times(opened, Fraction(0), masks)
        first = next(iter(opened))
        drawn = {time: read_mask(path, first, opened.format) for time, path in masks.items()}
    with open_source(clip, apply_rotation=True) as source, ExitStack() as stack, deferred():
        like = _Like(source)
        lossless = Path(output).suffix.lower() == ".mkv"
        encoding = Encoding(LOSSLESS if lossless else None, None if lossless else CRF, sound=False)
        # An unfinished run cannot be resumed, so that it is replaced.
        sinks = [open_sink(output, like, True, encoding)]
        if overlay is not None:
            sinks.append(open_sink(overlay, like, True, Encoding(sound=False)))
        for sink in sinks:
            stack.callback(sink.abandon)
        display = make_display("frame", source.format.frames)
        try:
            _write(source, drawn, sinks, display)
        except BaseException:
            parts = [part for sink in sinks if (part := sink.close(complete=False))]
            for part in parts:
                log.error("not finished: the masks so far are in %s", part)
            raise
        for sink in sinks:
            sink.close()
    log.info("%s: use it with --mask, or with --region %s=STYLE", output, output)
    return Path(output)


def _write(
    source: Source,
    masks: Mapping[Fraction, Mask],
    sinks: list[FileSink],
    progress: ProgressDisplay,
) -> None:
    """Send the mask of each frame to the first sink, and the overlay to the second."""
    with progress as display:
        for number, (frame, mask) in enumerate(_carried(source, masks), 1):
            check()
            image = np.repeat(mask[..., None], 3, 2)
            sinks[0].send(replace(frame, image=image))
            for sink in sinks[1:]:
                sink.send(replace(frame, image=overlaid(frame, mask)))
            display.show(number)


def _carried(source: Source, masks: Mapping[Fraction, Mask]) -> Iterator[tuple[Frame, Mask]]:
    """Each frame with its mask."""
    drawn = sorted(masks.items(), key=lambda item: item[0])
    mask: Mask | None = None
    for frame, motion in with_motion(source, load_flow("dis", choose_device("cpu"))):
        previous = mask
        mask = np.zeros(frame.image.shape[:2], np.uint8)
        if previous is not None:
            mask = carried_mask(previous, frame.image, motion)
            if previous.any() and motion.cut:
                log.warning(
                    "a shot begins at %.2f s: the mask ends there; draw another for that time",
                    float(frame.time),
                )
        while drawn and drawn[0][0] <= frame.time:
            mask = fitted(drawn.pop(0)[1], frame)
        yield frame, mask
    if drawn:
        log.warning(
            "the clip ends before %.2f s: the mask for that time is not used", float(drawn[0][0])
        )


def fitted(mask: Mask, frame: Frame) -> Mask:
    """A mask of the size of a frame: frames of some clips have several sizes."""
    width, height = frame.size
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


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
