"""The only place where pictures turn into tensors and back; and their halving."""

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..io.frame import Image


def to_tensor(image: Image, device: torch.device | None = None) -> Tensor:
    """(H, W, 3 or 4) uint8 or uint16 -> (1, 3, H, W) float32 in [0, 1]. Alpha is dropped."""
    return _channels(image[..., :3], device)


def alpha_of(image: Image, device: torch.device | None = None) -> Tensor | None:
    """(1, 1, H, W) float32 in [0, 1]; None where there is no alpha."""
    return _channels(image[..., 3:], device) if image.shape[2] == 4 else None


def _channels(image: Image, device: torch.device | None) -> Tensor:
    peak = np.iinfo(image.dtype).max
    levels = np.ascontiguousarray(image)
    if levels.dtype == np.uint16:
        levels = levels.astype(np.float32)  # torch's uint16 lacks most operations
    return torch.from_numpy(levels).to(device).permute(2, 0, 1)[None].float().contiguous() / peak


def to_image(picture: Tensor, deep: bool = False) -> Image:
    """(1, C, H, W) float in [0, 1] -> (H, W, C) uint8, or uint16 where ``deep``, rounded to nearest."""
    levels = (picture.detach()[0].clamp(0, 1) * (65535 if deep else 255)).round()
    levels = levels.to(torch.int32 if deep else torch.uint8).permute(1, 2, 0).contiguous().cpu()
    return levels.numpy().astype(np.uint16) if deep else levels.numpy()


@cache  # all are kept: recorded graphs know them by their address
def constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Numbers as float32, sent to a device once: it would be waited for each time. Not to be changed."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample (1, C, H, W) to (width, height), bicubic, low-passed when shrinking; values stay within [0, 1]."""
    width, height = size
    if tuple(picture.shape[-2:]) == (height, width):
        return picture
    return F.interpolate(picture, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def reflect_crop(
    picture: Tensor, width: int, height: int, left: Tensor | int = 0, top: Tensor | int = 0
) -> Tensor:
    """A window on (1, C, H, W) that goes on for ever, mirrored at its borders.

    Args:
        width, height: of the window.
        left, top: where in the picture it begins: whole numbers of px, or tensors of one.
    """
    for side, count, first in ((-1, width, left), (-2, height, top)):
        length = picture.shape[side]
        places = (torch.arange(count, device=picture.device) + first) % (2 * length)
        picture = picture.index_select(
            side, torch.where(places < length, places, 2 * length - 1 - places)
        )
    return picture


def upcast_half(maps: Tensor) -> Tensor:
    """Maps whose squares can be held: in float32 where they are in float16."""
    return maps.float() if maps.dtype == torch.float16 else maps


def keep_colors(painting: Tensor, source: Tensor) -> Tensor:
    """The painting's lightness with the source's colours, both (1, 3, H, W) in [0, 1].

    Rec. 709 luma of the painting joined with the source's colour differences (Gatys et al. 2016, "Preserving color
    in neural artistic style transfer", luminance-only transfer).
    """
    weights = constant((0.2126, 0.7152, 0.0722), painting.device)[None, :, None, None]
    luma, source_luma = (
        (painting * weights).sum(1, keepdim=True),
        (source * weights).sum(1, keepdim=True),
    )
    return (source + luma - source_luma).clamp(0, 1)
