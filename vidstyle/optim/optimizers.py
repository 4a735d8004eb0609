"""Gradient descent on pixels: Adam on a pyramid with moments that can be carried and moved, and L-BFGS."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autograd.pooling import avg_pool2, upsample2
from ..losses.objective import Losses
from ..ops.color import apply_color_matrix, opponent_matrix

BETA1, BETA2 = 0.9, 0.97
"""Decay of Adam's moments. The second is shorter than the usual 0.999: a frame takes few steps, and scenes change."""

SCALES = 6
"""Sizes at which the gradient is followed, each half of the one before."""

EPSILON = 1e-12
"""Keeps Adam from dividing by zero; gradients of a mean over pixels are small themselves."""

MIN_LR_FRACTION = 0.15
"""Share of the learning rate left where the picture has long been worked on: there it shall come to rest."""

SLOW_LR_DECAY, FAST_LR_DECAY = 1 - MIN_LR_FRACTION, 2.0
"""How a place comes to that: over hundreds of steps, or within twenty once a painting has been worked on. What goes on changing
flickers. Sooner still, less flickers, but what a clip newly shows is left without strokes."""


@dataclass(frozen=True, eq=False)
class AdamState:
    """Adam's memory (Kingma & Ba 2015), one value per pixel so that it can move along with the picture, of opponent colours.

    Args:
        mean: (1, 3, H, W), running mean of the gradient.
        squares: per scale (1, 3, h, w), running mean of the square of the gradient as that scale sees it.
        weights: per scale (1, 1, h, w), how full that mean is: ``1 - BETA_SQUARE ** steps taken there``. It stands for
            Adam's step count, and unlike a count it can be interpolated: bias correction stays exact when it moves.
    """

    mean: Tensor
    squares: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    def with_decayed_weight(self, share: float) -> "AdamState":
        """As if only a share of the work had been done: the learning rate is high again. The gradient's scale is still known."""
        squares = tuple(square * share for square in self.squares)
        return AdamState(
            torch.zeros_like(self.mean), squares, tuple(weight * share for weight in self.weights)
        )

    @classmethod
    def zero(cls, picture: Tensor) -> "AdamState":
        """The memory of an optimiser that has not seen this picture."""
        scales = _pyramid(torch.zeros_like(picture))
        weights = tuple(scale.new_zeros(1, 1, *scale.shape[-2:]) for scale in scales)
        return cls(torch.zeros_like(picture), tuple(scales), weights)


class StepSize(NamedTuple):
    """How far steps go.

    Args:
        highest: the learning rate where nothing has been done yet: the length in RGB of a step in grey at the finest scale,
            of which coarser scales and colours have a share. Pixels are in [0, 1].
        fall: how much of it a place loses with the weight of its moments, until ``MIN_LR_FRACTION`` of it is left.
        ahead: 1 to go by the mean gradient that the next step would have if its own were the present one, as Nesterov's does
            (Dozat 2016), 0 by the mean so far. A painting that has been worked on comes nearer by it and flickers less; a
            fresh one does not.
        scales: step of a scale, relative to the next finer one's. All finer ones move what a coarse one moves.
        colours: step of the opponent colours, relative to grey's: they change less in pictures, and flicker as much.
    """

    highest: float | Tensor
    fall: float | Tensor = SLOW_LR_DECAY
    ahead: float | Tensor = 0.0
    scales: float | Tensor = 0.6
    colours: float | Tensor = 0.4


@dataclass(frozen=True, eq=False)
class OptimResult:
    """What a minimisation returns: the picture, the optimiser's memory, and one ``Losses`` per iteration.

    The losses of an iteration are those it started from.
    """

    picture: Tensor
    moments: AdamState
    losses: list[Losses]


