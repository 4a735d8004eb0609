"""How good a still painting is, told without any network: four figures, each with a known reference.

No figure alone means much, and all can be fooled: what a ``colours_only`` control also reaches is no evidence, and the
eye decides.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .io.frame import fit
from .ops.tensors import resize

DISTANCE_PX, STROKES_PX = 512, 320
"""Long sides at which patches and edges, and strokes and gradients, are compared."""


class QualityMetrics(NamedTuple):
    """Figures of a painting.

    ``style``: distance of its patches from the style's, as a share of the content's own; 1: nothing was painted.
    ``structure``: correlation of its edges with the content's; 1 is the content itself.
    ``strokes``: at four scales, fine to coarse, how clean its strokes are, as a share of the style's.
    ``energy``: its gradient energy as a share of the style's; blur reads low, speckle high.
    """

    style: float
    structure: float
    strokes: tuple[float, ...]
    energy: float

    def __str__(self) -> str:
        strokes = " ".join(f"{share:.2f}" for share in self.strokes)
        return f"style share {self.style:.2f}, structure {self.structure:.2f}, strokes {strokes}, energy {self.energy:.2f}"


def evaluate(painting: Tensor, content: Tensor, style: Tensor) -> QualityMetrics:
    """Figures of a painting of ``content`` in the manner of ``style``, each (1, 3, H, W) RGB in [0, 1] of any size."""
    (painted, frame, wanted), (fine, fine_style) = (
        [
            resize(picture, fit((picture.shape[-1], picture.shape[-2]), long_side))
            for picture in pictures
        ]
        for pictures, long_side in (
            ((painting, content, style), DISTANCE_PX),
            ((painting, style), STROKES_PX),
        )
    )
    return QualityMetrics(
        style_distance(painted, wanted) / style_distance(frame, wanted),
        _structure(painted, frame),
        tuple(
            ours / theirs
            for ours, theirs in zip(
                stroke_coherence(fine), stroke_coherence(fine_style), strict=True
            )
        ),
        gradient_energy(fine) / gradient_energy(fine_style),
    )


def colours_only(content: Tensor, style: Tensor) -> Tensor:
    """The control: the content with the style's mean and covariance of RGB, and nothing else of it. (1, 3, H, W)."""
    (mean, factor), (wanted_mean, wanted_factor) = (
        _colour_statistics(picture) for picture in (content, style)
    )
    centred = content.flatten(2)[0] - mean
    moved: Tensor = (
        wanted_factor @ torch.linalg.solve_triangular(factor, centred, upper=False) + wanted_mean
    )
    return moved.reshape_as(content).clamp(0, 1)


def _colour_statistics(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3, 1) and Cholesky factor (3, 3) of the covariance of a picture's RGB."""
    pixels = picture.flatten(2)[0]
    floor = 1e-5 * torch.eye(
        3, device=picture.device
    )  # a grey picture's covariance has no Cholesky factor
    return pixels.mean(1, keepdim=True), torch.linalg.cholesky(torch.cov(pixels) + floor)


def style_distance(picture: Tensor, style: Tensor, scales: int = 5) -> float:
    """Sliced Wasserstein distance between the 7 x 7 patches of two pictures, over a pyramid (after Rabin et al. 2011).

    128 random projections, the same in every run; in units of the spread of the style's own patches.
    """
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    for _ in range(scales):
        probes = torch.randn(128, 3, 7, 7, generator=generator)
        probes = (probes / probes.flatten(1).norm(dim=1)[:, None, None, None]).to(picture)
        ours, theirs = (F.conv2d(image, probes).flatten(2)[0] for image in (picture, style))
        total += (
            ((_quantiles(ours) - _quantiles(theirs)).abs().mean(0) / theirs.std(1)).mean().item()
        )
        picture, style = F.avg_pool2d(picture, 2), F.avg_pool2d(style, 2)
    return total / scales


def _quantiles(responses: Tensor) -> Tensor:
    """512 quantiles of each row of (N, P), (512, N)."""
    some = torch.linspace(0, responses.shape[1] - 1, min(responses.shape[1], 20_000)).long()
    quantiles: Tensor = torch.quantile(
        responses[:, some.to(responses.device)], torch.linspace(0, 1, 512).to(responses), dim=1
    )
    return quantiles


def _structure(picture: Tensor, content: Tensor) -> float:
    picture = F.interpolate(picture, content.shape[-2:], mode="bilinear")
    return correlation(_edges(picture), _edges(content))


def _edges(picture: Tensor) -> Tensor:
    """Gradient's length at a quarter of the size, flat: a brush stroke follows an outline, not its pixels."""
    grey = F.avg_pool2d(picture.mean(1, keepdim=True), 4)
    across, down = (
        grey[..., :-1, 1:] - grey[..., :-1, :-1],
        grey[..., 1:, :-1] - grey[..., :-1, :-1],
    )
    return (across.square() + down.square() + 1e-12).sqrt().flatten()


def stroke_coherence(picture: Tensor, scales: int = 4, window_px: int = 9) -> list[float]:
    """Coherence of the structure tensor (Bigün & Granlund 1987), weighted by energy, per scale: 1 is a clean stroke."""
    coherences = []
    for _ in range(scales):
        grey = picture.mean(1, keepdim=True)
        dx, dy = (
            grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2],
            grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1],
        )
        xx, yy, xy = (
            F.avg_pool2d(product, window_px, 1) for product in (dx * dx, dy * dy, dx * dy)
        )
        energy = xx + yy
        clean = ((xx - yy).square() + 4 * xy.square()).sqrt() / (energy + 1e-6)
        coherences.append(((clean * energy).sum() / energy.sum().clamp_min(1e-12)).item())
        picture = F.avg_pool2d(picture, 2)
    return coherences


def correlation(one: Tensor, other: Tensor) -> float:
    """Of two flat tensors, in [-1, 1] (Pearson)."""
    return torch.corrcoef(torch.stack([one, other]))[0, 1].item()


def squared_gradient(picture: Tensor) -> Tensor:
    """Of the grey of (1, 3, H, W), per pixel, (1, 1, H - 1, W - 1)."""
    grey = picture.mean(1, keepdim=True)
    across, down = grey[..., 1:, 1:] - grey[..., 1:, :-1], grey[..., 1:, 1:] - grey[..., :-1, 1:]
    return across.square() + down.square()


def gradient_energy(picture: Tensor) -> float:
    """Mean squared gradient of (1, 3, H, W): falls when a picture blurs."""
    return squared_gradient(picture).mean().item()
