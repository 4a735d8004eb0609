"""Patches of images: their descriptors, their colours, and those of a style.

A patch is a square of twice ``GRID_PX``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autograd.losses import patch_means
from ..autograd.pooling import avg_pool2
from ..features.extractor import Features
from ..ops.color import opponent_matrix
from ..ops.tensors import constant

GRID_PX = 8
"""Distance of neighbouring patches in px, half of their side. With this overlap the loss hardly
depends on the position of a stroke relative to the grid."""

MAX_STYLE_PATCHES = 2048
"""Number of random patches kept of a style image."""

COLOR_WINDOW_PX = 24
"""Side in px of the window whose mean colour a patch has, larger than the patch: an engraving's
tones consist of lines."""

MATCH_CHROMA_GAIN = 4.0
"""Gain of the two chromatic opponent channels over grey in the colour difference of two patches."""

MIN_SPREAD = 1e-3
"""Floor of the standard deviation of a layer over a style: a style of one colour has none."""

COLORS = "colors"
"""Key of the patches' colours in ``extract_patches``, next to layer names."""


class StylePatches(NamedTuple):
    """Patches of a style, and the normalisation of descriptors.

    Args:
        mean, gain: (C,), the mean of the style's descriptors, and the factor of a difference from
            it.
        units: (M, C), normalised descriptors of unit length.
        colors: (M, 4), opponent colours and their squared length.
    """

    mean: Tensor
    gain: Tensor
    units: Tensor
    colors: Tensor


def patch_descriptors(
    activations: Mapping[str, Tensor], layers: Sequence[str], image: Tensor
) -> Tensor:
    """Descriptors of patches: activations of several layers, averaged over 2 x 2 grid squares.

    Returns:
        (N, C) in the dtype of the first layer.
    """
    grid = image.shape[-2] // GRID_PX, image.shape[-1] // GRID_PX
    return patch_means(*(_resize_to_grid(activations[layer], grid) for layer in layers))


def _resize_to_grid(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    while min(maps.shape[-2] // grid[0], maps.shape[-1] // grid[1]) > 1:
        maps = avg_pool2(maps)
    if tuple(maps.shape[-2:]) != grid:
        maps = maps[..., : grid[0], : grid[1]]  # activations of strided filters can be one longer
    if tuple(maps.shape[-2:]) != grid:
        maps = F.interpolate(maps, grid, mode="bilinear", align_corners=False)
    return maps


def patch_colors(image: Tensor) -> Tensor:
    """Opponent colours around each patch, (N, 3)."""
    gains = constant((1.0, MATCH_CHROMA_GAIN, MATCH_CHROMA_GAIN), image.device)
    weights = opponent_matrix(image.device) * gains[:, None]
    # The padding centres the window on the patch.
    padded = F.pad(image, [COLOR_WINDOW_PX // 2 - GRID_PX] * 4, mode="replicate")
    means = F.avg_pool2d(F.avg_pool2d(padded, GRID_PX), COLOR_WINDOW_PX // GRID_PX, 1)
    return torch.einsum("oc,bchw->bohw", weights, means)[0].flatten(1).T


def extract_patches(image: Tensor, features: Features) -> dict[str, Tensor]:
    """At most ``MAX_STYLE_PATCHES`` random patches of a style image; the seed is fixed.

    Returns:
        layer -> (M, C), and ``COLORS`` -> (M, 3).
    """
    activations = features(image, features.match_layers)
    patches = {
        layer: patch_descriptors(activations, [layer], image).float()
        for layer in features.match_layers
    } | {COLORS: patch_colors(image)}
    order = torch.randperm(len(patches[COLORS]), generator=torch.Generator().manual_seed(0))
    chosen = order[:MAX_STYLE_PATCHES].to(image.device)
    return {layer: found[chosen] for layer, found in patches.items()}


def join_patches(
    images: Sequence[Mapping[str, Tensor]],
    shares: Sequence[float],
    layer_weights: Mapping[str, float],
) -> StylePatches:
    """Patches of several style images in proportion to their shares.

    Args:
        images: as ``extract_patches`` returns them.
        shares: of each image; they sum to 1.
        layer_weights: layer -> its weight in a descriptor.
    """
    used = [(image, share) for image, share in zip(images, shares, strict=True) if share > 0]
    counts = [max(1, round(share * len(image[COLORS]))) for image, share in used]

    def joined(layer: str) -> Tensor:
        return torch.cat(
            [image[layer][:count] for (image, _), count in zip(used, counts, strict=True)]
        )

    layers = [joined(layer) for layer in layer_weights]
    means = [descriptors.mean(0) for descriptors in layers]
    centred = [descriptors - mean for descriptors, mean in zip(layers, means, strict=True)]
    spreads = [x.square().sum(1).mean().sqrt().clamp_min(MIN_SPREAD) for x in centred]
    gains = [
        (weight / spread).expand_as(mean)
        for weight, spread, mean in zip(layer_weights.values(), spreads, means, strict=True)
    ]
    units = F.normalize(torch.cat(centred, 1) * torch.cat(gains))
    colors = joined(COLORS)
    squared = colors.square().sum(1, keepdim=True)
    return StylePatches(torch.cat(means), torch.cat(gains), units, torch.cat([colors, squared], 1))
