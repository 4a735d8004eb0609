"""Dense correspondence of the frames of a shot to one keyframe: composed optical flow, as in
long-range motion estimation (Crivelli et al. 2012).

The flow of neighbouring frames is composed, forward and backward from the keyframe. Errors would
add up, so each correspondence is corrected by the flow between the frame and the keyframe warped to
it. A pixel counts as long as the keyframe, warped, looks like the frame. What was hidden for a time
is found again by the composed motion of the camera.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..io.frame import Frame
from .camera import affine_flow
from .clip_motion import with_motion
from .exposure import compensate_exposure
from .fields import (
    CHANNEL_MEAN,
    Flow,
    Map,
    Pixels,
    box_filter,
    flow_input,
    inside_image,
    median_filter,
    pixel_grid,
    remap,
    squared_magnitude,
    texture_error,
    warp_error,
)
from .methods import FlowMethod
from .motion import Motion

MAX_FRAMES = 120
"""Largest number of frames between a keyframe and a frame that it is carried to."""

FADE_FRAMES = 24
"""Number of last of these frames over which the confidence falls to 0: the painting disappears
gradually."""

MAX_CORRECTION_PX = 2.0
"""Longest correction of a composed flow: more is another match, not an error that has added up."""

MIN_GAIN_LEVELS = 1.0
"""Decrease of the difference to the keyframe, in code values of 0 to 255, that a correction must
bring: in flat regions flow is arbitrary, and the painting would melt there."""

CORRECTION_FILTER_PX = 5
"""Window of the median filter of the corrections: single outliers would tear the image."""

COMPARED_PX = 9
"""Window in which a frame is compared with the warped keyframe, odd."""

TEXTURE_LEVELS = 5.0, 13.0
"""Differences of texture, in code values of 0 to 255, of a sure match and of none."""

MEAN_LEVELS = 24.0, 48.0
"""The same for the mean of the window: light changes, and exposure with it."""

LOST, FOUND = 0.5, 0.6
"""Confidence below which a pixel is looked for along the motion of the camera, and mean confidence
over a window above which it is found there."""

SUBPIXELS = 32
"""Steps per pixel in which displacements are stored: 16 bits reach as far as 1023 px."""


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Where a keyframe shows what a frame shows, in little memory.

    Args:
        displacement: (H, W, 2) int16, in px times ``SUBPIXELS``, from each pixel of the frame to
            its position in the keyframe.
        confidence: (H, W) uint8, 255 where the keyframe shows the same, 0 where it does not.
        camera: (3, 3), affine map of pixels of the frame to those of the keyframe as far as the
            camera alone moved.
    """

    displacement: NDArray[np.int16]
    confidence: NDArray[np.uint8]
    camera: NDArray[np.float64]

    @classmethod
    def of(cls, flow: Flow, confidence: Map, camera: NDArray[np.float64]) -> "Correspondence":
        """The correspondence of a flow in px and a confidence from 0 to 1."""
        levels = (255 * confidence).round().astype(np.uint8)
        limit = np.iinfo(np.int16).max
        steps = np.clip((flow * SUBPIXELS).round(), -limit, limit).astype(np.int16)
        return cls(steps, levels, camera)

    @property
    def flow(self) -> Flow:
        """The displacement in px."""
        return self.displacement.astype(np.float32) / np.float32(SUBPIXELS)

    def warped(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image in the place of the keyframe, such as its painting, warped to the frame.

        Args:
            image: (H, W, 4) RGBA of any size.

        Returns:
            Of the same size, the alpha times the confidence.
        """
        height, width = image.shape[:2]
        rows, columns = self.confidence.shape
        scale = np.array([width / columns, height / rows], np.float32)
        flow = cv2.resize(self.flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale
        x, y = cv2.split(pixel_grid(width, height) + flow)
        moved = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        confidence = cv2.resize(self.confidence, (width, height), interpolation=cv2.INTER_LINEAR)
        alpha = (moved[..., 3].astype(np.float32) * confidence / 255).round()
        return np.dstack([moved[..., :3], alpha]).astype(np.uint8)


class _EarlierFrame(NamedTuple):
    """A frame before the keyframe: its time, its pixels, and the motion from the frame before."""

    time: Fraction
    pixels: Pixels
    from_previous: Motion


def correspondences(
    frames: Iterable[Frame],
    is_keyframe: Callable[[Frame], bool],
    method: FlowMethod,
    check: Callable[[], None] = lambda: None,
) -> Mapping[Fraction, Correspondence]:
    """The correspondence of each frame near to a keyframe, by ``Frame.clip_time``.

    Frames of other shots have none.

    Args:
        frames: of a clip, in order, the keyframe among them.
        is_keyframe: True from the keyframe on.
        method: optical flow method.
        check: is called before each frame, and may raise.
    """
    found: dict[Fraction, Correspondence] = {}
    before: deque[_EarlierFrame] = deque(maxlen=MAX_FRAMES + 1)
    key: Pixels | None = None
    latest: Correspondence | None = None
    for frame, motion in with_motion(frames, method, reverse=True):
        check()
        pixels = flow_input(frame.image)
        if motion.cut or (before and before[-1].pixels.shape != pixels.shape):
            if latest is not None:
                break
            before.clear()
        if latest is None or key is None:
            before.append(_EarlierFrame(frame.clip_time, pixels, motion.reverse or Motion()))
            if is_keyframe(frame):
                key, latest = pixels, _identity(pixels)
                found |= _backward(before, key, latest, method, check)
            continue
        latest = _next(latest, motion, pixels, key, method)
        found[frame.clip_time] = _faded(latest, len(found) - len(before) + 1)
        if len(found) - len(before) == MAX_FRAMES:
            break
    return found


def _backward(
    frames: "deque[_EarlierFrame]",
    key: Pixels,
    latest: Correspondence,
    method: FlowMethod,
    check: Callable[[], None],
) -> dict[Fraction, Correspondence]:
    """The correspondences of the last of the frames, which is the keyframe, and of those before."""
    found: dict[Fraction, Correspondence] = {}
    to_next: Motion | None = None
    for number, frame in enumerate(reversed(frames)):
        check()
        if to_next is not None:
            latest = _next(latest, to_next, frame.pixels, key, method)
        found[frame.time] = _faded(latest, number)
        to_next = frame.from_previous
    return found


def _identity(pixels: Pixels) -> Correspondence:
    shape = pixels.shape[:2]
    whole = np.full(shape, 255, np.uint8)
    return Correspondence(np.zeros((*shape, 2), np.int16), whole, np.eye(3))


def _next(
    latest: Correspondence, motion: Motion, pixels: Pixels, key: Pixels, method: FlowMethod
) -> Correspondence:
    """The correspondence of a frame next to one whose correspondence is known.

    Args:
        latest: of the neighbour.
        motion: from the frame to the neighbour.
        pixels: of the frame.
        key: of the keyframe.
        method: optical flow method.
    """
    flow, confidence, camera = latest.flow, latest.confidence.astype(np.float32) / 255, np.eye(3)
    if motion.flow is not None:
        step = np.ascontiguousarray(motion.flow[0].permute(1, 2, 0).float().cpu().numpy())
        flow = step + remap(flow, step)
        confidence = remap(confidence, step)
    if motion.reliable is not None:
        confidence = confidence * motion.reliable[0, 0].float().cpu().numpy()
    if motion.camera is not None:
        camera[:2] = motion.camera.cpu().numpy()
    camera = latest.camera @ camera
    key = compensate_exposure(key, pixels)
    flow = _corrected(flow, pixels, key, method)
    confidence = confidence * _likeness(pixels, key, flow)
    flow_of_camera = affine_flow(camera[:2], pixels.shape[:2])
    found = _likeness(pixels, key, flow_of_camera)
    use = (confidence < LOST) & (box_filter(found, COMPARED_PX) > FOUND)
    flow = np.where(use[..., None], flow_of_camera, flow)
    return Correspondence.of(flow, np.where(use, found, confidence), camera)


def _likeness(pixels: Pixels, key: Pixels, flow: Flow) -> Map:
    """How much each pixel looks like the keyframe at its displaced position, from 0 to 1."""
    difference = cv2.subtract(pixels, remap(key, flow), dtype=cv2.CV_32F)
    gray = cv2.transform(difference, CHANNEL_MEAN)
    errors = (
        (texture_error(pixels, key, flow), TEXTURE_LEVELS),
        (np.abs(box_filter(gray, COMPARED_PX)), MEAN_LEVELS),  # type: ignore[arg-type]
    )
    likeness = inside_image(flow).astype(np.float32)
    for error, (sure, none) in errors:
        likeness *= np.clip((none - error) / (none - sure), 0, 1)
    return likeness


def _corrected(flow: Flow, pixels: Pixels, key: Pixels, method: FlowMethod) -> Flow:
    """The flow, corrected where the flow between the frame and the warped keyframe is short and
    makes both clearly more alike."""
    warped: Pixels = remap(key, flow)
    correction = median_filter(method(pixels, warped), CORRECTION_FILTER_PX)
    better = correction + remap(flow, correction)
    gain = cv2.transform(cv2.absdiff(pixels, warped).astype(np.float32), CHANNEL_MEAN)
    gain = box_filter(gain - warp_error(pixels, key, better), COMPARED_PX)
    use = (squared_magnitude(correction) < MAX_CORRECTION_PX**2) & (gain > MIN_GAIN_LEVELS)
    weight = box_filter(use.astype(np.float32), CORRECTION_FILTER_PX)[..., None]
    corrected: Flow = flow + weight * (better - flow)
    return corrected


def _faded(correspondence: Correspondence, distance: int) -> Correspondence:
    """The correspondence of a frame at this distance from the keyframe, in frames."""
    left = min(1.0, (MAX_FRAMES + 1 - distance) / FADE_FRAMES)
    levels = (left * correspondence.confidence.astype(np.float32)).round().astype(np.uint8)
    return replace(correspondence, confidence=levels)
