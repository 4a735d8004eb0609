"""Quality metrics of a stylised image that need no network.

No metric is sufficient alone, and all can be fooled: compare with the metrics of the
``colors_only`` control, and look at the image.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .io.frame import fit
from .ops.color import color_statistics, transfer_colors
from .ops.tensors import resize

DISTANCE_SIZE_PX = 512
"""Long side at which patches and edges are compared."""

STROKES_SIZE_PX = 320
"""Long side at which strokes and gradients are compared."""

RGB = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
"""The basis of the control's colour transfer."""

CONTROL_MIN_STD = (1e-5**0.5,) * 3
"""Standard deviation that makes the covariance of a grey image regular, and is not visible."""


CONTOUR_CELL_PX = 4
"""Side in px, at ``DISTANCE_SIZE_PX``, of the cells in which contours are found: brush strokes are
finer."""

CONTOUR_DISTANCE_CELLS = 2.5
"""Distance in cells from a contour to the middle of the windows, of 3 x 3 cells, on both sides."""

MIN_CONTOUR_CONTRAST = 1.0
"""Difference of both sides, in standard deviations within them, above which a contour is seen."""

CELL_NOISE = 0.02
"""Standard deviation added to that of each window: smaller differences of RGB are not seen."""


class QualityMetrics(NamedTuple):
    """Metrics of a stylised image. All are ratios without a unit; NaN for a ratio to 0.

    Args:
        style: ``style_distance`` to the style, divided by the content's; 1 for the content.
        structure: correlation of edges with the content's, in [-1, 1]; 1 for the content.
        strokes: ``stroke_coherence`` at four scales, fine to coarse, divided by the style's.
        energy: ``gradient_energy`` divided by the style's; low for blur, high for speckle.
        contours: ``contour_recall`` of the content; 1 for the content, about 0 for another image.
    """

    style: float
    structure: float
    strokes: tuple[float, ...]
    energy: float
    contours: float

    def __str__(self) -> str:
        strokes = " ".join(f"{share:.2f}" for share in self.strokes)
        return (
            f"style share {self.style:.2f}, structure {self.structure:.2f}, "
            f"strokes {strokes}, energy {self.energy:.2f}, contours {self.contours:.2f}"
        )


def evaluate(stylized: Tensor, content: Tensor, style: Tensor) -> QualityMetrics:
    """Metrics of a stylised image.

    Args:
        stylized, content, style: (1, 3, H, W) RGB in [0, 1], of any sizes.
    """
    image, frame, target = (_reduced(x, DISTANCE_SIZE_PX) for x in (stylized, content, style))
    fine, fine_style = (_reduced(x, STROKES_SIZE_PX) for x in (stylized, style))
    coherences = zip(stroke_coherence(fine), stroke_coherence(fine_style), strict=True)
    return QualityMetrics(
        _ratio(style_distance(image, target), style_distance(frame, target)),
        _structure(image, frame),
        tuple(_ratio(coherence, of_style) for coherence, of_style in coherences),
        _ratio(gradient_energy(fine), gradient_energy(fine_style)),
        contour_recall(image, frame),
    )


def _ratio(share: float, whole: float) -> float:
    """Their ratio; NaN where the style is flat, or is the content."""
    return share / whole if whole else math.nan


def _reduced(image: Tensor, long_side: int) -> Tensor:
    return resize(image, fit((image.shape[-1], image.shape[-2]), long_side))


def colors_only(content: Tensor, style: Tensor) -> Tensor:
    """The control: the content with mean and covariance of the style's RGB, not stylised.

    Args:
        content, style: (1, 3, H, W) RGB in [0, 1].

    Returns:
        (1, 3, H, W) RGB in [0, 1].
    """
    statistics, target = (color_statistics(x, RGB, max_side_px=None) for x in (content, style))
    return transfer_colors(content, statistics, target, RGB, CONTROL_MIN_STD)


