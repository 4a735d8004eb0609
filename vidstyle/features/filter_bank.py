"""Fixed filters that look at pictures beside the network: what strokes are, which way they run, and colours."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.color import apply_color_matrix, opponent_matrix
from ..ops.custom_ops import custom_op
from ..ops.tensors import blur_pool2, cut_or_filled

threshold_backward = torch.ops.aten.threshold_backward


MIN_NUMEL_CUSTOM_PAD = 2**15
"""Of so many numbers it takes longer to copy them than to call operations of our own."""


def pad(x: Tensor, amount: int) -> Tensor:
    """Pad (N, C, H, W) on all sides by reflection, or by repeating the border where a side is too short for that.

    The gradient of what it returns is written over on the way back: that is for a single convolution to take.
    """
    if x.is_cuda or x.numel() < MIN_NUMEL_CUSTOM_PAD or min(x.shape[-2:]) <= amount:
        return F.pad(x, [amount] * 4, mode="reflect" if min(x.shape[-2:]) > amount else "replicate")
    padded: Tensor = _Reflected.apply(x, amount)
    return padded


class _Reflected(torch.autograd.Function):
    """On the way back the borders are folded inwards in place, where PyTorch would copy all that lies between them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, amount: int) -> Tensor:
        ctx.amount = amount
        return F.pad(x, [amount] * 4, mode="reflect")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        _fold_inwards(gradients[0], ctx.amount)
        return gradients[0][..., ctx.amount : -ctx.amount, ctx.amount : -ctx.amount], None


@custom_op(changes=["padded"])
def _fold_inwards(padded: Tensor, amount: int) -> None:
    for side in (-2, -1):
        length = padded.shape[side] - 2 * amount
        first, last = padded.narrow(side, 0, amount), padded.narrow(side, amount + length, amount)
        padded.narrow(side, amount + 1, amount).add_(first.flip(side))
        padded.narrow(side, length - 1, amount).add_(last.flip(side))


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


def sparse_conv(x: Tensor, unshuffled: Tensor) -> Tensor:
    """``F.conv2d(x, filters, stride=2)`` in half its time on a CPU; filters of an odd side as ``unshuffle`` makes them."""
    height, width = x.shape[-2:]
    even = cut_or_filled(x, height + height % 2, width + width % 2)
    return F.conv2d(F.pixel_unshuffle(even, 2), unshuffled)


def unshuffle(filters: Tensor) -> Tensor:
    """(C, 1, k, k) of an odd side -> (C, 4, (k + 1) / 2, (k + 1) / 2)."""
    return F.pixel_unshuffle(F.pad(filters, (0, 1, 0, 1)), 2)


def rectified(responses: Tensor, saturation: float) -> Tensor:
    """(1, C, H, W) -> (1, 2 C, H, W): positive parts r of the responses and of their negatives, as r / (1 + r / saturation)."""
    parts: Tensor = _Rectified.apply(responses, 1 / saturation)
    return parts


class _Rectified(torch.autograd.Function):
    """A few operations on each response, where autograd would take many on both of its signs."""

    @staticmethod
    def forward(ctx: Any, responses: Tensor, share: float) -> Tensor:
        ctx.share = share
        saturated = responses / responses.abs().mul_(share).add_(1) if share else responses
        ctx.save_for_backward(saturated)
        return F.relu_(torch.cat([saturated, -saturated], 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (saturated,) = ctx.saved_tensors
        positive, negative = gradients[0].chunk(2, 1)
        # What relu's own way back is made of; ``where`` takes many times as long.
        gradient = threshold_backward(positive, saturated, 0) - threshold_backward(
            negative, -saturated, 0
        )
        return (
            saturated.abs().mul_(-ctx.share).add_(1).square_().mul_(gradient)
            if ctx.share
            else gradient
        ), None


class _Tensor(torch.autograd.Function):
    """(1, 1, H, W) -> (3, 1, H - 2, W - 2): products of the derivatives x and y of a picture: x x - y y, 2 x y, x x + y y.

    The way back is written out: autograd would copy the whole picture for each of their parts.
    """

    @staticmethod
    def forward(ctx: Any, grey: Tensor) -> Tensor:
        x, y = _slope(grey, 3, 2), _slope(grey, 2, 3)
        ctx.save_for_backward(x, y)
        xx, yy = x.square(), y.square()
        return torch.cat([xx - yy, 2 * x * y, xx + yy])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        x, y = ctx.saved_tensors
        even, odd, energy = gradients[0].chunk(3)
        of_x, of_y = (
            torch.addcmul((energy + even) * x, odd, y),
            torch.addcmul((energy - even) * y, odd, x),
        )
        return _of_slopes(2 * of_x, 2 * of_y)


def _slope(grey: Tensor, along: int, across: int) -> Tensor:
    """Scharr's (2000) derivative along a side, per px; 2 px less on both. Quicker in sums of parts than as a convolution."""
    length, width = grey.shape[along] - 2, grey.shape[across] - 2
    change = grey.narrow(along, 2, length) - grey.narrow(along, 0, length)
    outer = change.narrow(across, 0, width) + change.narrow(across, 2, width)
    return torch.add(3 / 32 * outer, change.narrow(across, 1, width), alpha=10 / 32)


def _seen_by(across: Tensor, down: Tensor) -> Tensor:
    height, width = across.shape[2:]
    return across.new_empty(*across.shape[:2], height + 2, width + 2)


@custom_op(_seen_by)
def _of_slopes(across: Tensor, down: Tensor) -> Tensor:
    """What gradients of the two slopes come to for the picture."""
    height, width = across.shape[2:]
    gradient = across.new_zeros(*across.shape[:2], height + 2, width + 2)
    for slope, along, side in ((across, 3, 2), (down, 2, 3)):
        length, width = slope.shape[along], slope.shape[side]
        change = F.pad(3 / 32 * slope, (0, 2, 0, 0) if side == 3 else (0, 0, 0, 2))
        change.narrow(side, 1, width).add_(slope, alpha=10 / 32)
        change.narrow(side, 2, width).add_(slope, alpha=3 / 32)
        gradient.narrow(along, 2, length).add_(change)
        gradient.narrow(along, 0, length).sub_(change)
    return gradient


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
    tensor: Tensor = _Tensor.apply(grey)
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
                seen = pad(colours.to(self.oriented.dtype), self.oriented.shape[-1] // 2)
                responses = (
                    sparse_conv(seen, self.unshuffled)
                    if scale.sparse
                    else F.conv2d(seen, self.oriented)
                )
                maps[layer] = rectified(
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
