"""Shot boundary detection: which frames are the first of a shot.

A frame is compared with the frames before it and the two after it. How far back it differs is a
property of the frames alone (``cut_reach``), so a clip can be scanned in parts; which of these
frames are cuts depends on where the shot began, and is decided in order (``cuts_among``).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from ..io.frame import Frame, Image
from .fields import (
    MIN_FLOW_SIDE_PX,
    PATCH_SIDE_PX,
    Pixels,
    area_resize,
    box_filter,
    forward_backward_check,
    warp_error,
)
from .methods import dis_flow

LOOK_AHEAD_FRAMES = 2
"""Later frames that a cut must differ from too: a flash of up to this many frames is not a cut."""

LOOK_BACK_FRAMES = 3
"""Earlier frames that a cut must differ from: after a flash the same shot goes on."""

DETECTOR_WIDTH_PX = 256
"""Width of the frames in which cuts are detected. Larger ones cost time and find no more cuts."""

MIN_DETECTOR_HEIGHT_PX, MAX_DETECTOR_HEIGHT_PX = MIN_FLOW_SIDE_PX, 4 * DETECTOR_WIDTH_PX
"""Range of their height, to which strips are stretched: flow refuses lower ones, and OpenCV higher
ones."""

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

THUMBNAIL_PX, CUT_LEVELS = 32, 14.0
"""Side in px of thumbnails, and the mean difference of two, in code values of 0 to 255, between
which there is a cut for ``ThumbnailCuts``."""


def detector_input(image: Image) -> Pixels:
    """The reduced copy of an image in which cuts are detected, (H, W, 3) uint8 BGR."""
    height = round(DETECTOR_WIDTH_PX * image.shape[0] / image.shape[1])
    height = min(MAX_DETECTOR_HEIGHT_PX, max(MIN_DETECTOR_HEIGHT_PX, height))
    reduced = area_resize(image, (DETECTOR_WIDTH_PX, height))
    smooth = cv2.blur(reduced, (NOISE_FILTER_PX, NOISE_FILTER_PX))
    return np.ascontiguousarray(smooth[..., ::-1], np.uint8)


def is_cut(before: Sequence[Pixels], frame: Pixels, after: Sequence[Pixels]) -> bool:
    """Shot boundary detection (PySceneDetect's content detector) with a check for flashes.

    A frame is the first of a shot if it differs from the frames before it, the frames after it
    differ from the previous one, and optical flow cannot track it to the previous one: frames of a
    fast pan differ as much as two shots do.

    Args:
        before: up to ``LOOK_BACK_FRAMES`` earlier frames of the shot, the previous one first,
            (H, W, 3) uint8 BGR.
        frame: of any size; frames of another size are no frames of the shot.
        after: the frames that follow, as far as they are known.
    """
    return bool(before) and cut_reach(before, frame, after) == len(before)


def cut_reach(before: Sequence[Pixels], frame: Pixels, after: Sequence[Pixels]) -> int:
    """How many of the frames before it a frame differs from, counted from the previous one.

    A frame is a cut if this is the number of earlier frames that belong to the shot.

    Args:
        before: up to ``LOOK_BACK_FRAMES`` earlier frames, of whatever shot.
        frame, after: as for ``is_cut``.

    Returns:
        0 where the frame is no cut in any case: the frames after it resemble the previous one, or
        optical flow tracks the frame to the previous one.
    """
    reach = 0
    while reach < len(before) and _differ(before[reach], frame):
        reach += 1
    if not reach or any(not _differ(before[0], other) for other in after):
        return 0
    return reach if _tracked_fraction(frame, before[0]) < MIN_TRACKED_FRACTION else 0


def cut_reaches(frames: Iterable[Frame]) -> Iterator[tuple[Frame, int]]:
    """Yield each frame of a clip with its ``cut_reach``, ``LOOK_AHEAD_FRAMES`` late."""
    earlier: deque[Pixels] = deque(maxlen=LOOK_BACK_FRAMES)
    pending: deque[tuple[Frame, Pixels]] = deque()

    def next_reach() -> tuple[Frame, int]:
        frame, pixels = pending.popleft()
        reach = cut_reach(list(earlier), pixels, [other for _, other in pending])
        earlier.appendleft(pixels)
        return frame, reach

    for frame in frames:
        pending.append((frame, detector_input(frame.image)))
        if len(pending) > LOOK_AHEAD_FRAMES:
            yield next_reach()
    while pending:
        yield next_reach()


def cuts_among(reaches: Mapping[int, int]) -> list[int]:
    """The cuts of a clip, in order, as one pass over the clip finds them.

    Args:
        reaches: number of a frame, counted from the start of the clip -> its ``cut_reach``. Frames
            without one have a reach of 0.
    """
    cuts: list[int] = []
    shot = 0
    for number in sorted(reaches):
        if number > shot and reaches[number] >= min(LOOK_BACK_FRAMES, number - shot):
            cuts.append(shot := number)
    return cuts


def _tracked_fraction(frame: Pixels, earlier: Pixels) -> float:
    """Fraction of the pixels that flow tracks to pixels like them, and back: of two shots, few.

    Of frames of two shapes it is 0.
    """
    if frame.shape != earlier.shape:
        return 0.0
    flow = dis_flow(frame, earlier)
    tracked = forward_backward_check(flow, dis_flow(earlier, frame))
    alike = box_filter(warp_error(frame, earlier, flow), PATCH_SIDE_PX) < TRACKED_MAX_LEVELS
    return float((tracked & alike).mean())


def _differ(one: Pixels, other: Pixels) -> bool:
    """Whether PySceneDetect's content detector finds a cut between two frames, or their shapes
    differ."""
    if one.shape != other.shape:
        return True
    dark = min(one.mean(), other.mean()) < DARK_MEAN_LEVELS
    weights = ContentDetector.LUMA_ONLY_WEIGHTS if dark else DETECTOR_WEIGHTS
    detector = ContentDetector(min_scene_len=0, weights=weights)
    time = FrameTimecode(0, fps=25.0)  # required, but not used
    detector.process_frame(time, one)
    return bool(detector.process_frame(time, other))


class ThumbnailCuts:
    """Finds cuts by the mean difference of thumbnails, for masks that should forget the shot
    before. It is quick, and a flash is a cut to it."""

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] | None = None

    def is_cut(self, image: NDArray[np.uint8]) -> bool:
        """Whether (H, W, 3) uint8 begins a shot, after the image of the last call."""
        side = THUMBNAIL_PX, THUMBNAIL_PX
        before, now = self._before, cv2.resize(image, side, interpolation=cv2.INTER_AREA)
        self._before = now.astype(np.uint8)
        return before is not None and bool(cv2.absdiff(self._before, before).mean() > CUT_LEVELS)
