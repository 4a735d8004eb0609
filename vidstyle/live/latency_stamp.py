"""The present moment drawn into a picture, as a row of black and white fields, and read back: what delays are measured by."""

import time

import numpy as np

from ..io.frame import Image

FIELDS = 32
TICK_SECONDS = 1e-4
PERIOD_SECONDS = TICK_SECONDS * (1 << FIELDS)


def with_clock(image: Image, now: float | None = None) -> Image:
    """A copy with a moment (seconds of ``time.time``; default: this one) in its uppermost rows. At least 64 px wide."""
    ticks = round((time.time() if now is None else now) / TICK_SECONDS) % (1 << FIELDS)
    bits = (
        np.array([ticks >> number & 1 for number in range(FIELDS)], image.dtype)
        * np.iinfo(image.dtype).max
    )
    width, height = image.shape[1] // FIELDS, max(8, image.shape[0] // 20)
    image = image.copy()
    image[:height, : width * FIELDS, :3] = np.repeat(bits, width)[None, :, None]
    return image


def clock_of(image: Image) -> float | None:
    """The moment drawn into a picture, in seconds of a clock that begins anew every ``PERIOD_SECONDS``; None: there is none."""
    width = image.shape[1] // FIELDS
    if width == 0:
        return None
    levels = (
        image[max(8, image.shape[0] // 20) // 2, width // 2 : width * FIELDS : width, :3]
        .astype(float)
        .mean(-1)
    )
    levels /= np.iinfo(image.dtype).max
    if ((levels > 0.25) & (levels < 0.75)).any() or np.ptp(levels) < 0.5:
        return None
    return sum(int(level > 0.5) << number for number, level in enumerate(levels)) * TICK_SECONDS


def age(clock: float, now: float | None = None) -> float:
    """Seconds since a moment that ``clock_of`` has read."""
    elapsed = ((time.time() if now is None else now) - clock) % PERIOD_SECONDS
    return elapsed if elapsed < PERIOD_SECONDS / 2 else elapsed - PERIOD_SECONDS
