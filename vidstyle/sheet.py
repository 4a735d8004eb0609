"""Contact sheet: one frame in several styles and settings, to choose by eye.

Every cell is a small image that is stylised like a first frame, with fewer iterations. Strokes have
the same size relative to the image as in a render.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .errors import InputError
from .face_choices import KEEP
from .faces import frame_with_faces
from .features.extractor import Features
from .io.frame import Frame, Image, rgb_8_bits, square_pixels
from .io.source import open_source
from .progress import duration_text
from .settings import Settings
from .stylizer.style import Style
from .stylizer.stylizer import Stylizer

log = logging.getLogger(__name__)

SHEET_STEPS = 150
"""Iterations of a cell, half of those of an image: with 80 much less of the content is seen."""

SHEET_PIXELS = 600_000
"""Pixels of all cells together: about a minute on two CPU cores."""

MIN_CELL_PX, MAX_CELL_PX = 128, 512
"""Limits of the long side of a cell in px. In smaller ones strokes cannot be told apart."""

MAX_CELLS = 60
"""Largest number of cells: more take minutes, and are too many to compare."""


@dataclass(frozen=True)
class Cell:
    """One image of a sheet.

    Args:
        style: name of the style.
        changes: name of a setting -> its value, where it differs from those of the sheet.
    """

    style: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Sheet:
    """A finished sheet.

    Args:
        source: the frame, (H, W, 3) uint8, of the size of the cells.
        cells: one row per style, one column per combination of settings.
        images: of each cell, (H, W, 3) uint8.
    """

    source: Image
    cells: Sequence[Cell]
    images: Sequence[Image]


def sheet_cells(styles: Sequence[str], vary: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """The cells of all styles with all combinations of the values, one style after the other.

    Args:
        styles: names of the styles.
        vary: name of a setting -> its values.

    Raises:
        ValueError: there are more than ``MAX_CELLS``.
    """
    combinations = [dict(zip(vary, values, strict=True)) for values in product(*vary.values())]
    count = len(styles) * len(combinations)
    if count > MAX_CELLS:
        raise ValueError(
            f"a sheet of {count} images is too large: name fewer styles or values, for at most "
            f"{MAX_CELLS} images"
        )
    return [Cell(style, changes) for style in styles for changes in combinations]


def cell_px(frame_size: tuple[int, int], count: int) -> int:
    """Long side in px of each of ``count`` cells, for ``SHEET_PIXELS`` together."""
    width, height = frame_size
    longer_share = max(width, height) / min(width, height)
    side = math.isqrt(int(SHEET_PIXELS / count * longer_share))
    return min(max(side // 32 * 32, MIN_CELL_PX), MAX_CELL_PX, max(frame_size))


def read_frame(
    name: str | Path,
    at: Fraction | None = None,
    faces: str = KEEP,
    face_model: Path | None = None,
) -> Frame:
    """An image, or one frame of a clip, as players show it.

    Args:
        name: of a file or an image sequence.
        at: time in seconds; None: the middle of the clip.
        faces, face_model: see ``RenderJob``.

    Raises:
        InputError: it cannot be read, or has no frame at that time.
    """
    if at is None:
        with open_source(name) as source:
            info = source.format
        if info.rate and info.frames:
            at = (info.frames // 2) / info.rate
    with open_source(name, start=at, sdr=True, apply_rotation=True) as source:
        aspect = float(source.format.sample_aspect_ratio)
        frame = next(iter(source), None)
    if frame is None:
        raise InputError(f"{name} has no frame at that time: choose an earlier one")
    frame = replace(frame, image=square_pixels(rgb_8_bits(frame.image), aspect))
    return frame_with_faces(frame, face_model) if faces == KEEP else frame


def make_sheet(
    frame: Frame,
    cells: Sequence[Cell],
    styles: Mapping[str, Style],
    settings: Settings,
    features: Features,
    advance: Callable[[int], None] = lambda done: None,
) -> Sheet:
    """Stylise all cells.

    Args:
        frame: see ``read_frame``.
        cells: see ``sheet_cells``.
        styles: by name.
        settings: of all cells. Without a ``size``, ``cell_px`` chooses one, at most the frame's.
        features: of the styles.
        advance: is called with the number of finished cells.

    Raises:
        DeviceError: out of memory.
        ValueError: settings that exclude each other; nothing is stylised then.
    """
    px = cell_px(frame.size, len(cells))
    base = settings if settings.size or px == max(frame.size) else replace(settings, size=px)
    looks = [(styles[cell.style], replace(base, **cell.changes)) for cell in cells]
    images = []
    for image in _stylized(frame, looks, features):
        images.append(image)
        advance(len(images))
    height, width = images[0].shape[:2]
    source = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
    return Sheet(source.astype(np.uint8), cells, images)


def _stylized(
    frame: Frame, looks: Sequence[tuple[Style, Settings]], features: Features
) -> Iterator[Image]:
    """The image of each style and settings. The time of the first gives an estimate for all, which
    is logged."""
    started = time.perf_counter()
    stylizer = Stylizer(features, *looks[0])
    for number, (style, settings) in enumerate(looks, 1):
        stylizer.reset()
        stylizer.style, stylizer.settings = style, settings
        yield stylizer(frame).image
        if number == 1 and len(looks) > 1:
            estimate = (time.perf_counter() - started) * len(looks)
            width, height = stylizer.output_size(frame.size)
            log.info(
                "%d images of %dx%d px take about %s",
                len(looks),
                width,
                height,
                duration_text(estimate),
            )
