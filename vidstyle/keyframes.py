"""Keyframes as users write them: words of the command line, or a timeline in TOML."""

import difflib
import reprlib
import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from .errors import InputError
from .features.extractor import Features
from .io.files import check_readable, in_home
from .settings import Settings
from .styles import find_style
from .stylizer.keyframe import REGION_NAMES, TIMED_SETTINGS, Keyframe, Value
from .stylizer.regions import REGION_SETTINGS, Region
from .stylizer.style import Style
from .stylizer.timeline import Timeline
from .time_text import parse_time

TABLE = "keyframe"
"""Name of the tables of a timeline file."""

TIME = "time"
LISTS = "style", "style_weights"
"""Keys with commas between several values on the command line."""

FRAME = "frame"
"""As a value of a region's keyframe: the region follows the frame in it again."""

KEYS = (TIME, "region", "style", "style_weights", *TIMED_SETTINGS, "fade", "easing")


@dataclass(frozen=True)
class KeyframeEntry:
    """A ``Keyframe`` with its style as names, which every process can read.

    Args:
        time: in seconds from the start of the clip.
        styles: files of style images; empty: the style stays.
        style_weights: of each of them; None: all equal.
        settings: name and value of each setting that changes.
        fade: duration of the change in seconds.
        easing: one of ``EASINGS``.
        region: name or number of the only region that changes; None: the frame.
        follows: in what the region follows the frame again, see ``Keyframe``.
    """

    time: Fraction
    styles: tuple[Path, ...] = ()
    style_weights: tuple[float, ...] | None = None
    settings: Mapping[str, Value] = field(default_factory=dict)
    fade: Fraction = Fraction(0)
    easing: str = "linear"
    region: str | None = None
    follows: tuple[str, ...] = ()

    def recipe(self) -> dict[str, Any]:
        """The keyframe with file names alone, as JSON can hold it."""
        styles = [path.name for path in self.styles]
        times = {"time": float(self.time), "fade": float(self.fade), "easing": self.easing}
        where = {} if self.region is None else {"region": self.region}
        look = {"styles": styles, "style_weights": self.style_weights}
        return {**times, **where, **look, **self.settings, **dict.fromkeys(self.follows, FRAME)}

    def loaded(self, features: Features) -> Keyframe:
        """The keyframe with its style, for a stylizer of these features.

        Raises:
            InputError: a style image cannot be read.
            ValueError: not one weight for each style; see ``Keyframe`` too.
        """
        style = None
        if self.styles:
            style = Style.from_images(self.styles, features, self.style_weights)
        return self.with_style(style)

    def with_style(self, style: Style | None) -> Keyframe:
        """The keyframe with this style.

        Raises:
            ValueError: see ``Keyframe``.
        """
        return Keyframe(
            self.time, style, self.settings, self.fade, self.easing, self.region, self.follows
        )


def make_timeline(
    entries: Sequence[KeyframeEntry],
    style: Style,
    settings: Settings,
    regions: Sequence[Region] = (),
) -> Timeline | None:
    """The timeline of entries; None where there are none.

    Args:
        entries: in the order of their times, those of each region apart.
        style: before the first of them.
        settings: before the first of them.
        regions: before the first of them.

    Raises:
        InputError, ValueError: see ``KeyframeEntry.loaded`` and ``Timeline``.
    """
    if not entries:
        return None
    keyframes = [entry.loaded(style.features) for entry in entries]
    return Timeline(keyframes, style, settings, regions)


def read_timeline(path: str | Path) -> tuple[KeyframeEntry, ...]:
    """The keyframes of a TOML file. Styles are named as for a render, relative to the file.

    Example of a file::

        [[keyframe]]
        time = "0:10"
        style = "night.jpg"
        strength = 0.8
        fade = 2

        [[keyframe]]
        time = "0:15"
        region = "person"
        strength = 0

        [[keyframe]]
        time = "0:20"
        region = "person"
        strength = "frame"  # that of the frame again

    Raises:
        InputError: the file cannot be read, is no TOML, or has unknown keys or values.
    """
    path = check_readable(path)
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig"))  # Windows begins text with a mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a TOML file ({error}): correct it", "timeline") from None
    try:
        for name in tables:
            check_key("timeline", name, [TABLE])
        keyframes = tables.get(TABLE, [])
        if not isinstance(keyframes, list) or not all(isinstance(x, dict) for x in keyframes):
            raise ValueError(f"{TABLE} is {keyframes!r}: write [[{TABLE}]] above each")
        if not keyframes:
            raise ValueError(f"it has no keyframe: write [[{TABLE}]] above each")
        return tuple(make_entry(table, path.parent) for table in keyframes)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {error}", "timeline") from None


def choose_keyframes(
    given: Iterable[Sequence[str]] | None, timeline: str | Path | None
) -> tuple[KeyframeEntry, ...]:
    """The keyframes of the command line, or of a timeline file.

    Args:
        given: the words of each keyframe; None: none.
        timeline: path of the file; None: there is none.

    Raises:
        InputError, ValueError: see ``read_timeline`` and ``parse_keyframe``; or both are given.
    """
    if given and timeline:
        raise ValueError("--at cannot be used with --timeline: write all keyframes into the file")
    return read_timeline(timeline) if timeline else tuple(map(parse_keyframe, given or ()))


