"""Conversion between images and tensors, resampling, and cached constants."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..io.frame import Frame, Image


def to_tensor(image: Image, device: torch.device | None = None) -> Tensor:
    """Convert (H, W, 3 or 4) uint8 or uint16 to (1, 3, H, W) float32 in [0, 1], without alpha."""
    return _channels(image[..., :3], device)


def to_resized_tensor(
    image: Image, size: tuple[int, int], device: torch.device | None = None
) -> Tensor:
    """``resize`` of ``to_tensor``. On a CPU images of 8 bits are resampled as such, in a tenth of
    the time, and rounded.

    Args:
        image: (H, W, 3 or 4) uint8 or uint16.
        size: (width, height) in px.
        device: of the result.

    Returns:
        (1, 3, height, width) float32 in [0, 1].
    """
    width, height = size
    on_cpu = device is None or device.type == "cpu"
    if not on_cpu or image.dtype != np.uint8 or image.shape[:2] == (height, width):
        return resize(to_tensor(image, device), size)
    levels = _from_numpy(image[..., :3]).permute(2, 0, 1)[None]
    return _resampled_levels(levels, size).float().contiguous() / 255


def alpha_of(image: Image, device: torch.device | None = None) -> Tensor | None:
    """The alpha channel as (1, 1, H, W) float32 in [0, 1]; None if the image has none."""
    return _channels(image[..., 3:], device) if image.shape[2] == 4 else None


def mask_of(frame: Frame, device: torch.device | None = None) -> Tensor | None:
    """The mask of a frame as (1, 1, H, W) float32 in [0, 1]; None if it has none."""
    return None if frame.mask is None else _channels(frame.mask[..., None], device)


def regions_of(frame: Frame, device: torch.device | None = None) -> Tensor | None:
    """The regions of a frame as (1, R, H, W) float32 in [0, 1]; None if it has none."""
    if frame.regions is None:
        return None
    return _channels(np.moveaxis(frame.regions, 0, -1), device)


def emphasis_of(frame: Frame, device: torch.device | None = None) -> Tensor | None:
    """The emphasis of a frame as (1, 1, H, W) float32 in [0, 1]; None if it has none."""
    return None if frame.emphasis is None else _channels(frame.emphasis[..., None], device)


def painted_of(frame: Frame, device: torch.device | None = None) -> Tensor | None:
    """The painting of a frame as (1, 4, H, W) float32 in [0, 1]; None if it has none."""
    return None if frame.painted is None else _channels(frame.painted, device)


def _channels(image: Image, device: torch.device | None) -> Tensor:
    peak = np.iinfo(image.dtype).max
    if image.dtype == np.uint16:
        # PyTorch's uint16 lacks most operations.
        image = image.astype(np.float32)  # type: ignore[assignment]
    return _from_numpy(image).to(device).permute(2, 0, 1)[None].float().contiguous() / peak


def _from_numpy(image: NDArray[Any]) -> Tensor:
    """``torch.from_numpy``, which would warn of a read-only array."""
    return torch.from_numpy(np.require(image, requirements=["C_CONTIGUOUS", "WRITEABLE"]))


def to_image(image: Tensor, deep: bool = False) -> Image:
    """Convert (1, C, H, W) float in [0, 1] to (H, W, C), rounded to nearest.

    Args:
        image: values outside [0, 1] are clipped.
        deep: uint16 instead of uint8.
    """
    levels = (image.detach()[0].clamp(0, 1) * (65535 if deep else 255)).round()
    levels = levels.to(torch.int32 if deep else torch.uint8).permute(1, 2, 0).contiguous().cpu()
    return levels.numpy().astype(np.uint16) if deep else levels.numpy()


def to_resized_image(image: Tensor, size: tuple[int, int], deep: bool = False) -> Image:
    """``to_image`` of ``resize``. On a CPU, for 8 bits, the pixels are rounded before they are
    resampled too, which takes a quarter of the time.

    Args:
        image: (1, C, H, W) in [0, 1].
        size: (width, height) in px.
        deep: uint16 instead of uint8.

    Returns:
        (height, width, C).
    """
    width, height = size
    if deep or image.device.type != "cpu" or tuple(image.shape[-2:]) == (height, width):
        return to_image(resize(image, size), deep)
    levels = torch.from_numpy(to_image(image)).permute(2, 0, 1)[None]
    return _resampled_levels(levels, size)[0].permute(1, 2, 0).contiguous().numpy()


def _resampled_levels(levels: Tensor, size: tuple[int, int]) -> Tensor:
    """``resize`` of (1, C, H, W) uint8 on a CPU."""
    return F.interpolate(levels, size[::-1], mode="bicubic", antialias=True)


@cache  # without a limit: recorded CUDA graphs hold the addresses of these tensors
def constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Numbers as a float32 tensor that is copied to the device once. It must not be changed.

    Each copy to a GPU would synchronise with it.
    """
    with torch.inference_mode(False):  # a tensor made in it would be of no use to autograd
        return torch.tensor(values, dtype=torch.float32, device=device)


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic resampling with antialiasing, clipped to [0, 1].

    Args:
        image: (1, C, H, W) in [0, 1].
        size: (width, height) in px.
    """
    width, height = size
    if tuple(image.shape[-2:]) == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def select(mask: Tensor, image: Tensor, other: Tensor) -> Tensor:
    """``torch.where`` for finite images, in a fraction of its time on a CPU.

    Args:
        mask: (1, 1, H, W) bool, or 0 and 1 in the dtype of the images.
        image: (1, C, H, W), taken where the mask is True or 1.
        other: of the same shape, taken elsewhere.
    """
    return torch.lerp(other, image, mask.to(image))


def box_mean(x: Tensor, side_px: int) -> Tensor:
    """Mean of (N, C, H, W) over the window around each pixel, within the image.

    Args:
        x: any image.
        side_px: of the window, one more than a power of two.
    """
    height, width = x.shape[-2:]
    rows, columns = (_window_shares(side, side_px) for side in (height, width))
    shares = constant(rows, x.device)[:, None] * constant(columns, x.device)
    if x.device.type == "cpu" and x.dtype == torch.float32:
        window = {"ddepth": -1, "ksize": (side_px, side_px), "normalize": False}
        sums = _opencv_planes(x, partial(cv2.boxFilter, **window, borderType=cv2.BORDER_CONSTANT))
        return sums.mul_(shares)
    return _box_sum(_box_sum(x, 2, side_px), 3, side_px) * shares


def _opencv_planes(x: Tensor, function: Callable[..., Any]) -> Tensor:
    """A function of OpenCV, applied to each channel of (N, C, H, W) float32 on a CPU: it takes a
    third of the time of the sums and maxima below."""
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    planes = zip(x.contiguous().flatten(0, 1), result.flatten(0, 1), strict=True)
    for plane, filtered in planes:
        function(plane.numpy(), dst=filtered.numpy())
    return result


@cache
def _window_shares(length: int, side_px: int) -> tuple[float, ...]:
    """1 over the number of places of a window that lie within a line, for each place of it."""
    half = side_px // 2
    ends = ((max(0, place - half), min(length, place + half + 1)) for place in range(length))
    return tuple(1 / (end - start) for start, end in ends)


def _box_sum(x: Tensor, dim: int, side_px: int) -> Tensor:
    """Sum of neighbours along a dimension, in sums of 2, 4, 8 and so on: faster than pooling."""
    half, length = side_px // 2, x.shape[dim]
    padded = F.pad(x, [half, half, 0, 0] if dim == 3 else [0, 0, half, half])
    sums, width = padded, 1
    while 2 * width < side_px:
        count = sums.shape[dim] - width
        sums = sums.narrow(dim, 0, count) + sums.narrow(dim, width, count)
        width *= 2
    return sums.narrow(dim, 0, length) + padded.narrow(dim, side_px - 1, length)


def box_max(x: Tensor, side_px: int) -> Tensor:
    """Maximum of (N, C, H, W) over the window around each pixel, within the image.

    Args:
        x: any image.
        side_px: of the window, odd.
    """
    if x.device.type == "cpu" and x.dtype == torch.float32:
        return _opencv_planes(x, partial(cv2.dilate, kernel=np.ones((side_px, side_px), np.uint8)))
    return _maximum(_maximum(x, 2, side_px), 3, side_px)


def opened(x: Tensor, side_px: int) -> Tensor:
    """Morphological opening of (N, C, H, W): bright marks thinner than the odd window are gone."""
    return box_max(-box_max(-x, side_px), side_px)


def _maximum(x: Tensor, dim: int, side_px: int) -> Tensor:
    """Maximum of neighbours, in maxima of 2, 4, 8 and so on: many times faster than pooling."""
    half = side_px // 2
    padding = [half, half, 0, 0] if dim == 3 else [0, 0, half, half]
    found, width = F.pad(x, padding, value=-torch.inf), 1
    while width < side_px:
        step = min(width, side_px - width)
        count = found.shape[dim] - step
        found = torch.maximum(found.narrow(dim, 0, count), found.narrow(dim, step, count))
        width += step
    return found


def ramp(x: Tensor, limits: tuple[float, float]) -> Tensor:
    """0 at the first limit, 1 at the second, linear between, clipped outside."""
    start, end = limits
    return ((x - start) / (end - start)).clamp(0, 1)


def upcast_half(maps: Tensor) -> Tensor:
    """Activations whose squares do not overflow: float16 becomes float32, other dtypes are kept."""
    return maps.float() if maps.dtype == torch.float16 else maps
