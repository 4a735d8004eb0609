"""Sizes in px: of the output, of the image that is optimised, and of the levels of its pyramid."""

import torch

from ..features.extractor import MIN_SIDE_PX
from ..io.frame import fit
from ..settings import Settings

PYRAMID_RATIO = 0.6
"""Size of a pyramid level relative to the next finer one."""

DEFAULT_CPU_PX, DEFAULT_GPU_PX = 512, 1280
"""Default long side of the image that is optimised: seconds per frame of a clip, minutes for a still image."""


def default_working_px(device: torch.device) -> int:
    """Long side in px of the working size where the settings have none."""
    return DEFAULT_CPU_PX if device.type == "cpu" else DEFAULT_GPU_PX


def output_size(settings: Settings, frame_size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the stylised frame."""
    return fit(frame_size, settings.size) if settings.size else frame_size


def working_size(
    settings: Settings, frame_size: tuple[int, int], device: torch.device
) -> tuple[int, int]:
    """(width, height) of the image that is optimised."""
    output = output_size(settings, frame_size)
    long_side = settings.working_size or default_working_px(device)
    width, height = fit(output, min(long_side, max(output)))
    return max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX)


def pyramid_sizes(settings: Settings, size: tuple[int, int]) -> list[tuple[int, int]]:
    """(width, height) of the pyramid levels, coarse to fine; the finest is ``size``."""
    levels = [size]
    while len(levels) < settings.pyramid_levels:
        coarser = fit(size, round(max(levels[0]) * PYRAMID_RATIO))
        if min(coarser) < MIN_SIDE_PX:
            break
        levels.insert(0, coarser)
    return levels
