"""What a good painting is: plain functions of feature maps, and the ``Objective`` that adds them up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..features.extractor import Features
from ..features.network import LAYOUT
from ..ops.custom_ops import custom_op
from ..ops.tensors import upcast_half
from .patch_matching import NearestNeighborMatcher, PatchTarget, patch_descriptors, patch_loss

ENERGY_FLOOR = 1e-3
"""Floor of the energies we divide by, so that an all-black frame or style does not blow its loss up."""


def gram(maps: Tensor) -> Tensor:
    """Gram matrix of feature maps (Gatys et al. 2015): which features occur together, regardless of where.

    Args:
        maps: (1, C, H, W), float32 or half precision.

    Returns:
        (C, C) float32, the products averaged over positions.
    """
    return _gram(*_rows(maps))


def _gram(rows: Tensor, early: float) -> Tensor:
    return (rows @ rows.T).float() * (1 / (rows.shape[1] * early**2))


def _rows(maps: Tensor) -> tuple[Tensor, float]:
    """(1, C, H, W) -> (C, H W), a view in either layout, and what they have been multiplied by.

    float16 is scaled *before* the product, which could overflow otherwise; hardware accumulates in float32.
    """
    rows = maps[0].flatten(1) if maps.is_contiguous() else maps[0].permute(1, 2, 0).flatten(0, 1).T
    early = rows.shape[1] ** -0.5 if maps.dtype == torch.float16 else 1.0
    return (rows if early == 1 else rows * early), early


class StyleTarget(NamedTuple):
    """The Gram matrices of several layers as one row of numbers, and what each squared difference from them counts."""

    matrices: Tensor
    shares: Tensor

    @classmethod
    def of(
        cls, grams: Mapping[str, Tensor], layer_weights: Mapping[str, float] = MappingProxyType({})
    ) -> "StyleTarget":
        """The target that matrices are, each counted in units of its mean square; ``layer_weights``: 1 where not given."""
        total = sum(layer_weights.get(layer, 1.0) for layer in grams)
        shares = [
            (
                layer_weights.get(layer, 1.0)
                / (total * matrix.numel() * matrix.square().mean().clamp_min(ENERGY_FLOOR**2))
            ).expand(matrix.numel())
            for layer, matrix in grams.items()
        ]
        return cls(_concatenate(grams.values()), torch.cat(shares))


def style_loss(maps: Sequence[Tensor], target: StyleTarget) -> Tensor:
    """Mean over layers of the mean squared difference of Gram matrices, in units of the target's mean square. Scalar.

    Args:
        maps: (1, C, H, W) of each layer, in the target's order.
    """
    loss: Tensor = _StyleLoss.apply(*target, *maps)
    return loss


class _StyleLoss(torch.autograd.Function):
    """On the way back one product for each layer, since Gram matrices are symmetric, where autograd would take two."""

    @staticmethod
    def forward(ctx: Any, matrices: Tensor, shares: Tensor, *maps: Tensor) -> Tensor:
        rows, ctx.earlies = zip(*map(_rows, maps), strict=True)
        difference = _concatenate(map(_gram, rows, ctx.earlies)) - matrices
        counted = difference * shares
        ctx.save_for_backward(counted, *rows)
        ctx.sizes = [x.shape[2:] for x in maps]
        return torch.dot(difference, counted)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        counted, *rows = ctx.saved_tensors
        parts = torch.split(counted * (4 * gradients[0]), [len(row) ** 2 for row in rows])
        layers = zip(parts, rows, ctx.earlies, ctx.sizes, strict=True)
        return (
            None,
            None,
            *(
                _product(part * (1 / (row.shape[1] * early)), row, size)
                for part, row, early, size in layers
            ),
        )


def _product(symmetric: Tensor, rows: Tensor, size: torch.Size) -> Tensor:
    """(C, C), flattened, times (C, H W) -> (1, C, H, W), in the layout that the rows are a view of."""
    matrix = symmetric.view(len(rows), -1).to(rows.dtype)
    if rows.is_contiguous():
        return (matrix @ rows).view(1, -1, *size)
    return (rows.T @ matrix).view(1, *size, -1).permute(0, 3, 1, 2)


def _concatenate(matrices: Iterable[Tensor]) -> Tensor:
    return torch.cat([matrix.flatten() for matrix in matrices])


EPSILON = 1e-12
"""Against a division by 0."""

DETAIL_WINDOW_PX = 7
"""Side of the square in which detail is looked for, in px of the map."""


class SpatialWeighting(NamedTuple):
    """What a place of the content counts: ``flat`` where it has no detail, 1 where it is full of it, and half way between at
    ``detail`` times the mean."""

    flat: float
    detail: float


SPATIAL_WEIGHTING = {
    "shapes": SpatialWeighting(0.5, 0.3),
    "lines": SpatialWeighting(0.0, 2.0),
    "tones": SpatialWeighting(1.0, 1.0),
}
"""By what maps tell. Where there are no lines, strokes are welcome; where they are strongest, there is a cable or the rim of a
pair of glasses. Tones count everywhere: else all that is bright in a style would come together in a flat place."""


class ContentTarget(NamedTuple):
    """What the content looks like in a layer, computed once per frame.

    Args:
        maps: (1, C, H, W).
        variance: of the maps, a scalar.
        counts: (1, 1, H, W), how much each place counts: a face has to stay, a clear sky may be painted over.
    """

    maps: Tensor
    variance: Tensor
    counts: Tensor

    @classmethod
    def of(
        cls,
        maps: Tensor,
        counting: SpatialWeighting = SPATIAL_WEIGHTING["shapes"],
        weight: float = 1.0,
    ) -> "ContentTarget":
        """The target that maps are; ``weight``: what all of it counts."""
        seen = maps.float()
        detail = _local_mean((seen - _local_mean(seen)).square().mean(1, keepdim=True))
        share = detail / (detail + counting.detail * detail.mean()).clamp_min(EPSILON)
        counts = weight * (counting.flat + (1 - counting.flat) * share)
        return cls(maps, seen.var().clamp_min(ENERGY_FLOOR), counts.to(maps.dtype))


def _local_mean(maps: Tensor) -> Tensor:
    """The mean of the square around each place: by rows, then by columns, in the layout that pooling is quick in."""
    padded = F.pad(
        maps.contiguous(memory_format=LAYOUT), [DETAIL_WINDOW_PX // 2] * 4, mode="replicate"
    )
    return F.avg_pool2d(F.avg_pool2d(padded, (DETAIL_WINDOW_PX, 1), 1), (1, DETAIL_WINDOW_PX), 1)


def content_loss(maps: Tensor, target: ContentTarget) -> Tensor:
    """Mean squared difference from the target's maps, each place as much as it counts, in units of their variance. Scalar."""
    difference: Tensor = _WeightedSquaredDifference.apply(maps, target.maps, target.counts)
    return difference / target.variance


