"""The commands a live session takes from its control page and from scripts."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

EXAMPLE = '{"do": "next"}'

LOWEST_WEIGHT, HIGHEST_WEIGHT = 1e-6, 1000.0
"""Range of a style's weight in a mixture.

A smaller weight counts as 0, so that no share of a mixture can underflow.
"""

RANGES: Mapping[str, tuple[float, float]] = {
    "strength": (0, 1),
    "style_scale": (0.1, 10),
    "temporal_weight": (0, 1000),
    "steps": (1, 100),
    "fade_seconds": (0, 60),
}
"""Lowest and highest value of each setting that may be changed while a session runs."""

WHOLE = ("steps",)
"""Settings that take whole numbers only."""

SHOWN_LETTERS = 60
"""Letters of a wrong value that an error message repeats."""


def parse_command(data: bytes) -> dict[str, Any]:
    """A command from JSON text.

    Raises:
        ValueError: it is not JSON in UTF-8, or not an object.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)  # NaN and Infinity, which JSON does not have

    try:
        given = json.loads(data.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError):
        words = f"the command is not valid JSON: send an object such as {EXAMPLE}"
        raise ValueError(words) from None
    if not isinstance(given, dict):
        raise ValueError(f"the command must be an object such as {EXAMPLE}, not {shown(given)}")
    return given


def check_command(given: Mapping[str, Any], actions: Collection[str], styles: int) -> None:
    """Check a whole command, so that either all of it is carried out or nothing.

    Args:
        given: any of ``do`` (one of ``actions``), ``turn`` (settings) and ``mix`` (one weight per
            style).
        actions: names of what can be done.
        styles: number of styles.

    Raises:
        ValueError: what is wrong, in one line.
    """
    unknown = [name for name in given if name not in ("do", "turn", "mix")]
    if unknown or not given:
        found = f"not {shown(unknown[0])}" if unknown else "and this one is empty"
        words = f"a command has the keys do, turn or mix, {found}"
        raise ValueError(f"{words}: send an object such as {EXAMPLE}")
    if "do" in given and not (isinstance(given["do"], str) and given["do"] in actions):
        raise ValueError(f"do cannot be {shown(given['do'])}: use one of {', '.join(actions)}")
    if "turn" in given:
        check_settings(given["turn"])
    if "mix" in given:
        check_weights(given["mix"], styles)


def check_settings(given: object) -> None:
    """Check changed settings, name -> value.

    Raises:
        ValueError: an unknown setting, a value of the wrong type, or one out of range.
    """
    if not isinstance(given, dict):
        raise ValueError(f'turn must be an object such as {{"strength": 0.5}}, not {shown(given)}')
    for name, value in given.items():
        if name not in RANGES:
            raise ValueError(f"there is no setting {shown(name)}: use one of {', '.join(RANGES)}")
        _check_number(name, value, RANGES[name], whole=name in WHOLE)


def check_weights(given: object, styles: int) -> list[float]:
    """The weights of a mixture as they are used: those below ``LOWEST_WEIGHT`` become 0.

    Raises:
        ValueError: not one weight per style, a weight out of range, or all 0.
    """
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
        raise ValueError(f"mix must be a list with one weight per style, not {shown(given)}")
    if len(given) != styles:
        words = f"mix has {len(given)} weights, and there are {styles} styles"
        raise ValueError(f"{words}: give one weight per style")
    for weight in given:
        _check_number("a weight in mix", weight, (0, HIGHEST_WEIGHT))
    weights = [float(weight) if weight >= LOWEST_WEIGHT else 0.0 for weight in given]
    if not any(weights):
        remedy = f"at least one must be {LOWEST_WEIGHT:f} or more"
        raise ValueError(f"all weights in mix are 0: {remedy}")
    return weights


def _check_number(name: str, value: Any, limits: tuple[float, float], whole: bool = False) -> None:
    lowest, highest = limits
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not lowest <= value <= highest:  # NaN fails every comparison
        kind = "a whole number" if whole else "a number"
        words = f"{name} must be {kind} from {lowest:g} to {highest:g}"
        raise ValueError(f"{words}, not {shown(value)}")


def shown(value: object) -> str:
    """A value from JSON as an error message repeats it: short, in JSON's notation, in ASCII."""
    if isinstance(value, int) and abs(value) >= 10**SHOWN_LETTERS:
        return f"a number of more than {SHOWN_LETTERS} digits"
    if isinstance(value, (dict, list)) and value:
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS] + "..."
