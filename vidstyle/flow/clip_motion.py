"""Motion of each frame of a clip, and shot boundary detection."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from ..io.frame import Frame
from .estimate import estimate_motion
from .fields import (
    PATCH_SIDE_PX,
    Pixels,
    area_resize,
    box_filter,
    flow_input,
    forward_backward_check,
    warp_error,
)
from .methods import MAX_FLOW_SIDE_PX, FlowMethod, dis_flow
from .motion import Motion

LOOK_AHEAD_FRAMES = 2
"""Later frames that a cut must differ from too: a flash of up to this many frames is not a cut."""

LOOK_BACK_FRAMES = 3
"""Earlier frames that a cut must differ from: after a flash the same shot goes on."""

DETECTOR_WIDTH_PX = 256
"""Width of the frames in which cuts are detected. Larger ones cost time and find no more cuts."""

DETECTOR_WEIGHTS = ContentDetector.Components(delta_hue=0, delta_sat=1, delta_lum=1, delta_edges=0)
"""Without hue, which is unstable in grey scenes and in dark frames of a fade."""

DARK_MEAN_LEVELS = 24
"""Mean code value (of 255) below which saturation is unstable too: only luma is compared."""

MIN_TRACKED_FRACTION = 0.3
"""Fraction of a frame that flow must track to the previous one in the same shot. Flow between two
shots tracks less than 0.1, flow of a fast pan 0.9."""

TRACKED_MAX_LEVELS = 20
"""Warp error in code values of 0 to 255 up to which a patch counts as tracked: flow between flat
areas of two colours passes the check as well."""

NOISE_FILTER_PX = 5
"""Window in which frames are averaged for cut detection: sensor noise changes saturation in each
frame."""

MotionTask = Callable[[], Motion]
"""Computes the motion of one frame. It may be called in any thread, and more than once."""


def with_motion(
    frames: Iterable[Frame],
    method: FlowMethod | None,
    look_ahead: int = LOOK_AHEAD_FRAMES,
    size_px: Callable[[], int] = lambda: MAX_FLOW_SIDE_PX,
    past: int = 0,
    *,
    reverse: bool = False,
) -> Iterator[tuple[Frame, Motion]]:
    """Compute the motion of each frame of a clip. Frames come out ``look_ahead`` frames late.

    Args:
        frames: of one clip, in order.
        method: optical flow method; None: only cuts are detected.
        look_ahead: frames; 0 for no delay, and then a flash counts as two cuts.
        size_px: limit of the long side for flow, asked again for each frame.
        past: number of leading frames that come from the shot before and are not returned;
            ``LOOK_BACK_FRAMES`` are enough.
        reverse: compute ``Motion.reverse`` too.
    """
    for frame, task in with_motion_tasks(
        frames, method, look_ahead, size_px, past, reverse=reverse
    ):
        yield frame, task()


def with_motion_tasks(
    frames: Iterable[Frame],
    method: FlowMethod | None,
    look_ahead: int,
    size_px: Callable[[], int],
    past: int,
    *,
    reverse: bool,
) -> Iterator[tuple[Frame, MotionTask]]:
    """``with_motion`` with the motion still to be computed."""
    earlier: deque[_FrameCopies] = deque(maxlen=LOOK_BACK_FRAMES)
    pending: deque[_FrameCopies] = deque()
    for number, frame in enumerate(frames):
        if number < past:
            earlier.appendleft(_FrameCopies(frame))
            continue
        pending.append(_FrameCopies(frame))
        if len(pending) > look_ahead:
            yield _next_task(earlier, pending, method, size_px(), reverse)
    while pending:
        yield _next_task(earlier, pending, method, size_px(), reverse)


def run_ahead(
    tasks: Iterable[tuple[Frame, MotionTask]], threads: int
) -> Iterator[tuple[Frame, Motion]]:
    """Run motion tasks in ``threads`` threads. Frames come out as many frames later."""
    with ThreadPoolExecutor(threads, "vidstyle-motion") as pool:
        running: deque[tuple[Frame, Future[Motion]]] = deque()
        for frame, task in tasks:
            running.append((frame, pool.submit(task)))
            if len(running) > threads:
                first, motion = running.popleft()
                yield first, motion.result()
        for first, motion in running:
            yield first, motion.result()


class _FrameCopies:
    """A frame, and the reduced copies for cut detection and optical flow."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._flow_input: tuple[int, Pixels] | None = None
        height = max(1, round(DETECTOR_WIDTH_PX * frame.size[1] / frame.size[0]))
        reduced = area_resize(frame.image, (DETECTOR_WIDTH_PX, height))
        smooth = cv2.blur(reduced, (NOISE_FILTER_PX, NOISE_FILTER_PX))
        self.detector_input: Pixels = np.ascontiguousarray(smooth[..., ::-1], np.uint8)  # BGR

    def flow_input(self, size_px: int) -> Pixels:
        """``flow_input`` of the frame, cached: later frames are compared with this frame too.

        Several threads may call it.
        """
        cached = self._flow_input
        if cached is None or cached[0] != size_px:
            self._flow_input = cached = size_px, flow_input(self.frame.image, size_px)
        return cached[1]


