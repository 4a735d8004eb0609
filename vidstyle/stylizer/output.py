"""From the optimised image to the stylised frame: upscaling, blending, alpha."""

from dataclasses import replace

import torch
from torch import Tensor

from ..io.frame import Frame, Image
from ..ops.color import keep_colors
from ..ops.tensors import (
    alpha_of,
    mask_of,
    ramp,
    resize,
    to_image,
    to_resized_image,
    to_tensor,
)
from ..settings import Settings
from .regions import FrameGuides, region_strengths

PAINTED_ALPHA = 0.5, 1.0
"""Alpha of a painting at which its own pixels begin to show, and at which they alone show: they are
sharper than an image of the working size. Below, the optimiser decides what to make of them."""


def output_image(
    stylized: Tensor,
    frame: Frame,
    size: tuple[int, int],
    settings: Settings,
    guides: FrameGuides = FrameGuides(),  # noqa: B008 (immutable)
    deep: bool = False,
) -> Image:
    """``compose_output`` as (height, width, 3 or 4) uint8; ``deep``: as uint16."""
    blended = settings.original_colors or settings.strength < 1 or settings.compare != "no"
    guided = frame.mask is not None or guides.regions is not None or guides.painted is not None
    if blended or guided or frame.image.shape[2] == 4:
        return to_image(compose_output(stylized, frame, size, settings, guides), deep)
    return to_resized_image(stylized, size, deep)


def compose_output(
    stylized: Tensor,
    frame: Frame,
    size: tuple[int, int],
    settings: Settings,
    guides: FrameGuides = FrameGuides(),  # noqa: B008 (immutable)
) -> Tensor:
    """The stylised frame at the output size, blended with the source as the settings say.

    Args:
        stylized: (1, 3, h, w) in [0, 1].
        frame: has alpha and a mask, or not. Where the mask is 0 the frame itself stays.
        size: (width, height) px of the output.
        settings: ``original_colors``, ``strength`` and ``compare``.
        guides: of the frame: regions, which may have other strengths, and a painting.

    Returns:
        (1, 3, height, width), 4 channels with alpha; twice as wide or high with a comparison.
    """
    alpha, mask = alpha_of(frame.image, stylized.device), mask_of(frame, stylized.device)
    stylized = resize(stylized, size)
    if guides.painted is not None and settings.painted_weight:
        painted = resize(guides.painted, size)
        share = ramp(painted[:, 3:], PAINTED_ALPHA)
        stylized = torch.lerp(stylized, painted[:, :3], share)
    strength: Tensor | float = settings.strength
    if guides.regions is not None:
        strength = resize(region_strengths(guides.regions, settings.strength), size)
    if mask is not None:
        strength = strength * resize(mask, size)
    blended = isinstance(strength, Tensor) or strength < 1
    if blended or settings.original_colors or settings.compare != "no":
        source = resize(to_tensor(frame.image, stylized.device), size)
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


def stylized_frame(frame: Frame, image: Image) -> Frame:
    """A stylised frame: the image with the times of a frame, without its masks and guides."""
    return replace(frame, image=image, mask=None, regions=None, painted=None, emphasis=None)
