"""Motion between two frames: optical flow, refined at motion boundaries, with an occlusion mask.

Flow methods fail in two ways that cause flicker. In flat regions flow is arbitrary: there the
motion of the camera, or of the region's outline, replaces it. At motion boundaries flow extends
beyond the outline of an object: there each pixel takes the flow that explains it best.

"Levels" are code values of 0 to 255. "Explains" compares warp errors: the mean absolute difference
of the frame and the warped earlier frame.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import torch

from .camera import CameraMatrix, affine_flow, camera_motion
from .exposure import compensate_exposure
from .fields import (
    PATCH_SIDE_PX,
    Flow,
    Map,
    Mask,
    Pixels,
    box_filter,
    explains_equally,
    forward_backward_check,
    inside_image,
    local_contrast,
    median_filter,
    select,
    squared_magnitude,
    texture_error,
    warp_error,
)
from .matching import MatchedFlow, MatchedPixels
from .methods import FlowMethod
from .motion import Motion
from .noise import (
    MAX_CODEC_NOISE_LEVELS,
    MIN_NOISE_LEVELS,
    Tolerance,
    grain_level,
    noise_level,
    smooth,
)
from .regions import FlatRegions

WIDE_PATCH_SIDE_PX = 31
"""Window of warp errors of flow that differs much from the camera's, odd: one object fills it."""

FLOW_NOISE_PX = 2.5
"""Flow in flat regions is mostly this near to the true flow. Beyond, it may be an object's."""

OUTLINE_AT_REST_PX = 0.2
"""An edge whose flow is this near to the camera's belongs to the background."""

PROPAGATION_DISTANCE_PX = 8
"""Flow extends about this far beyond outlines; propagation goes as far back."""

PROPAGATION_MAX_ERROR_RATIO = 0.6
"""A neighbour's flow replaces a pixel's if its error is below this fraction of the pixel's."""

PROPAGATION_PATCH_SIDE_PX = 3
"""Window of warp errors in propagation: small, since outlines are to be exact."""

OBJECT_MOTION_MIN_PX = 1.0
"""Flow this far from the camera's belongs to a moving object."""

OUTLINE_WINDOW = np.ones((5, 5), np.uint8)
"""Pixels within 2 px of a moving object's outline are compared one by one."""

MEDIAN_SIDE_PX = 5
"""Window of the median filter of the refined flow (Sun et al. 2010)."""

TEXTURE_WINDOW = np.ones((5, 5), np.uint8)
"""Regions of another texture thinner than this are noise."""

MIN_VISIBLE_FRACTION = 0.3
"""Flow that tracks less of a frame follows nothing: in a whip pan it is wrong where it is
consistent."""

DISOCCLUSION_WINDOW = np.ones((3, 3), np.uint8)
"""Disoccluded regions grow by 1 px: pixels at an outline mix object and background."""


class _FramePair(NamedTuple):
    """Two frames, (H, W, 3) uint8, their difference, and the warp errors that noise causes.

    ``contrast`` is the local contrast of each frame.
    """

    frame: Pixels
    earlier: Pixels
    difference: Map
    tolerance: Tolerance
    contrast: tuple[Map, Map]

    @property
    def swapped(self) -> "_FramePair":
        """The pair in the other order."""
        contrast = self.contrast[::-1]
        return _FramePair(self.earlier, self.frame, self.difference, self.tolerance, contrast)


class _RefinedFlow(NamedTuple):
    """Flow between two frames, the camera's motion and flow, and the warp error of its flow.

    ``sure`` pixels match beyond doubt, and move otherwise than the camera.
    """

    flow: Flow
    matrix: CameraMatrix | None
    camera: Flow
    camera_error: Map
    sure: Mask