def style_distance(image: Tensor, style: Tensor, scales: int = 5) -> float:
    """Sliced Wasserstein distance of 7 x 7 patches over an image pyramid (after Rabin et al. 2011).

    It uses 128 random projections with a fixed seed.

    Args:
        image, style: (1, 3, H, W) RGB in [0, 1].
        scales: pyramid levels.

    Returns:
        The distance in standard deviations of the style's projected patches.
    """
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    for _ in range(scales):
        filters = torch.randn(128, 3, 7, 7, generator=generator)
        filters = (filters / filters.flatten(1).norm(dim=1)[:, None, None, None]).to(image)
        projected, target = (F.conv2d(x, filters).flatten(2)[0] for x in (image, style))
        distance = (_quantiles(projected) - _quantiles(target)).abs().mean(0)
        total += (distance / target.std(1)).mean().item()
        image, style = F.avg_pool2d(image, 2), F.avg_pool2d(style, 2)
    return total / scales


def _quantiles(responses: Tensor) -> Tensor:
    """512 quantiles of each row of (N, P), from at most 20,000 elements: (512, N)."""
    count = min(responses.shape[1], 20_000)
    chosen = torch.linspace(0, responses.shape[1] - 1, count).long().to(responses.device)
    levels = torch.linspace(0, 1, 512).to(responses)
    quantiles: Tensor = torch.quantile(responses[:, chosen], levels, dim=1)
    return quantiles


def _structure(image: Tensor, content: Tensor) -> float:
    image = F.interpolate(image, content.shape[-2:], mode="bilinear")
    return correlation(_edges(image), _edges(content))


def contour_recall(image: Tensor, content: Tensor) -> float:
    """Share of the content's contours whose two sides differ in an image too.

    Fisher's discriminant ratio (Fisher 1936) of the colours on both sides of each contour point,
    in the way of boundary recall (Martin et al. 2004). All contours count alike, whatever their
    contrast. So a limb that melts into a wall is noticed, which ``structure`` does not see.

    Args:
        image, content: (1, 3, H, W) RGB in [0, 1] with about ``DISTANCE_SIZE_PX`` on the long side.

    Returns:
        At most 1; 0 for as many seen contours as there are at other places of the image.
    """
    image = F.interpolate(image, content.shape[-2:], mode="bilinear")
    found, source = (F.avg_pool2d(x, CONTOUR_CELL_PX) for x in (image, content))
    points, normals = _contours(source)
    seen = _contrast(source, points, normals) > MIN_CONTOUR_CONTRAST
    points, normals = points[seen], normals[seen]
    if not len(points):
        return 1.0
    recall = (_contrast(found, points, normals) > MIN_CONTOUR_CONTRAST).float().mean()
    # By chance: the same contours in the image turned by half.
    turned = found.flip(-1, -2)
    chance = (_contrast(turned, points, normals) > MIN_CONTOUR_CONTRAST).float().mean()
    return ((recall - chance) / (1 - chance).clamp_min(1e-6)).item()


def _contours(image: Tensor) -> tuple[Tensor, Tensor]:
    """Points (N, 2) where the gradient is largest along its direction, as x and y in cells, and
    their normals (N, 2)."""
    padded = F.pad(image, [1] * 4, mode="replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2])[0]
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1])[0]
    xx, yy, xy = (dx * dx).sum(0), (dy * dy).sum(0), (dx * dy).sum(0)
    angle = 0.5 * torch.atan2(2 * xy, xx - yy)
    strength = xx + yy
    height, width = strength.shape
    y, x = torch.meshgrid(
        torch.arange(height).to(strength), torch.arange(width).to(strength), indexing="ij"
    )
    places, normals = torch.stack([x, y], -1), torch.stack([angle.cos(), angle.sin()], -1)
    before, after = (_sampled(strength[None, None], places + sign * normals)[0] for sign in (-1, 1))
    largest = (strength >= before) & (strength > after) & (strength > (2 * CELL_NOISE) ** 2)
    return places[largest], normals[largest]


