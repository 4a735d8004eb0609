"""The mask that an image shows: its alpha, or its luma where it is opaque."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .frame import Image, to_8_bits

CODEC_NOISE = 4
"""Levels of 255 by which black and white of a compressed clip may differ from 0 and 255: they are
set to these, so that nothing outside the mask changes."""

Mask = NDArray[np.uint8]
"""(H, W): 255 where the frame is stylised, 0 where it is not."""


def has_transparency(image: Image) -> bool:
    """Whether the alpha of an image is its mask: programs save masks with alpha that is opaque
    everywhere, apart from the noise of a codec, which is none."""
    return image.shape[2] == 4 and bool((to_8_bits(image)[..., 3] < 255 - CODEC_NOISE).any())


def mask_levels(image: Image, uses_alpha: bool) -> Mask:
    """The mask of an image, (H, W) uint8: its alpha, or its luma.

    Args:
        image: (H, W, 3 or 4).
        uses_alpha: see ``has_transparency``; of a clip, of the frame or one before it.
    """
    image = to_8_bits(image)
    mask: NDArray[Any]
    mask = image[..., 3] if uses_alpha else cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY)
    mask = np.where(mask <= CODEC_NOISE, 0, np.where(mask >= 255 - CODEC_NOISE, 255, mask))
    return mask.astype(np.uint8)
