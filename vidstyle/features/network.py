"""A VGG-shaped convolutional network (Simonyan & Zisserman 2015)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..autograd.convolution import conv_relu
from ..autograd.filters import smooth
from ..autograd.padding import reflect_pad
from ..autograd.pooling import avg_pool2, blur_pool2

LAYOUT = torch.channels_last
"""Memory format of activations: faster for many channels, on CPUs and GPUs."""


@dataclass(frozen=True)
class NetworkShape:
    """Architecture of a VGG-like network: blocks of 3 x 3 convolutions with pooling in between.

    Args:
        channels: of each block.
        convolutions: number in each block.
        mean, std: normalisation of RGB in [0, 1].
        pool: ``blur``: blur pooling (Zhang 2019), which depends less on the position of an object
            on the sampling grid; ``average``; or ``max``, as VGG was trained, which gives poorer
            style transfer (Gatys et al. 2016).
        reflect_pad: pad by reflection, which does not mark the borders of the image; else with
            zeros.
        first_block: number of the first block. With 2 the network begins at half size, like the
            second block of a VGG: its first convolution reads squares of 2 x 2 px as channels.
        heads: (layer, channels) of each head: a 1 x 1 convolution of the last ReLU of a block,
            named after the block of a teacher, such as ``vgg.relu3_1``.
    """

    channels: tuple[int, ...]
    convolutions: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pool: str = "blur"
    reflect_pad: bool = True
    first_block: int = 1
    heads: tuple[tuple[str, int], ...] = ()

    @property
    def relu_layers(self) -> tuple[str, ...]:
        """Names of all ReLU layers, shallow to deep: ``relu1_1``, ``relu1_2``, ..."""
        return tuple(
            f"relu{b}_{i}"
            for b, count in enumerate(self.convolutions, self.first_block)
            for i in range(1, count + 1)
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers: the ReLU layers and the heads."""
        return (*self.relu_layers, *(name for name, _ in self.heads))

    @property
    def input_channels(self) -> int:
        """Channels that the first convolution reads."""
        return 3 << (2 * (self.first_block - 1))

    def channels_of(self, layer: str) -> int:
        """Number of channels of a ReLU layer."""
        return self.channels[block_of(layer) - self.first_block]

    def last_relu(self, block: int) -> str:
        """The last ReLU layer of a block: a head reads this layer."""
        return f"relu{block}_{self.convolutions[block - self.first_block]}"


SMALL = NetworkShape(
    (32, 64, 128, 192, 256), (2, 2, 2, 2, 1), (0.45, 0.45, 0.45), (0.25, 0.25, 0.25)
)
"""The network that is trained without a teacher. It is used on images of half the size."""

DISTILLED = NetworkShape(
    (40, 80, 160, 320),
    (2, 2, 2, 1),
    (0.45, 0.45, 0.45),
    (0.25, 0.25, 0.25),
    first_block=2,
    heads=(("vgg.relu2_1", 40), ("vgg.relu3_1", 80), ("vgg.relu4_2", 160), ("vgg.relu5_1", 256)),
)
"""The network that is distilled from VGG-16. At the same cost as ``SMALL`` it sees the whole image:
the 3 x 3 convolutions at full size are the most expensive ones of a VGG."""

VGG16 = NetworkShape(
    (64, 128, 256, 512, 512),
    (2, 2, 3, 3, 3),
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
    pool="average",
    reflect_pad=False,
)

VGG19 = replace(VGG16, convolutions=(2, 2, 4, 4, 4))


def max_pool2(x: Tensor) -> Tensor:
    """2 x 2 maximum pooling with stride 2."""
    return F.max_pool2d(x, 2)


POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "blur": blur_pool2,
    "average": avg_pool2,
    "max": max_pool2,
}


class Network(nn.Module):
    """VGG-shaped network up to the ReLU layer ``deepest`` (None: all layers).

    Weights are named like ``conv3_1.weight``, those of heads like ``head3.weight``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: NetworkShape, deepest: str | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.layers = shape.layers[: shape.layers.index(deepest) + 1] if deepest else shape.layers
        self.register_buffer(
            "mean", torch.tensor(shape.mean)[None, :, None, None], persistent=False
        )
        self.register_buffer("std", torch.tensor(shape.std)[None, :, None, None], persistent=False)
        self.relu_layers = tuple(name for name in self.layers if name in shape.relu_layers)
        width = shape.input_channels
        for layer in self.relu_layers:
            channels = shape.channels_of(layer)
            self.add_module(
                convolution_of(layer),
                nn.Conv2d(width, channels, 3, padding=0 if shape.reflect_pad else 1),
            )
            width = channels
        self.heads = {
            shape.last_relu(block_of(name)): name for name, _ in shape.heads if name in self.layers
        }
        for relu, name in self.heads.items():
            head = nn.Conv2d(shape.channels_of(relu), dict(shape.heads)[name], 1)
            self.add_module(convolution_of(name), head)

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations of (1, 3, H, W) RGB in [0, 1] at ``layers``, each (1, C, H', W').

        No layer deeper than the deepest of these is computed.
        """
        wanted = set(layers)
        maps: dict[str, Tensor] = {}
        if not wanted:
            return maps
        precision = next(self.parameters()).dtype
        x = (image - self.mean) / self.std
        x = unshuffled(x, self.shape.first_block).to(precision, memory_format=LAYOUT)
        block = self.shape.first_block
        for layer in self.relu_layers:
            if len(maps) == len(wanted):
                break
            if block_of(layer) != block:
                block = block_of(layer)
                x = POOLS[self.shape.pool](x)
            convolution: Any = self.get_submodule(convolution_of(layer))
            x = reflect_pad(x, 1) if self.shape.reflect_pad else x
            x = (
                conv_relu(x, convolution)
                if x.is_cuda and not torch.version.hip
                else F.relu_(convolution(x))
            )
            if layer in wanted:
                maps[layer] = x
            head = self.heads.get(layer)
            if head in wanted:
                maps[head] = self.get_submodule(convolution_of(head))(x)
        return maps


def unshuffled(image: Tensor, first_block: int) -> Tensor:
    """The image at the size of a block, with squares of pixels as channels.

    It is filtered by (1, 2, 1) first. Otherwise the gradient would have another strength at each
    pixel of a square, and optimised images a pattern of dots (Odena et al. 2016).

    Args:
        image: (N, 3, H, W). The last row or column of an odd side is repeated.
        first_block: 1 (no change) or 2, see ``NetworkShape``.
    """
    if first_block == 1:
        return image
    filtered = smooth(image)
    side = 2 ** (first_block - 1)
    bottom, right = (-size % side for size in image.shape[-2:])
    if bottom or right:
        filtered = F.pad(filtered, (0, right, 0, bottom), mode="replicate")
    return F.pixel_unshuffle(filtered, side)


def block_of(layer: str) -> int:
    """The number of a layer's block: ``relu3_1`` and ``vgg.relu3_1`` -> 3."""
    return int(layer.removeprefix("vgg.").removeprefix("relu").split("_")[0])


def convolution_of(layer: str) -> str:
    """The name of a layer's weights: ``relu3_1`` -> ``conv3_1``, ``vgg.relu3_1`` -> ``head3``."""
    if layer.startswith("vgg."):
        return f"head{block_of(layer)}"
    return layer.replace("relu", "conv")