def _contrast(image: Tensor, points: Tensor, normals: Tensor) -> Tensor:
    """Difference of the mean colours on both sides of points, in standard deviations, (N,)."""
    padded = F.pad(image, [1] * 4, mode="replicate")
    mean = F.avg_pool2d(padded, 3, 1)
    variance = (F.avg_pool2d(padded.square(), 3, 1) - mean.square()).clamp_min(0)
    offset = CONTOUR_DISTANCE_CELLS * normals
    sides = [
        _sampled(torch.cat([mean, variance], 1), (points + sign * offset)[None])[:, 0]
        for sign in (-1, 1)
    ]
    difference = (sides[0][:3] - sides[1][:3]).square().sum(0)
    spread = (sides[0][3:] + sides[1][3:]).sum(0) / 2 + CELL_NOISE**2
    return (difference / spread).sqrt()


def _sampled(maps: Tensor, places: Tensor) -> Tensor:
    """Values (C, H', W') of (1, C, H, W) at places (H', W', 2), x and y in px."""
    size = maps.new_tensor([maps.shape[-1], maps.shape[-2]])
    grid = (2 * places + 1) / size - 1
    sampled: Tensor = F.grid_sample(maps, grid[None], padding_mode="border", align_corners=False)[0]
    return sampled


def _edges(image: Tensor) -> Tensor:
    """Gradient magnitude at a quarter of the size, flattened: strokes need not match pixels."""
    gray = F.avg_pool2d(image.mean(1, keepdim=True), 4)
    across = gray[..., :-1, 1:] - gray[..., :-1, :-1]
    down = gray[..., 1:, :-1] - gray[..., :-1, :-1]
    return (across.square() + down.square() + 1e-12).sqrt().flatten()


def stroke_coherence(image: Tensor, scales: int = 4, window_px: int = 9) -> list[float]:
    """Coherence of the structure tensor (Bigün & Granlund 1987), weighted by energy.

    Args:
        image: (1, 3, H, W) RGB in [0, 1].
        scales: pyramid levels, each of half the size of the one before.
        window_px: side of the tensor's window.

    Returns:
        For each scale a value in [0, 1]; 1: all gradients in a window are parallel.
    """
    coherences = []
    for _ in range(scales):
        coherent, energy = structure_energy(image, window_px)
        coherence = coherent / (energy + 1e-6)
        coherences.append(((coherence * energy).sum() / energy.sum().clamp_min(1e-12)).item())
        image = F.avg_pool2d(image, 2)
    return coherences


def structure_energy(image: Tensor, window_px: int, padded: bool = False) -> tuple[Tensor, Tensor]:
    """Difference and sum of the eigenvalues of the structure tensor (Bigün & Granlund 1987).

    Args:
        image: (1, 3, H, W) RGB in [0, 1].
        window_px: side of the tensor's window, odd.
        padded: results for all pixels; the gradient is zero at the border and outside.

    Returns:
        The coherent part of the energy, and the energy: (1, 1, H - w - 1, W - w - 1) each, or (1,
        1, H, W).
    """
    gray = image.mean(1, keepdim=True)
    dx = gray[..., 1:-1, 2:] - gray[..., 1:-1, :-2]
    dy = gray[..., 2:, 1:-1] - gray[..., :-2, 1:-1]
    if padded:
        dx, dy = F.pad(dx, [1] * 4), F.pad(dy, [1] * 4)
    margin = window_px // 2 if padded else 0
    xx, yy, xy = (
        F.avg_pool2d(product, window_px, 1, margin) for product in (dx * dx, dy * dy, dx * dy)
    )
    return ((xx - yy).square() + 4 * xy.square()).sqrt(), xx + yy


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson correlation of two flat tensors, in [-1, 1]."""
    return torch.corrcoef(torch.stack([one, other]))[0, 1].item()


def squared_gradient(image: Tensor) -> Tensor:
    """Squared gradient of the grey of (1, 3, H, W) at each pixel: (1, 1, H - 1, W - 1)."""
    gray = image.mean(1, keepdim=True)
    across, down = gray[..., 1:, 1:] - gray[..., 1:, :-1], gray[..., 1:, 1:] - gray[..., :-1, 1:]
    return across.square() + down.square()


def gradient_energy(image: Tensor) -> float:
    """Mean squared gradient of the grey of (1, 3, H, W); it falls when an image is blurred."""
    return squared_gradient(image).mean().item()
