"""From two frames to the motion between them: flow put right, and where it can be relied upon.

But for the method all of it is NumPy's and OpenCV's, whose work on small pictures threads can do at once; tensors come last.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..io.frame import Image, fit, to_8_bits
from .methods import FLOW_PX, LEAST_PX, FlowMethod
from .motion import Motion

PATCH_PX, SURROUNDINGS_PX = 9, 31
"""Sides of the squares over which two frames are compared, odd."""

SAME_LEVELS = 6
"""A patch looks the same when its pixels differ by less than this many levels (of 255) on average: noise and no more."""

AS_WELL, NEAR_LEVELS, FAR_LEVELS = 1.1, 0.3, 4
"""A simple motion explains a patch as well as its flow does when its error is below this share of the flow's, plus these
levels: few for a flow that hardly differs, more for one that leads far away, which true motion would leave far behind."""

WANDER_PX = 2.5
"""Flow on bare walls mostly wanders less than this from the truth. What goes further may be moving: its surroundings tell."""

APART_PX, EDGE_LEVELS, REACH = 0.2, 8, np.ones((7, 7), np.uint8)
"""What lies between edges of so many levels is an area, and has the votes of those within 3 px. An edge votes for rest where its
flow is this near to the camera's, and for motion where it is not and explains it better."""

SPECKS = np.ones((5, 5), np.uint8)
"""What is at rest and smaller than this, in the midst of what moves, moves too."""

STILL_SHARE, CAMERA_SHARE = 0.5, 0.3
"""The camera is still when this share of the picture shows no motion; it moves as this share of the corners say."""

CORNERS, CORNER_QUALITY, CORNER_PX = 400, 0.005, 0.5
"""Corners looked at for the camera's motion, how much weaker than the best they may be, and how exactly they must fit."""

DRIFT_PX, DRIFT_AGREES_PX, DRIFT_SHARE = 0.04, 0.1, 0.9
"""A very slow pan moves by more than the first, and this share of the corners agree on it to within the second."""

SPILL_PX, CLEARLY = 8, 0.6
"""Flow spills this far over outlines; it gives way to another one with less than this share of its error."""

OWN_PX, BESIDE, BETTER_LEVELS = 1.0, np.ones((5, 5), np.uint8), 2
"""Flow this far from the camera's is a thing's own. So near its outline, 2 px, a pixel goes with the camera where that explains
it better by so many levels: with fewer, noise frays outlines."""

RIM = np.ones((3, 3), np.uint8)
"""What comes into view is wider than flow says, by the blended rim that a thing would leave behind there."""

MEAN = np.full((1, 3), 1 / 3, np.float32)
"""The mean over channels for OpenCV, which is several times as quick at it as NumPy."""

Levels = NDArray[np.uint8]
Flow = NDArray[np.float32]
"""(H, W, 2): where each pixel was, as (dx, dy) px."""
Map = NDArray[np.float32]
"""(H, W)."""
Mask = NDArray[np.bool_]


def motion_between(now: Levels, was: Levels, method: FlowMethod) -> Motion:
    """Flow, and where it can be relied upon.

    Args:
        now, was: (H, W, 3) uint8 of one size, a frame and an earlier one as ``small`` makes them.
    """
    with ThreadPoolExecutor(
        1, "vidstyle-flow"
    ) as other_way:  # so small pictures do not keep two cores busy
        there = other_way.submit(_flow, was, now, method)
        flow, camera, plain = _flow(now, was, method)
    known = forward_backward_check(flow, there.result()[0])
    # On flat things flow is arbitrary and may fail the check; what looks the same has gone where the camera says, or its area.
    found = _difference(now, was, flow)
    same = _inside(camera) & _inside(flow) & (_around(plain, PATCH_PX) < SAME_LEVELS)
    own = (_square(flow - camera) < WANDER_PX**2) & _as_well(found, plain, PATCH_PX, NEAR_LEVELS)
    flow = _choose(same & ~known & ~own, camera, flow)
    known |= same
    # What is thinner than the rim itself, such as unsure pixels along an outline, is left: all of it would begin anew each time.
    unknown = cv2.copyMakeBorder(
        (~known).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE
    )  # what comes in may be thin
    new = cv2.dilate(cv2.morphologyEx(unknown, cv2.MORPH_OPEN, RIM), RIM)[1:-1, 1:-1]
    reliance = (known & (new == 0)).astype(np.float32)
    planes = np.ascontiguousarray(
        flow.transpose(2, 0, 1)
    )  # not by PyTorch, which would start threads of its own for this one
    return Motion(torch.from_numpy(planes)[None], torch.from_numpy(reliance)[None, None])


