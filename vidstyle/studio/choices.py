"""What a user of the studio chooses: presets, and settings with their names and ranges there."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..settings import PRESETS, Settings

PRESET_NAMES = ("draft", "standard", "final")
"""The presets of clips, from the fastest to the best."""


class Choice(NamedTuple):
    """A setting as the page shows it.

    Args:
        name: of the field of ``Settings``.
        label: a word of painters.
        help: what changes with it.
        low, high, step: of the slider; all 0 for a switch.
        advanced: whether it is among the further settings.
    """

    name: str
    label: str
    help: str
    low: float = 0
    high: float = 0
    step: float = 0
    advanced: bool = False

    def described(self, working_px: int) -> dict[str, Any]:
        """As JSON, with the value of each preset.

        Args:
            working_px: the default of ``working_size`` on this machine.
        """
        given = {preset: getattr(PRESETS[preset], self.name) for preset in PRESET_NAMES}
        defaults = {name: working_px if value is None else value for name, value in given.items()}
        kind = "slider" if self.step else "switch"
        return {**self._asdict(), "kind": kind, "defaults": defaults}


CHOICES = (
    Choice(
        "strength",
        "strength",
        "0 shows the clip as it is, 1 the painting alone",
        0,
        1,
        0.05,
    ),
    Choice(
        "content_weight",
        "keep the subject",
        "larger values keep more of the clip's shapes, smaller ones leave more to the brush",
        0,
        0.3,
        0.005,
    ),
    Choice(
        "style_scale",
        "stroke size",
        "larger values give broader strokes",
        0.25,
        3,
        0.05,
    ),
    Choice(
        "temporal",
        "steadiness",
        "0 paints new strokes from drawing to drawing, 1 keeps strokes on what they are on",
        0,
        1,
        0.05,
    ),
    Choice(
        "original_colors",
        "keep the clip's colours",
        "takes the strokes of the style and leaves the colours as they are",
    ),
    Choice(
        "patch_weight",
        "patch matching",
        "how closely each patch resembles a patch of the style; 0 is faster",
        0,
        0.5,
        0.01,
        True,
    ),
    Choice(
        "orientation_weight",
        "strokes along edges",
        "how closely strokes follow the edges of the clip",
        0,
        2,
        0.05,
        True,
    ),
    Choice("tv_weight", "smoothness", "larger values smooth the image", 0, 5, 0.1, True),
    Choice(
        "working_size",
        "painted size",
        "long side in px at which frames are painted before they are enlarged",
        128,
        2048,
        32,
        True,
    ),
    Choice(
        "steps",
        "steps of each frame",
        "more steps take longer, and follow the style more closely",
        1,
        40,
        1,
        True,
    ),
    Choice(
        "initial_steps",
        "steps of the first frame",
        "more steps bring out more of the style in the first frame of each shot",
        20,
        1000,
        10,
        True,
    ),
)
"""The settings of the page, in its order."""


def chosen_settings(preset: Any, changes: Any) -> Settings:
    """The settings of a preset with a user's changes.

    Raises:
        ValueError: an unknown preset or setting, or a value out of range.
        TypeError: a value of the wrong type.
    """
    if preset not in PRESET_NAMES:
        raise ValueError(f"{preset!r:.60} is no preset: choose one of {', '.join(PRESET_NAMES)}")
    if not isinstance(changes, Mapping):
        raise TypeError("settings must be an object of names and values")
    names = [choice.name for choice in CHOICES]
    for name in changes:
        if name not in names:
            raise ValueError(f"{name!r:.60} is no setting: choose one of {', '.join(names)}")
    return replace(PRESETS[preset], **changes)
