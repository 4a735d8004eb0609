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

from ..autograd.losses import patch_cosines
from ..features.extractor import Features
from ..ops.tensors import upcast_half
from .base import FrameContext, Loss, Regions, StyleSize, StyleStatistics
from .patches import StylePatches, patch_colors, patch_descriptors

CONTENT_SHARE = 0.2
"""Share of the content's descriptor in the query of a patch; the image's descriptor has the rest.
With a share of the content, the matched patches follow the shapes of the content."""

COLOR_WEIGHT = 0.5
"""Weight of a squared difference of colour in the similarity: a blue sky is matched to blue patches
of the style."""

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


MIN_PATCH_WEIGHT = 1e-6
"""Floor of a patch's weight in a region: an empty region has patches of some weight too."""


class PatchTarget(NamedTuple):
    """Means of the nearest neighbours, (N, C) of unit length, with mean and gain of
    ``StylePatches``."""

    units: Tensor
    mean: Tensor
    gain: Tensor


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
        weights: (N,), of the image's patches, see ``sinkhorn_offsets``; None: all equal.
    """

    patches: StylePatches
    keys: Tensor
    content_units: Tensor
    content_colors: Tensor
    weights: Tensor | None = None

    @classmethod
    def from_content(
        cls,
        patches: StylePatches,
        content: Tensor,
        descriptors: Tensor,
        weights: Tensor | None = None,
    ) -> "NearestNeighborMatcher":
        """A matcher for images of this content.

        Args:
            patches: of the style.
            content: (1, 3, H, W), see ``FrameContext``.
            descriptors: of the content, from ``patch_descriptors``.
            weights: of the image's patches; None: all equal.
        """
        keys = torch.cat([patches.units, patches.colors], 1).to(descriptors.dtype)
        colors = patch_colors(content)
        # 2 a.b - |b|^2 is the negative squared distance of a and b, but for a constant of each
        # query.
        doubled = torch.cat([2 * colors, -torch.ones_like(colors[:, :1])], 1)
        units = _normalized(descriptors, patches)
        return cls(patches, keys, CONTENT_SHARE * units, COLOR_WEIGHT * doubled, weights)

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
            step = max(1, len(queries) // SINKHORN_SAMPLE)
            weights = None if self.weights is None else self.weights[::step]
            offsets = sinkhorn_offsets(queries[::step] @ self.keys.T, weights).to(dtype)
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


def sinkhorn_offsets(similarity: Tensor, weights: Tensor | None = None) -> Tensor:
    """Offsets subtracted from the columns of a similarity so that all are about equally near.

    Sinkhorn scaling (Cuturi 2013) of the kernel exp(similarity / ``TEMPERATURE``), with equal
    marginals of the columns.

    Args:
        similarity: (N, M), rows of queries, columns of style patches.
        weights: (N,), marginals of the rows, relative to their sum; None: equal ones.

    Returns:
        (M,) float32.
    """
    logits = similarity.float() / TEMPERATURE
    kernel = (logits - logits.amax(1, keepdim=True)).clamp_min(MIN_LOG_KERNEL).exp()
    scaling = kernel.new_ones(kernel.shape[1])
    if weights is None:
        weights = torch.ones_like(kernel[:, 0])
    total = weights.sum() / kernel.shape[1]
    for _ in range(SINKHORN_ITERATIONS):
        scaling = total / (kernel.T @ (weights / (kernel @ scaling)))
    return -TEMPERATURE * scaling.log()


class RegionPatchTarget(NamedTuple):
    """Targets of the regions of a frame.

    Args:
        parts: of each region, for all patches of the image.
        weights: (R, N), of each patch in each region.
    """

    parts: tuple[PatchTarget, ...]
    weights: Tensor


class RegionMatcher(NamedTuple):
    """The matchers of the regions of a frame.

    Args:
        parts: of each region, for all patches of the image.
        weights: as for ``RegionPatchTarget``.
    """

    parts: tuple[NearestNeighborMatcher, ...]
    weights: Tensor

    def assign(self, descriptors: Tensor) -> RegionPatchTarget:
        """As ``NearestNeighborMatcher.assign``, for each region."""
        parts = tuple(part.assign(descriptors) for part in self.parts)
        return RegionPatchTarget(parts, self.weights)


def patch_loss(descriptors: Tensor, target: PatchTarget) -> Tensor:
    """Mean over patches of one minus the cosine similarity with the target, a scalar.

    Args:
        descriptors: from ``patch_descriptors``.
    """
    # Divided by the small spread of a flat style, differences exceed the range of float16.
    return 1 - patch_cosines(upcast_half(descriptors), *target).mean()


def region_patch_loss(descriptors: Tensor, target: RegionPatchTarget) -> Tensor:
    """``patch_loss`` in which each patch has the targets of its regions, a scalar.

    Args:
        descriptors: from ``patch_descriptors``.
    """
    descriptors = upcast_half(descriptors)
    losses = [
        ((1 - patch_cosines(descriptors, *part)) * weights).mean()
        for part, weights in zip(target.parts, target.weights, strict=True)
    ]
    return torch.stack(losses).sum()


def _patch_weights(masks: Tensor) -> Tensor:
    """Masks of regions, (1, R, H, W), at the patches of the image: (R, N), above 0."""
    return patch_descriptors({"": masks}, [""], masks).T.clamp_min(MIN_PATCH_WEIGHT)


MATCHERS = NearestNeighborMatcher, RegionMatcher

Target = PatchTarget | RegionPatchTarget | NearestNeighborMatcher | RegionMatcher


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

    def style_target(self, style: StyleStatistics, size: StyleSize) -> StylePatches:
        """The patches of the style images."""
        patches: StylePatches = style.patches(size)
        return patches

    def target(self, frame: FrameContext) -> NearestNeighborMatcher:
        """A matcher for images of the frame's content."""
        descriptors = patch_descriptors(frame.activations, self.layers, frame.content)
        return NearestNeighborMatcher.from_content(frame.style, frame.content, descriptors)

    def region_target(
        self, frame: FrameContext, style_targets: Sequence[StylePatches], regions: Regions
    ) -> RegionMatcher:
        """A matcher for each region: all style patches are about equally likely within it."""
        descriptors = patch_descriptors(frame.activations, self.layers, frame.content)
        weights = _patch_weights(regions.masks)
        matchers = (
            NearestNeighborMatcher.from_content(style, frame.content, descriptors, part)
            for style, part in zip(style_targets, weights, strict=True)
        )
        return RegionMatcher(tuple(matchers), weights)

    def fix_target(self, target: Target, image: Tensor, features: Features) -> Target:
        """Assign the nearest neighbours; a target that is assigned already stays."""
        if not isinstance(target, MATCHERS):
            return target
        with torch.no_grad():
            activations = features(image, self.layers)
            return target.assign(patch_descriptors(activations, self.layers, image))

    def __call__(self, image: Tensor, activations: Mapping[str, Tensor], target: Target) -> Tensor:
        """``patch_loss`` with fixed matches, or else with those of this very image."""
        descriptors = patch_descriptors(activations, self.layers, image)
        if isinstance(target, MATCHERS):
            target = target.assign(descriptors.detach())
        if isinstance(target, RegionPatchTarget):
            return region_patch_loss(descriptors, target)
        return patch_loss(descriptors, target)