class _WeightedSquaredDifference(torch.autograd.Function):
    """The mean of what is both squared and counted. The weighted difference is kept for the way back, instead of four maps.

    In half precision the sum at each place is rounded; over all places that evens out.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        difference = maps - target
        counted = difference * counts
        ctx.save_for_backward(counted)
        if maps.dtype == torch.float32:
            return torch.dot(difference.flatten(), counted.flatten()) / maps.numel()
        return (upcast_half(difference) * counted).sum(1).float().mean() / maps.shape[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (counted,) = ctx.saved_tensors
        return counted * (gradients[0] * (2 / counted.numel())), None, None


def total_variation(picture: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels (after Mahendran & Vedaldi 2015, beta = 2). Scalar."""
    variation: Tensor = _TotalVariation.apply(picture)
    return variation


class _TotalVariation(torch.autograd.Function):
    """Each difference goes back to both of its pixels, where autograd would copy the whole picture four times."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor) -> Tensor:
        across, down = picture.diff(dim=3), picture.diff(dim=2)
        ctx.count, ratio = across.numel(), across.numel() / down.numel()
        ctx.save_for_backward(_given_back(across, down, ratio))
        across, down = across.flatten(), down.flatten()
        variation: Tensor = (torch.dot(across, across) + ratio * torch.dot(down, down)) / ctx.count
        return variation

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (back,) = ctx.saved_tensors
        gradient: Tensor = back * (gradients[0] * (2 / ctx.count))
        return gradient


def _between(across: Tensor, down: Tensor, ratio: float) -> Tensor:
    return across.new_empty(down.shape[:2] + across.shape[2:3] + down.shape[3:])


@custom_op(_between)
def _given_back(across: Tensor, down: Tensor, ratio: float) -> Tensor:
    gradient = F.pad(across, (1, 0))
    gradient[..., :-1] -= across
    gradient[..., 1:, :].add_(down, alpha=ratio)
    gradient[..., :-1, :].sub_(down, alpha=ratio)
    return gradient


def temporal_loss(picture: Tensor, before: Tensor, known: Tensor) -> Tensor:
    """Mean squared difference from the painting before (Ruder et al. 2016, eq. 7), where that is known. Scalar.

    Args:
        picture, before: (1, 3, H, W), the latter moved to its new place.
        known: (1, 1, H, W), 1 where it is of use, 0 where not.
    """
    difference: Tensor = _WeightedSquaredDifference.apply(picture, before, known)
    return difference


class Losses(NamedTuple):
    """Scalars. ``total`` is weighted; the others are not, and are means over their layers."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor
    temporal: Tensor
    match: Tensor


