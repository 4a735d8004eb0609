"""What looks at pictures: a VGG-shaped network, a bank of oriented filters and colours, and ``Features``, which joins the two.

Every map is named: ``relu3_1`` is the first ReLU of the network's third block, ``half.relu3_1`` the same on the
half-size picture, ``oriented2`` the filter bank on the picture halved once, ``colour`` the colours alone, ``tone`` the picture
seen from afar.
"""

import copy
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .colours import opponent
from .tensors import halve

threshold_backward = torch.ops.aten.threshold_backward

MIN_SIDE_PX = 32
"""The smallest side of a picture that has something left after five halvings."""


LAYOUT = torch.channels_last
"""Of the network's maps in memory: the faster one for convolutions of many channels, on CPUs and on GPUs."""


@dataclass(frozen=True)
class NetworkShape:
    """The shape of a VGG-like network: blocks of 3 x 3 convolutions, halved in between (Simonyan & Zisserman 2015).

    ``mean`` and ``std`` normalise RGB in [0, 1]. ``average_pooling`` replaces VGG's maximum, which Gatys et al. (2016)
    found to paint better; ``reflect`` pads by reflection instead of with zeros, so that borders are not special.
    """

    channels: tuple[int, ...]
    convolutions: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    average_pooling: bool = True
    reflect: bool = True

    @property
    def layers(self) -> tuple[str, ...]:
        """All ReLU maps, shallow to deep: ``relu1_1``, ``relu1_2``, ..."""
        return tuple(f"relu{b}_{i}" for b, count in enumerate(self.convolutions, 1) for i in range(1, count + 1))


SMALL = NetworkShape((32, 64, 128, 192, 256), (2, 2, 2, 2, 1), (0.45, 0.45, 0.45), (0.25, 0.25, 0.25))
VGG19 = NetworkShape((64, 128, 256, 512, 512), (2, 2, 4, 4, 4), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), reflect=False)


def pad(x: Tensor, amount: int) -> Tensor:
    """Pad (N, C, H, W) on all sides by reflection, or by repeating the border where a side is too short for that."""
    mode = "reflect" if min(x.shape[-2:]) > amount else "replicate"
    return F.pad(x, [amount] * 4, mode=mode)


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
        precision = next(self.parameters()).dtype
        x = ((image - self.mean) / self.std).to(precision, memory_format=LAYOUT)
        block = 1
        for layer in self.layers:
            if len(maps) == len(wanted):
                break
            if block_of(layer) != block:
                block = block_of(layer)
                x = F.avg_pool2d(x, 2) if self.shape.average_pooling else F.max_pool2d(x, 2)
            x = F.relu_(self.get_submodule(convolution_of(layer))(pad(x, 1) if self.shape.reflect else x))
            if layer in wanted:
                maps[layer] = x
        return maps


def block_of(layer: str) -> int:
    """``relu3_1`` -> 3."""
    return int(layer.removeprefix("relu").split("_")[0])


def convolution_of(layer: str) -> str:
    """``relu3_1`` -> ``conv3_1``, the name of its weights."""
    return layer.replace("relu", "conv")


def gabor_pairs(size: int, orientations: int, wavelength: float, along: float, across: float) -> Tensor:
    """Even and odd Gabor filters, long in one direction (Daugman 1985).

    Args:
        size: side of a filter in px, odd.
        wavelength: of the wave across the filter, in px.
        along, across: standard deviations of the Gaussian envelope, in px.

    Returns:
        (2 * orientations, 1, size, size) float32, each of zero mean and unit norm.
    """
    place = torch.arange(size) - size // 2
    y, x = torch.meshgrid(place, place, indexing="ij")
    bank = []
    for angle in (math.pi * k / orientations for k in range(orientations)):
        u, v = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
        envelope = torch.exp(-(u**2) / (2 * along**2) - v**2 / (2 * across**2))
        for phase in (0.0, math.pi / 2):
            wave = envelope * torch.cos(2 * math.pi * v / wavelength + phase)
            wave = wave - wave.mean()
            bank.append(wave / wave.norm())
    return torch.stack(bank)[:, None]


@dataclass(frozen=True)
class Scale:
    """How the oriented filters look at one scale.

    Args:
        colours: opponent colours looked at, out of grey, red against green, yellow against blue.
        sparse: respond at every other px, across and down. That costs a quarter, and the filters are so smooth that their
            Gram matrices hardly change.
        saturates: see ``SATURATION``. Fine strokes get less crisp by it.
    """

    colours: int = 3
    sparse: bool = False
    saturates: bool = True


CHROMA_GAIN = 8.0
"""How much more than grey the two chromatic colours count in the ``colour`` map: a tint is faint and seen at once."""

TONES = 16
"""So many squares along the longer side of a picture make its ``tone`` map."""

SHIFT_PX = 3
"""Shift of the Gram matrices of oriented responses: beyond a stroke's width, within its length."""

SATURATION = 3.0
"""A response of this size counts half, and no response counts more than this: r / (1 + r / 3), after Naka & Rushton 1966.

Else the few strokes of strongest contrast make most of a Gram matrix, and come to be painted into one place.
"""

SCALES = (Scale(colours=1, sparse=True, saturates=False), Scale(sparse=True), Scale(sparse=True), Scale())
"""Fine to coarse. The finest looks at grey alone, as the eye does."""


