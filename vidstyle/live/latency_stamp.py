"""Latency measurement: the time drawn into an image as a binary bar code, and read back."""

import time

import numpy as np

from ..io.frame import Image

STAMP_BITS = 32
"""Number of black or white cells in the bar code, least significant bit first."""

TICK_SECONDS = 1e-4
"""Resolution of the stamp, in seconds."""

PERIOD_SECONDS = TICK_SECONDS * (1 << STAMP_BITS)
"""Seconds after which the stamp wraps around to 0."""

MIN_STAMP_PX = 8
"""Least height of the bar code, in px; it is a twentieth of the image's height otherwise."""


def draw_stamp(image: Image, now: float | None = None) -> Image:
    """Return a copy of the image with a time stamp in its uppermost rows.

    Args:
        image: (H, W, 3 or 4) RGB, at least ``STAMP_BITS`` px wide; 64 px or more survive JPEG.
        now: seconds of ``time.time``; None: the present time.
    """
    ticks = round((time.time() if now is None else now) / TICK_SECONDS) % (1 << STAMP_BITS)
    bits = np.array([ticks >> bit & 1 for bit in range(STAMP_BITS)], image.dtype)
    levels = bits * np.iinfo(image.dtype).max
    cell_width = image.shape[1] // STAMP_BITS
    stamped = image.copy()
    height = _stamp_height(image)
    stamped[:height, : cell_width * STAMP_BITS, :3] = np.repeat(levels, cell_width)[None, :, None]
    return stamped


def read_stamp(image: Image) -> float | None:
    """Read the time stamp of an image.

    Returns:
        Seconds modulo ``PERIOD_SECONDS``; None if the image has no stamp.
    """
    cell_width = image.shape[1] // STAMP_BITS
    if cell_width == 0:
        return None
    columns = slice(cell_width // 2, cell_width * STAMP_BITS, cell_width)
    levels = image[_stamp_height(image) // 2, columns, :3].astype(float).mean(-1)
    levels /= np.iinfo(image.dtype).max
    if ((levels > 0.25) & (levels < 0.75)).any() or np.ptp(levels) < 0.5:
        return None
    return sum(int(level > 0.5) << bit for bit, level in enumerate(levels)) * TICK_SECONDS


def stamp_age(stamp: float, now: float | None = None) -> float:
    """Return the seconds that have passed since a stamp, between -1/2 and 1/2 of the period.

    Args:
        stamp: as ``read_stamp`` returns it.
        now: seconds of ``time.time``; None: the present time.
    """
    elapsed = ((time.time() if now is None else now) - stamp) % PERIOD_SECONDS
    return elapsed if elapsed < PERIOD_SECONDS / 2 else elapsed - PERIOD_SECONDS


def _stamp_height(image: Image) -> int:
    return max(MIN_STAMP_PX, int(image.shape[0]) // 20)
