"""Which spot of the style each spot of a painting should look like: nearest neighbours among descriptions of spots.

Gram matrices say what there is in a style, not what goes together in one place; a painting may satisfy them with strokes here
and flat colour there. So each spot, a square twice ``GRID_PX`` wide, is also led to the spot of the style that it already is most
like (nearest-neighbour feature matching: Li & Wand 2016; Kolkin et al. 2022, "Neural Neighbor Style Transfer").
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autograd.pooling import avg_pool2, memory_format
from ..features.extractor import Features
from ..features.network import LAYOUT
from ..ops.color import opponent_matrix
from ..ops.tensors import constant, upcast_half

GRID_PX = 8
"""How far spots are apart: half their side. They overlap, so that it matters less where a stroke lies on their grid."""

MAX_STYLE_PATCHES = 2048
"""So many spots of the style are looked at, taken at random."""

CONTENT_SHARE = 0.2
"""How much a spot's counterpart is chosen by the content there, where the painting itself has the rest: it keeps shapes."""

COLOR_WEIGHT = 0.5
"""What a squared difference of colour counts in that choice: a blue sky becomes one of the style's blue spots."""

COLOR_WINDOW_PX = 24
"""Side of the square over which a spot's colours are taken, wider than the spot: an engraving's tones are made of lines."""

MATCH_CHROMA_GAIN = 4.0
"""How much more than grey the two chromatic colours count in that difference."""

MIN_SPREAD = 1e-3
"""Least spread of a layer over a style, so that a style of one colour does not blow it up."""

COLORS = "colours"
"""What the colours of spots are kept under, beside the names of layers."""

TEMPERATURE, SINKHORN_ITERATIONS = 0.05, 3
"""The likeness within which the style's spots compete, and the rounds of bidding that bring all into about equal demand, as in
optimal transport (Cuturi 2013): else a few flat ones would be the nearest to most."""

EPSILON = 1e-8
"""Against a division by 0."""

MIN_LOG_KERNEL = -46.0
"""Floor of a likeness, before it is taken as a power of e: so that no spot becomes free, and since that is ten times as quick
without numbers too small to be held."""

SINKHORN_SAMPLE = 1024
"""So many of the painting's spots bid."""

CHUNK_PATCHES = 2048
"""Spots of the painting compared at once, for the sake of memory."""


class StylePatches(NamedTuple):
    """Spots of a style, and how spots are described beside them.

    Args:
        middle, gains: (C,), mean of the style's maps joined on the grid, and what a difference from it counts.
        units: (M, C), descriptions of unit length.
        colours: (M, 4), opponent colours and their square.
    """

    middle: Tensor
    gains: Tensor
    units: Tensor
    colours: Tensor


class PatchTarget(NamedTuple):
    """What each spot is led to: (N, C) of unit length, with middle and gains as in ``StylePatches``."""

    units: Tensor
    middle: Tensor
    gains: Tensor


def patch_descriptors(maps: Mapping[str, Tensor], layers: Sequence[str], picture: Tensor) -> Tensor:
    """A picture's maps joined, each spot the mean of four squares of the grid: (N, C), in the precision of the first one."""
    grid = picture.shape[-2] // GRID_PX, picture.shape[-1] // GRID_PX
    spots: Tensor = _PatchDescriptors.apply(*(_resized(maps[layer], grid) for layer in layers))
    return spots


