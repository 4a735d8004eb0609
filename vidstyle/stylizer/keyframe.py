"""A keyframe: a change of the style, of settings, or of both, at a time of the clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

from ..features.extractor import Features
from .regions import REGION_SETTINGS
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

STYLE = "style"
"""Name of the style among the names of settings."""

REGION_NAMES = STYLE, *REGION_SETTINGS
"""Names of what may change in a region alone."""

EASINGS = ("linear", "smooth")
"""Curves of a fade. ``smooth``: 3 t^2 - 2 t^3, which starts and ends slowly."""

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
        follows: some of ``REGION_NAMES``, in which the region follows the frame from then on.

    Raises:
        ValueError: a negative time or fade, an unknown easing, or a setting that cannot change.
    """

    time: Fraction
    style: Style | None = None
    settings: Mapping[str, Value] = field(default_factory=dict)
    fade: Fraction = Fraction(0)
    easing: str = "linear"
    region: str | None = None
    follows: tuple[str, ...] = ()

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
            known, where = REGION_NAMES, "for a region alone"
        elif self.follows:
            raise ValueError(
                f"{self.follows[0]} cannot follow the frame: name the region that follows it"
            )
        for name in (*self.settings, *self.follows):
            if name not in known:
                raise ValueError(f"{name} cannot change {where}: use one of {', '.join(known)}")

    def with_features(self, features: Features) -> "Keyframe":
        """The same keyframe, its style analysed by other features."""
        return replace(self, style=self.style and self.style.with_features(features))

    def changes(self, name: str) -> bool:
        """Whether the style, or a setting of this name, changes."""
        given = self.style is not None if name == STYLE else name in self.settings
        return given or name in self.follows

    def progress(self, time: Fraction) -> Fraction:
        """How much of the change is done at a time at or after the keyframe's, from 0 to 1."""
        if time >= self.time + self.fade:
            return Fraction(1)
        share = (time - self.time) / self.fade
        return smooth(share) if self.easing == "smooth" else share


def check_order(times: Sequence[Fraction]) -> None:
    """Raise ValueError unless each keyframe comes after the one before it."""
    for before, after in pairwise(times):
        if after <= before:
            raise ValueError(
                f"the keyframe at {float(after):g} s comes after that at {float(before):g} s: "
                "give each its own time, in order"
            )