def is_cut(before: Sequence[Pixels], frame: Pixels, after: Sequence[Pixels]) -> bool:
    """Shot boundary detection (PySceneDetect's content detector) with a check for flashes.

    A frame is the first of a shot if it differs from the frames before it, the frames after it
    differ from the previous one, and optical flow cannot track it to the previous one: frames of a
    fast pan differ as much as two shots do.

    Args:
        before: up to ``LOOK_BACK_FRAMES`` earlier frames of the shot, the previous one first,
            (H, W, 3) uint8 BGR.
        frame: of the same size, like all others.
        after: the frames that follow, as far as they are known.
    """
    if not before or any(not _differ(other, frame) for other in before):
        return False
    if any(not _differ(before[0], other) for other in after):
        return False
    return _tracked_fraction(frame, before[0]) < MIN_TRACKED_FRACTION


def _tracked_fraction(frame: Pixels, earlier: Pixels) -> float:
    """Fraction of the pixels that flow tracks to pixels like them, and back: of two shots, few."""
    flow = dis_flow(frame, earlier)
    tracked = forward_backward_check(flow, dis_flow(earlier, frame))
    alike = box_filter(warp_error(frame, earlier, flow), PATCH_SIDE_PX) < TRACKED_MAX_LEVELS
    return float((tracked & alike).mean())


def _differ(one: Pixels, other: Pixels) -> bool:
    """Whether PySceneDetect's content detector finds a cut between two frames."""
    dark = min(one.mean(), other.mean()) < DARK_MEAN_LEVELS
    weights = ContentDetector.LUMA_ONLY_WEIGHTS if dark else DETECTOR_WEIGHTS
    detector = ContentDetector(min_scene_len=0, weights=weights)
    time = FrameTimecode(0, fps=25.0)  # required, but not used
    detector.process_frame(time, one)
    return bool(detector.process_frame(time, other))


def _next_task(
    earlier: "deque[_FrameCopies]",
    pending: "deque[_FrameCopies]",
    method: FlowMethod | None,
    size_px: int,
    reverse: bool,
) -> tuple[Frame, MotionTask]:
    """Move the first pending frame to the earlier ones, and return it with its motion task."""
    current = pending.popleft()
    if earlier and earlier[0].frame.size != current.frame.size:
        earlier.clear()
    previous = earlier[0] if earlier else None
    cut = is_cut(
        [copies.detector_input for copies in earlier],
        current.detector_input,
        [copies.detector_input for copies in pending],
    )
    if cut:
        earlier.clear()
    earlier.appendleft(current)
    if cut or method is None or previous is None:
        return current.frame, lambda: Motion(cut=cut)

    def task() -> Motion:
        inputs = current.flow_input(size_px), previous.flow_input(size_px)
        return estimate_motion(*inputs, method, reverse)

    return current.frame, task
