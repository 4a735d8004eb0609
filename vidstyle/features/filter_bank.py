"""Fixed features: a bank of oriented filters, structure tensors, colours and tones."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..autograd.filters import rectified_responses, strided_conv, structure_products, unshuffle
from ..autograd.padding import reflect_pad
from ..autograd.pooling import avg_pool_ceil, blur_pool2
from ..ops.color import apply_color_matrix, opponent_matrix


def gabor_pairs(
    size: int, orientations: int, wavelength: float, along: float, across: float
) -> Tensor:
    """Even and odd Gabor filters (Daugman 1985), elongated along the stripes.

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
    """Use of the oriented filters at one level of the image pyramid.

    Args:
        colors: number of opponent colours, in the order grey, red-green, yellow-blue.
        strided: convolve with stride 2, which costs a quarter. The filters are so smooth that
            their Gram matrices hardly change.
        saturates: apply ``SATURATION``. Fine strokes become less crisp with it.
    """

    colors: int = 3
    strided: bool = False
    saturates: bool = True


SCALES = (
    Scale(colors=1, strided=True, saturates=False),
    Scale(strided=True),
    Scale(strided=True),
    Scale(),
)
"""Fine to coarse. The finest level has grey only: human vision has little fine colour detail."""

RESPONSE_GAIN = 4
"""Factor of all filters: it raises responses, a few hundredths, to the size of the activations."""

SATURATION = 3.0
"""Upper bound of a response r, which becomes r / (1 + r / 3) (Naka & Rushton 1966).

Without it a few strokes of high contrast dominate a Gram matrix, and the result concentrates them
in one place.
"""

COLOR_MAP_CHROMA_GAIN = 8.0
"""Gain of both chromatic channels of the ``colour`` layer: tints are faint but visible."""

TONE_CELLS = 16
"""Cells of the ``tone`` layer along the longer side of the image."""

STRUCTURE_LEVELS = 3
"""Pyramid levels at which structure tensors are computed."""

STRUCTURE_WINDOW_PX = 16
"""Side of the windows of a structure tensor, in px of its pyramid level: the width of a swirl."""

MIN_STRUCTURE_ENERGY = 1e-5
"""Squared gradient of differences below one 8-bit code value, which are noise."""


class ImagePyramid:
    """Blur-pooled copies of an image, each computed when it is first used.

    ``ImagePyramid(image)[n]`` is (1, C, H, W) after ``n`` times ``blur_pool2``.
    """

    def __init__(self, image: Tensor) -> None:
        self._levels = [image]

    def __getitem__(self, level: int) -> Tensor:
        while len(self._levels) <= level:
            self._levels.append(blur_pool2(self._levels[-1]))
        return self._levels[level]


