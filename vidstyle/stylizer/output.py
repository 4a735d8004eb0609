"""From the optimised image to the stylised frame: upscaling, blending with the source, alpha."""

import torch
from torch import Tensor

from ..io.frame import Frame
from ..ops.color import keep_colors
from ..ops.tensors import alpha_of, mask_of, resize
from ..settings import Settings
from .regions import FrameRegions, region_strengths


def compose_output(
    stylized: Tensor,
    source: Tensor,
    frame: Frame,
    size: tuple[int, int],
    settings: Settings,
    regions: FrameRegions | None = None,
) -> Tensor:
    """The stylised frame at the output size, blended with the source as the settings say.

    Args:
        stylized: (1, 3, h, w) in [0, 1].
        source: (1, 3, H, W), the image of the frame.
        frame: has alpha and a mask, or not. Where the mask is 0 the source stays.
        size: (width, height) px of the output.
        settings: ``original_colors``, ``strength`` and ``compare``.
        regions: of the frame, which may have other strengths; None: it has none.

    Returns:
        (1, 3, height, width), 4 channels with alpha; twice as wide or high with a comparison.
    """
    alpha, mask = alpha_of(frame.image, source.device), mask_of(frame, source.device)
    stylized = resize(stylized, size)
    strength: Tensor | float = settings.strength
    if regions is not None:
        strength = resize(region_strengths(regions, settings.strength), size)
    if mask is not None:
        strength = strength * resize(mask, size)
    blended = isinstance(strength, Tensor) or strength < 1
    if blended or settings.original_colors or settings.compare != "no":
        source = resize(source, size)
    if settings.original_colors:
        stylized = keep_colors(stylized, source)
    if blended:
        stylized = torch.lerp(source, stylized, strength)
    if settings.compare != "no":
        side = 3 if settings.compare == "beside" else 2
        stylized = torch.cat([source, stylized], side)
        alpha = None if alpha is None else torch.cat([resize(alpha, size)] * 2, side)
    elif alpha is not None:
        alpha = resize(alpha, size)
    return stylized if alpha is None else torch.cat([stylized, alpha], 1)
