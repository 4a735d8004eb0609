"""Patch matching with soft attention (Li & Wand 2016; Kolkin et al. 2022; Zhou et al. 2025).

Gram matrices measure which features a style has, not which features occur in one place: an image
can have the same Gram matrices with strokes in one region and flat colour in another. So the loss
compares each patch of the image, a square of twice ``GRID_PX``, with its nearest neighbours among
the style patches in cosine similarity, averaged by attention as in Attention Distillation (Zhou et
al. 2025). Sinkhorn scaling (Cuturi 2013) makes all style patches about equally likely to be chosen;
otherwise a few flat style patches would be the nearest neighbours of most image patches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autograd.losses import patch_cosines, patch_means
from ..autograd.pooling import avg_pool2
from ..features.extractor import Features
from ..ops.color import opponent_matrix
from ..ops.tensors import constant, upcast_half
from .base import FrameContext, Loss, StyleStatistics

GRID_PX = 8
"""Distance of neighbouring patches in px, half of their side. With this overlap the loss hardly
depends on the position of a stroke relative to the grid."""

MAX_STYLE_PATCHES = 2048
"""Number of random patches kept of a style image."""

CONTENT_SHARE = 0.2
"""Share of the content's descriptor in the query of a patch; the image's descriptor has the rest.
With a share of the content, the matched patches follow the shapes of the content."""

COLOR_WEIGHT = 0.5
"""Weight of a squared difference of colour in the similarity: a blue sky is matched to blue patches
of the style."""

COLOR_WINDOW_PX = 24
"""Side in px of the window whose mean colour a patch has, larger than the patch: an engraving's
tones consist of lines."""

MATCH_CHROMA_GAIN = 4.0
"""Gain of the two chromatic opponent channels over grey in that difference."""

MIN_SPREAD = 1e-3
"""Floor of the standard deviation of a layer over a style: a style of one colour has none."""

COLORS = "colors"
"""Key of the patches' colours in ``extract_patches``, next to layer names."""

TEMPERATURE = 0.05
"""Temperature of the Sinkhorn kernel, in units of the similarity."""

SINKHORN_ITERATIONS = 3
"""Sinkhorn iterations per assignment."""

SINKHORN_SAMPLE = 1024
"""Number of the image's patches that the Sinkhorn weights are computed from."""

ATTENTION_NEIGHBORS = 5
"""Number of style patches that are averaged for a patch of the image. A single one gives all of its
own accidents to the image."""

ATTENTION_TEMPERATURE = 0.05
"""Temperature of the softmax over these patches, in units of the similarity."""

MIN_LOG_KERNEL = -46.0
"""Floor of the kernel's logarithm. Subnormal numbers are ten times as slow, and no style patch must
get weight 0."""

CHUNK_PATCHES = 2048
"""Number of the image's patches compared at once, to bound memory."""


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


class PatchTarget(NamedTuple):
    """Means of the nearest neighbours, (N, C) of unit length, with mean and gain of
    ``StylePatches``."""

    units: Tensor
    mean: Tensor
    gain: Tensor


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