def _resized(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    while min(maps.shape[-2] // grid[0], maps.shape[-1] // grid[1]) > 1:
        maps = avg_pool2(maps)
    if tuple(maps.shape[-2:]) != grid:
        maps = maps[..., : grid[0], : grid[1]]  # sparse maps may be one longer
    if tuple(maps.shape[-2:]) != grid:
        maps = F.interpolate(maps, grid, mode="bilinear", align_corners=False)
    return maps


class _PatchDescriptors(torch.autograd.Function):
    """Maps (1, C, H, W) -> ((H - 1) (W - 1), sum of C): means of four squares, what belongs to a spot together in memory.

    The way back is the same, from borders of zeros. It gives each map the layout it had, as autograd would not, in which all that
    is done with these gradients is quicker.
    """

    @staticmethod
    def forward(ctx: Any, *maps: Tensor) -> Tensor:
        ctx.inputs = [(x.shape[1], x.dtype, memory_format(not x.is_contiguous())) for x in maps]
        ctx.grid = maps[0].shape[-2:]
        joined = torch.cat([x.to(maps[0].dtype, memory_format=LAYOUT) for x in maps], 1)
        return _avg_2x2(joined).permute(0, 2, 3, 1).flatten(0, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        height, width = ctx.grid
        fours = gradients[0].view(1, height - 1, width - 1, -1).permute(0, 3, 1, 2)
        parts = torch.split(_avg_2x2(F.pad(fours, [1] * 4)), [count for count, *_ in ctx.inputs], 1)
        return tuple(
            part.to(dtype).contiguous(memory_format=order)
            for part, (_, dtype, order) in zip(parts, ctx.inputs, strict=True)
        )


def _avg_2x2(maps: Tensor) -> Tensor:
    pairs = maps[..., 1:, :] + maps[..., :-1, :]  # pooling takes longer
    return (pairs[..., 1:] + pairs[..., :-1]) / 4


def extract_patches(picture: Tensor, features: Features) -> dict[str, Tensor]:
    """A style picture's spots: layer -> (M, C), and their colours; at most ``MAX_STYLE_PATCHES``, the same ones each time."""
    maps = features(picture, features.match_layers)
    seen = {
        layer: patch_descriptors(maps, [layer], picture).float() for layer in features.match_layers
    } | {COLORS: _colours(picture)}
    order = torch.randperm(len(seen[COLORS]), generator=torch.Generator().manual_seed(0))[
        :MAX_STYLE_PATCHES
    ].to(picture.device)
    return {layer: found[order] for layer, found in seen.items()}


def join_patches(
    pictures: Sequence[Mapping[str, Tensor]], shares: Sequence[float], weights: Mapping[str, float]
) -> StylePatches:
    """The spots of several pictures, as ``extract_patches`` made them, in proportion.

    Args:
        shares: of each picture; they sum to 1.
        weights: layer -> how much it counts in a description.
    """
    used = [(seen, share) for seen, share in zip(pictures, shares, strict=True) if share > 0]
    counts = [max(1, round(share * len(seen[COLORS]))) for seen, share in used]

    def joined(layer: str) -> Tensor:
        return torch.cat(
            [seen[layer][:count] for (seen, _), count in zip(used, counts, strict=True)]
        )

    maps = [joined(layer) for layer in weights]
    middles = [seen.mean(0) for seen in maps]
    centred = [seen - middle for seen, middle in zip(maps, middles, strict=True)]
    spreads = [seen.square().sum(1).mean().sqrt().clamp_min(MIN_SPREAD) for seen in centred]
    gains = [
        (weight / spread).expand_as(it)
        for weight, spread, it in zip(weights.values(), spreads, middles, strict=True)
    ]
    units = F.normalize(torch.cat(centred, 1) * torch.cat(gains))
    colours = joined(COLORS)
    return StylePatches(
        torch.cat(middles),
        torch.cat(gains),
        units,
        torch.cat([colours, colours.square().sum(1, keepdim=True)], 1),
    )


class NearestNeighborMatcher:
    """Finds counterparts in a style for the spots of a painting of some content.

    Args:
        spots: the style's.
        layers: of the maps, in order.
        content: (1, 3, H, W), in the style's colours.
        maps: the content's at ``layers``.
    """

    def __init__(
        self,
        spots: StylePatches,
        layers: Sequence[str],
        content: Tensor,
        maps: Mapping[str, Tensor],
    ) -> None:
        self.layers, self._spots = tuple(layers), spots
        joined = patch_descriptors(maps, self.layers, content)
        self._precision = joined.dtype
        self._style = torch.cat([spots.units, spots.colours], 1).to(self._precision)
        colours = _colours(content)
        self._colours = COLOR_WEIGHT * torch.cat([2 * colours, -torch.ones_like(colours[:, :1])], 1)
        self._content = CONTENT_SHARE * self._units(joined)

    def _units(self, joined: Tensor) -> Tensor:
        return F.normalize((joined - self._spots.middle) * self._spots.gains)

    def assign(self, picture: Tensor, features: Features) -> PatchTarget:
        """``target`` of a painting, (1, 3, H, W), seen through features."""
        with torch.no_grad():
            return self.target(
                patch_descriptors(features(picture, self.layers), self.layers, picture)
            )

    def target(self, joined: Tensor) -> PatchTarget:
        """What the spots of a painting, as ``patch_descriptors`` has them, are to be led to."""
        with torch.no_grad():
            wanted = torch.cat(
                [(1 - CONTENT_SHARE) * self._units(joined) + self._content, self._colours], 1
            ).to(self._precision)
            offsets = self._sinkhorn_offsets(wanted[:: max(1, len(wanted) // SINKHORN_SAMPLE)])
            # On a CPU max and index_select are many times quicker than argmax and an index, which mean the same.
            nearest = torch.cat(
                [
                    (rows @ self._style.T - offsets).max(1).indices
                    for rows in torch.split(wanted, CHUNK_PATCHES)
                ]
            )
            units = self._spots.units.index_select(0, nearest).to(self._precision)
            return PatchTarget(units, self._spots.middle, self._spots.gains)

    def _sinkhorn_offsets(self, wanted: Tensor) -> Tensor:
        """What each of the style's spots costs, (M,), so that all are in about equal demand."""
        likeness = (wanted @ self._style.T).float() / TEMPERATURE
        kernel = (likeness - likeness.amax(1, keepdim=True)).clamp_min(MIN_LOG_KERNEL).exp()
        demand = kernel.new_ones(kernel.shape[1])
        for _ in range(SINKHORN_ITERATIONS):
            demand = kernel.shape[0] / kernel.shape[1] / (kernel.T @ (1 / (kernel @ demand)))
        return (-TEMPERATURE * demand.log()).to(self._precision)


def patch_loss(joined: Tensor, target: PatchTarget) -> Tensor:
    """Mean over spots of one minus the cosine between a spot's description and its target's. Scalar.

    Args:
        joined: as ``patch_descriptors`` has it.
    """
    cosines: Tensor = _Cosines.apply(
        upcast_half(joined), *target
    )  # beside a flat style differences are large
    return 1 - cosines.mean()


class _Cosines(torch.autograd.Function):
    """Of each row, described, with its unit vector: (N,) float32. Half precision rounds them; over all rows that evens out."""

    @staticmethod
    def forward(ctx: Any, joined: Tensor, units: Tensor, middle: Tensor, gains: Tensor) -> Tensor:
        gains = gains.to(joined.dtype)
        described = (joined - middle.to(joined.dtype)).mul_(gains)
        scale = torch.linalg.vector_norm(described, dim=1).float().clamp_min(EPSILON).reciprocal()
        cosines: Tensor = (described * units).sum(
            1
        ).float() * scale  # summing into another precision takes four times as long
        ctx.save_for_backward(described, units, gains, scale, cosines)
        return cosines

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        described, units, gains, scale, cosines = ctx.saved_tensors
        of_units = gradients[0] * scale
        of_described = -of_units * cosines * scale
        towards, along = (share.to(gains.dtype)[:, None] for share in (of_units, of_described))
        return (units * towards).addcmul_(described, along).mul_(gains), None, None, None


def _colours(picture: Tensor) -> Tensor:
    """(N, 3): the opponent colours around each spot."""
    weights = (
        opponent_matrix(picture.device)
        * constant((1.0, MATCH_CHROMA_GAIN, MATCH_CHROMA_GAIN), picture.device)[:, None]
    )
    around = F.pad(
        picture, [COLOR_WINDOW_PX // 2 - GRID_PX] * 4, mode="replicate"
    )  # its middle is the spot's
    squares = F.avg_pool2d(F.avg_pool2d(around, GRID_PX), COLOR_WINDOW_PX // GRID_PX, 1)
    return torch.einsum("oc,bchw->bohw", weights, squares)[0].flatten(1).T