class Weights(NamedTuple):
    """Of each loss in the sum: numbers, or scalar tensors."""

    content: float | Tensor
    style: float | Tensor
    tv: float | Tensor
    temporal: float | Tensor = 0.0
    match: float | Tensor = 0.0


@dataclass(frozen=True)
class Objective:
    """``objective(picture) -> Losses``: the function of the pixels that is minimised.

    Args:
        features: how to look at the picture.
        content: layer -> what the content picture looks like there.
        style_layers: what the style target was made of, in its order.
        style: Gram matrices of the style, as ``gram`` makes them.
        weights: of the sum, see ``Weights``.
        before: the painting before in its new place and where it is known, as in ``temporal_loss``; None: no such term.
        matching: finds what spots are led to, where that is not fixed.
        match: what they are led to; None: what ``matching`` finds for the very picture, or nothing.
    """

    features: Features
    content: Mapping[str, ContentTarget]
    style_layers: tuple[str, ...]
    style: StyleTarget
    weights: Weights
    before: tuple[Tensor, Tensor] | None = None
    matching: NearestNeighborMatcher | None = None
    match: PatchTarget | None = None

    def with_fixed_matches(self, picture: Tensor) -> "Objective":
        """The same, each spot led to what this painting's is most like: no longer chosen anew at each call."""
        if self.matching is None or self.match is not None:
            return self
        return replace(self, match=self.matching.assign(picture, self.features))

    def __call__(self, picture: Tensor) -> Losses:
        """Losses of (1, 3, H, W) RGB in [0, 1], differentiable with respect to it."""
        matched = tuple(self.features.match_layers) if self.matching or self.match else ()
        maps = self.features(picture, {*self.content, *self.style_layers, *matched})
        content_losses = [
            content_loss(maps[layer], target) for layer, target in self.content.items()
        ]
        content = torch.stack(content_losses).mean() if content_losses else picture.new_zeros(())
        style = style_loss([maps[layer] for layer in self.style_layers], self.style)
        tv = total_variation(picture)
        temporal = temporal_loss(picture, *self.before) if self.before else picture.new_zeros(())
        match = picture.new_zeros(())
        if matched:
            joined = patch_descriptors(maps, matched, picture)
            match = patch_loss(joined, self.match or self.matching.target(joined.detach()))  # type: ignore[union-attr]
        weights = self.weights
        total = (
            weights.content * content
            + weights.style * style
            + weights.tv * tv
            + weights.temporal * temporal
        )
        return Losses(total + weights.match * match, content, style, tv, temporal, match)

    def tensors(self) -> list[Tensor]:
        """All that may change from frame to frame, in a fixed order: targets, weights, the painting before."""
        contents = [tensor for target in self.content.values() for tensor in target]
        device = self.features.device
        weights = [
            weight if isinstance(weight, Tensor) else torch.full((), float(weight), device=device)
            for weight in self.weights
        ]
        return [*contents, *self.style, *weights, *(self.before or ()), *(self.match or ())]

    def with_tensors(self, tensors: Sequence[Tensor]) -> "Objective":
        """The same objective with other ``tensors()``."""
        rest = iter(tensors)
        content = {
            layer: ContentTarget(next(rest), next(rest), next(rest)) for layer in self.content
        }
        style = StyleTarget(next(rest), next(rest))
        weights = Weights(*(next(rest) for _ in self.weights))
        before = (next(rest), next(rest)) if self.before else None
        match = PatchTarget(*(next(rest) for _ in self.match)) if self.match else None
        return replace(
            self, content=content, style=style, weights=weights, before=before, match=match
        )
