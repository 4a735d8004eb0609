"""Tracks: a setting, or the style, over the time of the clip."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Generic, TypeVar

from .keyframe import STYLE, Keyframe, Value
from .style import Style

FADE_LEVELS = 16
"""Blends of two styles, and style scales, within a fade. Statistics are computed once for each, and
the optimiser smooths the differences between them."""

T = TypeVar("T")


class Track(ABC, Generic[T]):
    """A value over time: it changes at keyframes, and is interpolated during their fades.

    Args:
        name: of a setting, or ``STYLE``.
        keyframes: of the frame or of a region, in order; those that do not change it have no part.
        before: the value before them; None: that of the frame.
        frame: the track of the frame that a region follows; None: this is the track of the frame.
    """

    def __init__(
        self,
        name: str,
        keyframes: Iterable[Keyframe],
        before: T | None,
        frame: "Track[T] | None" = None,
    ) -> None:
        self._name, self._before, self._frame = name, before, frame
        self._changes = [keyframe for keyframe in keyframes if keyframe.changes(name)]

    @abstractmethod
    def _target(self, keyframe: Keyframe) -> T | None:
        """The value after a keyframe; None: that of the frame."""

    @abstractmethod
    def _between(self, start: T, target: T, share: Fraction) -> T:
        """The value within a fade, of which a share below 1 is done."""

    def at(self, time: Fraction) -> T:
        """The value at a time, in seconds from the start of the clip's file."""
        return self._value(time, self._begun(time))

    def until(self, time: Fraction) -> T:
        """The value at a time, without keyframes of that time."""
        return self._value(time, self._begun(time, until=True), until=True)

    def fading(self, time: Fraction) -> bool:
        """Whether the value is changing at a time."""
        begun = self._begun(time)
        return bool(begun) and begun[-1].progress(time) < 1

    def follows(self, time: Fraction) -> bool:
        """Whether the value is that of the frame at a time."""
        begun = self._begun(time)
        given = self._target(begun[-1]) if begun else self._before
        return given is None and not self.fading(time)

    def _begun(self, time: Fraction, until: bool = False) -> list[Keyframe]:
        """The changes that have begun by a time, or until it."""
        return [
            each for each in self._changes if each.time < time or (each.time == time and not until)
        ]

    def _value(self, time: Fraction, begun: Sequence[Keyframe], until: bool = False) -> T:
        given = self._target(begun[-1]) if begun else self._before
        if given is None and self._frame is not None:
            given = self._frame.until(time) if until else self._frame.at(time)
        if given is None:
            raise ValueError(f"{self._name} has no value at {float(time):g} s: give one before it")
        share = begun[-1].progress(time) if begun else Fraction(1)
        return given if share == 1 else self._between(self.until(begun[-1].time), given, share)


class StyleTrack(Track[Style]):
    """The style over time. Blends are kept, as their statistics are."""

    def __init__(
        self,
        keyframes: Iterable[Keyframe],
        before: Style | None,
        frame: "StyleTrack | None" = None,
    ) -> None:
        super().__init__(STYLE, keyframes, before, frame)
        self._blends: dict[tuple[Style, Style, int], Style] = {}

    def _target(self, keyframe: Keyframe) -> Style | None:
        return keyframe.style

    def _between(self, start: Style, target: Style, share: Fraction) -> Style:
        level = round(share * FADE_LEVELS)
        if level in (0, FADE_LEVELS):
            return target if level else start
        key = start, target, level
        if key not in self._blends:
            self._blends[key] = Style.blend([start, target], [FADE_LEVELS - level, level])
        return self._blends[key]


class SettingTrack(Track[Value]):
    """A setting over time; a choice changes at the start of its fade."""

    def _target(self, keyframe: Keyframe) -> Value | None:
        return keyframe.settings.get(self._name)

    def _between(self, start: Value, target: Value, share: Fraction) -> Value:
        if isinstance(target, bool):
            return target
        if self._name == "style_scale":  # a size: equal steps are equal factors
            level = round(share * FADE_LEVELS)
            return float(start * (target / start) ** (level / FADE_LEVELS))
        return float(start + (target - start) * float(share))
