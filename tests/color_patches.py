"""An image of eight colour patches, to measure colour errors on the way to other programs."""

import numpy as np

PATCHES = (
    (0, 0, 0),
    (255, 255, 255),
    (128, 128, 128),
    (220, 20, 60),
    (30, 160, 40),
    (60, 140, 220),
    (240, 200, 40),
    (130, 60, 160),
)
"""RGB colours, 0 to 255."""


def color_patches(size):
    """Return (H, W, 3) uint8 of (width, height) px: eight columns of one colour each."""
    return np.repeat(np.array(PATCHES, np.uint8)[None], size[1], 0).repeat(size[0] // 8, 1)


def column_centers(image):
    """Return (8, 3) integers: the colour in the centre of each column."""
    height, width = image.shape[:2]
    return image[height // 2, width // 16 :: width // 8].astype(int)
