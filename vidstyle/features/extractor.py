"""Feature extraction: a VGG-shaped network joined with fixed filters.

Layers are named:

- ``relu3_1``: the first ReLU of the network's third block; ``half.relu3_1``: the same layer for the
  image at half size.
- ``oriented1`` to ``oriented4``: responses of oriented filters, fine to coarse.
- ``tensor1`` to ``tensor3``: structure tensors, which measure stroke direction.
- ``colour``: opponent colours; ``tone``: a thumbnail of the image.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .filter_bank import FilterBank, ImagePyramid
from .network import LAYOUT, Network
from .tiles import tiled_activations

MIN_SIDE_PX = 32
"""Smallest side of an image: five poolings by two leave one pixel."""

MARGIN_PX = 96
"""Margin of a tile, at least the receptive field's radius: 66 px for the bundled network, 70 px for
VGG-19."""

HALVED_MARGIN_PX = 160
"""The same with ``half.`` layers: 138 px."""


class Layers(NamedTuple):
    """Default layers of an extractor, each with its weight.

    Args:
        content: layers of the content loss.
        style: layers whose Gram matrices make the style loss.
        fast_style: the same with ``Settings.fast_style_layers``; None: ``style``.
        match: layers that describe a patch in patch matching.
    """

    content: Mapping[str, float] = MappingProxyType({"relu3_1": 1.0})
    style: Mapping[str, float] = MappingProxyType({})
    fast_style: Mapping[str, float] | None = None
    match: Mapping[str, float] = MappingProxyType({})


class Features(nn.Module):
    """Feature extractor: an image becomes activations at named layers.

    It is never trained: no parameter requires gradients.

    Args:
        network: the VGG-shaped network.
        bank: the fixed filters, or None.
        halved: offer ``half.`` layers too: the network applied to the image at half size.
        layers: default layers and their weights.

    Raises:
        ValueError: ``layers`` names an unknown layer.
    """

    def __init__(
        self,
        network: Network,
        bank: FilterBank | None = None,
        halved: bool = False,
        layers: Layers = Layers(),  # noqa: B008 (immutable)
    ) -> None:
        super().__init__()
        self.network, self.bank, self.halved = network, bank, halved
        self.tile_px: int | None = None
        self.content_layers, self.style_layers = dict(layers.content), dict(layers.style)
        fast_style = layers.style if layers.fast_style is None else layers.fast_style
        self.fast_style_layers = dict(fast_style)
        self.match_layers = dict(layers.match)
        self.check_layers(
            (*self.content_layers, *self.style_layers, *self.fast_style_layers, *self.match_layers)
        )
        self.network.to(memory_format=LAYOUT)
        self.requires_grad_(False).eval()

    def __repr__(self) -> str:
        """The number of layers and where they are computed, without the modules."""
        precision = str(self._precision).removeprefix("torch.")
        return f"Features({len(self.layers)} layers, {self.device}, {precision})"

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers."""
        halves = tuple(f"half.{layer}" for layer in self.network.layers) if self.halved else ()
        return (*self.network.layers, *halves, *(self.bank.layers if self.bank else ()))

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.network.mean.device

    def measured_property(self, layer: str) -> str:
        """The property of an image that a layer measures; the content loss weights positions by it.

        Returns:
            ``edges`` for oriented filters, whose responses are zero where the image is flat,
            ``mean color`` for the thumbnail, ``content`` for all other layers.
        """
        if self.bank and layer in self.bank.scales:
            return "edges"
        return "mean color" if layer == "tone" else "content"

    def in_precision(self, precision: torch.dtype) -> "Features":
        """The same extractor with convolutions and activations of another dtype.

        Returns:
            A copy; the extractor itself if it has this dtype already.
        """
        if self._precision == precision:
            return self
        with torch.inference_mode(False):  # weights made in it would be of no use to autograd
            other = copy.deepcopy(self)
            for convolution in other.network.children():
                convolution.to(precision)
            if other.bank:
                other.bank.set_filter_dtype(precision)
        return other

    def in_tiles(self, tile_px: int | None) -> "Features":
        """The same extractor, which computes the activations of larger images in tiles.

        Args:
            tile_px: side of a tile, a multiple of ``TILE_MULTIPLE_PX``; None: no tiles.

        Returns:
            A shallow copy; the extractor itself if it has these tiles already.
        """
        if tile_px == self.tile_px:
            return self
        other = copy.copy(self)
        other.tile_px = tile_px
        return other

    @property
    def margin_px(self) -> int:
        """Margin of a tile."""
        return HALVED_MARGIN_PX if self.halved else MARGIN_PX

    @property
    def _precision(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def check_layers(self, layers: Iterable[str]) -> None:
        """Check names of layers.

        Raises:
            ValueError: a name is not in ``layers``.
        """
        for layer in layers:
            if layer not in self.layers:
                raise ValueError(
                    f"unknown layer {layer!r}: these features have {', '.join(self.layers)}"
                )

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations of an image. Only the layers asked for are computed.

        Args:
            image: (1, 3, H, W) RGB in [0, 1], sides of at least ``MIN_SIDE_PX``.
            layers: names of layers.

        Returns:
            layer -> (1, C, H', W'). VGG-19 at 224 x 224 gives (1, 512, 28, 28) for ``relu4_2``.

        Raises:
            ValueError: an unknown layer, or an image that is too small.
        """
        wanted = tuple(layers)
        self.check_layers(wanted)
        if min(image.shape[-2:]) < MIN_SIDE_PX:
            height, width = image.shape[-2:]
            raise ValueError(
                f"an image of {width}x{height} px is too small: "
                f"its sides must be at least {MIN_SIDE_PX} px"
            )
        if self.tile_px is None or max(image.shape[-2:]) <= self.tile_px:
            return self._activations(image, wanted)
        # The structure tensor is relative to the energy of the whole image, and needs little
        # memory, as the colours do.
        local = [layer for layer in wanted if not self.bank or layer not in self.bank.whole_layers]
        maps = self._activations(image, [layer for layer in wanted if layer not in local])
        if local:
            tile = self.tile_px, self.margin_px
            maps |= tiled_activations(self._activations, image, local, *tile)
        return maps

    def _activations(self, image: Tensor, wanted: Sequence[str]) -> dict[str, Tensor]:
        pyramid = ImagePyramid(image)
        maps: dict[str, Tensor] = self.network(
            image, [name for name in wanted if name in self.network.layers]
        )
        halves = [name.removeprefix("half.") for name in wanted if name.startswith("half.")]
        if halves:
            maps |= {f"half.{name}": x for name, x in self.network(pyramid[1], halves).items()}
        if self.bank:
            maps |= self.bank(pyramid, [name for name in wanted if name in self.bank.layers])
        return maps
