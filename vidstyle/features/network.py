"""The VGG-shaped network whose activations are compared."""

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
"""Of the network's maps in memory: the faster one for convolutions of many channels, on CPUs and on GPUs."""


@dataclass(frozen=True)
class NetworkShape:
    """The shape of a VGG-like network: blocks of 3 x 3 convolutions, halved in between (Simonyan & Zisserman 2015).

    ``mean`` and ``std`` normalise RGB in [0, 1]. Maps are halved by the average, in place of VGG's maximum, which Gatys et al.
    (2016) found to paint better; with ``smooth`` by ``blur_pool2``, so that it matters less where a thing lies on the
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
    smooth=False,
    reflect=False,
)


class Network(nn.Module):
    """A VGG-shaped network, cut after ``deepest`` (all of it by default). Weights are named ``conv3_1.weight``."""

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
                nn.Conv2d(width, channels, 3, padding=0 if shape.reflect else 1),
            )
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
                x = blur_pool2(x) if self.shape.smooth else avg_pool2(x)
            convolution: Any = self.get_submodule(convolution_of(layer))
            x = reflect_pad(x, 1) if self.shape.reflect else x
            x = (
                conv_relu(x, convolution)
                if x.is_cuda and not torch.version.hip
                else F.relu_(convolution(x))
            )
            if layer in wanted:
                maps[layer] = x
        return maps


def block_of(layer: str) -> int:
    """``relu3_1`` -> 3."""
    return int(layer.removeprefix("relu").split("_")[0])


def convolution_of(layer: str) -> str:
    """``relu3_1`` -> ``conv3_1``, the name of its weights."""
    return layer.replace("relu", "conv")
