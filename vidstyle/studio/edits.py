"""What a render changes over time and within the frame: keyframes, regions, and a mask."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from ..face_choices import KEEP, check_faces
from ..io.mask_file import PEOPLE, MaskFile
from ..keyframes import FRAME, KeyframeEntry
from ..regions import RegionEntry
from ..settings import Settings
from ..stylizer.keyframe import EASINGS, STYLE

MAX_SECONDS = 1e7
"""Times in a clip are below, in seconds: a hundred days."""

MAX_KEYFRAMES, MAX_REGIONS = 200, 8
"""Largest numbers of keyframes and of regions: each region takes memory for every pixel."""

NAMES_OF_PEOPLE = {name: name for name in PEOPLE}
"""Id -> name, and path, of the masks that are no files."""

KEYFRAME_SETTINGS = "strength", "style_scale", "content_weight", "temporal"
"""Settings that a keyframe may change, in the order of its flags."""


@dataclass(frozen=True)
class KeyframeEdit:
    """A change from a time on: ``--at TIME style=... strength=... fade=...``.

    Args:
        time: in seconds from the start of the clip.
        style: id of the new style, or ``FRAME`` where a region gets that of the frame again; None:
            it stays.
        strength, style_scale, content_weight, temporal: new values of settings; None: they stay.
        fade: duration of the change in seconds.
        easing: the curve of the fade, one of ``EASINGS``.
        region: id of the mask of the only region that changes, or a name of ``PEOPLE``; None: the
            frame.
    """

    time: float
    style: str | None = None
    strength: float | None = None
    fade: float = 0.0
    style_scale: float | None = None
    content_weight: float | None = None
    temporal: float | None = None
    easing: str = EASINGS[0]
    region: str | None = None

    def check(self) -> None:
        """Raise ValueError for a value of the wrong kind or range."""
        _check_number("the time of a keyframe", self.time, MAX_SECONDS)
        _check_number("the fade of a keyframe", self.fade, MAX_SECONDS)
        _check_look("keyframe", self.style, self.settings)
        if self.easing not in EASINGS:
            given = f"{self.easing!r:.60}"
            raise ValueError(
                f"the easing of a keyframe is {given}: use one of {', '.join(EASINGS)}"
            )
        if self.region is not None:
            _check_id("the region of a keyframe", self.region)
            if self.temporal is not None:
                raise ValueError("temporal is of the whole frame: leave it out for a region")
        elif self._follows:
            raise ValueError(f"the style {FRAME!r} is for keyframes of a region: name its mask")

    @property
    def _follows(self) -> tuple[str, ...]:
        return (STYLE,) if self.style == FRAME else ()

    @property
    def new_style(self) -> str | None:
        """The id of the new style; None: there is none."""
        return None if self._follows else self.style

    @property
    def settings(self) -> dict[str, float]:
        """Name and value of each setting that changes."""
        given = {name: getattr(self, name) for name in KEYFRAME_SETTINGS}
        return {name: value for name, value in given.items() if value is not None}

    def words(self, names: Mapping[str, str], number: str | None = None) -> list[str]:
        """The words after ``--at``.

        Args:
            names: the name of each id.
            number: of the region, from 1; None: the frame.
        """
        found = [seconds_text(self.time), *([] if number is None else [f"region={number}"])]
        style = FRAME if self._follows else self.style and names[self.style]
        found += [] if style is None else [f"style={style}"]
        changes = self.settings.items()
        found += [f"{name.replace('_', '-')}={value:g}" for name, value in changes]
        found += [f"fade={seconds_text(self.fade)}"] if self.fade else []
        return found + ([f"easing={self.easing}"] if self.easing != EASINGS[0] else [])

    def entry(self, paths: Mapping[str, str], number: str | None = None) -> KeyframeEntry:
        """The same for the renderer; ``paths`` has the path of each id."""
        styles = () if self.new_style is None else (Path(paths[self.new_style]),)
        settings = {name: float(value) for name, value in self.settings.items()}
        times = Fraction(seconds_text(self.time)), Fraction(seconds_text(self.fade))
        return KeyframeEntry(
            times[0], styles, None, settings, times[1], self.easing, number, self._follows
        )


@dataclass(frozen=True)
class RegionEdit:
    """A part of the frame with a look of its own: ``--region MASK=STYLE,strength=...``.

    Args:
        mask: id of its mask, or a name of ``PEOPLE``.
        style: id of its style; None: that of the rest.
        strength: of the style there; None: that of the rest.
    """

    mask: str
    style: str | None = None
    strength: float | None = None

    def check(self) -> None:
        """Raise ValueError for a value of the wrong kind or range."""
        _check_id("the mask of a region", self.mask)
        _check_look("region", self.style, self.settings)

    @property
    def settings(self) -> dict[str, float]:
        """Name and value of each setting that differs."""
        return {} if self.strength is None else {"strength": self.strength}

    def text(self, names: Mapping[str, str]) -> str:
        """What follows ``--region``; ``names`` has the name of each id."""
        style = "" if self.style is None else names[self.style]
        strength = "" if self.strength is None else f",strength={self.strength:g}"
        return f"{names[self.mask]}={style}{strength}"

    def entry(self, paths: Mapping[str, str]) -> RegionEntry:
        """The same for the renderer; ``paths`` has the path of each id."""
        settings = {name: float(value) for name, value in self.settings.items()}
        style = None if self.style is None else Path(paths[self.style])
        return RegionEntry(MaskFile(paths[self.mask]), style, settings)


@dataclass(frozen=True)
class Edits:
    """The keyframes, regions and mask of a render, and whether it keeps faces.

    Args:
        keyframes: in the order of their times.
        regions: parts of the frame with looks of their own.
        mask: id, or name of ``PEOPLE``, of the mask outside of which the clip stays as it is; None:
            there is none.
        faces: one of ``FACES_CHOICES``.
    """

    keyframes: tuple[KeyframeEdit, ...] = ()
    regions: tuple[RegionEdit, ...] = ()
    mask: str | None = None
    faces: str = KEEP

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Edits":
        """The edits of a JSON object, which may have more keys.

        Raises:
            ValueError: a value of the wrong kind or range, two keyframes of the frame or of a
                region at one time, or a keyframe of a region that there is not.
        """
        keyframes = _items(KeyframeEdit, body.get("keyframes"), "keyframes", MAX_KEYFRAMES)
        regions = _items(RegionEdit, body.get("regions"), "regions", MAX_REGIONS)
        if len({(seconds_text(each.time), each.region) for each in keyframes}) < len(keyframes):
            raise ValueError("two keyframes have the same time: give each its own")
        masks = [None, *(each.mask for each in regions)]
        if any(each.region not in masks for each in keyframes):
            raise ValueError("a keyframe changes a region that is not used: give the region a use")
        mask = body.get("mask")
        if mask is not None:
            _check_id("mask", mask)
        check_faces(faces := body.get("faces", KEEP), None)
        in_order = tuple(sorted(keyframes, key=lambda each: each.time))
        return cls(in_order, tuple(regions), mask, faces)

    @property
    def styles(self) -> set[str]:
        """The ids of the styles."""
        given = *(each.new_style for each in self.keyframes), *(each.style for each in self.regions)
        return {style for style in given if style is not None}

    @property
    def _all_masks(self) -> set[str]:
        masks = {each.mask for each in self.regions}
        return masks if self.mask is None else masks | {self.mask}

    @property
    def masks(self) -> set[str]:
        """The ids of the masks, without those of people, which are no files."""
        return self._all_masks - set(PEOPLE)

    @property
    def finds_people(self) -> bool:
        """Whether a model is to find people."""
        return not self._all_masks.isdisjoint(PEOPLE)

    def flags(self, names: Mapping[str, str]) -> list[str]:
        """The flags of ``vidstyle render``; ``names`` has the name of each id."""
        found = [] if self.mask is None else ["--mask", names[self.mask]]
        found += [] if self.faces == KEEP else ["--faces", self.faces]
        for region in self.regions:
            found += ["--region", region.text(names)]
        for keyframe in self.keyframes:
            found += ["--at", *keyframe.words(names, self._number(keyframe))]
        return found

    def keyframe_entries(self, paths: Mapping[str, str]) -> tuple[KeyframeEntry, ...]:
        """The keyframes for the renderer; ``paths`` has the path of each id."""
        return tuple(each.entry(paths, self._number(each)) for each in self.keyframes)

    def _number(self, keyframe: KeyframeEdit) -> str | None:
        """The number of the region that a keyframe changes, from 1; None: the frame."""
        if keyframe.region is None:
            return None
        return str(1 + [each.mask for each in self.regions].index(keyframe.region))

    def public(self) -> dict[str, Any]:
        """As JSON can hold it; ``of`` reads it."""
        return {
            "keyframes": [asdict(each) for each in self.keyframes],
            "regions": [asdict(each) for each in self.regions],
            "mask": self.mask,
            "faces": self.faces,
        }


Edit = TypeVar("Edit", KeyframeEdit, RegionEdit)


def seconds_text(seconds: float) -> str:
    """A time as the command line takes it, to a millisecond: ``1.5``."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _items(kind: type[Edit], given: object, what: str, limit: int) -> list[Edit]:
    """The edits of a list of JSON objects. ValueError for anything else."""
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise ValueError(f"{what} must be a list of objects")
    if len(given) > limit:
        raise ValueError(f"there are {len(given)} {what}: use at most {limit}")
    known: Iterable[str] = [field.name for field in fields(kind)]
    found = []
    for each in given:
        if unknown := [name for name in each if name not in known]:
            raise ValueError(f"{what} have no {unknown[0]!r:.60}: use {', '.join(known)}")
        try:
            made = kind(**each)
        except TypeError:
            raise ValueError(f"one of the {what} lacks its {next(iter(known))}") from None
        made.check()
        found.append(made)
    return found


def _check_number(what: str, value: object, limit: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= limit:  # type: ignore[operator]  # NaN fails this
        raise ValueError(f"{what} is {value!r:.60}: use a number from 0 to {limit:g}")


def _check_id(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{what} is {value!r:.60}: use an id of /api/state")


def _check_look(what: str, style: object, settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a style or settings of a wrong kind or range, or where both are left
    out."""
    if style is not None:
        _check_id(f"the style of a {what}", style)
    try:
        replace(Settings(), **settings)
    except (ValueError, TypeError) as error:
        raise ValueError(f"of a {what}, {error!s:.200}") from None
    if style is None and not settings:
        raise ValueError(f"a {what} changes nothing: give it a style or a strength")
