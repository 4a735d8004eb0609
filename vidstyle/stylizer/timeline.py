"""Timeline: styles and settings that change with the time of the clip, between keyframes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from ..features.extractor import Features
from ..flow.motion import Motion
from ..io.frame import Frame
from ..ops.tensors import regions_of
from ..settings import Settings
from .regions import REGION_SETTINGS, Region, check_content_weights
from .style import Style

TIMED_SETTINGS = (
    "content_weight",
    "style_weight",
    "patch_weight",
    "orientation_weight",
    "tv_weight",
    "temporal_weight",
    "temporal",
    "style_scale",
    "strength",
    "original_colors",
)
"""Settings that may change within a clip."""

EASINGS = ("linear", "smooth")
"""Curves of a fade. ``smooth``: 3 t^2 - 2 t^3, which starts and ends slowly."""

FADE_LEVELS = 16
"""Blends of two styles, and style scales, within a fade. Statistics are computed once for each, and
the optimiser smooths the differences between them."""

Value = float | bool

Share = TypeVar("Share", Fraction, float)


def smooth(share: Share) -> Share:
    """The share of a fade that is done, from 0 to 1, on the curve of that name in ``EASINGS``."""
    return share * share * (3 - 2 * share)


@dataclass(frozen=True)
class Keyframe:
    """A change of the style, of settings, or of both, of the frame or of one of its regions.

    Args:
        time: at which the change begins, in seconds from the start of the clip's file.
        style: from then on; None: it stays.
        settings: values of some of ``TIMED_SETTINGS``, or of a region's; the others stay.
        fade: duration of the change in seconds; 0: at once. A new style or style scale, of the
            frame or of its region, then starts from a cold start, as a new shot does.
        easing: one of ``EASINGS``.
        region: name of the only region that changes, or its number from 1; None: the frame, except
            for what its regions have of their own.

    Raises:
        ValueError: a negative time or fade, an unknown easing, or a setting that cannot change.
    """

    time: Fraction
    style: Style | None = None
    settings: Mapping[str, Value] = field(default_factory=dict)
    fade: Fraction = Fraction(0)
    easing: str = "linear"
    region: str | None = None

    def __post_init__(self) -> None:
        if self.time < 0 or self.fade < 0:
            raise ValueError(
                f"a keyframe has the time {float(self.time):g} s and the fade {float(self.fade):g} "
                "s: neither can be negative"
            )
        if self.easing not in EASINGS:
            raise ValueError(f"easing is {self.easing!r}: use one of {', '.join(EASINGS)}")
        known: tuple[str, ...] = TIMED_SETTINGS
        where = "within a clip"
        if self.region is not None:
            known, where = ("style", *REGION_SETTINGS), "for a region alone"
        for name in self.settings:
            if name not in known:
                raise ValueError(f"{name} cannot change {where}: use one of {', '.join(known)}")

    def with_features(self, features: Features) -> "Keyframe":
        """The same keyframe, its style analysed by other features."""
        return replace(self, style=self.style and self.style.with_features(features))

    def progress(self, time: Fraction) -> Fraction:
        """How much of the change is done at a time at or after the keyframe's, from 0 to 1."""
        if time >= self.time + self.fade:
            return Fraction(1)
        share = (time - self.time) / self.fade
        return smooth(share) if self.easing == "smooth" else share


class Look(NamedTuple):
    """Style and settings at one moment.

    Attributes:
        style: of the frames.
        settings: those that any keyframe of the timeline changes, and the weight of temporal
            consistency, 0 in a fade: consistency with frames of another style would slow it down.
        fading: the style of the frame is changing.
        regions: of the timeline, with their styles and settings at that moment.
    """

    style: Style
    settings: Mapping[str, Any]
    fading: bool
    regions: tuple[Region, ...]


