"""Contact strips: content, stylised frames and flicker maps of one clip side by side."""

from typing import Any

import cv2
import numpy as np
from torch import Tensor, uint8

from ..flow.motion import Motion
from ..io.frame import Image, fit
from ..ops.tensors import to_image
from . import temporal_metrics
from .runs import StylizedRun

CELL_PX = 320
"""Long side of each image of a strip."""

FULL_SCALE_RMS = 0.25
"""Root mean square difference, of values in [0, 1], that has the brightest color."""


def contact_strip(content: Tensor, motion: Motion, own: StylizedRun, naive: StylizedRun) -> Image:
    """(H, W, 3) uint8: the last frame's content, naive and own result, naive and own flicker map.

    Args:
        content: of the last frame, (1, 3, H, W).
        motion: of the last frame from the one before.
        own, naive: runs that end with that frame.
    """
    images: list[Any] = [to_image(image) for image in (content, naive.images[-1], own.images[-1])]
    for run in (naive, own):
        error = temporal_metrics.flicker_map(run.images[-1], run.images[-2], motion)
        # The square root makes errors of a tenth of the naive baseline's visible.
        level = (error.sqrt() / FULL_SCALE_RMS).clamp(0, 1).mul(255).to(uint8).numpy()
        images.append(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1])
    height, width = images[0].shape[:2]
    cells = [cv2.resize(image, fit((width, height), CELL_PX)) for image in images]
    return np.hstack(cells).astype(np.uint8)
