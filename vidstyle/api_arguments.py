"""Arguments of the functions of ``api``: checked, and turned into a stylizer and settings."""

import difflib
from collections.abc import Iterable
from dataclasses import fields, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from .conversions import is_image
from .features.extractor import Features
from .features.weights import load_features
from .flow.methods import FlowMethod, load_flow
from .settings import PRESETS, RENAMED_SETTINGS, Settings
from .styles import check_not_swapped, style_parts, to_style
from .stylizer.style import Style
from .stylizer.stylizer import Stylizer

MAX_CACHED_NETWORKS = 2
"""Number of feature networks that stay in memory for the next call."""


ENGINE_OPTIONS = ("features", "device", "weights", "flow_weights", "style_weights", "preset")


@lru_cache(MAX_CACHED_NETWORKS)
def _cached_features(name: str, device: str, weights: str | None) -> Features:
    return load_features(name, device, weights)


def make_stylizer(
    function: str, style: Any, settings: dict[str, Any], default_preset: str
) -> tuple[Stylizer, FlowMethod | None]:
    """The stylizer and the optical flow method for the keywords of a function.

    Args:
        function: its name, for errors.
        style: as ``api.stylize`` takes it.
        settings: all keywords.
        default_preset: name of the preset where none is given.
    """
    options = {name: settings[name] for name in ENGINE_OPTIONS if name in settings}
    chosen = {name: value for name, value in settings.items() if name not in options}
    check_keywords(function, chosen)
    values = choose_settings(options.get("preset"), default_preset, chosen)
    features = choose_features(options, style)
    made = to_style(style, features, options.get("style_weights"))
    stylizer = Stylizer(features, made, values)
    flow_weights = options.get("flow_weights")
    return stylizer, load_flow(values.flow, features.device, flow_weights)


def check_keywords(function: str, given: Iterable[str]) -> None:
    """Raise TypeError for an unknown keyword, with the nearest known one."""
    known = [setting.name for setting in fields(Settings)] + list(ENGINE_OPTIONS)
    for name in given:
        if name not in known and name not in RENAMED_SETTINGS:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {nearest[0]!r}?" if nearest else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def choose_settings(preset: object, default: str, given: dict[str, Any]) -> Settings:
    """The settings of a preset (a name, ``Settings`` or None) changed by keywords."""
    if preset is None:
        preset = default
    if isinstance(preset, Settings):
        return replace(preset, **given)
    if not isinstance(preset, str):
        raise TypeError(f"preset must be a name or vidstyle.Settings, not {preset!r}")
    try:
        base = PRESETS[preset]
    except KeyError:
        raise ValueError(f"unknown preset {preset!r}: use one of {', '.join(PRESETS)}") from None
    return replace(base, **given)


def choose_features(options: dict[str, Any], style: Any) -> Features:
    """The requested features, those that a ``Style`` was made with, or the bundled ones."""
    features = options.get("features")
    if isinstance(features, Features):
        return features
    made = next((part for part in style_parts(style) if isinstance(part, Style)), None)
    if features is None and made is not None:
        return made.features
    weights = options.get("weights")
    return _cached_features(
        str(features or "bundled"),
        str(options.get("device", "auto")),
        None if weights is None else str(weights),
    )


def style_names(style: Any) -> list[str]:
    """File names of the styles that are paths or names."""
    return [Path(part).name for part in style_parts(style) if isinstance(part, (str, Path))]


def exact_seconds(value: float | Fraction | None) -> Fraction | None:
    """Seconds as an exact fraction of their decimal form: 0.1 is 1/10."""
    return None if value is None else Fraction(str(value))


def refuse_path(image: Any, style: Any, function: str) -> None:
    """Explain that a path is not an image."""
    if isinstance(image, (str, Path)):
        swapped = " (or are image and style swapped?)" if is_image(style) else ""
        raise TypeError(
            f"{function} takes an image, not a path: use vidstyle.render for files, or open it "
            f"with PIL.Image.open{swapped}"
        )
    if isinstance(image, Style):
        raise TypeError("image is a vidstyle.Style: image and style seem to be swapped")


def check_paths(input: Any, style: Any, output: Any) -> None:
    """Check the kinds of input and output of ``api.render``, and that they are not swapped."""
    for name, value in (("input", input), ("output", output)):
        if is_image(value):
            raise TypeError(f"{name} is an image, and render works on files: use vidstyle.stylize")
        if not isinstance(value, (str, Path)) and not (name == "output" and value is None):
            raise TypeError(f"{name} must be a path, not {type(value).__name__}")
    check_not_swapped(input, style_parts(style))
