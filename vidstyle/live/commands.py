"""Commands of the control page and of scripts: parsing, validation, and names of earlier versions.

A command is a JSON object with any of these keys: ``do`` (an action), ``set`` (parameters),
``blend`` (one weight per style), ``style`` and ``preset`` (each a name, or a number from 1),
``save_preset`` and ``remove_preset`` (each a name)::

    {"do": "next", "set": {"strength": 0.5}}
    {"blend": [1, 0, 2]}
    {"style": "ink"}
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

KEYS = ("do", "set", "blend", "style", "preset", "save_preset", "remove_preset")
"""Keys of a command."""

MAX_PRESETS = 50
"""Number of presets."""

MAX_PRESET_NAME_LENGTH = 40
"""Characters of a preset's name."""

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


def check_command(
    command: Mapping[str, Any],
    actions: Collection[str],
    styles: Sequence[str],
    presets: Sequence[str] = (),
) -> None:
    """Check a command completely, so that either all of it is carried out or nothing.

    Args:
        command: with present names, see ``with_current_names``.
        actions: the valid values of ``do``.
        styles: names of the styles.
        presets: names of the presets.

    Raises:
        ValueError: what is wrong, in one line.
    """
    unknown = [name for name in command if name not in KEYS]
    if unknown or not command:
        found = f"not {format_value(unknown[0])}" if unknown else "and this one is empty"
        message = f"a command has the keys {', '.join(KEYS[:-1])} or {KEYS[-1]}, {found}"
        raise ValueError(f"{message}: send an object such as {EXAMPLE}")
    if "do" in command and not (isinstance(command["do"], str) and command["do"] in actions):
        found = format_value(command["do"])
        raise ValueError(f"{found} is not a valid action for do: use one of {', '.join(actions)}")
    if "set" in command:
        check_parameters(command["set"])
    if "blend" in command:
        check_weights(command["blend"], len(styles))
    for kind, names in (("style", styles), ("preset", presets)):
        if kind in command:
            find_choice(kind, command[kind], names)
    for key in ("save_preset", "remove_preset"):
        if key in command:
            check_preset_name(command[key])


def find_choice(kind: str, value: object, names: Sequence[str]) -> int:
    """Return the index of what a command chooses by its name, or by its number from 1.

    Args:
        kind: "style" or "preset", for messages.
        value: from the command.
        names: what there is to choose from.

    Raises:
        ValueError: there is nothing of this name or number.
    """
    if isinstance(value, str) and value in names:
        return names.index(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= len(names):
        return value - 1
    remedy = f"use a name, or a number from 1 to {len(names)}" if names else "save one first"
    raise ValueError(f"there is no {kind} {format_value(value)}: {remedy}")


def check_preset_name(name: object) -> None:
    """Check the name of a preset.

    Raises:
        ValueError: it is no text, empty, too long, or has letters that cannot be printed.
    """
    valid = isinstance(name, str) and name.strip() == name and name.isprintable()
    if not valid or not 1 <= len(str(name)) <= MAX_PRESET_NAME_LENGTH:
        rule = f"the name of a preset must be a text of 1 to {MAX_PRESET_NAME_LENGTH} letters"
        raise ValueError(f"{rule} without spaces around it, not {format_value(name)}")


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
