"""Backward pass: the next frames are stylised in reverse first.

A form of the multi-pass algorithm of Ruder et al. 2016, section 4.4.

A region that a frame disoccludes stays in view afterwards. In reverse order it has been stylised
for many frames when that frame comes, so the frame starts there from the image of the backward
pass. Only starts come from that pass, so one step for every second frame suffices.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..flow.motion import Motion
from ..flow.warp import resize_flow
from ..io.frame import Frame, fit
from ..ops.tensors import to_resized_tensor
from .gradual_change import gradually_changed
from .stylizer import Stylizer

WINDOW_FRAMES = 32
"""Number of frames that are stylised in reverse at a time. Each window costs a cold start."""

MIN_WINDOW_FRAMES = 8
"""Number of frames of a window however large they are."""

WINDOW_BYTES = 256 << 20
"""Memory of the source frames of a window, in bytes."""

INITIAL_STEPS_FRACTION = 0.25
"""Iterations of the cold start of a window, as a fraction of those of a first frame."""

MIN_DISOCCLUSION = 0.01
"""Disoccluded area in a whole window, in frames, below which a backward pass is not worth its
time, unless a scene crossfades to another one."""

MIN_CROSSFADE = 0.1
"""Share of the frame that crossfades to something else in a window, from which on a pass is worth
its time."""

CROSSFADE_PX = 160
"""Long side in px at which the first and the last frame of a window are compared."""

MAX_MOTION_PX = 1.0
"""Motion per frame up to which a pixel counts as at rest, in px of that size."""


class PlannedFrame(NamedTuple):
    """A frame with all that it is stylised from.

    Attributes:
        frame: the frame.
        motion: from the frame to the previous one.
        proposal: the frame from the backward pass, (1, 3, H, W) float16; None without such a pass.
        first_of_window: this frame and those after it do not depend on an earlier backward pass: a
            run may be resumed here.
    """

    frame: Frame
    motion: Motion
    proposal: Tensor | None = None
    first_of_window: bool = True


class BackwardPass:
    """Adds proposals to frames, window by window. A window ends at a cut, and where the size of
    the frames changes.

    Frames come out up to ``WINDOW_FRAMES`` late. Without ``Settings.backward_steps`` each frame
    comes out at once, without a proposal.

    Args:
        pairs: frames, each with its motion, which has ``Motion.reverse``.
        stylizer: stylises the windows in reverse; its own state stays as it is.
        live: the frames are of a live source, which has no frames ahead.
    """

    def __init__(
        self, pairs: Iterable[tuple[Frame, Motion]], stylizer: Stylizer, live: bool = False
    ) -> None:
        self._pairs, self._stylizer = pairs, stylizer
        used = uses_backward_pass(stylizer, live)
        self._steps = stylizer.settings.backward_steps if used else 0
        self.seconds, self.frames = 0.0, 0

    @property
    def seconds_per_frame(self) -> float:
        """Mean time of the backward pass per frame so far."""
        return self.seconds / max(1, self.frames)

    def __iter__(self) -> Iterator[PlannedFrame]:
        window: list[tuple[Frame, Motion]] = []
        timeline = self._stylizer.timeline
        for frame, motion in timeline.with_cuts(self._pairs) if timeline else self._pairs:
            if not self._steps:
                yield self._alone(frame, motion)
                continue
            if window and _ends_window(window[-1][0], frame, motion):
                yield from self._planned(window)
                window = []
            window.append((frame, motion))
            if len(window) == _window_frames(frame):
                yield from self._planned(window)
                window = []
        yield from self._planned(window)

    def _planned(self, window: Sequence[tuple[Frame, Motion]]) -> Iterator[PlannedFrame]:
        started = time.perf_counter()
        proposals: Sequence[Tensor | None] = [None] * len(window)
        disoccluded = sum(_disoccluded_fraction(motion) for _, motion in window)
        if disoccluded >= MIN_DISOCCLUSION or _crossfaded_fraction(window) >= MIN_CROSSFADE:
            proposals = self._stylize_in_reverse(window)
        self.seconds += time.perf_counter() - started
        self.frames += len(window)
        for number, (frame, motion) in enumerate(window):
            if motion.restyled is not None:
                yield self._alone(frame, motion)
            else:
                yield PlannedFrame(frame, motion, proposals[number], not number)

    def _alone(self, frame: Frame, motion: Motion) -> PlannedFrame:
        """A frame without a backward pass. Where a region has a new style, it comes from a cold
        start of the frame; a run is not resumed there, since it would not know of the change."""
        if motion.restyled is None:
            return PlannedFrame(frame, motion)
        with self._stylizer.separate_state():
            steps = self._stylizer.settings.initial_steps
            painted = self._stylizer.stylize_reduced(frame, None, steps).half()
        return PlannedFrame(frame, motion, painted, first_of_window=False)

    def _stylize_in_reverse(self, window: Sequence[tuple[Frame, Motion]]) -> list[Tensor]:
        images: list[Tensor] = []
        initial_steps = round(INITIAL_STEPS_FRACTION * self._stylizer.settings.initial_steps)
        motion: Motion | None = None
        with self._stylizer.separate_state():
            for frame, forward in reversed(window):
                steps = max(1, initial_steps)
                if images:  # the mean of whole numbers is the number in the settings
                    steps = int(len(images) * self._steps) - int((len(images) - 1) * self._steps)
                images.append(self._stylizer.stylize_reduced(frame, motion, steps).half())
                motion = forward.reverse
        return images[::-1]


def uses_backward_pass(stylizer: Stylizer, live: bool = False) -> bool:
    """Whether frames are stylised in reverse first, which needs ``Motion.reverse``."""
    settings = stylizer.settings
    return bool(settings.backward_steps) and settings.init == "previous" and not live


def _ends_window(before: Frame, frame: Frame, motion: Motion) -> bool:
    """Whether a frame does not go on from the frame before it, at least in a region."""
    return motion.cut or motion.restyled is not None or frame.size != before.size


def _window_frames(frame: Frame) -> int:
    """The number of frames of a window, by the memory that a frame takes."""
    return max(MIN_WINDOW_FRAMES, min(WINDOW_FRAMES, WINDOW_BYTES // frame.image.nbytes))


def _disoccluded_fraction(motion: Motion) -> float:
    if motion.reliable is None:
        return 0.0
    return 1 - motion.reliable.mean().item()


def _crossfaded_fraction(window: Sequence[tuple[Frame, Motion]]) -> float:
    """The share of the frame that is at rest, and shows something else in the last frame than in
    the first. Optical flow sees no motion in a crossfade, and so nothing disoccluded."""
    if len(window) < 2:
        return 0.0
    size = fit(window[0][0].size, CROSSFADE_PX)
    first, last = (to_resized_tensor(window[end][0].image, size) for end in (0, -1))
    reference = first.mean(1, keepdim=True)
    changed = gradually_changed(reference, last, torch.zeros_like(last)).mask
    for _, motion in window[1:]:
        if motion.flow is not None:
            flow = resize_flow(motion.flow.to(first), size)
            changed &= flow.square().sum(1, keepdim=True) < MAX_MOTION_PX**2
    return changed.float().mean().item()