def _flow(now: Levels, was: Levels, method: FlowMethod) -> tuple[Flow, Flow, Map]:
    """A method's flow, put right; the camera's, and what differs from what that makes of the earlier frame."""
    raw = method(now, was)
    unmoved, moved = _difference(now, was), _difference(now, was, raw)
    camera = camera_flow(raw, now, unmoved, moved)
    flow = sharpen_motion_boundaries(raw, camera, now, was)
    plain = _difference(now, was, camera) if camera.any() else unmoved
    found = _difference(now, was, flow)
    apart = _square(flow - camera)
    near = apart < WANDER_PX**2
    # A flat area inside a moving thing is explained by anything; it goes with its surroundings, or with its outline.
    far = (
        ~near
        & _as_well(plain, found, PATCH_PX, FAR_LEVELS)
        & _as_well(plain, found, SURROUNDINGS_PX, FAR_LEVELS)
    )
    at_rest = far | near & ~_with_areas(~_as_well(plain, found, PATCH_PX, NEAR_LEVELS), apart, now)
    flow = _choose(at_rest, camera, flow)
    # The motion found for a thing reaches beyond its outline. There, each pixel that the camera explains better goes with it.
    moving = (_square(flow - camera) > OWN_PX**2).view(np.uint8)
    outline = cv2.morphologyEx(moving, cv2.MORPH_GRADIENT, BESIDE) > 0
    return _choose(outline & (plain + BETTER_LEVELS < found), camera, flow), camera, plain


def _with_areas(moves: Mask, apart: Map, frame: Levels) -> Mask:
    """What is seen to move, and the flat areas inside: those with more moving edges around them than resting ones.

    Else the outlines of hills that pass would slide over what is painted on the hills. The picture's border counts as an edge
    at rest, so that a wall behind a person stays.

    Args:
        moves: (H, W), where the flow explains clearly more than the camera's.
        apart: (H, W), squared distance of the two. Where that alone is large, as on level edges that move sideways, nothing is
            known.
        frame: (H, W, 3) uint8.
    """
    if not moves.any():
        return moves
    contrast = cv2.morphologyEx(cv2.blur(frame, (3, 3)), cv2.MORPH_GRADIENT, RIM)
    edges = cv2.transform(contrast.astype(np.float32), MEAN) > EDGE_LEVELS
    count, areas = cv2.connectedComponents((~edges).view(np.uint8), connectivity=4)
    votes = np.where(apart < APART_PX**2, -1, moves).astype(np.float32)
    for border in (np.s_[:1], np.s_[-1:], np.s_[:, :1], np.s_[:, -1:]):
        edges[border], votes[border] = True, -1
    # Each edge has an area on either side of it: of all within reach, that of the highest number, and of the lowest.
    highest = cv2.dilate(areas.astype(np.float32), REACH)[edges].astype(int)
    lowest = cv2.erode(np.where(areas, areas, count).astype(np.float32), REACH)[edges].astype(int)
    votes = votes[edges]
    sums = np.bincount(highest, votes, count + 1) + np.bincount(
        lowest, np.where(lowest != highest, votes, 0), count + 1
    )
    sums[[0, count]] = 0
    moving = (sums > 0)[areas]
    moving[edges] = (sums[highest] > 0) & (sums[lowest] > 0)
    moving |= moves
    return cv2.morphologyEx(moving.view(np.uint8), cv2.MORPH_CLOSE, SPECKS).view(np.bool_)


def camera_flow(flow: Flow, frame: Levels, unmoved: Map, found: Map) -> Flow:
    """The flow of things at rest: none, or what a turning, zooming and shifting camera makes (four parameters, RANSAC).

    Args:
        flow: from ``frame`` to the earlier one.
        frame: (H, W, 3) uint8.
        unmoved, found: how it differs from the earlier one as that is, and as the flow moves it.

    Returns:
        Zero also where no such motion is found.
    """
    zero = np.zeros_like(flow)
    height, width = frame.shape[:2]
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    corners = cv2.goodFeaturesToTrack(
        grey, CORNERS, CORNER_QUALITY, max(3, max(height, width) / 40)
    )
    if corners is None or len(corners) < 10:
        return zero
    corners = corners[:, 0].astype(np.float64)
    x, y = corners.round().astype(int).T
    steps = flow[y, x]
    still = _as_well(unmoved, found, PATCH_PX, NEAR_LEVELS).mean() > STILL_SHARE
    if still and not _drifts(steps):
        return zero
    ends = corners + steps
    matrix, fits = cv2.estimateAffinePartial2D(
        corners, ends, method=cv2.RANSAC, ransacReprojThreshold=CORNER_PX
    )
    if matrix is None or fits.mean() < CAMERA_SHARE:
        return zero
    places = _places(width, height)
    return (cv2.transform(places, matrix) - places).astype(np.float32)


