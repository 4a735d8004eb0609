"""Quality metrics of a stylised image that need no network.

No metric is sufficient alone, and all can be fooled: compare with the metrics of the
``colors_only`` control, and look at the image.
"""

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


class QualityMetrics(NamedTuple):
    """Metrics of a stylised image. All are ratios without a unit.

    Args:
        style: ``style_distance`` to the style, divided by the content's; 1 for the content.
        structure: correlation of edges with the content's, in [-1, 1]; 1 for the content.
        strokes: ``stroke_coherence`` at four scales, fine to coarse, divided by the style's.
        energy: ``gradient_energy`` divided by the style's; low for blur, high for speckle.
    """

    style: float
    structure: float
    strokes: tuple[float, ...]
    energy: float

    def __str__(self) -> str:
        strokes = " ".join(f"{share:.2f}" for share in self.strokes)
        return (
            f"style share {self.style:.2f}, structure {self.structure:.2f}, "
            f"strokes {strokes}, energy {self.energy:.2f}"
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
        style_distance(image, target) / style_distance(frame, target),
        _structure(image, frame),
        tuple(coherence / of_style for coherence, of_style in coherences),
        gradient_energy(fine) / gradient_energy(fine_style),
    )


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
