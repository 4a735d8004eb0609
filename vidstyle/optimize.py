"""Gradient descent on pixels: Adam with moments that can be carried and moved, L-BFGS for stills."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .losses import Losses

BETA_MEAN, BETA_SQUARE = 0.9, 0.99
"""Decay of Adam's moments. The second is shorter than the usual 0.999, since scenes change within seconds."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Adam's memory (Kingma & Ba 2015), one value per pixel so that it can move along with the picture.

    Args:
        mean, square: (1, 3, H, W), running means of the gradient and of its square.
        count: (1, 1, H, W), steps taken: with it bias correction stays exact where only some pixels start afresh.
    """

    mean: Tensor
    square: Tensor
    count: Tensor

    @classmethod
    def zero(cls, picture: Tensor) -> "Moments":
        """The memory of an optimiser that has not seen this picture."""
        return cls(torch.zeros_like(picture), torch.zeros_like(picture), torch.zeros_like(picture[:, :1]))


@dataclass(frozen=True, eq=False)
class Minimum:
    """What a minimisation returns: the picture, the optimiser's memory, and one ``Losses`` per iteration.

    The losses of an iteration are those it started from.
    """

    picture: Tensor
    moments: Moments
    losses: list[Losses]


def adam(picture: Tensor, objective: Callable[[Tensor], Losses], steps: int, moments: Moments, learning_rate: float) -> Minimum:
    """Minimise by Adam (Kingma & Ba 2015, algorithm 1), pixels kept within [0, 1].

    Args:
        picture: (1, 3, H, W) to start from; not changed.
        moments: carried from the frame before, or ``Moments.zero``.
        learning_rate: in units of the pixel range.
    """
    mean, square, count, losses = moments.mean, moments.square, moments.count, []
    for _ in range(steps):
        picture = picture.detach().requires_grad_(True)
        current = objective(picture)
        (gradient,) = torch.autograd.grad(current.total, picture)
        with torch.no_grad():
            count = count + 1
            mean = BETA_MEAN * mean + (1 - BETA_MEAN) * gradient
            square = BETA_SQUARE * square + (1 - BETA_SQUARE) * gradient.square()
            step = (mean / (1 - BETA_MEAN**count)) / ((square / (1 - BETA_SQUARE**count)).sqrt() + 1e-8)
            picture = (picture - learning_rate * step).clamp(0, 1)
        losses.append(Losses(*(loss.detach() for loss in current)))
    return Minimum(picture.detach(), Moments(mean, square, count), losses)


def lbfgs(picture: Tensor, objective: Callable[[Tensor], Losses], steps: int) -> Minimum:
    """Minimise by L-BFGS (Liu & Nocedal 1989), ``steps`` evaluations. Slower per picture kept, better for one picture.

    Without a line search a step can go wrong, so the best picture met is returned.
    """
    moving = picture.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
    optimiser = torch.optim.LBFGS([moving], max_iter=steps, max_eval=steps, history_size=20, tolerance_grad=0, tolerance_change=0)
    losses: list[Losses] = []
    best, lowest = picture, float("inf")

    def evaluate() -> Tensor:
        nonlocal best, lowest
        optimiser.zero_grad()
        current = objective(moving)
        total = current.total.item()
        if total < lowest:
            best, lowest = moving.detach().clone(), total
        current.total.backward()  # type: ignore[no-untyped-call]
        losses.append(Losses(*(loss.detach() for loss in current)))
        return current.total

    optimiser.step(evaluate)  # type: ignore[no-untyped-call]
    with torch.no_grad():  # where the last step led
        if objective(moving).total.item() < lowest:
            best = moving.detach()
    return Minimum(best.clamp(0, 1), Moments.zero(picture), losses)