def estimate_motion(
    frame: Pixels, earlier: Pixels, method: FlowMethod, reverse: bool = False
) -> Motion:
    """Flow from a frame to an earlier one, with an occlusion mask.

    Args:
        frame, earlier: (H, W, 3) uint8 of one size, from ``flow_input``.
        method: computes flow.
        reverse: give the motion its ``reverse`` too. The flow of both directions is computed in
            any case.
    """
    earlier = compensate_exposure(earlier, frame)
    raw, tolerance, difference = None, Tolerance(), warp_error(frame, earlier)
    contrast = local_contrast(frame)
    noise = noise_level(difference, contrast)
    if noise > MIN_NOISE_LEVELS:  # or everything moves
        raw = method(frame, earlier)
        noise = min(noise, noise_level(warp_error(frame, earlier, raw), contrast))
    if noise > MAX_CODEC_NOISE_LEVELS:  # or the flow is wrong
        noise = min(noise, grain_level(frame, contrast))
    if noise > MIN_NOISE_LEVELS:
        frame, earlier, raw = smooth(frame, noise), smooth(earlier, noise), None
        difference, contrast = warp_error(frame, earlier), local_contrast(frame)
        tolerance = Tolerance.of_noise(min(noise, noise_level(difference, contrast)))
    contrasts = contrast, local_contrast(earlier)
    pair = _FramePair(frame, earlier, difference, tolerance, contrasts)
    with ThreadPoolExecutor(1, "vidstyle-flow") as thread:
        raw_back = thread.submit(method, earlier, frame)
        raw = method(frame, earlier) if raw is None else raw
        both = _with_matches(pair, method, raw, raw_back.result())
        other = thread.submit(_refined_flow, pair.swapped, both[1])
        forward = _refined_flow(pair, both[0])
    backward = other.result()
    motion = _checked_motion(pair, forward, backward.flow)
    if not reverse:
        return motion
    return replace(motion, reverse=_checked_motion(pair.swapped, backward, forward.flow))


def _with_matches(
    pair: _FramePair, method: FlowMethod, flow: Flow, reverse: Flow
) -> tuple[MatchedPixels, MatchedPixels]:
    """The flow of both directions, with matches if the method has them."""
    matched = None
    if isinstance(method, MatchedFlow):
        matched = method.matched((pair.frame, pair.earlier), (flow, reverse), pair.contrast)
    unsure = np.zeros(flow.shape[:2], bool)
    return matched or (MatchedPixels(flow, unsure), MatchedPixels(reverse, unsure))


def _checked_motion(pair: _FramePair, refined: _RefinedFlow, reverse_flow: Flow) -> Motion:
    """A flow with the occlusion mask of the forward-backward check (Sundaram et al. 2010)."""
    frame, earlier, _, tolerance, (contrast, _) = pair
    flow, matrix, camera, camera_error, sure = refined
    visible = forward_backward_check(flow, reverse_flow)
    # Flow in flat regions is arbitrary and may fail the check. A patch that is unchanged under the
    # camera motion is visible; it has the camera's flow, unless its own flow explains it as well.
    error = warp_error(frame, earlier, flow)
    unchanged = inside_image(camera) & inside_image(flow)
    unchanged &= ~sure
    unchanged &= box_filter(camera_error, PATCH_SIDE_PX) < tolerance.unchanged_below(contrast)
    keep = squared_magnitude(flow - camera) < FLOW_NOISE_PX**2
    keep &= explains_equally(error, camera_error, PATCH_SIDE_PX, tolerance.near_margin)
    flow = select(unchanged & ~visible & ~keep, camera, flow)
    visible |= unchanged
    # Flow may be consistent and wrong: then textures differ. Rain at rest is no such case.
    wrong = texture_error(frame, earlier, flow) > tolerance.texture_above(contrast)
    wrong &= ~sure & (squared_magnitude(flow) > OBJECT_MOTION_MIN_PX**2)
    visible &= cv2.morphologyEx(wrong.view(np.uint8), cv2.MORPH_OPEN, TEXTURE_WINDOW) == 0
    if visible.mean() < MIN_VISIBLE_FRACTION:
        visible[:] = False
    reliable = (visible & ~_disoccluded(visible)).astype(np.float32)
    # NumPy transposes: PyTorch would start threads of its own in this thread.
    planes = np.ascontiguousarray(flow.transpose(2, 0, 1))
    return Motion(
        torch.from_numpy(planes)[None],
        torch.from_numpy(reliable)[None, None],
        None if matrix is None else torch.from_numpy(matrix.astype(np.float32)),
    )