class Timeline:
    """Styles and settings over time. A ``Stylizer`` with a timeline takes them from it.

    They depend on the time of a frame alone: a part of a clip is stylised as within the whole.

    Args:
        keyframes: in the order of their times, those of each region apart.
        style: before the first keyframe.
        settings: before the first keyframe, and those that no keyframe changes.
        regions: of the frames, before the first keyframe.

    Raises:
        ValueError: two keyframes out of order or of one time, a region that there is not, or
            settings that exclude each other.
    """

    def __init__(
        self,
        keyframes: Sequence[Keyframe],
        style: Style,
        settings: Settings,
        regions: Sequence[Region] = (),
    ) -> None:
        self._keyframes, self._base, self._regions = tuple(keyframes), settings, tuple(regions)
        numbers = [_region_number(keyframe, regions) for keyframe in keyframes]
        own = [
            [each for each, of in zip(keyframes, numbers, strict=True) if of == number]
            for number in (None, *range(len(regions)))
        ]
        for each in own:
            check_order([keyframe.time for keyframe in each])
        self._of_frame, *self._of_regions = own
        names = {name for keyframe in self._of_frame for name in keyframe.settings}
        self._names = sorted({*names, "temporal_weight"})
        self._styles = _StyleTrack(self._of_frame, style)
        self._region_styles = [
            _StyleTrack(keyframes, region.style or self._styles)
            for keyframes, region in zip(self._of_regions, regions, strict=True)
        ]
        for keyframe in keyframes:
            self._check(self.look(keyframe.time + keyframe.fade))

    def _check(self, look: Look) -> None:
        """Raise ValueError for settings that exclude each other."""
        changed = replace(self._base, **look.settings)
        check_content_weights(look.regions, changed.content_weight)
        for region in look.regions:
            region.changed(changed)

    @property
    def keyframes(self) -> tuple[Keyframe, ...]:
        """The keyframes, in order."""
        return self._keyframes

    def look(self, time: Fraction) -> Look:
        """Styles and settings at a time, in seconds from the start of the clip's file."""
        past = [keyframe for keyframe in self._of_frame if keyframe.time <= time]
        settings: dict[str, Any] = {
            name: setting_at(name, getattr(self._base, name), past, time) for name in self._names
        }
        fading = self._styles.fading(time)
        if fading:
            settings["temporal_weight"] = 0.0
        regions = tuple(self._region(number, time) for number in range(len(self._regions)))
        return Look(self._styles.at(time), settings, fading, regions)

    def with_cuts(self, pairs: Iterable[tuple[Frame, Motion]]) -> Iterator[tuple[Frame, Motion]]:
        """Frames with their motion; where a style or style scale changes between two frames, with
        no frame in its fade, the second one is a cut, or ``Motion.restyled`` in a region."""
        spans = [
            (keyframe.time, keyframe.time + keyframe.fade, _region_number(keyframe, self._regions))
            for keyframe in self._keyframes
            if keyframe.style or "style_scale" in keyframe.settings
        ]
        before: Fraction | None = None
        for frame, motion in pairs:
            now = frame.clip_time
            changed = {
                number
                for start, end, number in spans
                if before is not None and before < start and end <= now
            }
            before = now
            if None in changed:
                yield frame, Motion(cut=True)
            elif changed and not motion.cut:
                masks = regions_of(frame)
                if masks is None:
                    raise ValueError("the frame has no masks for its regions: give one each")
                restyled = masks[:, [number for number in changed if number is not None]]
                yield frame, replace(motion, restyled=restyled.sum(1, keepdim=True).clamp(max=1))
            else:
                yield frame, motion

    def _region(self, number: int, time: Fraction) -> Region:
        """A region at a time. What no keyframe of it changed yet follows the rest of the frame,
        unless the region has it of its own."""
        region, track = self._regions[number], self._region_styles[number]
        past = [keyframe for keyframe in self._of_regions[number] if keyframe.time <= time]
        settings = dict(region.settings)
        for name in sorted({name for keyframe in past for name in keyframe.settings}):
            first = next(keyframe.time for keyframe in past if name in keyframe.settings)
            before = region.settings.get(name, self._setting_until(name, first))
            settings[name] = setting_at(name, before, past, time)
        style = track.at(time) if track.changed(time) else region.style
        fading = track.fading(time) and not self._styles.fading(time)
        return replace(region, style=style, settings=settings, fading=fading)

    def _setting_until(self, name: str, time: Fraction) -> Any:
        """A setting of the frame at a time, without the keyframe of that time."""
        past = [keyframe for keyframe in self._of_frame if keyframe.time < time]
        return setting_at(name, getattr(self._base, name), past, time)


