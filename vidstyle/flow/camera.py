"""Motion of the camera: the affine motion of the static background."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .fields import PATCH_SIDE_PX, Flow, Map, Pixels, explains_equally, pixel_grid

STILL_CAMERA_MIN_FRACTION = 0.5
"""The camera is still if this fraction of the frame is explained equally well without motion."""

CAMERA_MIN_INLIER_FRACTION = 0.3
"""Inliers, as a fraction of the corners, that a camera motion needs."""

CAMERA_MIN_SPREAD = 0.2
"""Bounding box of the corners, as a fraction of the frame, that a camera motion needs: all corners
of a smaller one may be those of an object on flat ground."""

MAX_CORNERS = 400
"""Corners from which the camera motion is estimated."""

CORNER_QUALITY_LEVEL = 0.005
"""Weakest corner as a fraction of the strongest (``cv2.goodFeaturesToTrack``)."""

MIN_CORNERS = 10
"""Fewer corners give no reliable camera motion."""

RANSAC_THRESHOLD_PX = 0.5
"""Largest reprojection error of an inlier: flow is exact to a tenth of a px at corners."""

DRIFT_MIN_PX = 0.04
"""Slowest pan, per frame, that is told from a still camera."""

DRIFT_TOLERANCE_PX = 0.1
"""Corners agree on a slow pan if their flow differs by less than this from the median."""

DRIFT_MAX_TOLERANCE_PX, DRIFT_SPREADS = 0.4, 3
"""The same in noise: this many times the median deviation, up to this limit."""

DRIFT_ERRORS = 5
"""A slow pan is this many times as fast as the uncertainty of the median."""

DRIFT_MIN_FRACTION = 0.9
"""Fraction of the corners that must agree on a slow pan."""

CameraMatrix = NDArray[np.float64]
"""(2, 3), an affine map."""


def camera_motion(
    flow: Flow, frame: Pixels, unwarped_error: Map, error: Map, near_margin_levels: float
) -> CameraMatrix | None:
    """Camera motion: rotation, zoom and shift from the flow at corners (Shi & Tomasi 1994).

    RANSAC (Fischler & Bolles 1981) fits them.

    Args:
        flow: from ``frame`` to the earlier frame.
        frame: (H, W, 3) uint8.
        unwarped_error, error: warp errors without motion, and with ``flow``.
        near_margin_levels: see ``Tolerance``.

    Returns:
        The affine map of the static background, see ``Motion``; None for a still camera, and if no
        motion is found.
    """
    height, width = frame.shape[:2]
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    spacing = max(3, max(height, width) / 40)
    corners = cv2.goodFeaturesToTrack(gray, MAX_CORNERS, CORNER_QUALITY_LEVEL, spacing)
    if corners is None or len(corners) < MIN_CORNERS:
        return None
    corners = corners[:, 0].astype(np.float64)
    if np.prod(np.ptp(corners, 0)) < CAMERA_MIN_SPREAD * height * width:
        return None
    x, y = corners.round().astype(int).T
    displacements = flow[y, x]
    unmoved = explains_equally(unwarped_error, error, PATCH_SIDE_PX, near_margin_levels)
    if unmoved.mean() > STILL_CAMERA_MIN_FRACTION and not _drifts(displacements):
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(
        corners,
        corners + displacements,
        method=cv2.RANSAC,
        ransacReprojThreshold=RANSAC_THRESHOLD_PX,
    )
    if matrix is None or inliers.mean() < CAMERA_MIN_INLIER_FRACTION:
        return None
    return matrix.astype(np.float64)


def affine_flow(matrix: CameraMatrix, shape: tuple[int, ...]) -> Flow:
    """Flow of an affine map, for a frame of (H, W, ...)."""
    grid = pixel_grid(shape[1], shape[0])
    return (cv2.transform(grid, matrix) - grid).astype(np.float32)


def _drifts(displacements: Flow) -> bool:
    """Whether all corners, (N, 2) px, move alike: a pan too slow for single patches to show."""
    median = np.median(displacements, 0)
    distances = np.hypot(*(displacements - median).T)
    spread = float(np.median(distances))
    tolerance = max(DRIFT_TOLERANCE_PX, min(DRIFT_MAX_TOLERANCE_PX, DRIFT_SPREADS * spread))
    least = max(DRIFT_MIN_PX, DRIFT_ERRORS * spread / len(distances) ** 0.5)
    agree = (distances < tolerance).mean()
    return bool(np.hypot(*median) > least and agree > DRIFT_MIN_FRACTION)
