"""The feature network in the form that is trained: with batch normalisation."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..autograd.pooling import blur_pool2
from ..features.network import LAYOUT, NetworkShape, block_of, convolution_of, unshuffled


class Trunk(nn.Module):
    """The ReLU layers of a network, with batch normalisation (Ioffe & Szegedy 2015).

    Borders are padded with zeros, which is faster to train than reflection.

    Args:
        shape: of the network.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.input_channels
        for layer in shape.relu_layers:
            channels = shape.channels_of(layer)
            convolution = nn.Conv2d(width, channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight)
            self.add_module(convolution_of(layer), convolution)
            self.add_module(_norm_of(layer), nn.BatchNorm2d(channels))
            width = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Activations of (B, 3, H, W) RGB in [0, 1]: ReLU layer -> (B, C, H', W')."""
        mean, std = (
            images.new_tensor(values)[None, :, None, None]
            for values in (self.shape.mean, self.shape.std)
        )
        x = unshuffled((images - mean) / std, self.shape.first_block)
        x = x.contiguous(memory_format=LAYOUT)
        maps: dict[str, Tensor] = {}
        block = self.shape.first_block
        for layer in self.shape.relu_layers:
            if block_of(layer) != block:
                block, x = block_of(layer), blur_pool2(x)
            x = self.get_submodule(convolution_of(layer))(x)
            x = F.relu(self.get_submodule(_norm_of(layer))(x))
            maps[layer] = x
        return maps

    def folded(self) -> dict[str, Tensor]:
        """Weights of ``Network``: batch normalisation is folded into the convolutions."""
        weights: dict[str, Tensor] = {}
        for layer in self.shape.relu_layers:
            name = convolution_of(layer)
            convolution: Any = self.get_submodule(name)
            norm: Any = self.get_submodule(_norm_of(layer))
            weight, bias = fuse_conv_bn_weights(
                convolution.weight,
                None,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            weights[f"{name}.weight"], weights[f"{name}.bias"] = weight.detach(), bias.detach()
        return weights


def _norm_of(layer: str) -> str:
    """``relu3_1`` -> ``norm3_1``."""
    return layer.replace("relu", "norm")
