"""Which spot of the style each spot of a painting should look like: nearest neighbours among descriptions of spots.

Gram matrices say what there is in a style, not what goes together in one place; a painting may satisfy them with strokes here
and flat colour there. So each spot, a square twice ``GRID_PX`` wide, is also led to the spot of the style that it already is most
like (nearest-neighbour feature matching: Li & Wand 2016; Kolkin et al. 2022, "Neural Neighbor Style Transfer").
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .colours import opponent
from .features import Features
from .tensors import constant, halve

GRID_PX = 8
"""How far spots are apart: half their side. They overlap, so that it matters less where a stroke lies on their grid."""

SPOTS = 2048
"""So many spots of the style are looked at, taken at random."""

NUMBERS = 256
"""So many numbers describe a spot: as many random directions keep the angles between descriptions."""

OF_CONTENT = 0.2
"""How much a spot's counterpart is chosen by the content there, where the painting itself has the rest: it keeps shapes."""

OF_COLOUR = 0.5
"""What a squared difference of colour counts in that choice: a blue sky becomes one of the style's blue spots."""

TONE_PX = 24
"""Side of the square over which a spot's colours are taken, wider than the spot: an engraving's tones are made of lines."""

CHROMA_GAIN = 4.0
"""How much more than grey the two chromatic colours count in that difference."""

FLAT = 1e-3
"""Least spread of a layer over a style, so that a style of one colour does not blow it up."""

COLOURS = "colours"
"""What the colours of spots are kept under, beside the names of layers."""

SHARPNESS, ROUNDS = 0.05, 3
"""The likeness within which the style's spots compete, and the rounds of bidding that bring all into about equal demand, as in
optimal transport (Cuturi 2013): else a few flat ones would be the nearest to most."""

TINY = 1e-16
"""Against a division by 0."""

UNLIKE = -46.0
"""Floor of a likeness, before it is taken as a power of e: so that no spot becomes free, and since that is ten times as quick
without numbers too small to be held."""

ASKED = 1024
"""So many of the painting's spots bid."""

CHUNK = 2048
"""Spots of the painting compared at once, for the sake of memory."""


class Spots(NamedTuple):
    """Spots of a style, and how spots are described beside them.

    Args:
        directions: (K, C), from the maps joined on the grid to a description.
        middle: (K, 1), of descriptions over the style.
        units: (K, M), descriptions of unit length.
        colours: (4, M), opponent colours and their square.
    """

    directions: Tensor
    middle: Tensor
    units: Tensor
    colours: Tensor


class MatchTarget(NamedTuple):
    """What each spot is led to: (K, N) of unit length, with directions and middle as in ``Spots``."""

    units: Tensor
    directions: Tensor
    middle: Tensor


def on_grid(maps: Mapping[str, Tensor], layers: Sequence[str], picture: Tensor) -> Tensor:
    """A picture's maps joined, each spot the mean of four squares of the grid: (C, N), in the precision of the first one."""
    grid = picture.shape[-2] // GRID_PX, picture.shape[-1] // GRID_PX
    precision = maps[layers[0]].dtype
    joined = torch.cat([_resized(maps[layer], grid).to(precision) for layer in layers], 1)
    pairs = joined[..., 1:, :] + joined[..., :-1, :]  # in sums: pooling takes three times as long on its way back
    fours = pairs[..., 1:] + pairs[..., :-1]
    return (fours / 4)[0].flatten(1)


