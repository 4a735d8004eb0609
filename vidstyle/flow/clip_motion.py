"""Motion of each frame of a clip: its cuts, and the optical flow between the others."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ..io.frame import Frame
from .cuts import LOOK_AHEAD_FRAMES, LOOK_BACK_FRAMES, detector_input, is_cut
from .estimate import estimate_motion
from .fields import MAX_FLOW_SIDE_PX, Pixels, flow_input
from .methods import FlowMethod
from .motion import Motion

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
        self.detector_input = detector_input(frame.image)

    def flow_input(self, size_px: int) -> Pixels:
        """``flow_input`` of the frame, cached: later frames are compared with this frame too.

        Several threads may call it.
        """
        cached = self._flow_input
        if cached is None or cached[0] != size_px:
            self._flow_input = cached = size_px, flow_input(self.frame.image, size_px)
        return cached[1]


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
