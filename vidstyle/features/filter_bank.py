"""Fixed filters that look at pictures beside the network: what strokes are, which way they run, and colours."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..autograd.filters import (
    rectified_responses,
    strided_conv,
    structure_products,
    unshuffle,
)
from ..autograd.padding import reflect_pad
from ..autograd.pooling import blur_pool2
from ..ops.color import apply_color_matrix, opponent_matrix


def gabor_pairs(
    size: int, orientations: int, wavelength: float, along: float, across: float
) -> Tensor:
    """Even and odd Gabor filters, long in one direction (Daugman 1985).

    Args:
        size: side of a filter in px, odd.
        wavelength: of the wave across the filter, in px.
        along, across: standard deviations of the Gaussian envelope, in px.

    Returns:
        (2 * orientations, 1, size, size) float32, each of zero mean and unit norm.
    """
    place = torch.arange(size) - size // 2
    y, x = torch.meshgrid(place, place, indexing="ij")
    bank = []
    for angle in (math.pi * k / orientations for k in range(orientations)):
        u, v = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
        envelope = torch.exp(-(u**2) / (2 * along**2) - v**2 / (2 * across**2))
        for phase in (0.0, math.pi / 2):
            wave = envelope * torch.cos(2 * math.pi * v / wavelength + phase)
            wave = wave - wave.mean()
            bank.append(wave / wave.norm())
    return torch.stack(bank)[:, None]


@dataclass(frozen=True)
class Scale:
    """How the oriented filters look at one scale.

    Args:
        colours: opponent colours looked at, out of grey, red against green, yellow against blue.
        sparse: respond at every other px, across and down. That costs a quarter, and the filters are so smooth that their
            Gram matrices hardly change.
        saturates: see ``SATURATION``. Fine strokes get less crisp by it.
    """

    colours: int = 3
    sparse: bool = False
    saturates: bool = True


COLOR_MAP_CHROMA_GAIN = 8.0
"""How much more than grey the two chromatic colours count in the ``colour`` map: a tint is faint and seen at once."""

TONE_CELLS = 16
"""So many squares along the longer side of a picture make its ``tone`` map."""

SATURATION = 3.0
"""A response of this size counts half, and no response counts more than this: r / (1 + r / 3), after Naka & Rushton 1966.

Else the few strokes of strongest contrast make most of a Gram matrix, and come to be painted into one place.
"""

STRUCTURE_SCALES, STRUCTURE_WINDOW_PX = 3, 16
"""Sizes, each half of the one before, at which it is seen which way strokes run, and the side of windows there, in px: as wide as
a swirl's arm."""

ENERGY_FLOOR = 1e-5
"""Energy of differences of less than a level of 256: noise, and no strokes."""

SCALES = (
    Scale(colours=1, sparse=True, saturates=False),
    Scale(sparse=True),
    Scale(sparse=True),
    Scale(),
)
"""Fine to coarse. The finest looks at grey alone, as the eye does."""


class HalvingPyramid:
    """A pyramid of average-pooled copies of an image, (1, 3, H, W), each computed when first used.

    ``HalvingPyramid(image)[n]`` is the image pooled ``n`` times.
    """

    def __init__(self, picture: Tensor) -> None:
        self._sizes = [picture]

    def __getitem__(self, times: int) -> Tensor:
        while len(self._sizes) <= times:
            self._sizes.append(blur_pool2(self._sizes[-1]))
        return self._sizes[times]