def _drifts(steps: Flow) -> bool:
    """Whether all corners, (N, 2) px, go the same way: a pan too slow to be told from rest by any patch alone."""
    common = np.median(steps, 0)
    together = np.hypot(*(steps - common).T) < DRIFT_AGREES_PX
    return bool(np.hypot(*common) > DRIFT_PX and together.mean() > DRIFT_SHARE)


def sharpen_motion_boundaries(flow: Flow, camera: Flow, frame: Levels, earlier: Levels) -> Flow:
    """Flow whose edges lie on the edges of things; methods let the motion of a thing spill over its outline.

    Every pixel is offered its neighbours' flow (after PatchMatch, Barnes et al. 2009) and the camera's, and takes what
    explains its surroundings clearly better than its own.

    Args:
        flow, camera: from ``frame`` to ``earlier``.
        frame, earlier: (H, W, 3) uint8.
    """
    height, width = frame.shape[:2]
    across, down = min(SPILL_PX, width - 1), min(SPILL_PX, height - 1)
    neighbours: Flow = cv2.copyMakeBorder(flow, down, down, across, across, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    corners = ((0, down), (2 * across, down), (across, 0), (across, 2 * down))
    best, least = flow, CLEARLY * _around(_difference(frame, earlier, flow), 3)
    for offered in (*(neighbours[y : y + height, x : x + width] for x, y in corners), camera):
        error = _around(_difference(frame, earlier, offered), 3)
        best, least = _choose(error < least, offered, best), np.minimum(error, least)
    return best


def forward_backward_check(flow: Flow, forth: Flow) -> Mask:
    """The forward-backward check (Sundaram et al. 2010): going there and back must lead home.

    Args:
        flow: from this frame to the earlier one.
        forth: from the earlier frame to this one.

    Returns:
        (H, W), False where ``|w + v|^2 >= 0.01 (|w|^2 + |v|^2) + 0.5`` and where the flow leaves the picture.
    """
    back = _moved(forth, flow)
    return (_square(flow + back) < 0.01 * (_square(flow) + _square(back)) + 0.5) & _inside(flow)


def _inside(flow: Flow) -> Mask:
    """Where the flow stays within the picture."""
    height, width = flow.shape[:2]
    x, y = cv2.split(_places(width, height) + flow)
    # Half a pixel of tolerance: what hardly moves must not lose its border.
    within: Mask = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    return within


@lru_cache(maxsize=4)
def _places(width: int, height: int) -> Flow:
    """Column and row of each pixel."""
    return np.dstack(
        np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    )


def _moved(picture: NDArray[Any], flow: Flow) -> NDArray[Any]:
    """Every pixel from where the flow says it was."""
    height, width = flow.shape[:2]
    x, y = cv2.split(_places(width, height) + flow)
    moved: NDArray[Any] = cv2.remap(
        picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved


def _square(flow: Flow) -> Map:
    """Squared lengths."""
    return cv2.transform(cv2.multiply(flow, flow), np.ones((1, 2), np.float32))  # type: ignore[return-value]


def _choose(mask: Mask, one: Flow, other: Flow) -> Flow:
    """``one`` where the mask is set, else ``other``."""
    return cv2.copyTo(np.ascontiguousarray(one), mask.view(np.uint8), other.copy())  # type: ignore[return-value]


def _difference(now: Levels, was: Levels, flow: Flow | None = None) -> Map:
    """Levels by which each pixel differs from what the flow makes of the earlier frame; None: nothing."""
    difference = cv2.absdiff(now, was if flow is None else _moved(was, flow))
    return cv2.transform(difference.astype(np.float32), MEAN)  # type: ignore[return-value]


def _around(difference: Map, patch_px: int) -> Map:
    """The mean over the square around each pixel."""
    return cv2.blur(difference, (patch_px, patch_px))  # type: ignore[return-value]


def _as_well(simple: Map, found: Map, patch_px: int, levels: float) -> Mask:
    """Where a simple flow's differences show that it explains the picture as well as the one found."""
    well: Mask = _around(simple, patch_px) < AS_WELL * _around(found, patch_px) + levels
    return well


def small(image: Image, size_px: int = FLOW_PX) -> Levels:
    """The copy that motion is looked for in: (H, W, 3) uint8, sides of ``LEAST_PX`` to ``size_px``."""
    height, width = image.shape[:2]
    across, down = fit((width, height), min(size_px, max(width, height)))
    return reduced(image, (max(across, LEAST_PX), max(down, LEAST_PX)))


def reduced(image: Image, size: tuple[int, int]) -> Levels:
    """(H, W, 3) uint8 of ``size`` (width, height), each pixel the mean of what it covers."""
    levels: Levels = np.ascontiguousarray(to_8_bits(image)[..., :3])
    height, width = levels.shape[:2]
    while (
        width >= 2 * size[0] and height >= 2 * size[1] and not (width % 2 or height % 2)
    ):  # several times as quick as at once
        height, width = height // 2, width // 2
        levels = cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.resize(levels, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