def _resized(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    while min(maps.shape[-2] // grid[0], maps.shape[-1] // grid[1]) > 1:
        maps = halve(maps)
    maps = maps[..., : grid[0], : grid[1]]  # sparse maps may be one longer
    if tuple(maps.shape[-2:]) == grid:
        return maps
    return F.interpolate(maps, grid, mode="bilinear", align_corners=False)


def describe(joined: Tensor, directions: Tensor, middle: Tensor) -> Tensor:
    """Descriptions (K, N) of spots whose maps are (C, N); their angles are what counts."""
    described: Tensor = (directions.to(joined.dtype) @ joined).float()
    return described - middle


def look_at_spots(picture: Tensor, features: Features) -> dict[str, Tensor]:
    """A style picture's spots: layer -> (C, M), and their colours; at most ``SPOTS``, the same ones each time."""
    maps = features(picture, features.match_layers)
    seen = {layer: on_grid(maps, [layer], picture).float() for layer in features.match_layers} | {COLOURS: _colours(picture)}
    order = torch.randperm(seen[COLOURS].shape[1], generator=torch.Generator().manual_seed(0))[:SPOTS].to(picture.device)
    return {layer: found[:, order] for layer, found in seen.items()}


def join_spots(pictures: Sequence[Mapping[str, Tensor]], shares: Sequence[float], weights: Mapping[str, float]) -> Spots:
    """The spots of several pictures, as ``look_at_spots`` made them, in proportion.

    Args:
        shares: of each picture; they sum to 1.
        weights: layer -> how much it counts in a description.
    """
    used = [(seen, share) for seen, share in zip(pictures, shares, strict=True) if share > 0]
    counts = [max(1, round(share * seen[COLOURS].shape[1])) for seen, share in used]

    def joined(layer: str) -> Tensor:
        return torch.cat([seen[layer][:, :count] for (seen, _), count in zip(used, counts, strict=True)], 1)

    rows, gains = [], []
    for layer, weight in weights.items():
        seen = joined(layer)
        spread = (seen - seen.mean(1, keepdim=True)).square().sum(0).mean().sqrt()
        rows.append(seen)
        gains.append((weight / spread.clamp_min(FLAT)).expand(len(seen)))
    directions = _directions(sum(map(len, rows))).to(rows[0]) * torch.cat(gains)
    described = directions @ torch.cat(rows)
    middle = described.mean(1, keepdim=True)
    colours = joined(COLOURS)
    square = colours.square().sum(0, keepdim=True)
    return Spots(directions, middle, F.normalize(described - middle, dim=0), torch.cat([colours, square]))


@cache
def _directions(width: int) -> Tensor:
    """(K, width), orthonormal and the same each time (Johnson & Lindenstrauss 1984)."""
    drawn = torch.randn(width, min(NUMBERS, width), generator=torch.Generator().manual_seed(0))
    orthonormal: Tensor = torch.linalg.qr(drawn).Q
    return orthonormal.T.contiguous()


class Matching:
    """Finds counterparts in a style for the spots of a painting of some content.

    Args:
        spots: the style's.
        layers: of the maps, in order.
        content: (1, 3, H, W), in the style's colours.
        maps: the content's at ``layers``.
    """

    def __init__(self, spots: Spots, layers: Sequence[str], content: Tensor, maps: Mapping[str, Tensor]) -> None:
        self.layers, self._spots = tuple(layers), spots
        joined = on_grid(maps, self.layers, content)
        self._precision = joined.dtype
        self._style = torch.cat([spots.units, spots.colours]).to(self._precision)
        colours = _colours(content)
        self._colours = OF_COLOUR * torch.cat([2 * colours, -torch.ones_like(colours[:1])])
        self._content = OF_CONTENT * self._units(joined)

    def _units(self, joined: Tensor) -> Tensor:
        return F.normalize(describe(joined, self._spots.directions, self._spots.middle), dim=0)

    def target_of(self, picture: Tensor, features: Features) -> MatchTarget:
        """``target`` of a painting, (1, 3, H, W), seen through features."""
        with torch.no_grad():
            return self.target(on_grid(features(picture, self.layers), self.layers, picture))

    def target(self, joined: Tensor) -> MatchTarget:
        """What the spots of a painting, as ``on_grid`` has them, are to be led to."""
        with torch.no_grad():
            wanted = torch.cat([(1 - OF_CONTENT) * self._units(joined) + self._content, self._colours]).T.to(self._precision)
            prices = self._prices(wanted[:: max(1, len(wanted) // ASKED)])
            # On a CPU max and index_select are many times quicker than argmax and an index, which mean the same.
            nearest = torch.cat([(rows @ self._style - prices).max(1).indices for rows in torch.split(wanted, CHUNK)])
            units = self._spots.units.index_select(1, nearest)
            return MatchTarget(units, self._spots.directions, self._spots.middle)

    def _prices(self, wanted: Tensor) -> Tensor:
        """What each of the style's spots costs, (M,), so that all are in about equal demand."""
        likeness = (wanted @ self._style).float() / SHARPNESS
        kernel = (likeness - likeness.amax(1, keepdim=True)).clamp_min(UNLIKE).exp()
        demand = kernel.new_ones(kernel.shape[1])
        for _ in range(ROUNDS):
            demand = kernel.shape[0] / kernel.shape[1] / (kernel.T @ (1 / (kernel @ demand)))
        return (-SHARPNESS * demand.log()).to(self._precision)


def match_loss(joined: Tensor, target: MatchTarget) -> Tensor:
    """Mean over spots of one minus the cosine between a spot's description and its target's. Scalar.

    Args:
        joined: as ``on_grid`` has it.
    """
    described = describe(joined, target.directions, target.middle)
    lengths = described.square().sum(0).clamp_min(TINY)
    return 1 - ((described * target.units).sum(0) * lengths.rsqrt()).mean()


def _colours(picture: Tensor) -> Tensor:
    """(3, N): the opponent colours around each spot."""
    weights = opponent(picture.device) * constant((1.0, CHROMA_GAIN, CHROMA_GAIN), picture.device)[:, None]
    around = F.pad(picture, [TONE_PX // 2 - GRID_PX] * 4, mode="replicate")  # its middle is the spot's
    squares = F.avg_pool2d(F.avg_pool2d(around, GRID_PX), TONE_PX // GRID_PX, 1)
    return torch.einsum("oc,bchw->bohw", weights, squares)[0].flatten(1)
