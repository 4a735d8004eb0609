"""Masks that are drawn on single frames of a clip, carried to the other frames of their shots.

Forward, a mask is carried from frame to frame as the frames are read. The frames before it are read
again in windows, the last window first, and the mask is carried along the reverse motion. A frame
between two drawn masks of a shot has the mask of the one that is nearer in time.
"""

import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from tempfile import SpooledTemporaryFile, gettempdir
from typing import IO

import cv2
import numpy as np

from .flow.carried_mask import Mask, carried_mask
from .flow.clip_motion import with_motion, with_motion_tasks
from .flow.cuts import LOOK_AHEAD_FRAMES
from .flow.estimate import estimate_motion
from .flow.fields import MAX_FLOW_SIDE_PX, Pixels, flow_input
from .flow.methods import FlowMethod
from .io.frame import Frame
from .io.frame_range import FrameRange, FrameSpan
from .io.mask_file import fit_mask, time_tolerance
from .io.sink_base import OutputErrors
from .io.source import Source
from .runtime.interrupts import check

log = logging.getLogger(__name__)

WINDOW_FRAMES = 128
"""Number of frames that are read at once to go backward; they take 0.4 MB each."""

KEPT_BYTES = 16 << 20
"""Size in bytes of the compressed masks before a drawn one, from which they are kept on disk."""

OpenFrom = Callable[[Fraction | None], Source]
"""Opens a clip from a time in seconds on; None: from its start."""


@dataclass(frozen=True, eq=False)
class DrawnMask:
    """A mask that is drawn on one frame.

    Args:
        mask: of the size of the frames.
        number: of the frame that it is drawn on, counted from 0.
        first: number of the first frame that it is carried to.
    """

    mask: Mask
    number: int
    first: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Which frames get which mask.

    Args:
        drawn: in the order of their frames.
        times: of the frames up to the last drawn mask, in seconds.
    """

    drawn: Sequence[DrawnMask]
    times: Sequence[Fraction]


def plan_masks(frames: Iterable[Frame], masks: Mapping[Fraction, Mask]) -> Plan:
    """Find the frames of drawn masks, and where their shots begin.

    A mask after the last frame is left out, with a warning unless all are.

    Args:
        frames: of a clip, from its start; they are read up to the last mask.
        masks: time in seconds -> the mask of the first frame at or after it.
    """
    waiting = deque(sorted(masks.items(), key=lambda item: item[0]))
    times: list[Fraction] = []
    drawn: list[DrawnMask] = []
    shot = 0
    for number, (frame, motion) in enumerate(with_motion(frames, None)):
        check()
        times.append(frame.time)
        shot = number if motion.cut else shot
        while waiting and waiting[0][0] <= frame.time + time_tolerance(frame.duration):
            if drawn and drawn[-1].number == number:  # of two masks of a frame the last counts
                drawn.pop()
            first = shot
            if drawn and drawn[-1].number >= shot:
                first = bisect_right(times, (times[drawn[-1].number] + frame.time) / 2)
            drawn.append(DrawnMask(waiting.popleft()[1], number, first))
        if not waiting:
            break
    for time, _ in waiting if drawn else ():
        log.warning("the clip ends before %.2f s: the mask for that time is not used", float(time))
    return Plan(drawn, times)


def carried_masks(
    source: Source,
    open_from: OpenFrom,
    plan: Plan,
    method: FlowMethod,
    show: Callable[[int], None],
) -> Iterator[tuple[Frame, Mask]]:
    """Each frame of a clip with its mask: all 0 where no mask is carried to it.

    Args:
        source: of the clip.
        open_from: opens the same clip.
        plan: of ``plan_masks``.
        method: optical flow method.
        show: is called with the number of frames whose masks are known.
    """
    waiting = deque(plan.drawn)
    mask: Mask | None = None
    with SpooledTemporaryFile(KEPT_BYTES) as file:
        before = _MaskStack(file)
        frames = with_motion_tasks(
            source, method, LOOK_AHEAD_FRAMES, lambda: MAX_FLOW_SIDE_PX, 0, reverse=False
        )
        for number, (frame, motion_task) in enumerate(frames):
            if waiting and number == waiting[0].first:
                for earlier in _carried_back(waiting[0], open_from, plan.times, method):
                    check()
                    before.push(earlier)
                    show(number + len(before))
            if waiting and number == waiting[0].number:
                mask = fit_mask(waiting.popleft().mask, frame.size)
            elif before and number == waiting[0].number - len(before):
                mask = fit_mask(before.pop(), frame.size)
            elif mask is not None and mask.any():
                motion = motion_task()
                mask = carried_mask(mask, frame.image, motion)
                if motion.cut:
                    log.warning(
                        "a shot begins at %.2f s: the mask ends there; draw another for that time",
                        float(frame.time),
                    )
            yield frame, np.zeros(frame.image.shape[:2], np.uint8) if mask is None else mask
            show(number + 1 + len(before))


def _carried_back(
    drawn: DrawnMask, open_from: OpenFrom, times: Sequence[Fraction], method: FlowMethod
) -> Iterator[Mask]:
    """The masks of the frames before a drawn one, the nearest frame first, until one is empty."""
    mask = drawn.mask
    frames = _reversed(open_from, times, drawn.first, drawn.number + 1)
    for later, pixels in pairwise(frames):
        mask = carried_mask(mask, pixels, estimate_motion(pixels, later, method))
        if not mask.any():
            return
        yield mask


def _reversed(
    open_from: OpenFrom, times: Sequence[Fraction], first: int, stop: int
) -> Iterator[Pixels]:
    """Frames from ``stop`` (exclusive) back to ``first``, of the size for optical flow."""
    for end in range(stop, first, -WINDOW_FRAMES):
        begin = max(first, end - WINDOW_FRAMES)
        span = FrameSpan(begin, end, times[begin])
        window: list[Pixels] = []
        with FrameRange(open_from, span) as frames:
            for frame in frames:
                check()
                window.append(flow_input(frame.image))
        yield from reversed(window)


class _MaskStack:
    """Masks, compressed without loss in a file: the last one comes out first."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._ends = file, [0]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def push(self, mask: Mask) -> None:
        """Put a mask on top.

        Raises:
            OutputError: the folder of temporary files is full.
        """
        data = cv2.imencode(".png", mask)[1].tobytes()
        with OutputErrors(f"{gettempdir()} cannot keep masks", "free some space there"):
            self._file.seek(self._ends[-1])
            self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def pop(self) -> Mask:
        """Take the mask on top."""
        end = self._ends.pop()
        self._file.seek(self._ends[-1])
        data = np.frombuffer(self._file.read(end - self._ends[-1]), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(np.uint8)  # type: ignore[union-attr]
