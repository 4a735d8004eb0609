"""Sizes in px of the output, and of the image that is optimised."""

import torch

from ..features.extractor import MIN_SIDE_PX
from ..flow.methods import MAX_FLOW_SIDE_PX, MIN_FLOW_SIDE_PX
from ..io.frame import fit
from ..settings import Settings

DEFAULT_CPU_PX, DEFAULT_GPU_PX = 512, 1280
"""Default long side of the image that is optimised: seconds per frame of a clip, minutes for a
still image."""


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


def flow_px(settings: Settings, working_size: tuple[int, int]) -> int:
    """Long side at which optical flow is computed."""
    scaled = round(settings.flow_scale * min(MAX_FLOW_SIDE_PX, max(working_size)))
    return max(MIN_FLOW_SIDE_PX, scaled)
