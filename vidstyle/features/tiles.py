"""Activations of large images, computed in tiles: gradient checkpointing (Chen et al. 2016) over
parts of the image in place of layers of the network.

Each tile is computed together with a margin as wide as the receptive field, so activations and
gradients are those of the whole image, to within rounding. Only the activations that were asked for
are kept; those of the layers in between are computed again in the backward pass.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..runtime.interrupts import check

TILE_MULTIPLE_PX = 32
"""The sides of tiles, and margins, are multiples of it: the sampling grids of all layers, at most
1/32 of the image's size, then fit those of the whole image."""

Compute = Callable[[Tensor, Sequence[str]], dict[str, Tensor]]
"""The activations of an image, (1, 3, H, W), at layers."""


class Span(NamedTuple):
    """A tile along one side of the image, in px: from ``start`` to ``stop``, with its margin from
    ``first`` to ``last``. ``stop`` is None for the last tile, which reaches to the border."""

    start: int
    stop: int | None
    first: int
    last: int

    def of_tile(self, stride: int) -> slice:
        """The tile among the activations of tile and margin."""
        stop = None if self.stop is None else (self.stop - self.first) // stride
        return slice((self.start - self.first) // stride, stop)

    def of_image(self, stride: int) -> slice:
        """The tile among the activations of the image."""
        return slice(self.start // stride, None if self.stop is None else self.stop // stride)


def spans(length: int, tile_px: int, margin_px: int) -> list[Span]:
    """The tiles along a side of ``length`` px."""
    starts = range(0, length, tile_px)
    return [
        Span(
            start,
            start + tile_px if start + tile_px < length else None,
            max(0, start - margin_px),
            min(length, start + tile_px + margin_px),
        )
        for start in starts
    ]


def tiled_activations(
    compute: Compute, image: Tensor, layers: Sequence[str], tile_px: int, margin_px: int
) -> dict[str, Tensor]:
    """Activations of an image that is larger than a tile.

    Args:
        compute: computes those of a tile.
        image: (1, 3, H, W).
        layers: their activations at a place depend on the image within ``margin_px``, and the
            stride of each is a power of two, at most ``TILE_MULTIPLE_PX``.
        tile_px: side of a tile without its margin, a multiple of ``TILE_MULTIPLE_PX``.
        margin_px: a multiple of ``TILE_MULTIPLE_PX``.

    Returns:
        layer -> (1, C, H', W').
    """
    maps = _TiledActivations.apply(compute, tuple(layers), tile_px, margin_px, image)
    return dict(zip(layers, maps, strict=True))


class _TiledActivations(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        compute: Compute,
        layers: tuple[str, ...],
        tile_px: int,
        margin_px: int,
        image: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.compute, ctx.layers, ctx.sides = compute, layers, (tile_px, margin_px)
        ctx.save_for_backward(image)
        ctx.strides = ()
        whole: tuple[Tensor, ...] = ()
        # The last tile comes first: the sizes of the whole maps follow from its own.
        for rows, columns in reversed(list(_tiles(image, tile_px, margin_px))):
            found = compute(_with_margin(image, rows, columns), layers)
            parts = [found[layer] for layer in layers]
            if not whole:
                ctx.strides = [_stride(part, rows, columns) for part in parts]
                whole = tuple(
                    _empty_whole(part, stride, rows, columns)
                    for part, stride in zip(parts, ctx.strides, strict=True)
                )
            for into, part, stride in zip(whole, parts, ctx.strides, strict=True):
                of_tile = rows.of_tile(stride), columns.of_tile(stride)
                into[(..., rows.of_image(stride), columns.of_image(stride))] = part[(..., *of_tile)]
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (image,) = ctx.saved_tensors
        total = torch.zeros_like(image)
        for rows, columns in _tiles(image, *ctx.sides):
            tile = _with_margin(image, rows, columns).detach().requires_grad_(True)
            with torch.enable_grad():
                found = ctx.compute(tile, ctx.layers)
                parts = [
                    found[layer][(..., rows.of_tile(stride), columns.of_tile(stride))]
                    for layer, stride in zip(ctx.layers, ctx.strides, strict=True)
                ]
            outer = [
                gradient[(..., rows.of_image(stride), columns.of_image(stride))]
                for gradient, stride in zip(gradients, ctx.strides, strict=True)
            ]
            _with_margin(total, rows, columns).add_(torch.autograd.grad(parts, tile, outer)[0])
        return (None, None, None, None, total)


def _tiles(image: Tensor, tile_px: int, margin_px: int) -> Iterator[tuple[Span, Span]]:
    """Rows and columns of each tile. An interrupt ends the loop: a large image has many tiles."""
    height, width = image.shape[-2:]
    for pair in product(spans(height, tile_px, margin_px), spans(width, tile_px, margin_px)):
        check()
        yield pair


def _with_margin(image: Tensor, rows: Span, columns: Span) -> Tensor:
    return image[..., rows.first : rows.last, columns.first : columns.last]


def _stride(part: Tensor, rows: Span, columns: Span) -> int:
    """Px of the image from one activation to the next."""
    sides = (rows.last - rows.first) + (columns.last - columns.first)
    return int(2 ** round(math.log2(sides / sum(part.shape[-2:]))))


def _empty_whole(part: Tensor, stride: int, rows: Span, columns: Span) -> Tensor:
    """A map of the whole image, in the memory format of the map of the last tile."""
    height = rows.first // stride + part.shape[-2]
    width = columns.first // stride + part.shape[-1]
    order = torch.contiguous_format if part.is_contiguous() else torch.channels_last
    return torch.empty(
        (*part.shape[:2], height, width),
        dtype=part.dtype,
        device=part.device,
        memory_format=order,
    )