def _disoccluded(visible: Mask) -> Mask:
    """Regions not visible in the earlier frame, grown by the blended rim around them.

    Morphological opening drops regions thinner than the rim, such as uncertain pixels along an
    outline: stylised from scratch in each frame, such regions would flicker.
    """
    # Repeated borders: a strip that enters at the border of the frame may be thin.
    hidden = cv2.copyMakeBorder((~visible).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(hidden, cv2.MORPH_OPEN, DISOCCLUSION_WINDOW)
    grown: Mask = cv2.dilate(opened, DISOCCLUSION_WINDOW)[1:-1, 1:-1] != 0
    return grown


def _refined_flow(pair: _FramePair, matched: MatchedPixels) -> _RefinedFlow:
    """A method's flow with the camera's where that explains the frame as well."""
    frame, earlier, difference, tolerance, (contrast, _) = pair
    raw, sure = matched
    errors = difference, warp_error(frame, earlier, raw)
    matrix = camera_motion(raw, frame, *errors, tolerance.near_margin)
    camera = np.zeros_like(raw) if matrix is None else affine_flow(matrix, raw.shape)
    # Patches that match beyond doubt follow no other motion: light may change more than motion.
    sure = sure & (squared_magnitude(raw - camera) > FLOW_NOISE_PX**2)
    flow = select(sure, raw, sharpen_motion_boundaries(raw, camera, frame, earlier))
    camera_error = warp_error(frame, earlier, camera) if camera.any() else difference
    error = warp_error(frame, earlier, flow)
    distance = squared_magnitude(flow - camera)
    near = distance < FLOW_NOISE_PX**2
    # Any flow explains a flat region inside a moving object or beside it, so its surroundings or
    # its outline decide.
    regions = FlatRegions(frame)
    far_margin, background = tolerance.far_margin(contrast), ~near
    for side in (PATCH_SIDE_PX, WIDE_PATCH_SIDE_PX):
        background &= explains_equally(camera_error, error, side, far_margin)
    moves = ~explains_equally(camera_error, error, PATCH_SIDE_PX, tolerance.near_margin)
    # A distance without a better explanation, as at an edge that moves along itself, is no vote.
    votes = np.where(distance < OUTLINE_AT_REST_PX**2, -1, moves).astype(np.float32)
    background |= near & ~regions.add_moving(moves, votes, still_camera=not camera.any())
    votes = np.where(distance < OBJECT_MOTION_MIN_PX**2, -1, 1).astype(np.float32)
    small_error = box_filter(camera_error, PROPAGATION_PATCH_SIDE_PX)
    unchanged = small_error < tolerance.unchanged_below(contrast)
    background |= ~near & unchanged & regions.large_at_rest(votes)
    flow = select(background & ~sure, camera, flow)
    # The flow of an object extends beyond its outline: single pixels there take the camera's flow.
    moving = (squared_magnitude(flow - camera) > OBJECT_MOTION_MIN_PX**2).view(np.uint8)
    outline = cv2.morphologyEx(moving, cv2.MORPH_GRADIENT, OUTLINE_WINDOW) > 0
    outside = outline & ~sure & (camera_error + tolerance.outline_margin < error)
    # Single pixels that chose another flow than their neighbours would show as speckles.
    flow = median_filter(select(outside, camera, flow), MEDIAN_SIDE_PX)
    return _RefinedFlow(flow, matrix, camera, camera_error, sure)


def sharpen_motion_boundaries(flow: Flow, camera: Flow, frame: Pixels, earlier: Pixels) -> Flow:
    """Propagation of flow from neighbours, after PatchMatch (Barnes et al. 2009).

    Each pixel compares its own flow with that of four neighbours at ``PROPAGATION_DISTANCE_PX`` and
    with the camera's, and takes another one if that has a clearly smaller warp error. Motion
    boundaries then follow the outlines of objects.

    Args:
        flow, camera: from ``frame`` to ``earlier``.
        frame, earlier: (H, W, 3) uint8.
    """

    def patch_error(candidate: Flow) -> Map:
        return box_filter(warp_error(frame, earlier, candidate), PROPAGATION_PATCH_SIDE_PX)

    height, width = frame.shape[:2]
    across = min(PROPAGATION_DISTANCE_PX, width - 1)
    down = min(PROPAGATION_DISTANCE_PX, height - 1)
    padded: Flow = cv2.copyMakeBorder(flow, down, down, across, across, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    offsets = ((0, down), (2 * across, down), (across, 0), (across, 2 * down))
    best, least = flow, PROPAGATION_MAX_ERROR_RATIO * patch_error(flow)
    for candidate in (*(padded[y : y + height, x : x + width] for x, y in offsets), camera):
        error = patch_error(candidate)
        best, least = select(error < least, candidate, best), np.minimum(error, least)
    return best
