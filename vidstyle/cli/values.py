"""Types of flag values: times, rates, sizes and lists."""

import re
from argparse import ArgumentTypeError
from fractions import Fraction

from ..time_text import parse_time


def time(text: str) -> Fraction:
    """Seconds or [HH:]MM:SS, as an exact number of seconds."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def rate(text: str) -> Fraction:
    """Frames per second, above 0 and 1000 at most: 25, 29.97 or 30000/1001."""
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not 0 < found <= 1000:
        raise ArgumentTypeError(f"{text!r} is not a valid frame rate: use 25, 29.97 or 30000/1001")
    return found


def numbers(text: str) -> list[float]:
    """Numbers separated by commas."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is not a list of numbers: separate numbers with commas, such as 2,1"
        ) from None


def sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Sizes WIDTHxHEIGHT separated by commas, in px."""
    pairs = [re.fullmatch(r"(\d+)x(\d+)", size) for size in text.split(",")]
    if not all(pairs):
        raise ArgumentTypeError(f"{text!r} is not a valid size: use e.g. 320x180,640x360")
    return tuple((int(pair[1]), int(pair[2])) for pair in pairs if pair)


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def output_size(text: str) -> int | tuple[int, int]:
    """A long side in px, or WIDTHxHEIGHT."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not match:
        raise ArgumentTypeError(f"{text!r} is not a size: use a long side, or e.g. 1080x1920")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))


def frames(text: str) -> tuple[int, int]:
    """A range of frames, START-END: the numbers of its first and last frame."""
    match = re.fullmatch(r"(\d{1,15})-(\d{1,15})", text)
    if not match or int(match[2]) < int(match[1]):
        raise ArgumentTypeError(
            f"{text!r} is not a range of frames: use START-END, such as 0-99 for the first hundred"
        )
    return int(match[1]), int(match[2])


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a count: use a whole number, 0 or more")
    return int(text)


def split(text: str) -> str | int:
    """``shots``, or the maximum number of frames of a shot."""
    if text != "shots" and not (text.isdecimal() and int(text)):
        raise ArgumentTypeError(f"{text!r} is no way to split: use shots, or a number of frames")
    return text if text == "shots" else int(text)