def structure(grey: Tensor) -> Tensor:
    """Which way strokes run, and how strong they are: the structure tensor (Förstner & Gülch 1987) of windows of a picture.

    A window is ``STRUCTURE_WINDOW_PX`` px wide, less in a small picture, and half of that from the next.

    Its Gram matrix tells how much strokes keep to one direction over a window and which directions there are, and how evenly
    they are spread. Neither is seen by filters no longer than a stroke.

    Args:
        grey: (1, 1, H, W) float32, sides of at least 8 px.

    Returns:
        (1, 3, H', W'): the direction as a vector of doubled angle (Granlund & Knutsson 1995), as long as strokes are parallel
        there, and the energy, each of them in [-1, 1]. What has less energy than the picture has on average counts less.
    """
    tensor = structure_products(grey)
    half = min(STRUCTURE_WINDOW_PX // 2, *(side // 2 for side in tensor.shape[-2:]))
    # What no window saw, at a border, would fill with what all others shall not have.
    around = F.avg_pool2d(F.avg_pool2d(tensor, half, ceil_mode=True), 2, 1)
    energy = around[2:]
    usual = energy.mean() + ENERGY_FLOOR
    return (torch.cat([around[:2], (energy - usual) / 2]) / (energy + usual)).transpose(0, 1)


class FilterBank(nn.Module):
    """What knows what a stroke is. It is fixed, not trained.

    ``oriented1`` to ``oriented4``: responses of elongated oriented filters to opponent colours, (1, 4 * colours * orientations,
    H, W), half that where sparse: opponent colours times even and odd filters times both rectified signs. They are blind to flat
    colour. ``tensor1`` to ``tensor3``: the ``structure`` of the grey picture. In each the next one sees half the size.

    ``colour``, (1, 4, H, W) of the quarter-size picture, has a constant and the opponent colours, so that its Gram matrix holds
    their mean and covariance. ``tone``, (1, 3, H, W), is the picture in ``TONE_CELLS`` squares: what is light and dark from afar.
    """

    oriented: Tensor
    unshuffled: Tensor
    opponent_matrix: Tensor

    def __init__(self, scales: Sequence[Scale] = SCALES, orientations: int = 8) -> None:
        super().__init__()
        self.scales = {f"oriented{number}": scale for number, scale in enumerate(scales, 1)}
        self.tensors = {f"tensor{number + 1}": number for number in range(STRUCTURE_SCALES)}
        self.layers = ("colour", "tone", *self.scales, *self.tensors)
        filters = gabor_pairs(11, orientations, wavelength=4.0, along=3.0, across=1.3)
        # The factor lifts the responses, a few hundredths, to the size of the network's maps.
        self.register_buffer("oriented", 4 * filters, persistent=False)
        self.register_buffer("unshuffled", unshuffle(4 * filters), persistent=False)
        self.register_buffer(
            "opponent_matrix", opponent_matrix(torch.device("cpu")), persistent=False
        )

    def filter_in(self, precision: torch.dtype) -> None:
        """Use filters of this precision; maps are of it too."""
        self.oriented, self.unshuffled = self.oriented.to(precision), self.unshuffled.to(precision)

    def forward(self, sizes: HalvingPyramid, layers: Iterable[str]) -> dict[str, Tensor]:
        """Maps of RGB in [0, 1] at ``layers``."""
        wanted = set(layers)
        maps: dict[str, Tensor] = {}
        if "colour" in wanted:
            seen = self._colours(sizes[2], 3)
            maps["colour"] = torch.stack(
                [torch.ones_like(seen[0, 0]), seen[0, 0], *(COLOR_MAP_CHROMA_GAIN * seen[1:, 0])]
            )[None]
        if "tone" in wanted:
            seen = sizes[2]  # quicker than at full size
            side = max(1, round(max(seen.shape[-2:]) / TONE_CELLS))
            # First along one side, then along the other: a GPU takes its time for the mean of a large square.
            maps["tone"] = F.avg_pool2d(
                F.avg_pool2d(seen, (1, side), ceil_mode=True), (side, 1), ceil_mode=True
            )
        middle = self.opponent_matrix.sum(1).view(-1, 1, 1, 1) / 2
        for number, (layer, scale) in enumerate(self.scales.items()):
            if layer in wanted:
                # The filters are blind to a constant; without one half precision is more precise.
                colours = self._colours(sizes[number], scale.colours) - middle[: scale.colours]
                seen = reflect_pad(colours.to(self.oriented.dtype), self.oriented.shape[-1] // 2)
                responses = (
                    strided_conv(seen, self.unshuffled)
                    if scale.sparse
                    else F.conv2d(seen, self.oriented)
                )
                maps[layer] = rectified_responses(
                    responses.flatten(0, 1)[None], SATURATION if scale.saturates else math.inf
                )
        maps |= {
            layer: structure(self._colours(sizes[n], 1))
            for layer, n in self.tensors.items()
            if layer in wanted
        }
        return maps

    def _colours(self, image: Tensor, count: int) -> Tensor:
        """(count, 1, H, W): the first opponent colours."""
        return apply_color_matrix(self.opponent_matrix[:count], image).transpose(0, 1)
