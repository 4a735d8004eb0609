"""Sizes in px of the output, and of the image that is optimised."""

from dataclasses import replace

import torch
from torch import Tensor

from ..features.extractor import MIN_SIDE_PX
from ..flow.fields import MAX_FLOW_SIDE_PX, MIN_FLOW_SIDE_PX
from ..io.frame import fit
from ..settings import Settings

DEFAULT_CPU_PX, DEFAULT_GPU_PX = 512, 1280
"""Default long side of the image that is optimised: seconds per frame of a clip, minutes for a
still image."""

FULL_CONTENT_PX, LEAST_CONTENT_PX = 512, 256
"""Long sides in px from which on the content weight is that of the settings, and down to which it
grows. Strokes have a smallest size in px: in a small image they cover a face."""

CONTENT_EXPONENT = 1.5
"""Power of the size by which it grows: at 320 px the content weight is doubled."""


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


def content_scale(size: tuple[int, int]) -> float:
    """Factor of the content weight for an image of this (width, height)."""
    side = min(FULL_CONTENT_PX, max(LEAST_CONTENT_PX, *size))
    scale: float = (FULL_CONTENT_PX / side) ** CONTENT_EXPONENT
    return scale


def settings_for(settings: Settings, content: Tensor) -> Settings:
    """The settings with the content weight for a frame, (1, 3, H, W)."""
    scale = content_scale((content.shape[-1], content.shape[-2]))
    return replace(settings, content_weight=scale * settings.content_weight)


def flow_px(settings: Settings, working_size: tuple[int, int]) -> int:
    """Long side at which optical flow is computed."""
    scaled = round(settings.flow_scale * min(MAX_FLOW_SIDE_PX, max(working_size)))
    return max(MIN_FLOW_SIDE_PX, scaled)
