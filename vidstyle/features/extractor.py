"""What looks at pictures: a VGG-shaped network, and ``Features``, which joins it with the ``FilterBank`` of fixed filters.

Every map is named: ``relu3_1`` is the first ReLU of the network's third block, ``half.relu3_1`` the same on the half-size
picture; of the bank, ``oriented2`` is what its filters see in the picture halved once, ``tensor2`` which way strokes run in
that, ``colour`` the colours alone, ``tone`` the picture seen from afar.
"""

import copy
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .filter_bank import FilterBank, HalvingPyramid
from .network import LAYOUT, Network

MIN_SIDE_PX = 32
"""The smallest side of a picture that has something left after five halvings."""


class Layers(NamedTuple):
    """What ``Settings`` leaves to the features.

    Args:
        content: layers whose maps carry the content, with the weight of each.
        style: layers whose Gram matrices carry the style, with the weight of each.
        few: the same, for when time matters more than looks.
        match: what spots are described by, with the weight of each; see ``matching``.
    """

    content: Mapping[str, float] = MappingProxyType({"relu3_1": 1.0})
    style: Mapping[str, float] = MappingProxyType({})
    few: Mapping[str, float] | None = None
    match: Mapping[str, float] = MappingProxyType({})


class Features(nn.Module):
    """The maps by which pictures are compared. Holds no trainable state: parameters never require gradients.

    Args:
        network: the VGG-shaped part.
        bank: of fixed filters, or None.
        halved: look at the half-size picture through the network too.
        layers: what is used of them.
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
        self.content_layers, self.style_layers = dict(layers.content), dict(layers.style)
        self.fast_style_layers = dict(layers.style if layers.few is None else layers.few)
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
        """Names of all maps these features can compute."""
        halves = tuple(f"half.{layer}" for layer in self.network.layers) if self.halved else ()
        return (*self.network.layers, *halves, *(self.bank.layers if self.bank else ()))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.mean.device

    def layer_kind(self, layer: str) -> str:
        """What a layer's maps tell of a picture: ``lines`` (nothing where it is flat), ``tones`` or ``shapes``."""
        if self.bank and layer in self.bank.scales:
            return "lines"
        return "tones" if layer == "tone" else "shapes"

    def in_precision(self, precision: torch.dtype) -> "Features":
        """The same features with convolutions in this precision, and maps too; themselves if they are so already."""
        if self._precision == precision:
            return self
        other = copy.deepcopy(self)
        for convolution in other.network.children():
            convolution.to(precision)
        if other.bank:
            other.bank.filter_in(precision)
        return other

    @property
    def _precision(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise ValueError for a name that is not one of ``layers``."""
        for layer in layers:
            if layer not in self.layers:
                firsts = [
                    name
                    for name in self.layers
                    if re.fullmatch(r"relu\d_1|oriented\d|colour", name)
                ]
                raise ValueError(
                    f"unknown layer {layer!r}: these features have {', '.join(firsts)}, ..."
                )

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Maps of a picture.

        Args:
            image: (1, 3, H, W) RGB in [0, 1], sides of at least ``MIN_SIDE_PX``.
            layers: names out of ``self.layers``; what no name asks for is not computed.

        Returns:
            name -> (1, C, H', W') map. VGG-19 at 224 x 224 gives (1, 512, 28, 28) at ``relu4_2``.

        Raises:
            ValueError: an unknown layer, or a picture that is too small.
        """
        wanted = tuple(layers)
        self.check_layers(wanted)
        if min(image.shape[-2:]) < MIN_SIDE_PX:
            height, width = image.shape[-2:]
            raise ValueError(
                f"a picture of {width}x{height} px is too small: its sides must be at least {MIN_SIDE_PX} px"
            )
        sizes = HalvingPyramid(image)
        maps: dict[str, Tensor] = self.network(
            image, [name for name in wanted if name.startswith("relu")]
        )
        halves = [name.removeprefix("half.") for name in wanted if name.startswith("half.")]
        if halves:
            maps |= {f"half.{name}": x for name, x in self.network(sizes[1], halves).items()}
        if self.bank:
            maps |= self.bank(sizes, [name for name in wanted if name in self.bank.layers])
        return maps
