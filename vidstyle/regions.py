"""Regions as users write them: a mask with a style and settings of its own."""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .features.extractor import Features
from .io.files import in_home
from .io.mask_file import MaskFile
from .keyframes import check_key, check_table, to_number
from .settings import Settings
from .styles import find_style
from .stylizer.regions import REGION_SETTINGS, Region, check_content_weights
from .stylizer.style import Style

KEYS = ("mask", "invert", "name", "style", *REGION_SETTINGS)


@dataclass(frozen=True)
class RegionEntry:
    """A ``Region`` with its mask, and its style as a name, which every process can read.

    Args:
        mask: where the region is.
        style: file of its style image; None: the style of the rest of the frame.
        settings: name and value of each of ``REGION_SETTINGS`` that differs.
        name: by which keyframes name it; empty: the mask's, without folder and ending.
    """

    mask: MaskFile
    style: Path | None = None
    settings: Mapping[str, float] = field(default_factory=dict)
    name: str = ""

    @property
    def called(self) -> str:
        """By what keyframes name it."""
        return self.name or Path(self.mask.path).stem

    def recipe(self) -> dict[str, Any]:
        """The region with file names alone, as JSON can hold it."""
        style = None if self.style is None else self.style.name
        mask = {"mask": Path(self.mask.path).name, "invert": self.mask.invert}
        name = {"name": self.name} if self.name else {}
        return {**mask, **name, "style": style, **self.settings}

    def loaded(self, features: Features) -> Region:
        """The region with its style, for a stylizer of these features.

        Raises:
            InputError: the style image cannot be read.
        """
        style = None if self.style is None else Style.from_images([self.style], features)
        return Region(style, self.settings, self.called)

    def absolute(self) -> "RegionEntry":
        """The same region with its mask by its absolute path, for other processes."""
        return replace(self, mask=self.mask.absolute())


def load_regions(
    entries: Sequence[RegionEntry], features: Features, content_weight: float = 1.0
) -> tuple[Region, ...]:
    """The regions of entries, for a stylizer of these features and content weight.

    Raises:
        InputError: a style image cannot be read.
        ValueError: a region has a content weight, and the frame's is 0.
    """
    regions = tuple(entry.loaded(features) for entry in entries)
    check_content_weights(regions, content_weight)
    return regions


def parse_regions(texts: Iterable[str] | None, timed: bool = False) -> tuple[RegionEntry, ...]:
    """The regions of texts such as ``person.mp4=ink,strength=0.8,style-scale=2``.

    Args:
        texts: of each region.
        timed: keyframes change regions: one may have nothing of its own before.

    Raises:
        ValueError: a text of another form, or a value of the wrong kind or range.
        InputError: a style does not exist.
    """
    return tuple(_parse_region(text, timed) for text in texts or ())


def _parse_region(text: str, timed: bool) -> RegionEntry:
    mask, equals, rest = text.partition("=")
    style, *others = rest.split(",")
    if not equals or not mask or not (rest or timed):
        raise ValueError(
            f"{text!r} is not MASK=STYLE: write --region person.mp4=ink or "
            "--region person.mp4=ink,strength=0.8"
        )
    table: dict[str, Any] = {"mask": mask, "style": in_home(style) or None}
    for word in others:
        name, equals, value = word.partition("=")
        name = name.replace("-", "_")
        check_key("region", name, ("name", *REGION_SETTINGS), table)
        table[name] = value
    try:
        return make_region(table, timed)
    except ValueError as error:  # the flag --strength is another value
        raise ValueError(f"--region {text}: {error}") from None


def make_region(table: Mapping[str, Any], timed: bool = False) -> RegionEntry:
    """The region of a table of ``KEYS``; numbers may be strings.

    Args:
        table: ``mask`` (a file, or ``alpha``), ``invert`` (True: where the mask is black),
            ``name`` (for keyframes), ``style`` (a file or the name of a bundled style), and
            ``REGION_SETTINGS``.
        timed: see ``parse_regions``.

    Raises:
        TypeError: it is no dict.
        ValueError: an unknown key, or a value of the wrong kind or range.
        InputError: the style does not exist.
    """
    settings = region_settings(table, timed)
    mask, style = table.get("mask"), table.get("style")
    if not isinstance(mask, (str, Path)):
        given = reprlib.repr(mask)  # an image would be many lines
        raise ValueError(
            f"the mask of a region is {given}: name an image or a clip that is white in it"
        )
    if not isinstance(style, (str, Path, type(None))):
        raise ValueError(f"the style of a region is {reprlib.repr(style)}: use one path or name")
    return RegionEntry(
        MaskFile(mask, table.get("invert", False)),
        None if style is None else find_style(style),
        settings,
        table.get("name", ""),
    )


def region_settings(table: Mapping[str, Any], timed: bool = False) -> dict[str, float]:
    """The values of ``REGION_SETTINGS`` in a table of ``KEYS``; numbers may be strings.

    Args:
        table: of the region.
        timed: see ``parse_regions``.

    Raises:
        TypeError: it is no dict.
        ValueError: an unknown key, a value of the wrong kind or range, or neither a style nor a
            setting.
    """
    check_table("region", table, KEYS)
    settings: dict[str, Any] = {
        name: to_number(name, table[name]) for name in REGION_SETTINGS if name in table
    }
    replace(Settings(), **settings)
    if not isinstance(table.get("invert", False), bool):
        raise ValueError(f"invert is {table['invert']!r}: use True or False")
    if not isinstance(name := table.get("name", "region"), str) or not name:
        raise ValueError(f"the name of a region is {name!r}: use a word")
    if table.get("style") is None and not settings and not timed:
        raise ValueError("a region has neither a style nor a setting of its own: give it one")
    return settings