def adam(
    picture: Tensor,
    objective: Callable[[Tensor], Losses],
    steps: int,
    moments: AdamState,
    rate: StepSize,
    tick: Callable[[], None] = lambda: None,
) -> OptimResult:
    """Minimise by Adam (Kingma & Ba 2015, algorithm 1) on a pyramid, pixels kept within [0, 1].

    A step is the sum of Adam's steps at several scales, each with its own second moment: what a whole region has to do
    it does at once, rather than pixel by pixel: fewer steps to the same loss. Steps are taken in
    opponent colours: in RGB, where channels change together, their differences would hardly be followed. The first moment
    is not corrected for bias, which makes the first steps small; the second is, else they would be huge.

    Args:
        picture: (1, 3, H, W) to start from; not changed.
        moments: carried from the frame before, or ``AdamState.zero``.
        rate: how far each step goes.
        tick: called as each step begins.
    """
    losses = []
    for _ in range(steps):
        tick()
        picture, moments, current = adam_step(objective, picture, moments, rate)
        losses.append(current)
    return OptimResult(picture, moments, losses)


def adam_step(
    objective: Callable[[Tensor], Losses], picture: Tensor, moments: AdamState, rate: StepSize
) -> tuple[Tensor, AdamState, Losses]:
    """One step of ``adam``: picture and moments after it, and the losses it started from."""
    with torch.enable_grad():
        picture = picture.detach().requires_grad_(True)
        losses = objective(picture)
        # A mean over pixels has gradients too small for float16; times as many they are of a pixel's own size.
        pixels = picture.shape[-2] * picture.shape[-1]
        (gradient,) = torch.autograd.grad(losses.total * pixels, picture)
    with torch.no_grad():
        # Should float16 overflow all the same, that value counts for nothing in this step: a NaN would stay for good.
        gradient = gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        colours = opponent_matrix(picture.device)
        moments, direction = _updated(moments, apply_color_matrix(colours / pixels, gradient), rate)
        picture = (picture - apply_color_matrix(colours.T * rate.highest, direction)).clamp_(0, 1)
    return picture, moments, Losses(*(loss.detach() for loss in losses))


def _updated(moments: AdamState, gradient: Tensor, rate: StepSize) -> tuple[AdamState, Tensor]:
    """Moments after one more gradient, and the direction they say, in learning rates; all of opponent colours."""
    mean = torch.lerp(gradient, moments.mean, BETA1)
    leading = torch.lerp(mean, gradient, rate.ahead * (1 - BETA1))
    squares = torch._foreach_pow(_pyramid(gradient), 2)
    torch._foreach_lerp_(squares, moments.squares, BETA2)
    weights = torch._foreach_mul(moments.weights, BETA2)
    torch._foreach_add_(weights, 1 - BETA2)
    left = torch._foreach_mul(weights, -rate.fall)
    torch._foreach_add_(left, 1)
    torch._foreach_clamp_min_(left, MIN_LR_FRACTION)
    spreads = torch._foreach_div(squares, weights)
    torch._foreach_sqrt_(spreads)
    torch._foreach_add_(spreads, EPSILON)
    steps = torch._foreach_mul(_pyramid(leading), left)
    torch._foreach_div_(steps, spreads)
    direction = steps[-1]
    for step in steps[-2::-1]:
        direction = step.add_(upsample2(direction, *step.shape[-2:]).mul_(rate.scales))
    direction[:, 1:] *= rate.colours
    return AdamState(mean, tuple(squares), tuple(weights)), direction


def _pyramid(gradient: Tensor) -> list[Tensor]:
    """(1, C, H, W) at ``SCALES`` sizes, fewer for a small picture."""
    scales = [gradient]
    while len(scales) < SCALES and min(scales[-1].shape[-2:]) > 1:
        missing = [0, scales[-1].shape[-1] % 2, 0, scales[-1].shape[-2] % 2]
        scales.append(
            avg_pool2(F.pad(scales[-1], missing, mode="replicate") if any(missing) else scales[-1])
        )
    return scales


def lbfgs(picture: Tensor, objective: Callable[[Tensor], Losses], steps: int) -> OptimResult:
    """Minimise by L-BFGS (Liu & Nocedal 1989), ``steps`` evaluations. It keeps nothing from frame to frame.

    Without a line search a step can go wrong, so the best picture met is returned.
    """
    moving = picture.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        [moving],
        max_iter=steps,
        max_eval=steps,
        history_size=20,
        tolerance_grad=0,
        tolerance_change=0,
    )
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
    return OptimResult(best.clamp(0, 1), AdamState.zero(picture), losses)
