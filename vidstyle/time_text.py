"""Times as users write them, and numbers of things as they read them."""

import math
import re
from fractions import Fraction

MAX_DENOMINATOR = 1_000_000
"""Limit of the denominators of times that are floats: those of all frame rates are below it."""


def exact_fraction(value: object) -> Fraction:
    """A number, or its text, as an exact fraction: 0.1 is 1/10.

    ``2 / 30`` is 1/15 too, though its decimal form is a little more: that would be the next frame.

    Raises:
        ValueError: it is no finite number.
    """
    if isinstance(value, float) and math.isfinite(value):
        return Fraction(value).limit_denominator(MAX_DENOMINATOR)
    return Fraction(str(value))


def parse_time(text: object) -> Fraction:
    """A number of seconds, as text, number or fraction, or [HH:]MM:SS, exact.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(text, (float, Fraction)) and 0 <= text < math.inf:
        return exact_fraction(text)
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", str(text))
    if not match:
        raise ValueError(f"{text!r} is not a valid time: use seconds, or [HH:]MM:SS")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def count_text(count: int, noun: str) -> str:
    """A number of things: "1 frame", "24 frames"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
