"""Check that an image fits into memory, whole or in tiles, before the system ends the process."""

import logging
import math
from typing import NamedTuple

from ..errors import DeviceMemoryError
from ..features.extractor import MIN_SIDE_PX, Features
from ..features.network import VGG16
from ..features.tiles import TILE_MULTIPLE_PX
from ..runtime.device import free_memory

log = logging.getLogger(__name__)

BYTES_PER_PIXEL = 2500
"""Peak memory per pixel of the working size with the bundled features: 1.2 to 1.9 kB measured on a
CPU from 640 to 1280 px, less on a GPU."""

VGG_BYTES_PER_PIXEL = 5000
"""The same with VGG-16: 3.0 to 3.2 kB measured on a CPU from 640 to 1024 px."""

TILED_SHARE = 0.36
"""The same for an image whose activations are computed in tiles, without the tile, relative to
those of a whole image: 570 to 765 bytes measured at 2560 px, 1.3 kB with VGG-16 at 1600 px."""

REGION_BYTES_PER_PIXEL = 200
"""Memory per pixel of the working size for each region with a style of its own: 165 to 170 bytes of
tensors kept for the backward pass measured, which tiles do not reduce."""

MIN_TILE_PX, MAX_TILE_PX = 256, 2048
"""Sides of a tile in px. With smaller ones most of the work is done on margins."""

OUTPUT_BYTES_PER_PIXEL = 200
"""Peak memory per pixel of the output: 57 to 59 bytes measured up to 8192 px, and x264's: 97 with
three threads, 174 with twelve."""

Sizes = tuple[tuple[int, int], tuple[int, int]]
"""(width, height) in px of the image that is optimised, and of the output."""


class MemoryFit(NamedTuple):
    """How sizes fit into memory.

    Args:
        tile_px: side of the tiles in which activations are computed; None: of the whole image.
        remedy: should memory run out all the same.
    """

    tile_px: int | None
    remedy: str


def required_bytes(
    features: Features, sizes: Sizes, tile_px: int | None = None, regions: int = 0
) -> tuple[int, int]:
    """Bytes for the optimisation, and for the output.

    Args:
        features: of the stylizer.
        sizes: of the frames.
        tile_px: as in ``MemoryFit``.
        regions: number of regions with styles of their own.
    """
    (width, height), (output_width, output_height) = sizes
    per_pixel = _bytes_per_pixel(features)
    output = output_width * output_height * OUTPUT_BYTES_PER_PIXEL
    of_regions = width * height * regions * REGION_BYTES_PER_PIXEL
    if tile_px is None:
        return width * height * per_pixel + of_regions, output
    tiled = int(width * height * TILED_SHARE * per_pixel) + _tile_bytes(features, tile_px)
    return tiled + of_regions, output


def expected_bytes(features: Features, sizes: Sizes, regions: int = 0) -> int:
    """Bytes that a render takes, with tiles where the whole image does not fit into the free
    memory.

    The arguments are those of ``required_bytes``.
    """
    free = free_memory(features.device)
    whole, tiled = (
        sum(required_bytes(features, sizes, tile_px, regions)) for tile_px in (None, MIN_TILE_PX)
    )
    return min(whole, tiled) if free is not None and whole > free else whole


def _tile_bytes(features: Features, tile_px: int) -> int:
    """Bytes for a tile with its margin."""
    return (tile_px + 2 * features.margin_px) ** 2 * _bytes_per_pixel(features)


def _bytes_per_pixel(features: Features) -> int:
    is_vgg = features.network.shape.channels == VGG16.channels
    return VGG_BYTES_PER_PIXEL if is_vgg else BYTES_PER_PIXEL


def check_memory(features: Features, sizes: Sizes, freed: int = 0, regions: int = 0) -> MemoryFit:
    """Choose tiles where an image does not fit whole into the free memory of the features' device,
    and refuse sizes that do not fit at all.

    Args:
        features: of the stylizer.
        sizes: of the frames to come.
        freed: bytes for the frames until now, which are free again for those to come.
        regions: number of regions with styles of their own.

    Raises:
        DeviceError: more memory is needed than is free; says which size would fit.
    """
    device, free = features.device, free_memory(features.device)
    whole, tiled = (
        required_bytes(features, sizes, tile_px, regions) for tile_px in (None, MIN_TILE_PX)
    )
    smallest = min(whole, tiled, key=sum)
    flag, (width, height) = "working_size", sizes[0]
    if smallest[1] > smallest[0]:
        flag, (width, height) = "size", sizes[1]
    what = f"an {'image' if flag == 'working_size' else 'output'} of {width}x{height} px"
    remedy = f"{what} does not fit on {device}; use a smaller {flag}"
    free = None if free is None else free + freed
    if free is None or sum(whole) <= free:
        return MemoryFit(None, remedy)
    tile_px = _tile_px(features, sum(tiled), free)
    if tile_px is not None:
        log.warning(
            "an image of %dx%d px does not fit into memory as a whole: it is stylised in tiles of "
            "%d px, which takes about twice as long",
            *sizes[0],
            tile_px,
        )
        return MemoryFit(tile_px, remedy)
    tile = _tile_bytes(features, MIN_TILE_PX)
    share = max(_fitting_share(whole, 0, free), _fitting_share(tiled, tile, free))
    fits = int(max(width, height) * math.sqrt(share)) // 8 * 8
    would = f": {flag}={fits} would fit" if fits >= MIN_SIDE_PX else ", and a smaller size"
    raise DeviceMemoryError(
        f"out of memory: {remedy}{would} "
        f"(it needs about {sum(smallest) / 1e9:.1f} GB, {free / 1e9:.1f} GB are free)",
        "working_size",
        "size",
    )


def _tile_px(features: Features, smallest: int, free: int) -> int | None:
    """The largest tile that fits into ``free`` bytes, None if ``MIN_TILE_PX`` does not.

    Args:
        features: of the stylizer.
        smallest: bytes with tiles of ``MIN_TILE_PX``.
        free: bytes.
    """
    others = smallest - _tile_bytes(features, MIN_TILE_PX)
    pixels = max(0, free - others) // _bytes_per_pixel(features)
    side = math.isqrt(pixels) - 2 * features.margin_px
    tile_px = min(MAX_TILE_PX, side) // TILE_MULTIPLE_PX * TILE_MULTIPLE_PX
    return tile_px if tile_px >= MIN_TILE_PX else None


def _fitting_share(required: tuple[int, int], fixed: int, free: int) -> float:
    """Share of both sizes' areas that fits into ``free`` bytes.

    Both shrink with the output, but a smaller working size leaves the output as it is: the share is
    that of the one that needs more.

    Args:
        required: bytes for the optimisation and for the output.
        fixed: part of the former that does not shrink.
        free: bytes.
    """
    parts = required[0] - fixed, required[1]
    return max(0, free - fixed - min(parts)) / max(parts)


class MemoryChecker:
    """``check_memory`` once for each size: memory that other programs take later ends no render.

    Args:
        features: of the stylizer.
    """

    def __init__(self, features: Features) -> None:
        self._features = features
        self._fits: dict[tuple[Sizes, int], MemoryFit] = {}
        self._in_use = 0

    def check(self, sizes: Sizes, regions: int = 0) -> MemoryFit:
        """As ``check_memory``, for the sizes and regions of the next frame."""
        if (sizes, regions) not in self._fits:
            found = check_memory(self._features, sizes, self._in_use, regions)
            self._fits[sizes, regions] = found
        fit = self._fits[sizes, regions]
        self._in_use = sum(required_bytes(self._features, sizes, fit.tile_px, regions))
        return fit