def parse_keyframe(words: Sequence[str]) -> KeyframeEntry:
    """The keyframe of words such as ``0:10 style=b.jpg strength=.6 fade=2``.

    Raises:
        ValueError: a word is not a known NAME=VALUE.
        InputError: a style does not exist.
    """
    table: dict[str, Any] = {TIME: words[0]}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        name = name.replace("-", "_")
        if not equals or not value:
            raise ValueError(
                f"{word!r} is not NAME=VALUE: write --at TIME strength=0.5 fade=2, and names of "
                "inputs and styles before --at"
            )
        check_key("keyframe", name, KEYS[1:], table)
        table[name] = [*map(in_home, value.split(","))] if name in LISTS else value
    try:
        return make_entry(table)
    except ValueError as error:  # the flag --strength is another value
        raise ValueError(f"--at {' '.join(words)}: {error}") from None


def make_entry(table: Mapping[str, Any], folder: Path = Path()) -> KeyframeEntry:
    """The keyframe of a table of ``KEYS``; numbers may be strings.

    Args:
        table: key -> value.
        folder: that names of styles are relative to.

    Raises:
        TypeError: it is no dict.
        ValueError: an unknown key, or a value of the wrong kind.
        InputError: a style does not exist.
    """
    check_table("keyframe", table, KEYS)
    table, follows = _without_follows(table)
    if TIME not in table:
        raise ValueError(f"a keyframe has no {TIME}: write {TIME} = 10, in seconds")
    names, weights = table.get("style", []), table.get("style_weights")
    names = [names] if isinstance(names, (str, Path)) else names
    if not isinstance(names, (list, tuple)) or not all(
        isinstance(x, (str, Path)) and str(x) for x in names
    ):
        given = reprlib.repr(names)  # an image would be many lines
        raise ValueError(f"style is {given}: use the name of a style, or a list of names")
    if weights is not None and (
        not isinstance(weights, (list, tuple)) or len(weights) != len(names)
    ):
        raise ValueError(
            f"style_weights is {weights!r} for {len(names)} styles: give one number for each style"
        )
    settings: dict[str, Any] = {
        name: _value(name, table[name]) for name in TIMED_SETTINGS if name in table
    }
    entry = KeyframeEntry(
        parse_time(table[TIME]),
        tuple(_find(name, folder) for name in names),
        None if weights is None else tuple(to_number("style_weights", each) for each in weights),
        settings,
        parse_time(table.get("fade", 0)),
        str(table.get("easing", "linear")),
        _region(table.get("region")),
        follows,
    )
    # Checks the values.
    entry.with_style(None)
    replace(Settings(), **settings)
    if not entry.styles and not settings and not follows:
        known = TIMED_SETTINGS if entry.region is None else REGION_SETTINGS
        raise ValueError(
            f"the keyframe at {float(entry.time):g} s changes nothing: give it a style or one of "
            f"{', '.join(known)}"
        )
    return entry


def _without_follows(table: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The table of a keyframe without the values ``FRAME``, and the names that had them."""
    if table.get("region") is None:
        return dict(table), ()
    follows = tuple(name for name in REGION_NAMES if _is_frame(table.get(name)))
    return {name: value for name, value in table.items() if name not in follows}, follows


def _is_frame(given: object) -> bool:
    if isinstance(given, list) and len(given) == 1:  # as the command line has styles
        given = given[0]
    return isinstance(given, str) and given == FRAME


def _region(given: object) -> str | None:
    """The region of a keyframe; a number may be an integer."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (str, int)) or given == "":
        raise ValueError(f"region is {given!r}: use the name or the number of a region")
    return str(given)


def _find(name: str | Path, folder: Path) -> Path:
    inside = folder / name
    return inside if inside.is_file() else find_style(name)


def _value(name: str, given: object) -> Value:
    if name != "original_colors":
        return to_number(name, given)
    if str(given).lower() not in ("true", "false"):
        raise ValueError(f"{name} is {given!r}: use true or false")
    return str(given).lower() == "true"


def to_number(name: str, given: object) -> float:
    """A number or its text as a float; ValueError for anything else."""
    try:
        if isinstance(given, bool):
            raise ValueError
        return float(str(given))
    except ValueError:
        raise ValueError(f"{name} is {given!r}: use a number") from None


def check_table(what: str, table: object, known: Iterable[str]) -> None:
    """Raise TypeError for what is no dict, and ValueError for a key that it cannot have."""
    if not isinstance(table, Mapping):
        raise TypeError(f"{what}s must be a list of dicts, not of {type(table).__name__}")
    for name in table:
        check_key(what, str(name), known)


def check_key(
    what: str, name: str, known: Iterable[str], given: Container[str] = frozenset()
) -> None:
    """Raise ValueError for a key that something does not have, with the nearest known one, or that
    it was given before."""
    known = list(known)
    if name in given:
        raise ValueError(f"a {what} has {name} twice: give one value")
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"use one of {', '.join(known)}"
        raise ValueError(f"a {what} has no {name!r}: {hint}")
