"""Timeline: styles and settings that change with the time of the clip, between keyframes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from ..features.extractor import Features
from ..flow.motion import Motion
from ..io.frame import Frame
from ..settings import Settings
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


@dataclass(frozen=True)
class Keyframe:
    """A change of the style, of settings, or of both.

    Args:
        time: at which the change begins, in seconds from the start of the clip's file.
        style: from then on; None: it stays.
        settings: values of some of ``TIMED_SETTINGS``; the others stay.
        fade: duration of the change in seconds; 0: at once. A new style or style scale then starts
            from a cold start, as a new shot does.
        easing: one of ``EASINGS``.

    Raises:
        ValueError: a negative time or fade, an unknown easing, or a setting that cannot change.
    """

    time: Fraction
    style: Style | None = None
    settings: Mapping[str, Value] = field(default_factory=dict)
    fade: Fraction = Fraction(0)
    easing: str = "linear"

    def __post_init__(self) -> None:
        if self.time < 0 or self.fade < 0:
            raise ValueError(
                f"a keyframe has the time {float(self.time):g} s and the fade {float(self.fade):g} "
                "s: neither can be negative"
            )
        if self.easing not in EASINGS:
            raise ValueError(f"easing is {self.easing!r}: use one of {', '.join(EASINGS)}")
        for name in self.settings:
            if name not in TIMED_SETTINGS:
                raise ValueError(
                    f"{name} cannot change within a clip: use one of {', '.join(TIMED_SETTINGS)}"
                )

    def with_features(self, features: Features) -> "Keyframe":
        """The same keyframe, its style analysed by other features."""
        return replace(self, style=self.style and self.style.with_features(features))

    def progress(self, time: Fraction) -> Fraction:
        """How much of the change is done at a time at or after the keyframe's, from 0 to 1."""
        if time >= self.time + self.fade:
            return Fraction(1)
        share = (time - self.time) / self.fade
        return share * share * (3 - 2 * share) if self.easing == "smooth" else share


class Look(NamedTuple):
    """Style and settings at one moment.

    Attributes:
        style: of the frames.
        settings: those that any keyframe of the timeline changes, and the weight of temporal
            consistency, 0 in a fade: consistency with frames of another style would slow it down.
        fading: the style is changing.
    """

    style: Style
    settings: Mapping[str, Any]
    fading: bool


class Timeline:
    """Styles and settings over time. A ``Stylizer`` with a timeline takes them from it.

    They depend on the time of a frame alone: a part of a clip is stylised as within the whole.

    Args:
        keyframes: in the order of their times.
        style: before the first keyframe.
        settings: before the first keyframe, and those that no keyframe changes.

    Raises:
        ValueError: two keyframes out of order or of one time, or settings that exclude each other.
    """

    def __init__(self, keyframes: Sequence[Keyframe], style: Style, settings: Settings) -> None:
        check_order([keyframe.time for keyframe in keyframes])
        self._keyframes = tuple(keyframes)
        self._style = style
        names = {name for keyframe in keyframes for name in keyframe.settings}
        names.add("temporal_weight")
        self._settings = {name: getattr(settings, name) for name in sorted(names)}
        self._blends: dict[tuple[int, int], Style] = {}
        for keyframe in keyframes:
            replace(settings, **self.look(keyframe.time + keyframe.fade).settings)  # checks them

    @property
    def keyframes(self) -> tuple[Keyframe, ...]:
        """The keyframes, in order."""
        return self._keyframes

    def look(self, time: Fraction) -> Look:
        """Style and settings at a time, in seconds from the start of the clip's file."""
        past = [keyframe for keyframe in self._keyframes if keyframe.time <= time]
        settings: dict[str, Any] = {
            name: setting_at(name, before, past, time) for name, before in self._settings.items()
        }
        styled = [keyframe for keyframe in past if keyframe.style is not None]
        fading = bool(styled) and time < styled[-1].time + styled[-1].fade
        if fading:
            settings["temporal_weight"] = 0.0
        return Look(self._style_at(time, past), settings, fading)

    def with_cuts(self, pairs: Iterable[tuple[Frame, Motion]]) -> Iterator[tuple[Frame, Motion]]:
        """Frames with their motion; where a style or style scale changes between two frames, with
        no frame in its fade, the second one is a cut."""
        spans = [
            (keyframe.time, keyframe.time + keyframe.fade)
            for keyframe in self._keyframes
            if keyframe.style or "style_scale" in keyframe.settings
        ]
        before: Fraction | None = None
        for frame, motion in pairs:
            now = frame.clip_time
            begins = before is not None and any(
                before < start and end <= now for start, end in spans
            )
            yield frame, Motion(cut=True) if begins else motion
            before = now

    def _style_at(self, time: Fraction, keyframes: Sequence[Keyframe]) -> Style:
        """The style at a time after the given first keyframes of the timeline."""
        number = len(keyframes) - 1
        while number >= 0 and keyframes[number].style is None:
            number -= 1
        if number < 0:
            return self._style
        last = keyframes[number]
        level = round(last.progress(time) * FADE_LEVELS)
        if level == FADE_LEVELS:
            return last.style or self._style
        if (number, level) not in self._blends:
            styles = [self._style_at(last.time, keyframes[:number]), last.style or self._style]
            blend = Style.blend(styles, [FADE_LEVELS - level, level]) if level else styles[0]
            self._blends[number, level] = blend
        return self._blends[number, level]


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
