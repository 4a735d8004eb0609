"""Times as users write them."""

import re
from fractions import Fraction


def parse_time(text: object) -> Fraction:
    """A number of seconds, as text, number or fraction, or [HH:]MM:SS, exact.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(text, Fraction) and text >= 0:
        return text
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", str(text))
    if not match:
        raise ValueError(f"{text!r} is not a valid time: use seconds, or [HH:]MM:SS")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)