def structure(gray: Tensor) -> Tensor:
    """Structure tensor (Förstner & Gülch 1987) of overlapping windows: orientation and energy.

    Windows are ``STRUCTURE_WINDOW_PX`` wide, less in a small image, and overlap by half. The Gram
    matrix of the result measures which directions occur, how coherent they are within a window,
    and how evenly energy is spread. Filters no longer than a stroke measure neither.

    Args:
        gray: (1, 1, H, W) float32, sides of at least 8 px.

    Returns:
        (1, 3, H', W'), each channel in [-1, 1]: the orientation as a vector of the doubled angle
        (Granlund & Knutsson 1995), whose length is the coherence, and the energy. Windows of less
        than average energy have smaller values.
    """
    products = structure_products(gray)
    half = min(STRUCTURE_WINDOW_PX // 2, *(side // 2 for side in products.shape[-2:]))
    # Windows that the border cuts off count: no others cover the last rows and columns.
    windows = F.avg_pool2d(avg_pool_ceil(products, (half, half)), 2, 1)
    energy = windows[2:]
    average = energy.mean() + MIN_STRUCTURE_ENERGY
    return (torch.cat([windows[:2], (energy - average) / 2]) / (energy + average)).transpose(0, 1)


class FilterBank(nn.Module):
    """Fixed features, without trained weights. All layers differentiate to the image.

    - ``oriented1`` to ``oriented4``: responses of Gabor filters (Daugman 1985) to opponent colours,
      half-wave rectified, (1, 4 * colours * orientations, H, W), of half the size where strided.
      Each next layer belongs to an image of half the size. Flat regions give no response.
    - ``tensor1`` to ``tensor3``: ``structure`` of the grey image, at three pyramid levels.
    - ``colour``: (1, 4, H, W) at pyramid level 2: ones, and the opponent colours. Its Gram matrix
      holds their means and covariance.
    - ``tone``: (1, 3, H, W): average RGB of ``TONE_CELLS`` cells along the longer side.

    Args:
        scales: use of the filters at each pyramid level, fine to coarse.
        orientations: number of filter pairs.
    """

    oriented: Tensor
    unshuffled: Tensor
    opponent: Tensor

    def __init__(self, scales: Sequence[Scale] = SCALES, orientations: int = 8) -> None:
        super().__init__()
        self.scales = {f"oriented{number}": scale for number, scale in enumerate(scales, 1)}
        self.tensors = {f"tensor{level + 1}": level for level in range(STRUCTURE_LEVELS)}
        self.whole_layers = ("colour", "tone", *self.tensors)
        self.layers = (*self.whole_layers[:2], *self.scales, *self.tensors)
        filters = gabor_pairs(11, orientations, wavelength=4.0, along=3.0, across=1.3)
        filters = RESPONSE_GAIN * filters
        self.register_buffer("oriented", filters, persistent=False)
        self.register_buffer("unshuffled", unshuffle(filters), persistent=False)
        self.register_buffer("opponent", opponent_matrix(torch.device("cpu")), persistent=False)

    def set_filter_dtype(self, dtype: torch.dtype) -> None:
        """Convert the oriented filters. The ``oriented`` layers then have this dtype too."""
        self.oriented, self.unshuffled = self.oriented.to(dtype), self.unshuffled.to(dtype)

    def forward(self, pyramid: ImagePyramid, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations of RGB in [0, 1] at ``layers``."""
        wanted = set(layers)
        maps: dict[str, Tensor] = {}
        if "colour" in wanted:
            maps["colour"] = self._color_map(pyramid[2])
        if "tone" in wanted:
            maps["tone"] = _tone_map(pyramid[2])
        for level, (layer, scale) in enumerate(self.scales.items()):
            if layer in wanted:
                maps[layer] = self._oriented_responses(pyramid[level], scale)
        maps |= {
            layer: structure(self._opponent_colors(pyramid[level], 1))
            for layer, level in self.tensors.items()
            if layer in wanted
        }
        return maps

    def _color_map(self, image: Tensor) -> Tensor:
        gray, *chroma = self._opponent_colors(image, 3)[:, 0]
        channels = [torch.ones_like(gray), gray, *(COLOR_MAP_CHROMA_GAIN * x for x in chroma)]
        return torch.stack(channels)[None]

    def _oriented_responses(self, image: Tensor, scale: Scale) -> Tensor:
        # Responses do not depend on a constant. Around zero, half precision is more exact.
        middle = self.opponent.sum(1).view(-1, 1, 1, 1) / 2
        colors = self._opponent_colors(image, scale.colors) - middle[: scale.colors]
        padded = reflect_pad(colors.to(self.oriented.dtype), self.oriented.shape[-1] // 2)
        responses = (
            strided_conv(padded, self.unshuffled)
            if scale.strided
            else F.conv2d(padded, self.oriented)
        )
        saturation = SATURATION if scale.saturates else math.inf
        return rectified_responses(responses.flatten(0, 1)[None], saturation)

    def _opponent_colors(self, image: Tensor, count: int) -> Tensor:
        """(count, 1, H, W): the first opponent colours."""
        return apply_color_matrix(self.opponent[:count], image).transpose(0, 1)


def _tone_map(image: Tensor) -> Tensor:
    """Average of square cells. Pooling rows first, then columns, is faster on a GPU."""
    side = max(1, round(max(image.shape[-2:]) / TONE_CELLS))
    return avg_pool_ceil(avg_pool_ceil(image, (1, side)), (side, 1))
