"""The only place where pictures turn into tensors and back; and their halving."""

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..io.frame import Image
from .custom_ops import custom_op


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


def layout(together: bool) -> torch.memory_format:
    """Whether channels lie together in memory."""
    return torch.channels_last if together else torch.contiguous_format


def upcast_half(maps: Tensor) -> Tensor:
    """Maps whose squares can be held: in float32 where they are in float16."""
    return maps.float() if maps.dtype == torch.float16 else maps


MIN_NUMEL_CUSTOM_RESAMPLE = 4096
"""So many numbers are halved or enlarged by PyTorch in less time than operations of our own need to be called."""


def avg_pool2(picture: Tensor) -> Tensor:
    """``F.avg_pool2d(picture, 2)`` of (N, C, H, W), in a third of its time, forth and back."""
    few = picture.numel() < MIN_NUMEL_CUSTOM_RESAMPLE and min(picture.shape[-2:]) > 1
    halved: Tensor = F.avg_pool2d(picture, 2) if few else _Halve.apply(picture)
    return halved


class _Halve(torch.autograd.Function):
    """Sums of every second row and column; nothing but copies on the way back."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor) -> Tensor:
        ctx.shape, ctx.together = picture.shape, not picture.is_contiguous()
        if (
            ctx.together and not picture.is_cuda
        ):  # there PyTorch's own is as quick, but for its way back
            return F.avg_pool2d(picture, 2)
        height, width = (side // 2 * 2 for side in picture.shape[-2:])
        rows = picture[..., 0:height:2, :width] + picture[..., 1:height:2, :width]
        return (rows[..., 0::2] + rows[..., 1::2]) * 0.25

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        quarter = (0.25 * gradients[0]).contiguous(memory_format=layout(ctx.together))
        if ctx.together and not quarter.is_cuda:
            return cut_or_filled(F.interpolate(quarter, scale_factor=2), *ctx.shape[-2:])
        height, width = (side // 2 * 2 for side in ctx.shape[-2:])
        spread = torch.empty(
            ctx.shape,
            dtype=quarter.dtype,
            device=quarter.device,
            memory_format=layout(ctx.together),
        )
        if ctx.shape[-2:] != (height, width):
            spread.zero_()
        if quarter.is_cuda:  # in one go, which a CPU takes longer for
            fours: Tensor = spread[..., :height, :width].unflatten(-2, (-1, 2))  # type: ignore[no-untyped-call]
            fours.unflatten(-1, (-1, 2)).copy_(quarter[..., :, None, :, None])  # type: ignore[no-untyped-call]
            return spread
        rows = torch.stack([quarter, quarter], -1).flatten(-2)
        spread[..., 0:height:2, :width] = rows
        spread[..., 1:height:2, :width] = rows
        return spread


def cut_or_filled(picture: Tensor, height: int, width: int) -> Tensor:
    """With rows and columns at the end left out, or added as zeros."""
    missing = (0, width - picture.shape[-1], 0, height - picture.shape[-2])
    return F.pad(picture, missing) if any(missing) else picture


def blur_pool2(picture: Tensor) -> Tensor:
    """(N, C, H, W) at half its size, low-passed by the binomial filter 1, 3, 3, 1 along both sides; borders repeat.

    Subsampling then hardly depends on where its grid lies (Zhang 2019, "Making Convolutional Networks Shift-Invariant Again"):
    what is seen in a picture moves along with it.
    """
    halved: Tensor = _HalveSmoothly.apply(picture)
    return halved


class _HalveSmoothly(torch.autograd.Function):
    """The way back is to enlarge: bilinear interpolation by two has the same four weights."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor) -> Tensor:
        ctx.shape, ctx.together = picture.shape, not picture.is_contiguous()
        return _halved(picture, ctx.together)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        height, width = ctx.shape[-2:]
        return _enlarged(0.25 * gradients[0], height, width, ctx.together)


def upsample2(picture: Tensor, height: int, width: int) -> Tensor:
    """(N, C, H, W) at twice its size by bilinear interpolation, cut to (height, width). Not differentiable."""
    return _enlarged(picture, height, width, not picture.is_contiguous())


def _half_of(picture: Tensor, together: bool) -> Tensor:
    height, width = picture.shape[-2:]
    return _empty(picture, height // 2, width // 2, together)


@custom_op(_half_of)
def _halved(picture: Tensor, together: bool) -> Tensor:
    order = layout(together)
    height, width = (side // 2 * 2 for side in picture.shape[-2:])
    picture = picture[..., :height, :width].contiguous(memory_format=order)
    if together and picture.device.type == "cpu":
        filters = _binomial(picture.shape[1], picture.dtype)
        return F.conv2d(
            F.pad(picture, [1] * 4, mode="replicate"), filters, stride=2, groups=picture.shape[1]
        )
    for side in (
        -2,
        -1,
    ):  # each of a pair leans by a quarter towards its other neighbour, then both are averaged
        count = picture.shape[side] // 2
        pairs: Tensor = picture.unflatten(side, (count, 2))  # type: ignore[no-untyped-call]
        first, second = pairs.unbind(side)
        left, right = first.clone(memory_format=order), second.clone(memory_format=order)
        left.narrow(side, 1, count - 1).lerp_(second.narrow(side, 0, count - 1), 0.25)
        right.narrow(side, 0, count - 1).lerp_(first.narrow(side, 1, count - 1), 0.25)
        picture = left.lerp_(right, 0.5)
    return picture


@cache
def _binomial(channels: int, precision: torch.dtype) -> Tensor:
    """1, 3, 3, 1 along both sides, for each channel."""
    side = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return torch.outer(side, side).expand(channels, 1, 4, 4).to(precision).contiguous()


def _empty(like: Tensor, height: int, width: int, together: bool) -> Tensor:
    shape = (*like.shape[:2], height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout(together))


@custom_op(_empty)
def _enlarged(picture: Tensor, height: int, width: int, together: bool) -> Tensor:
    """Two for each, leaning by a quarter towards its neighbours: along columns, then along rows. A third of PyTorch's time."""
    order = layout(together)
    if picture.device.type != "cpu" or picture.numel() < MIN_NUMEL_CUSTOM_RESAMPLE:
        picture = F.interpolate(
            picture.contiguous(memory_format=order),
            scale_factor=2,
            mode="bilinear",
            align_corners=False,
        )
        return cut_or_filled(picture, height, width)
    for side in (-2, -1):
        count = picture.shape[side]
        shape = list(picture.shape)
        shape[side] *= 2
        enlarged = torch.empty(shape, dtype=picture.dtype, memory_format=order)
        pairs: Tensor = enlarged.unflatten(side, (count, 2))  # type: ignore[no-untyped-call]
        first, second = pairs.unbind(side)
        before, after = picture.narrow(side, 0, count - 1), picture.narrow(side, 1, count - 1)
        first.narrow(side, 0, 1).copy_(picture.narrow(side, 0, 1))
        torch.lerp(after, before, 0.25, out=first.narrow(side, 1, count - 1))
        torch.lerp(before, after, 0.25, out=second.narrow(side, 0, count - 1))
        second.narrow(side, count - 1, 1).copy_(picture.narrow(side, count - 1, 1))
        picture = enlarged
    return cut_or_filled(picture, height, width)


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