class Halves:
    """A picture, (1, 3, H, W), and its halves, each made when first asked for: ``Halves(picture)[1]`` is of half its size."""

    def __init__(self, picture: Tensor) -> None:
        self._sizes = [picture]

    def __getitem__(self, times: int) -> Tensor:
        while len(self._sizes) <= times:
            self._sizes.append(halve(self._sizes[-1]))
        return self._sizes[times]


def sparse_conv(x: Tensor, filters: Tensor) -> Tensor:
    """``F.conv2d(x, filters, stride=2)`` for filters of an odd side, (C, 1, k, k), in half its time on a CPU."""
    height, width = x.shape[-2:]
    even = F.pad(x, (0, width % 2, 0, height % 2))
    return F.conv2d(F.pixel_unshuffle(even, 2), F.pixel_unshuffle(F.pad(filters, (0, 1, 0, 1)), 2))


def rectified(responses: Tensor, saturation: float) -> Tensor:
    """(1, C, H, W) -> (1, 2 C, H, W): positive parts r of the responses and of their negatives, as r / (1 + r / saturation)."""
    parts: Tensor = _Rectified.apply(responses, 1 / saturation)
    return parts


class _Rectified(torch.autograd.Function):
    """A few operations on each response, where autograd would take many on both of its signs."""

    @staticmethod
    def forward(ctx: Any, responses: Tensor, share: float) -> Tensor:
        ctx.share = share
        saturated = responses / (1 + share * responses.abs()) if share else responses
        ctx.save_for_backward(saturated)
        return F.relu_(torch.cat([saturated, -saturated], 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (saturated,) = ctx.saved_tensors
        positive, negative = gradients[0].chunk(2, 1)
        # What relu's own way back is made of; ``where`` takes many times as long.
        gradient = threshold_backward(positive, saturated, 0) - threshold_backward(negative, -saturated, 0)
        return (gradient * (1 - ctx.share * saturated.abs()).square() if ctx.share else gradient), None


class OrientedBank(nn.Module):
    """Elongated oriented filters on opponent colours: Gram matrices of their responses know what a stroke is.

    The bank is fixed, not trained. Each map is (1, 4 * colours * orientations, H, W), half that where sparse: opponent
    colours times even and odd filters times both rectified signs. They are blind to flat colour; the ``colour`` map,
    (1, 4, H, W) of the quarter-size picture, has a constant and the opponent colours, so that its Gram matrix holds their
    mean and covariance. The ``tone`` map, (1, 3, H, W), is the picture in ``TONES`` squares: what is light and dark from afar.
    """

    bank: Tensor
    opponent: Tensor

    def __init__(self, scales: Sequence[Scale] = SCALES, orientations: int = 8) -> None:
        super().__init__()
        self.scales = {f"oriented{number}": scale for number, scale in enumerate(scales, 1)}
        self.layers = ("colour", "tone", *self.scales)
        filters = gabor_pairs(11, orientations, wavelength=4.0, along=3.0, across=1.3)
        # The factor lifts the responses, a few hundredths, to the size of the network's maps.
        self.register_buffer("bank", 4 * filters, persistent=False)
        self.register_buffer("opponent", opponent(), persistent=False)

    def forward(self, sizes: Halves, layers: Iterable[str]) -> dict[str, Tensor]:
        """Rectified responses to (1, 3, H, W) RGB in [0, 1] at ``layers``; scale s + 1 sees half the size of scale s."""
        wanted = set(layers)
        maps: dict[str, Tensor] = {}
        if "colour" in wanted:
            seen = self._colours(sizes[2], 3)
            maps["colour"] = torch.stack([torch.ones_like(seen[0, 0]), seen[0, 0], *(CHROMA_GAIN * seen[1:, 0])])[None]
        if "tone" in wanted:
            image = sizes[0]
            maps["tone"] = F.avg_pool2d(image, max(1, round(max(image.shape[-2:]) / TONES)), ceil_mode=True)
        middle = self.opponent.sum(1).view(-1, 1, 1, 1) / 2
        for number, (layer, scale) in enumerate(self.scales.items()):
            if layer in wanted:
                # The filters are blind to a constant; without one half precision is more precise.
                colours = self._colours(sizes[number], scale.colours) - middle[: scale.colours]
                seen = pad(colours.to(self.bank.dtype), self.bank.shape[-1] // 2)
                responses = (sparse_conv if scale.sparse else F.conv2d)(seen, self.bank).flatten(0, 1)[None]
                maps[layer] = rectified(responses, SATURATION if scale.saturates else math.inf)
        return maps

    def _colours(self, image: Tensor, count: int) -> Tensor:
        """(count, 1, H, W): the first opponent colours."""
        return torch.einsum("ij,bjhw->ibhw", self.opponent[:count], image)


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
        bank: oriented filters, or None.
        halved: look at the half-size picture through the network too.
        layers: what is used of them.
    """

    def __init__(
        self,
        network: Network,
        bank: OrientedBank | None = None,
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

    def shift(self, layer: str) -> int:
        """The ``shift`` that Gram matrices of this layer are taken with, in px of its map."""
        return SHIFT_PX if self.sees(layer) == "lines" else 0

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
            other.bank.bank = other.bank.bank.to(precision)
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
