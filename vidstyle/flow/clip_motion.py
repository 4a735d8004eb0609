"""From a stream of frames to frames with their motion: flow along the clip, and where a new shot begins."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from ..io.frame import Frame
from .estimate import motion_between, reduced, small
from .methods import FLOW_PX, FlowMethod
from .motion import Motion

Picture = NDArray[np.uint8]

LOOK_AHEAD = 2
"""Frames looked ahead before a jump counts as a cut: a flash of up to this many frames is none."""

LOOK_BACK = 3
"""Frames looked back: what was on screen this recently is no new shot."""

PAST = 4
"""Frames remembered: ``LOOK_BACK``, and as far as long-term consistency looks."""

CUT_PX = 256
"""Cuts are looked for in copies of this width: detectors need no more."""


def with_motion(
    frames: Iterable[Frame],
    method: FlowMethod | None,
    long_term: Sequence[int] = (),
    look_ahead: int = LOOK_AHEAD,
    size_px: Callable[[], int] = lambda: FLOW_PX,
    past: int = 0,
) -> Iterator[tuple[Frame, Motion]]:
    """Every frame with the motion that led to it. Holds ``look_ahead`` frames back.

    Args:
        frames: of one clip, in order.
        method: how flow is computed; None: only cuts are looked for.
        long_term: distances, in frames, of further earlier frames whose motion is wanted too.
        look_ahead: 0 where nothing may be held back; a flash is then taken for two cuts.
        size_px: motion is looked for in copies of at most this long side; asked anew for each frame.
        past: so many of the first frames, of the shot that goes on, are only looked back at: ``PAST`` of them are enough.
    """
    for frame, find in with_search(frames, method, long_term, look_ahead, size_px, past):
        yield frame, find()


Search = Callable[[], Motion]
"""Finds one motion; in any thread, once or again."""


def with_search(
    frames: Iterable[Frame],
    method: FlowMethod | None,
    long_term: Sequence[int],
    look_ahead: int,
    size_px: Callable[[], int],
    past: int,
) -> Iterator[tuple[Frame, Search]]:
    """As ``with_motion``, but the motion is still to be found."""
    seen: deque[_Seen] = deque(maxlen=PAST)
    coming: deque[_Seen] = deque()
    for number, frame in enumerate(frames):
        if number < past:
            seen.appendleft(_Seen(frame))
            continue
        coming.append(_Seen(frame))
        if len(coming) > look_ahead:
            yield _next(seen, coming, method, long_term, size_px())
    while coming:
        yield _next(seen, coming, method, long_term, size_px())


def search_ahead(
    searches: Iterable[tuple[Frame, Search]], at_once: int
) -> Iterator[tuple[Frame, Motion]]:
    """What ``with_search`` says, searched for in ``at_once`` threads. Holds as many more frames back."""
    with ThreadPoolExecutor(at_once, "vidstyle-motion") as threads:
        pending: deque[tuple[Frame, Future[Motion]]] = deque()
        for frame, find in searches:
            pending.append((frame, threads.submit(find)))
            if len(pending) > at_once:
                first, found = pending.popleft()
                yield first, found.result()
        for first, found in pending:
            yield first, found.result()


CUT_WEIGHTS = ContentDetector.Components(delta_hue=0, delta_sat=1, delta_lum=1, delta_edges=0)
"""Hue is left out: on grey streets and at the dark end of a fade it jumps about."""

DARK = 24
"""Mean level below which a picture is too dark for its saturation to mean anything: only its light is compared."""


class _Seen:
    """A frame with the copies that cuts and motion are looked for in."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._small: tuple[int, Picture] | None = None
        size = (CUT_PX, max(1, round(CUT_PX * frame.size[1] / frame.size[0])))
        self.tiny = np.ascontiguousarray(
            reduced(frame.image, size)[..., ::-1]
        )  # detectors read BGR

    def small(self, size_px: int) -> Picture:
        """Kept, since each frame is compared with those after it as well as with those before, perhaps in other threads."""
        kept = self._small
        if kept is None or kept[0] != size_px:
            self._small = kept = size_px, small(self.frame.image, size_px)
        return kept[1]


def is_cut(before: Sequence[Picture], now: Picture, after: Sequence[Picture]) -> bool:
    """Whether a new shot begins: a jump from all that was lately on screen, and one that is not soon undone.

    Args:
        before: earlier frames of the shot, the previous one first, (H, W, 3) uint8 BGR like the others.
        after: the frames that follow, as far as they are known.
    """
    if not before or any(not _differ(earlier, now) for earlier in before[:LOOK_BACK]):
        return False
    return all(_differ(before[0], later) for later in after)


def _differ(one: Picture, other: Picture) -> bool:
    """Whether PySceneDetect's content detector sees a cut between two pictures."""
    dark = min(one.mean(), other.mean()) < DARK
    detector = ContentDetector(
        min_scene_len=0, weights=ContentDetector.LUMA_ONLY_WEIGHTS if dark else CUT_WEIGHTS
    )
    time = FrameTimecode(0, fps=25.0)  # it asks for one, and makes no use of it
    detector.process_frame(time, one)
    return bool(detector.process_frame(time, other))


def _next(
    past: "deque[_Seen]",
    coming: "deque[_Seen]",
    method: FlowMethod | None,
    long_term: Sequence[int],
    size_px: int,
) -> tuple[Frame, Search]:
    """Take the first of the coming frames, with what finds its motion, and move it to the past."""
    now = coming.popleft()
    if past and past[0].frame.size != now.frame.size:
        past.clear()
    before = list(past)
    cut = is_cut([seen.tiny for seen in before], now.tiny, [seen.tiny for seen in coming])
    if cut:
        past.clear()
    past.appendleft(now)
    if cut or method is None or not before:
        return now.frame, lambda: Motion(cut=cut)

    def find() -> Motion:
        motions = {
            distance: motion_between(
                now.small(size_px), before[distance - 1].small(size_px), method
            )
            for distance in (1, *long_term)
            if distance <= len(before)
        }
        previous = motions.pop(1)
        return Motion(previous.flow, previous.reliable, earlier=motions)

    return now.frame, find
