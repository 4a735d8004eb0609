"""Commands of the control page and of scripts: parsing, validation, and names of earlier versions.

A command is a JSON object with any of three keys: ``do`` (an action), ``set`` (parameters) and
``blend`` (one weight per style)::

    {"do": "next", "set": {"strength": 0.5}}
    {"blend": [1, 0, 2]}
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

log = logging.getLogger(__name__)

EXAMPLE = '{"do": "next"}'

MIN_WEIGHT, MAX_WEIGHT = 1e-6, 1000.0
"""Range of a style's blend weight.

A smaller weight counts as 0, so that no normalised weight can underflow.
"""

PARAMETERS: Mapping[str, tuple[float, float]] = {
    "strength": (0.0, 1.0),
    "style_scale": (0.1, 10.0),
    "temporal_weight": (0.0, 1000.0),
    "steps": (1, 100),
    "crossfade_seconds": (0.0, 60.0),
}
"""Lowest and highest value of each parameter that can be set while a session runs."""

INTEGER_PARAMETERS = ("steps",)

MAX_VALUE_LENGTH = 60
"""Characters of a wrong value that an error message repeats."""

OLD_KEYS = {"turn": "set", "mix": "blend"}
OLD_ACTIONS = {"beside": "side_by_side", "clock": "latency_stamp"}
OLD_PARAMETERS = {"fade_seconds": "crossfade_seconds"}
"""Names of version 0.1 -> present names. They work until the next version."""

_warned: set[str] = set()


def warn_old_name(old: str, new: str) -> None:
    """Log that a name of an earlier version was used, once per name and process."""
    if old not in _warned:
        _warned.add(old)
        log.warning("%s is an old name, which the next version will not know: use %s", old, new)


def parse_command(data: bytes) -> dict[str, Any]:
    """Parse a command from JSON.

    Raises:
        ValueError: the data is not JSON in UTF-8, or not an object.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)  # NaN and Infinity, which JSON does not have

    try:
        command = json.loads(data.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError):
        message = f"the command is not valid JSON: send an object such as {EXAMPLE}"
        raise ValueError(message) from None
    if not isinstance(command, dict):
        found = format_value(command)
        raise ValueError(f"the command must be an object such as {EXAMPLE}, not {found}")
    return command


def with_current_names(command: Mapping[str, Any]) -> dict[str, Any]:
    """Return the command with names of earlier versions replaced by the present ones.

    Raises:
        ValueError: an old name and its present name are both in the command.
    """
    current = _renamed(command, OLD_KEYS)
    if isinstance(current.get("set"), Mapping):
        current["set"] = _renamed(current["set"], OLD_PARAMETERS)
    action = current.get("do")
    if isinstance(action, str) and action in OLD_ACTIONS:
        warn_old_name(action, OLD_ACTIONS[action])
        current["do"] = OLD_ACTIONS[action]
    return current


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    for old, new in names.items():
        if old in values and new in values:
            raise ValueError(f"{old} is the old name of {new}: send only {new}")
        if old in values:
            warn_old_name(old, new)
    return {names.get(name, name): value for name, value in values.items()}


def check_command(command: Mapping[str, Any], actions: Collection[str], style_count: int) -> None:
    """Check a command completely, so that either all of it is carried out or nothing.

    Args:
        command: with present names, see ``with_current_names``.
        actions: the valid values of ``do``.
        style_count: number of styles.

    Raises:
        ValueError: what is wrong, in one line.
    """
    unknown = [name for name in command if name not in ("do", "set", "blend")]
    if unknown or not command:
        found = f"not {format_value(unknown[0])}" if unknown else "and this one is empty"
        message = f"a command has the keys do, set or blend, {found}"
        raise ValueError(f"{message}: send an object such as {EXAMPLE}")
    if "do" in command and not (isinstance(command["do"], str) and command["do"] in actions):
        found = format_value(command["do"])
        raise ValueError(f"{found} is not a valid action for do: use one of {', '.join(actions)}")
    if "set" in command:
        check_parameters(command["set"])
    if "blend" in command:
        check_weights(command["blend"], style_count)


def check_parameters(parameters: object) -> None:
    """Check new values of parameters, name -> value.

    Raises:
        ValueError: an unknown parameter, a value of the wrong type, or a value out of range.
    """
    if not isinstance(parameters, dict):
        found = format_value(parameters)
        raise ValueError(f'set must be an object such as {{"strength": 0.5}}, not {found}')
    for name, value in parameters.items():
        if name not in PARAMETERS:
            known = ", ".join(PARAMETERS)
            raise ValueError(f"{format_value(name)} is not a parameter: use one of {known}")
        _check_number(name, value, PARAMETERS[name], integer=name in INTEGER_PARAMETERS)


def check_weights(weights: object, style_count: int) -> list[float]:
    """Check blend weights and return them; weights below ``MIN_WEIGHT`` become 0.

    Raises:
        ValueError: not one weight per style, a weight out of range, or all weights are 0.
    """
    if not isinstance(weights, Sequence) or isinstance(weights, (str, bytes)):
        found = format_value(weights)
        raise ValueError(f"blend must be a list with one weight per style, not {found}")
    if len(weights) != style_count:
        message = f"blend has {len(weights)} weights, and there are {style_count} styles"
        raise ValueError(f"{message}: give one weight per style")
    for weight in weights:
        _check_number("a weight in blend", weight, (0, MAX_WEIGHT))
    checked = [float(weight) if weight >= MIN_WEIGHT else 0.0 for weight in weights]
    if not any(checked):
        remedy = f"at least one must be {MIN_WEIGHT:f} or more"
        raise ValueError(f"all weights in blend are 0: {remedy}")
    return checked


def _check_number(
    name: str, value: Any, limits: tuple[float, float], integer: bool = False
) -> None:
    lowest, highest = limits
    number = isinstance(value, int if integer else (int, float)) and not isinstance(value, bool)
    if not number or not lowest <= value <= highest:  # NaN fails every comparison
        kind = "an integer" if integer else "a number"
        message = f"{name} must be {kind} from {lowest:g} to {highest:g}"
        raise ValueError(f"{message}, not {format_value(value)}")


def format_value(value: object) -> str:
    """Format a value from JSON for an error message: short, in JSON notation, in ASCII."""
    if isinstance(value, int) and abs(value) >= 10**MAX_VALUE_LENGTH:
        return f"a number of more than {MAX_VALUE_LENGTH} digits"
    if isinstance(value, (dict, list)) and value:
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= MAX_VALUE_LENGTH else text[:MAX_VALUE_LENGTH] + "..."
