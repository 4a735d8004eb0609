"""Styles by whatever a user names them: a file, a bundled style, an image in memory, or several of
these."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .conversions import KINDS, is_image, to_frame
from .errors import InputError
from .features.extractor import Features
from .inputs import CLIP_ENDINGS
from .io.frame import Image, to_8_bits
from .io.image_names import is_numbered, is_still
from .io.images import bundled_styles
from .stylizer.style import Style

ANIMATED_IMAGES = (".gif",)
"""Endings of clips whose first frame can be read as a style image."""


def find_style(name: str | Path) -> Path:
    """The file of a style image: a file's own name, or the name of a bundled style.

    Raises:
        InputError: there is neither; the message lists the bundled styles. Or the file is a clip.
    """
    path = Path(name)
    if path.exists():
        if is_clip(path):
            raise InputError(
                f"the style {path} is a clip, not a picture: name an image file or a bundled style"
            )
        return path
    bundled = bundled_styles()
    if str(name) in bundled:
        return bundled[str(name)]
    nearest = difflib.get_close_matches(str(name).lower(), bundled, n=1)
    suggestion = f"did you mean {nearest[0]}? " if nearest else ""
    raise InputError(
        f"the style {name} does not exist: {suggestion}name an image file, or one of the bundled "
        f"styles {', '.join(bundled)}"
    )


def is_clip(name: str | Path) -> bool:
    """Whether a name is that of a clip, judged by its ending, which cannot be a style."""
    ending = Path(name).suffix.lower()
    return ending in CLIP_ENDINGS and ending not in ANIMATED_IMAGES and not is_still(name)


def check_not_swapped(input: str | Path, styles: Iterable[object]) -> None:
    """Check that the input is not an image where a style is a clip.

    Raises:
        InputError: the two seem to be swapped.
    """
    still = is_still(input) and not is_numbered(input)
    for style in styles:
        if still and isinstance(style, (str, Path)) and is_clip(style):
            raise InputError(
                f"the style {style} is a clip and the input {input} an image: they seem to be "
                "swapped, the input comes first"
            )


def style_parts(style: Any) -> Sequence[Any]:
    """The styles of a list or tuple; a single style as a list."""
    return style if isinstance(style, (list, tuple)) else [style]


def to_style(style: Any, features: Features, weights: Sequence[float] | None = None) -> Style:
    """A ``Style`` of a path, the name of a bundled style, an image, a ``Style``, or a list of
    these.

    Args:
        style: images as ``conversions`` lists them.
        features: the feature network to make it with.
        weights: one for each element of a list (default: equal weights).

    Raises:
        InputError: a file that is missing or cannot be read.
        TypeError: another kind of object.
        ValueError: an empty list, or not one weight for each element.
    """
    parts = style_parts(style)
    if not parts:
        raise ValueError("style is an empty list: give at least one style")
    if weights is not None and len(weights) != len(parts):
        raise ValueError(f"{len(weights)} style weights for {len(parts)} styles: give one each")
    if not any(isinstance(part, Style) for part in parts):
        return Style.from_images([_style_image(part) for part in parts], features, weights)
    if isinstance(style, Style):
        return style
    styles = [
        part if isinstance(part, Style) else Style.from_images([_style_image(part)], features)
        for part in parts
    ]
    return Style.blend(styles, weights or [1.0] * len(styles))


def _style_image(style: Any) -> Path | Image:
    """The file or the pixels of one style image."""
    if isinstance(style, (str, Path)):
        return find_style(style)
    if is_image(style):
        return to_8_bits(to_frame(style, "style")[0].image)
    raise TypeError(
        f"style must be a path, the name of a bundled style, {KINDS}, a vidstyle.Style, a list of "
        f"these, not {type(style).__name__}"
    )
