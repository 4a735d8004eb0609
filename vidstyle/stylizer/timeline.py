"""Timeline: styles and settings that change with the time of the clip, between keyframes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from ..flow.motion import Motion
from ..io.frame import Frame
from ..ops.tensors import regions_of
from ..settings import Settings
from .keyframe import STYLE, Keyframe, check_order
from .regions import REGION_SETTINGS, Region, check_content_weights
from .style import Style
from .tracks import SettingTrack, StyleTrack


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
        of_frame, *of_regions = own
        self._names = sorted({"temporal_weight", *_settings_of(of_frame)})
        self._style = StyleTrack(of_frame, style)
        self._settings = {
            name: SettingTrack(name, of_frame, getattr(settings, name))
            for name in {*self._names, *REGION_SETTINGS}
        }
        self._region_styles = [
            StyleTrack(own, region.style, self._style)
            for own, region in zip(of_regions, regions, strict=True)
        ]
        self._region_settings = [
            {
                name: SettingTrack(name, own, region.settings.get(name), self._settings[name])
                for name in sorted(_settings_of(own))
            }
            for own, region in zip(of_regions, regions, strict=True)
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
        settings: dict[str, Any] = {name: self._settings[name].at(time) for name in self._names}
        fading = self._style.fading(time)
        if fading:
            settings["temporal_weight"] = 0.0
        regions = tuple(self._region(number, time) for number in range(len(self._regions)))
        return Look(self._style.at(time), settings, fading, regions)

    def with_cuts(self, pairs: Iterable[tuple[Frame, Motion]]) -> Iterator[tuple[Frame, Motion]]:
        """Frames with their motion; where a style or style scale changes between two frames, with
        no frame in its fade, the second one is a cut, or ``Motion.restyled`` in a region."""
        spans = [
            (keyframe.time, keyframe.time + keyframe.fade, _region_number(keyframe, self._regions))
            for keyframe in self._keyframes
            if keyframe.changes(STYLE) or keyframe.changes("style_scale")
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
        """A region at a time; what follows the frame is left out."""
        region, style = self._regions[number], self._region_styles[number]
        tracks = self._region_settings[number]
        settings = {name: value for name, value in region.settings.items() if name not in tracks}
        settings |= {
            name: float(track.at(time)) for name, track in tracks.items() if not track.follows(time)
        }
        return replace(
            region,
            style=None if style.follows(time) else style.at(time),
            settings=settings,
            fading=style.fading(time) and not self._style.fading(time),
        )


def _settings_of(keyframes: Iterable[Keyframe]) -> set[str]:
    """Names of the settings that keyframes change."""
    return {name for each in keyframes for name in (*each.settings, *each.follows)} - {STYLE}


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
