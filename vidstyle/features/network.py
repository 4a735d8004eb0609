"""A VGG-shaped convolutional network (Simonyan & Zisserman 2015)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..autograd.convolution import conv_relu
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
        blur_pool: use blur pooling (Zhang 2019), which depends less on the position of an object
            on the sampling grid; else average pooling. VGG's max pooling gives poorer style
            transfer (Gatys et al. 2016).
        reflect_pad: pad by reflection, which does not mark the borders of the image; else with
            zeros.
    """

    channels: tuple[int, ...]
    convolutions: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    blur_pool: bool = True
    reflect_pad: bool = True

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all ReLU layers, shallow to deep: ``relu1_1``, ``relu1_2``, ..."""
        return tuple(
            f"relu{b}_{i}"
            for b, count in enumerate(self.convolutions, 1)
            for i in range(1, count + 1)
        )


SMALL = NetworkShape(
    (32, 64, 128, 192, 256), (2, 2, 2, 2, 1), (0.45, 0.45, 0.45), (0.25, 0.25, 0.25)
)


VGG19 = NetworkShape(
    (64, 128, 256, 512, 512),
    (2, 2, 4, 4, 4),
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
    blur_pool=False,
    reflect_pad=False,
)


class Network(nn.Module):
    """VGG-shaped network up to the layer ``deepest`` (None: all layers).

    Weights are named like ``conv3_1.weight``.
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
        width = 3
        for layer in self.layers:
            channels = shape.channels[block_of(layer) - 1]
            self.add_module(
                convolution_of(layer),
                nn.Conv2d(width, channels, 3, padding=0 if shape.reflect_pad else 1),
            )
            width = channels

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations of (1, 3, H, W) RGB in [0, 1] at ``layers``, each (1, C, H', W').

        No layer deeper than the deepest of these is computed.
        """
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
                x = blur_pool2(x) if self.shape.blur_pool else avg_pool2(x)
            convolution: Any = self.get_submodule(convolution_of(layer))
            x = reflect_pad(x, 1) if self.shape.reflect_pad else x
            x = (
                conv_relu(x, convolution)
                if x.is_cuda and not torch.version.hip
                else F.relu_(convolution(x))
            )
            if layer in wanted:
                maps[layer] = x
        return maps


def block_of(layer: str) -> int:
    """The number of a layer's block: ``relu3_1`` -> 3."""
    return int(layer.removeprefix("relu").split("_")[0])


def convolution_of(layer: str) -> str:
    """The name of a layer's weights: ``relu3_1`` -> ``conv3_1``."""
    return layer.replace("relu", "conv")
