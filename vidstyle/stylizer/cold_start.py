"""Cold start: a first frame is optimised coarse to fine, from its content or from noise."""

import torch
from torch import Tensor

from ..features.extractor import MIN_SIDE_PX
from ..io.frame import fit
from ..ops.color import match_color_statistics
from ..settings import Settings

PYRAMID_RATIO = 0.6
"""Size of a pyramid level relative to the next finer one."""


def pyramid_sizes(settings: Settings, size: tuple[int, int]) -> list[tuple[int, int]]:
    """(width, height) of the pyramid levels, coarse to fine; the finest is ``size``."""
    levels = [size]
    while len(levels) < settings.pyramid_levels:
        coarser = fit(size, round(max(levels[0]) * PYRAMID_RATIO))
        if min(coarser) < MIN_SIDE_PX:
            break
        levels.insert(0, coarser)
    return levels


def initial_image(settings: Settings, content: Tensor, color_statistics: Tensor) -> Tensor:
    """The image that the coarsest level starts from, of the shape of ``content``.

    Args:
        settings: ``init`` and ``seed``.
        content: (1, 3, H, W) RGB in [0, 1].
        color_statistics: (4, 4) of the style.
    """
    if settings.init != "noise":
        return match_color_statistics(content, color_statistics)
    # On the CPU: the same noise for every device.
    generator = torch.Generator().manual_seed(settings.seed)
    return torch.rand(content.shape, generator=generator).to(content.device)
