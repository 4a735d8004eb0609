"""What looks at pictures: a VGG-shaped network, and ``Features``, which joins it with the ``Bank`` of fixed filters.

Every map is named: ``relu3_1`` is the first ReLU of the network's third block, ``half.relu3_1`` the same on the half-size
picture; of the bank, ``oriented2`` is what its filters see in the picture halved once, ``tensor2`` which way strokes run in
that, ``colour`` the colours alone, ``tone`` the picture seen from afar.
"""

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bank import Bank, Halves, pad, threshold_backward
from .tensors import halve, halve_smoothly

MIN_SIDE_PX = 32
"""The smallest side of a picture that has something left after five halvings."""


LAYOUT = torch.channels_last
"""Of the network's maps in memory: the faster one for convolutions of many channels, on CPUs and on GPUs."""


@dataclass(frozen=True)
class NetworkShape:
    """The shape of a VGG-like network: blocks of 3 x 3 convolutions, halved in between (Simonyan & Zisserman 2015).

    ``mean`` and ``std`` normalise RGB in [0, 1]. Maps are halved by the average, in place of VGG's maximum, which Gatys et al.
    (2016) found to paint better; with ``smooth`` by ``halve_smoothly``, so that it matters less where a thing lies on the
    grid. ``reflect`` pads by reflection instead of with zeros, so that borders are not special.
    """

    channels: tuple[int, ...]
    convolutions: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    smooth: bool = True
    reflect: bool = True

    @property
    def layers(self) -> tuple[str, ...]:
        """All ReLU maps, shallow to deep: ``relu1_1``, ``relu1_2``, ..."""
        return tuple(f"relu{b}_{i}" for b, count in enumerate(self.convolutions, 1) for i in range(1, count + 1))


SMALL = NetworkShape((32, 64, 128, 192, 256), (2, 2, 2, 2, 1), (0.45, 0.45, 0.45), (0.25, 0.25, 0.25))
VGG19 = NetworkShape(
    (64, 128, 256, 512, 512), (2, 2, 4, 4, 4), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), smooth=False, reflect=False
)


class Network(nn.Module):
    """A VGG-shaped network, cut after ``deepest`` (all of it by default). Weights are named ``conv3_1.weight``."""

    mean: Tensor
    std: Tensor

    def __init__(self, shape: NetworkShape, deepest: str | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.layers = shape.layers[: shape.layers.index(deepest) + 1] if deepest else shape.layers
        self.register_buffer("mean", torch.tensor(shape.mean)[None, :, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(shape.std)[None, :, None, None], persistent=False)
        width = 3
        for layer in self.layers:
            channels = shape.channels[block_of(layer) - 1]
            self.add_module(convolution_of(layer), nn.Conv2d(width, channels, 3, padding=0 if shape.reflect else 1))
            width = channels

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Maps of (1, 3, H, W) RGB in [0, 1] at ``layers``; nothing deeper than the deepest of them is computed."""
        wanted = set(layers)
        maps: dict[str, Tensor] = {}
        if not wanted:
            return maps
        precision = next(self.parameters()).dtype
        x = ((image - self.mean) / self.std).to(precision, memory_format=LAYOUT)
        block = 1
        for layer in self.layers:
            if len(maps) == len(wanted):
                break
            if block_of(layer) != block:
                block = block_of(layer)
                x = halve_smoothly(x) if self.shape.smooth else halve(x)
            convolution: Any = self.get_submodule(convolution_of(layer))
            x = pad(x, 1) if self.shape.reflect else x
            x = convolved(x, convolution) if x.is_cuda and not torch.version.hip else F.relu_(convolution(x))
            if layer in wanted:
                maps[layer] = x
        return maps


def convolved(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """``relu(convolution(x))`` of a convolution that is not trained, in one kernel of cuDNN's."""
    maps: Tensor = _Convolved.apply(x, convolution.weight, convolution.bias, convolution.padding)
    return maps


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int]) -> Tensor:
        maps: Tensor = torch.cudnn_convolution_relu(x, weight, bias, (1, 1), padding, (1, 1), 1)
        ctx.save_for_backward(x, weight, maps)
        ctx.padding = padding
        return maps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        x, weight, maps = ctx.saved_tensors
        gradient = threshold_backward(gradients[0], maps, 0)
        ones, which = (1, 1), (True, False, False)
        back = torch.ops.aten.convolution_backward(gradient, x, weight, None, ones, ctx.padding, ones, False, (0, 0), 1, which)
        return back[0], None, None, None


def block_of(layer: str) -> int:
    """``relu3_1`` -> 3."""
    return int(layer.removeprefix("relu").split("_")[0])


def convolution_of(layer: str) -> str:
    """``relu3_1`` -> ``conv3_1``, the name of its weights."""
    return layer.replace("relu", "conv")


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
        bank: Bank | None = None,
        halved: bool = False,
        layers: Layers = Layers(),  # noqa: B008 (immutable)
    ) -> None:
        super().__init__()
        self.network, self.bank, self.halved = network, bank, halved
        self.content_layers, self.style_layers = dict(layers.content), dict(layers.style)
        self.few_layers = dict(layers.style if layers.few is None else layers.few)
        self.match_layers = dict(layers.match)
        self.check_layers((*self.content_layers, *self.style_layers, *self.few_layers, *self.match_layers))
        self.network.to(memory_format=LAYOUT)
        self.requires_grad_(False).eval()

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all maps these features can compute."""
        halves = tuple(f"half.{layer}" for layer in self.network.layers) if self.halved else ()
        return (*self.network.layers, *halves, *(self.bank.layers if self.bank else ()))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.mean.device

    def sees(self, layer: str) -> str:
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
                firsts = [name for name in self.layers if re.fullmatch(r"relu\d_1|oriented\d|colour", name)]
                raise ValueError(f"unknown layer {layer!r}: these features have {', '.join(firsts)}, ...")

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
            raise ValueError(f"a picture of {width}x{height} px is too small: its sides must be at least {MIN_SIDE_PX} px")
        sizes = Halves(image)
        maps: dict[str, Tensor] = self.network(image, [name for name in wanted if name.startswith("relu")])
        halves = [name.removeprefix("half.") for name in wanted if name.startswith("half.")]
        if halves:
            maps |= {f"half.{name}": x for name, x in self.network(sizes[1], halves).items()}
        if self.bank:
            maps |= self.bank(sizes, [name for name in wanted if name in self.bank.layers])
        return maps
