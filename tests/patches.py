"""Eight patches of colour, to see what becomes of colours on their way into other programs."""

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


def patches(size):
    """(H, W, 3) uint8 of (width, height) px: eight columns of one colour each."""
    return np.repeat(np.array(PATCHES, np.uint8)[None], size[1], 0).repeat(size[0] // 8, 1)


def middles(image):
    """(8, 3), as integers: the colour in the middle of each column."""
    height, width = image.shape[:2]
    return image[height // 2, width // 16 :: width // 8].astype(int)
