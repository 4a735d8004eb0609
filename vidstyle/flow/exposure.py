"""Exposure compensation: two frames of a camera that changes its exposure, at one brightness."""

import cv2
import numpy as np

from .fields import Pixels

THUMBNAIL_SIZE = 32, 32
"""(width, height) in px at which frames are compared: texture and small motion average out."""

MIN_LEVEL = 8
"""Code values below this say nothing about a ratio."""

MAX_GAIN = 2.0
"""Largest change of brightness between two frames that is taken for one of exposure."""

UNEXPLAINED_FRACTION = 0.7
"""A gain must leave less than this fraction of the difference of the frames: a third to a half in
exposure changes, nearly all of it in pans, whose median ratio explains nothing."""


def compensate_exposure(frame: Pixels, reference: Pixels) -> Pixels:
    """A frame at the brightness of another one, if one gain explains how they differ.

    The gain is the median ratio of both frames, so that moving objects do not count. Without it a
    camera that adapts to the light leaves no wall where it was: optical flow looks for the old
    brightness elsewhere.

    Args:
        frame, reference: (H, W, 3) uint8 of one size.

    Returns:
        (H, W, 3) uint8; the frame itself if no gain explains the difference.
    """
    old, new = (
        cv2.resize(image.astype(np.float32), THUMBNAIL_SIZE, interpolation=cv2.INTER_AREA)
        for image in (frame, reference)
    )
    lit = (old > MIN_LEVEL) & (new > MIN_LEVEL)
    if not lit.any():
        return frame
    gain = float(np.median(new[lit] / old[lit]))
    if not 1 / MAX_GAIN < gain < MAX_GAIN:
        return frame
    left, whole = (float(np.median(np.abs(new - factor * old))) for factor in (gain, 1.0))
    if left >= UNEXPLAINED_FRACTION * whole:
        return frame
    compensated: Pixels = np.rint(np.clip(gain * frame, 0, 255)).astype(np.uint8)
    return compensated
