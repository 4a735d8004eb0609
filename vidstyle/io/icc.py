"""ICC profiles: conversion of images to sRGB by LittleCMS (Pillow's ImageCms)."""

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from .frame import Image

SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""ICC colour space signature -> Pillow's mode of its samples."""

GRAY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
"""Pillow's modes of images without chroma."""

SRGB_TOLERANCE = 2
"""A profile that moves no colour by more 8-bit levels is sRGB; the image is left as it is."""

STRIP_ROWS = 256
"""Rows converted at once, to bound the memory of large images."""

PROBE_COLORS = np.stack(np.meshgrid(*[np.linspace(0, 255, 9, dtype=np.uint8)] * 3), -1).reshape(
    27, 27, 3
)
"""(27, 27, 3) colours spread over the RGB cube."""


def to_srgb(image: Image, profile: bytes, mode: str, warn: Callable[[str], None]) -> Image:
    """Convert decoded RGB(A) samples from their ICC profile to sRGB.

    Colours outside of sRGB are clipped. 16-bit samples are interpolated between 8-bit conversions,
    since Pillow has no 16-bit RGB: greys are within half a level of 255, 99.9 % of other colours
    within 4.

    Args:
        image: (H, W, 3 or 4) as decoded; grey images have three equal channels.
        profile: the embedded ICC profile.
        mode: Pillow's mode of the file's samples, which tells grey from RGB.
        warn: called with a message when the profile cannot be used; the samples then stay as they
            are.
    """
    try:
        space, transform = _transform(profile)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        warn(f"has a colour profile that is unusable ({_first_line(error)}): it is read as sRGB")
        return image
    if space != ("L" if mode in GRAY_MODES else "RGB") and not (
        space == "RGB" and mode in GRAY_MODES
    ):
        warn("has a colour profile of another colour space: it is read as sRGB")
        return image
    if transform is None:
        return image
    converted = image.copy()
    for top in range(0, len(image), STRIP_ROWS):
        strip = np.ascontiguousarray(image[top : top + STRIP_ROWS, :, :3])
        apply = _apply if strip.dtype == np.uint8 else _apply_16_bit
        converted[top : top + STRIP_ROWS, :, :3] = apply(transform, strip, space)
    return converted


def cmyk_to_srgb(image: Pillow.Image, profile: bytes, warn: Callable[[str], None]) -> Pillow.Image:
    """Convert a CMYK image to sRGB by its profile, or by Pillow's formula where the profile is
    unusable."""
    try:
        space, transform = _transform(profile)
        if space != "CMYK" or transform is None:
            raise ValueError("it is not for CMYK")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        warn(
            f"has a colour profile that is unusable ({_first_line(error)}): colours are approximate"
        )
        return image.convert("RGB")
    return transform.apply(image)


@lru_cache(4)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """Pillow's mode of a profile's samples, and their transform to sRGB; None for sRGB."""
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = given.profile.xcolor_space
    if space not in SPACES:
        raise ValueError(f"its colour space is {space.strip() or 'unknown'}")
    # LittleCMS would approximate a grey curve by a coarse table, up to 10 levels off.
    flags = ImageCms.Flags.NOOPTIMIZE if space == "GRAY" else ImageCms.Flags.NONE
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(given, srgb, SPACES[space], "RGB", flags=flags)
    if (
        space == "RGB "
        and np.abs(_apply(transform, PROBE_COLORS, "RGB").astype(int) - PROBE_COLORS).max()
        <= SRGB_TOLERANCE
    ):
        return "RGB", None
    return SPACES[space], transform


def _apply(
    transform: ImageCms.ImageCmsTransform, samples: NDArray[Any], space: str
) -> NDArray[np.uint8]:
    """Convert (H, W, 3) uint8 samples; a grey profile describes the first channel."""
    image = Pillow.fromarray(samples if space == "RGB" else np.ascontiguousarray(samples[..., 0]))
    return np.asarray(ImageCms.applyTransform(image, transform))


def _apply_16_bit(
    transform: ImageCms.ImageCmsTransform, samples: NDArray[Any], space: str
) -> NDArray[np.uint16]:
    """Convert (H, W, 3) uint16 samples by interpolation between 8-bit conversions."""
    below = (samples // 257).astype(np.uint8)
    above = np.minimum(below, 254) + 1
    share = (samples - below.astype(np.uint16) * 257).astype(np.float32) / 257
    first, second = (
        _apply(transform, part, space).astype(np.float32)
        for part in (below, above.astype(np.uint8))
    )
    return np.asarray(((first + (second - first) * share) * 257).round(), np.uint16)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
