"""Colour statistics of an image, and colour transfer by mean and covariance."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..io.frame import fit
from .tensors import constant, resize

Matrix = tuple[tuple[float, ...], ...]

_AXES = (1.0, 1.0, 1.0), (1.0, -1.0, 0.0), (1.0, 1.0, -2.0)
OPPONENT = tuple(tuple(component / math.hypot(*axis) for component in axis) for axis in _AXES)
"""Rows of unit length that make opponent colours of RGB: grey, red-green, yellow-blue."""

STATISTICS_SIZE_PX = 128
"""Long side at which colour statistics are taken: strokes and noise average out at this size."""

COLOR_SHARE = 0.5
"""Share of the colour transfer that the content of a frame undergoes before it is stylised."""

MIN_STD = (0.1, 0.04, 0.04)
"""Smallest standard deviation, per opponent colour, that an image is taken to have.

A transfer multiplies deviations by the ratio of both standard deviations. This bounds the factor:
the noise of a black frame is not amplified to full contrast.
"""

MIN_PIXEL_WEIGHT = 1e-6
"""Weight of pixels outside a mask: statistics of an empty region are those of the image."""


def opponent_matrix(device: torch.device) -> Tensor:
    """The orthonormal matrix from RGB to opponent colours, (3, 3) float32."""
    return constant(OPPONENT, device)


def apply_color_matrix(matrix: Tensor, image: Tensor) -> Tensor:
    """Multiply the channels of (1, C, H, W) by a matrix (M, C): (1, M, H, W)."""
    return (matrix @ image[0].flatten(1)).view(1, -1, *image.shape[2:])


def color_statistics(
    image: Tensor,
    basis: Matrix = OPPONENT,
    max_side_px: int | None = STATISTICS_SIZE_PX,
    mask: Tensor | None = None,
) -> Tensor:
    """Second moments of one and the colours, at reduced size.

    Statistics of several images can be averaged, like Gram matrices.

    Args:
        image: (1, 3, H, W) RGB in [0, 1].
        basis: rows that make colours of RGB; by default grey, red-green and yellow-blue.
        max_side_px: long side of the image after reduction; None: no reduction.
        mask: (1, 1, H, W) in [0, 1], weight of each pixel; None: all equal.

    Returns:
        (4, 4) float32, symmetric; the first row holds 1 and the means.
    """
    height, width = image.shape[-2:]
    if max_side_px and max(width, height) > max_side_px:
        size = fit((width, height), max_side_px)
        image, mask = resize(image, size), mask if mask is None else resize(mask, size)
    colors = constant(basis, image.device) @ image[0].flatten(1)
    rows = torch.cat([torch.ones_like(colors[:1]), colors])
    if mask is None:
        return rows @ rows.T / rows.shape[1]
    weights = mask.flatten() + MIN_PIXEL_WEIGHT
    return (rows * weights) @ rows.T / weights.sum()


def match_color_statistics(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """``transfer_colors`` in opponent colours: grey comes first, so the order of greys is kept.

    Args:
        image: (1, 3, H, W) RGB in [0, 1].
        target: from ``color_statistics``.
        mask: (1, 1, H, W), the region that gets these statistics; None: the whole image.

    Returns:
        (1, 3, H, W) RGB, clipped to [0, 1].
    """
    statistics = color_statistics(image, mask=mask)
    return transfer_colors(image, statistics, target, OPPONENT, MIN_STD)


def toward_style_colors(image: Tensor, target: Tensor, masks: Tensor | None = None) -> Tensor:
    """An image of which ``COLOR_SHARE`` has the colour statistics of the style.

    With all of them, things of one brightness get one colour of the style and cannot be told apart.

    Args:
        image: (1, 3, H, W) RGB in [0, 1].
        target: from ``color_statistics``; with masks (R, 4, 4), of the style of each region.
        masks: (1, R, H, W) in [0, 1], of regions with a style each; they sum to 1. None: one style.
    """
    if masks is None:
        return torch.lerp(image, match_color_statistics(image, target), COLOR_SHARE)
    parts = [
        mask[:, None] * match_color_statistics(image, own, mask[:, None])
        for mask, own in zip(masks.unbind(1), target, strict=True)
    ]
    return torch.lerp(image, torch.stack(parts).sum(0), COLOR_SHARE)


def transfer_colors(
    image: Tensor, statistics: Tensor, target: Tensor, basis: Matrix, min_std: Sequence[float]
) -> Tensor:
    """Colour transfer by mean and covariance (Reinhard et al. 2001, with the full covariance).

    The affine map is the product of two Cholesky factors (Gatys et al. 2016, "Preserving color in
    neural artistic style transfer"). It is triangular in the basis.

    Args:
        image: (1, 3, H, W) RGB in [0, 1].
        statistics, target: from ``color_statistics``, of the image and of the result.
        basis: orthonormal, of both statistics.
        min_std: smallest standard deviation of each colour, see ``MIN_STD``.

    Returns:
        (1, 3, H, W) RGB, clipped to [0, 1].
    """
    matrix = constant(basis, image.device)
    floor = constant(tuple(min_std), image.device).square()
    mean, factor = _mean_and_cholesky(statistics, floor)
    target_mean, target_factor = _mean_and_cholesky(target.to(image), 1e-3 * floor)
    whitened = torch.linalg.solve_triangular(factor, matrix, upper=False)
    mapping = matrix.T @ target_factor @ whitened
    offset = matrix.T @ target_mean - mapping @ (matrix.T @ mean)
    matched: Tensor = torch.einsum("oc,bchw->bohw", mapping, image) + offset.view(1, 3, 1, 1)
    return matched.clamp(0, 1)


def _mean_and_cholesky(statistics: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3,), and Cholesky factor (3, 3) of the covariance with ``floor`` on its diagonal."""
    mean = statistics[0, 1:]
    covariance = statistics[1:, 1:] - torch.outer(mean, mean) + torch.diag(floor)
    # torch.linalg.cholesky would synchronise with a GPU to report errors.
    return mean, torch.linalg.cholesky_ex(covariance).L


LUMA_REC709 = (0.2126, 0.7152, 0.0722)
"""Weights of R, G and B in luma (ITU-R BT.709)."""


def keep_colors(stylized: Tensor, source: Tensor) -> Tensor:
    """Luminance-only transfer: the luma of one image with the chroma of another.

    Gatys et al. 2016, "Preserving color in neural artistic style transfer".

    Args:
        stylized: gives the luma (Rec. 709), (1, 3, H, W) RGB in [0, 1].
        source: gives the colour differences, (1, 3, H, W) RGB in [0, 1].

    Returns:
        (1, 3, H, W) RGB, clipped to [0, 1].
    """
    weights = constant(LUMA_REC709, stylized.device)[None, :, None, None]
    luma, source_luma = ((x * weights).sum(1, keepdim=True) for x in (stylized, source))
    return (source + luma - source_luma).clamp(0, 1)