class _StyleTrack:
    """The style of the frame, or of a region, over time.

    Args:
        keyframes: of it, in order; those without a style have no part in it.
        before: its style before them; that of a region without one follows the track of the frame.
    """

    def __init__(self, keyframes: Iterable[Keyframe], before: "Style | _StyleTrack") -> None:
        self._changes = [(each, each.style) for each in keyframes if each.style is not None]
        self._before = before
        self._blends: dict[tuple[int, int], Style] = {}

    def changed(self, time: Fraction) -> bool:
        """Whether a change has begun by a time."""
        return self._count(time) > 0

    def fading(self, time: Fraction) -> bool:
        """Whether the style is changing at a time."""
        count = self._count(time)
        if not count:
            return False
        last, _ = self._changes[count - 1]
        return time < last.time + last.fade

    def at(self, time: Fraction) -> Style:
        """The style at a time."""
        return self._after(self._count(time), time)

    def until(self, time: Fraction) -> Style:
        """The style at a time, without the keyframe of that time."""
        return self._after(sum(keyframe.time < time for keyframe, _ in self._changes), time)

    def _count(self, time: Fraction) -> int:
        """The number of changes that have begun."""
        return sum(keyframe.time <= time for keyframe, _ in self._changes)

    def _after(self, count: int, time: Fraction) -> Style:
        """The style at a time after this number of keyframes."""
        if not count:
            return self._before if isinstance(self._before, Style) else self._before.until(time)
        last, target = self._changes[count - 1]
        level = round(last.progress(time) * FADE_LEVELS)
        if level == FADE_LEVELS:
            return target
        if (count, level) not in self._blends:
            styles = [self._after(count - 1, last.time), target]
            blend = Style.blend(styles, [FADE_LEVELS - level, level]) if level else styles[0]
            self._blends[count, level] = blend
        return self._blends[count, level]


def _region_number(keyframe: Keyframe, regions: Sequence[Region]) -> int | None:
    """The index of the region that a keyframe changes; None: it changes the frame.

    Raises:
        ValueError: there is no such region, or more than one.
    """
    if keyframe.region is None:
        return None
    wanted, when = keyframe.region, f"the keyframe at {float(keyframe.time):g} s"
    if not regions:
        raise ValueError(
            f"{when} changes the region {wanted!r}, and there are no regions: add this region, or "
            "leave the keyframe out"
        )
    found = [n for n, region in enumerate(regions) if wanted in (region.name, str(n + 1))]
    if not found:
        names = ", ".join(region.name or str(n) for n, region in enumerate(regions, 1))
        raise ValueError(f"{when} changes the region {wanted!r}, which is unknown: use {names}")
    if len(found) > 1:
        raise ValueError(
            f"{when} changes the region {wanted!r}, which more than one is called: give each its "
            "own name"
        )
    return found[0]


def check_order(times: Sequence[Fraction]) -> None:
    """Raise ValueError unless each keyframe comes after the one before it."""
    for before, after in pairwise(times):
        if after <= before:
            raise ValueError(
                f"the keyframe at {float(after):g} s comes after that at {float(before):g} s: "
                "give each its own time, in order"
            )


def setting_at(name: str, before: Value, past: Sequence[Keyframe], time: Fraction) -> Value:
    """The value of a setting at a time.

    Args:
        name: of the setting.
        before: its value before the first keyframe.
        past: the keyframes at or before the time.
        time: in seconds.
    """
    given = [keyframe for keyframe in past if name in keyframe.settings]
    if not given:
        return before
    last = given[-1]
    target = last.settings[name]
    share = float(last.progress(time))
    if share == 1 or isinstance(target, bool):
        return target
    start = setting_at(name, before, given[:-1], last.time)
    if name == "style_scale":  # a size: equal steps are equal factors
        return float(start * (target / start) ** (round(share * FADE_LEVELS) / FADE_LEVELS))
    return start + (target - start) * share
