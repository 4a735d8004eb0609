"""Colours as a whole, their mean and covariance, and a picture in those of another."""

import math

import torch
from torch import Tensor

from ..io.frame import fit
from .tensors import constant, resize

_AXES = (1.0, 1.0, 1.0), (1.0, -1.0, 0.0), (1.0, 1.0, -2.0)
OPPONENT = tuple(tuple(share / math.hypot(*axis) for share in axis) for axis in _AXES)
"""Grey, red against green, yellow against blue, of RGB; of unit length."""

AFAR_PX = 128
"""Long side at which colours are taken: strokes and noise are no colours of their own."""

FLOOR = (0.1, 0.04, 0.04)
"""Least spread of each opponent colour of a picture that is led to others: a black frame's noise is not to become a picture."""


def opponent_matrix(device: torch.device) -> Tensor:
    """(3, 3), orthonormal: opponent colours of RGB."""
    return constant(OPPONENT, device)


def apply_color_matrix(mixtures: Tensor, picture: Tensor) -> Tensor:
    """(M, C) mixtures of the channels of (1, C, H, W): (1, M, H, W)."""
    return (mixtures @ picture[0].flatten(1)).view(1, -1, *picture.shape[2:])


def color_statistics(picture: Tensor) -> Tensor:
    """Second moments of one and the opponent colours, (4, 4), of (1, 3, H, W) RGB in [0, 1] seen from afar.

    The first row holds their means. Moments of several pictures can be averaged like Gram matrices.
    """
    height, width = picture.shape[-2:]
    if max(width, height) > AFAR_PX:
        picture = resize(picture, fit((width, height), AFAR_PX))
    colours = opponent_matrix(picture.device) @ picture[0].flatten(1)
    rows = torch.cat([torch.ones_like(colours[:1]), colours])
    return rows @ rows.T / rows.shape[1]


def match_color_statistics(picture: Tensor, wanted: Tensor) -> Tensor:
    """A picture with the mean and covariance of other colours (Reinhard et al. 2001, with the covariances as well).

    The map is affine and triangular in opponent colours: what is lighter stays lighter.

    Args:
        picture: (1, 3, H, W) RGB in [0, 1].
        wanted: as ``color_statistics`` makes them.
    """
    basis = opponent_matrix(picture.device)
    floor = constant(FLOOR, picture.device).square()
    mean, factor = _spread(color_statistics(picture), floor)
    aim, aimed = _spread(wanted.to(picture), 1e-3 * floor)
    mapping = basis.T @ aimed @ torch.linalg.solve_triangular(factor, basis, upper=False)
    offset = basis.T @ aim - mapping @ (basis.T @ mean)
    led: Tensor = torch.einsum("oc,bchw->bohw", mapping, picture) + offset.view(1, 3, 1, 1)
    return led.clamp(0, 1)


def _spread(moments: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3,), and the lower Cholesky factor (3, 3) of the covariance with so much more on its diagonal."""
    mean = moments[0, 1:]
    covariance = moments[1:, 1:] - torch.outer(mean, mean) + torch.diag(floor)
    return mean, torch.linalg.cholesky_ex(
        covariance
    ).L  # not cholesky, which has a GPU waited for to see how it went
