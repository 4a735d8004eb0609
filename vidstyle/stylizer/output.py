"""From the optimised image to the stylised frame: upscaling, blending with the source, alpha."""

import torch
from torch import Tensor

from ..ops.color import keep_colors
from ..ops.tensors import resize
from ..settings import Settings


def compose_output(
    stylized: Tensor,
    source: Tensor,
    alpha: Tensor | None,
    size: tuple[int, int],
    settings: Settings,
) -> Tensor:
    """The stylised frame at the output size, blended with the source as the settings say.

    Args:
        stylized: (1, 3, h, w) in [0, 1].
        source: (1, 3, H, W), the frame.
        alpha: (1, 1, H, W) of the frame, or None.
        size: (width, height) px of the output.
        settings: ``original_colors``, ``strength`` and ``compare``.

    Returns:
        (1, 3, height, width), 4 channels with alpha; twice as wide or high with a comparison.
    """
    stylized = resize(stylized, size)
    if settings.strength < 1 or settings.original_colors or settings.compare != "no":
        source = resize(source, size)
    if settings.original_colors:
        stylized = keep_colors(stylized, source)
    if settings.strength < 1:
        stylized = torch.lerp(source, stylized, settings.strength)
    if settings.compare != "no":
        side = 3 if settings.compare == "beside" else 2
        stylized = torch.cat([source, stylized], side)
        alpha = None if alpha is None else torch.cat([resize(alpha, size)] * 2, side)
    elif alpha is not None:
        alpha = resize(alpha, size)
    return stylized if alpha is None else torch.cat([stylized, alpha], 1)
