"""Presets of live sessions: named blends of styles with their parameters, kept in a JSON file.

The file is read again before each change and replaced atomically, so that sessions can share it::

    {"presets": [{"name": "intro", "styles": {"ink": 1.0}, "settings": {"strength": 0.5}}]}
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..io.files import write_file
from .commands import (
    MAX_PRESETS,
    PARAMETERS,
    check_parameters,
    check_preset_name,
    check_weights,
    find_choice,
)
from .controls import Controls

Entry = dict[str, Any]
"""One preset as in the file: ``name``, ``styles`` (name -> weight) and ``settings``."""


class Presets:
    """The presets of a session, in the order in which they were first saved.

    ``names``, ``names_to_be``, ``announce`` and ``state`` are thread-safe; the other methods run on
    the thread of ``Controls``.

    Args:
        controls: what presets are saved from and applied to.
        path: the file; None: presets are forgotten at the end of the session.
    """

    def __init__(self, controls: Controls, path: Path | None = None) -> None:
        self._controls, self._path = controls, path
        self._entries: list[Entry] = []
        self._announced: list[str] = []

    @property
    def names(self) -> list[str]:
        """Names of the presets."""
        return [entry["name"] for entry in self._entries]

    @property
    def names_to_be(self) -> list[str]:
        """Names of the presets, and of those that are announced."""
        return list(dict.fromkeys([*self.names, *self._announced]))

    def announce(self, name: str) -> None:
        """Take note that ``save`` of this name follows: a command after it may apply the preset."""
        self._announced.append(name)

    def load(self) -> None:
        """Read the file, if there is one.

        Raises:
            InputError: it cannot be read, or its contents are not presets.
        """
        if self._path is None:
            return
        try:
            self._entries = _parse(self._path.read_bytes())
        except FileNotFoundError:
            self._entries = []
        except OSError as error:
            remedy = "check its permissions"
            raise InputError(f"{self._path} cannot be read ({error.strerror}): {remedy}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            remedy = "rename or delete it to save new ones"
            raise InputError(f"{self._path} does not contain presets: {remedy}") from None

    def save(self, name: str) -> None:
        """Save the present styles and parameters, in place of a preset of the same name.

        Raises:
            ValueError: there are ``MAX_PRESETS`` already.
            VidstyleError: the file cannot be read or written.
        """
        if name in self._announced:
            self._announced.remove(name)
        self.load()
        entry = {"name": name, **_values(self._controls.state())}
        number = self.names.index(name) if name in self.names else len(self._entries)
        if number == MAX_PRESETS:
            message = f"{name} was not saved: there are {MAX_PRESETS} presets already"
            raise ValueError(f"{message}: remove one first")
        self._write([*self._entries[:number], entry, *self._entries[number + 1 :]])

    def remove(self, name: str) -> None:
        """Remove a preset; a name without one is ignored.

        Raises:
            VidstyleError: the file cannot be read or written.
        """
        self.load()
        self._write([entry for entry in self._entries if entry["name"] != name])

    def apply(self, chosen: str | int) -> None:
        """Crossfade to the styles of a preset, and set its parameters; or change nothing.

        Args:
            chosen: name of the preset, or its number from 1.

        Raises:
            ValueError: the preset, or one of its styles, is missing.
        """
        entry = self._entries[find_choice("preset", chosen, self.names)]
        names = self._controls.names
        missing = [style for style in entry["styles"] if style not in names]
        if missing:
            message = f"the preset {entry['name']} needs the style {missing[0]}"
            raise ValueError(f"{message}: add its image to this session, then try again")
        self._controls.set(**entry["settings"])
        self._controls.blend([entry["styles"].get(name, 0.0) for name in names])

    def state(self, state: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the name of each preset, and whether it is what a state of the controls shows."""
        values = _values(state)
        return [
            {"name": entry["name"], "active": values.items() <= entry.items()}
            for entry in self._entries
        ]

    def _write(self, entries: list[Entry]) -> None:
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_file(self._path, json.dumps({"presets": entries}, indent=1))
            except OSError as error:
                message = f"presets cannot be written to {self._path} ({error.strerror})"
                raise OutputError(f"{message}: free some space, or check permissions") from None
        self._entries = entries


def _values(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the controls' state that a preset keeps.

    Flags may have set values that a command may not.
    """
    styles = {each["name"]: each["weight"] for each in state["styles"] if each["weight"]}
    limits = PARAMETERS.items()
    settings = {name: min(max(state["settings"][name], low), high) for name, (low, high) in limits}
    return {"styles": styles, "settings": settings}


def _parse(data: bytes) -> list[Entry]:
    """Return the presets of a file.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, RecursionError: it is not such a file.
    """
    entries = [
        {key: entry[key] for key in ("name", "styles", "settings")}
        for entry in json.loads(data)["presets"]
    ]
    for entry in entries:
        check_preset_name(entry["name"])
        check_parameters(entry["settings"])
        check_weights(list(entry["styles"].values()), len(entry["styles"]))
    return entries[:MAX_PRESETS]