class NearestNeighborMatcher(NamedTuple):
    """Finds the nearest style patches of each patch of an image with some content.

    The similarity is a product of rows. A key holds the unit vector and the colours of a style
    patch; a query holds the descriptor and the colours of an image patch, with a share of the
    content's.

    Args:
        patches: of the style.
        keys: (M, C + 4).
        content_units: (N, C), the content's normalised descriptors times ``CONTENT_SHARE``.
        content_colors: (N, 4).
    """

    patches: StylePatches
    keys: Tensor
    content_units: Tensor
    content_colors: Tensor

    @classmethod
    def from_content(
        cls, patches: StylePatches, content: Tensor, descriptors: Tensor
    ) -> "NearestNeighborMatcher":
        """A matcher for images of this content.

        Args:
            patches: of the style.
            content: (1, 3, H, W), see ``FrameContext``.
            descriptors: of the content, from ``patch_descriptors``.
        """
        keys = torch.cat([patches.units, patches.colors], 1).to(descriptors.dtype)
        colors = patch_colors(content)
        # 2 a.b - |b|^2 is the negative squared distance of a and b, but for a constant of each
        # query.
        doubled = torch.cat([2 * colors, -torch.ones_like(colors[:, :1])], 1)
        units = _normalized(descriptors, patches)
        return cls(patches, keys, CONTENT_SHARE * units, COLOR_WEIGHT * doubled)

    def assign(self, descriptors: Tensor) -> PatchTarget:
        """The nearest style patches of each patch of an image, averaged by attention, with Sinkhorn
        scaling (Cuturi 2013).

        Args:
            descriptors: (N, C) of the image, from ``patch_descriptors``.
        """
        with torch.no_grad():
            units = (1 - CONTENT_SHARE) * _normalized(descriptors, self.patches)
            dtype = self.keys.dtype
            queries = torch.cat([units + self.content_units, self.content_colors], 1).to(dtype)
            sample = queries[:: max(1, len(queries) // SINKHORN_SAMPLE)]
            offsets = sinkhorn_offsets(sample @ self.keys.T).to(dtype)
            means = [
                attention_means(rows @ self.keys.T - offsets, self.patches.units)
                for rows in torch.split(queries, CHUNK_PATCHES)
            ]
            return PatchTarget(torch.cat(means).to(dtype), self.patches.mean, self.patches.gain)


def attention_means(similarity: Tensor, units: Tensor) -> Tensor:
    """Mean of the ``ATTENTION_NEIGHBORS`` most similar style patches of each query.

    Args:
        similarity: (N, M), rows of queries, columns of style patches.
        units: (M, C) float32, of the style patches.

    Returns:
        (N, C) float32, of unit length.
    """
    count = min(ATTENTION_NEIGHBORS, len(units))
    nearest = similarity.float().topk(count, 1)
    weights = F.softmax(nearest.values / ATTENTION_TEMPERATURE, 1)
    means = F.embedding_bag(nearest.indices, units, per_sample_weights=weights, mode="sum")
    return F.normalize(means)


def _normalized(descriptors: Tensor, patches: StylePatches) -> Tensor:
    return F.normalize((descriptors - patches.mean) * patches.gain)


def sinkhorn_offsets(similarity: Tensor) -> Tensor:
    """Offsets subtracted from the columns of a similarity so that all are about equally near.

    Sinkhorn scaling (Cuturi 2013) of the kernel exp(similarity / ``TEMPERATURE``), with equal
    marginals.

    Args:
        similarity: (N, M), rows of queries, columns of style patches.

    Returns:
        (M,) float32.
    """
    logits = similarity.float() / TEMPERATURE
    kernel = (logits - logits.amax(1, keepdim=True)).clamp_min(MIN_LOG_KERNEL).exp()
    scaling = kernel.new_ones(kernel.shape[1])
    for _ in range(SINKHORN_ITERATIONS):
        scaling = kernel.shape[0] / kernel.shape[1] / (kernel.T @ (1 / (kernel @ scaling)))
    return -TEMPERATURE * scaling.log()


def patch_loss(descriptors: Tensor, target: PatchTarget) -> Tensor:
    """Mean over patches of one minus the cosine similarity with the target, a scalar.

    Args:
        descriptors: from ``patch_descriptors``.
    """
    # Divided by the small spread of a flat style, differences exceed the range of float16.
    return 1 - patch_cosines(upcast_half(descriptors), *target).mean()


@dataclass(frozen=True)
class PatchMatchingLoss(Loss):
    """``patch_loss`` with nearest neighbours; ``fix_target`` assigns them before a run of steps.

    Args:
        descriptor_layers: layers that describe a patch.
    """

    descriptor_layers: tuple[str, ...]
    name = "patch"

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that describe a patch."""
        return self.descriptor_layers

    @property
    def content_layers(self) -> tuple[str, ...]:
        """The same layers."""
        return self.descriptor_layers

    def style_target(self, style: StyleStatistics, size_px: int) -> StylePatches:
        """The patches of the style images."""
        patches: StylePatches = style.patches(size_px)
        return patches

    def target(self, frame: FrameContext) -> NearestNeighborMatcher:
        """A matcher for images of the frame's content."""
        descriptors = patch_descriptors(frame.activations, self.layers, frame.content)
        return NearestNeighborMatcher.from_content(frame.style, frame.content, descriptors)

    def fix_target(
        self, target: PatchTarget | NearestNeighborMatcher, image: Tensor, features: Features
    ) -> PatchTarget:
        """Assign the nearest neighbours; a target that is assigned already stays."""
        if isinstance(target, PatchTarget):
            return target
        with torch.no_grad():
            activations = features(image, self.layers)
            return target.assign(patch_descriptors(activations, self.layers, image))

    def __call__(
        self,
        image: Tensor,
        activations: Mapping[str, Tensor],
        target: PatchTarget | NearestNeighborMatcher,
    ) -> Tensor:
        """``patch_loss`` with fixed matches, or else with those of this very image."""
        descriptors = patch_descriptors(activations, self.layers, image)
        if isinstance(target, NearestNeighborMatcher):
            target = target.assign(descriptors.detach())
        return patch_loss(descriptors, target)
