"""Adam (Kingma & Ba 2015) on an image pyramid, with a state that can be warped."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autograd.pooling import avg_pool2, upsample2
from ..ops.color import apply_color_matrix, opponent_matrix
from ..ops.pytree import register_dataclass

BETA1, BETA2 = 0.9, 0.97
"""Decay of Adam's two moments. The second is below the usual 0.999: a frame takes few steps, and
scenes change."""

MEAN_EXPONENT = math.log(BETA1) / math.log(BETA2)
"""``BETA1 ** step`` is ``BETA2 ** step`` to this power."""

PYRAMID_SCALES = 6
"""Number of scales of the gradient pyramid, each half the size of the next finer one."""

EPSILON = 1e-12
"""Added to the root of the second moment. Gradients of a mean over pixels are small themselves."""

MIN_LR_FRACTION = 0.15
"""Fraction of the learning rate that remains after many steps, so that the image converges."""

SLOW_LR_DECAY = 1 - MIN_LR_FRACTION
"""Decay of the learning rate over hundreds of steps, for a first frame."""

FAST_LR_DECAY = 2.0
"""Decay of the learning rate within twenty steps, for warm-started frames: an image that keeps
changing flickers. A still faster decay flickers less, but leaves disoccluded regions without
strokes."""

ObjectiveFunction = Callable[[Tensor], Mapping[str, Tensor]]
"""An image -> losses by name; ``total`` is minimised."""

Losses = dict[str, Tensor]
"""Scalars by name, without gradients: ``total``, the weighted sum, and each loss without its
weight."""


def do_nothing() -> None:
    """The default of callbacks."""


@register_dataclass
@dataclass(frozen=True, eq=False)
class AdamState:
    """The state of Adam: a value per pixel and opponent colour, so that it can be warped.

    Args:
        exp_avg: (1, 3, H, W), exponential average of the gradient.
        exp_avg_sq: per scale (1, 3, h, w), exponential average of the squared gradient of that
            scale.
        bias_correction: per scale (1, 1, h, w) in [0, 1], the divisor of ``exp_avg_sq`` in Adam's
            bias correction: ``1 - BETA2 ** step``. It replaces the step count, because the optical
            flow warps it like ``exp_avg_sq``, and the quotient of the two stays exact.
    """

    exp_avg: Tensor
    exp_avg_sq: tuple[Tensor, ...]
    bias_correction: tuple[Tensor, ...]

    def with_decayed_weight(self, fraction: float) -> "AdamState":
        """Keep a fraction of the past steps' weight, and no momentum: the learning rate rises."""
        return AdamState(
            torch.zeros_like(self.exp_avg),
            tuple(square * fraction for square in self.exp_avg_sq),
            tuple(correction * fraction for correction in self.bias_correction),
        )

    @classmethod
    def zero(cls, image: Tensor) -> "AdamState":
        """The state before the first step on an image, (1, 3, H, W)."""
        scales = pyramid(torch.zeros_like(image))
        correction = tuple(scale.new_zeros(1, 1, *scale.shape[-2:]) for scale in scales)
        return cls(torch.zeros_like(image), tuple(scales), correction)


class StepSize(NamedTuple):
    """The length of steps. Numbers, or scalar tensors.

    Args:
        lr: learning rate, the length in RGB of a first step in grey at the finest scale, with
            pixels in [0, 1].
        decay: decay of the learning rate: the rate is ``lr * (1 - decay * bias_correction)``, and
            at least ``lr * MIN_LR_FRACTION``. The bias correction rises from 0 to 1 with the steps.
        nesterov: 1 for Nesterov momentum (NAdam: Dozat 2016), 0 for plain momentum. Warm-started
            frames converge closer and flicker less with it, first frames do not.
        coarse_gain: step of a scale relative to the next finer one. The steps of all scales add up
            at each pixel.
        chroma_gain: step of the chromatic channels relative to grey. They vary less in images, and
            flicker as much.
        mean_correction: share of Adam's bias correction of the first moment. With 0 the first steps
            of a pixel are small: a tenth, two tenths and so on.
    """

    lr: float | Tensor
    decay: float | Tensor = SLOW_LR_DECAY
    nesterov: float | Tensor = 0.0
    coarse_gain: float | Tensor = 0.6
    chroma_gain: float | Tensor = 0.4
    mean_correction: float | Tensor = 0.0


@dataclass(frozen=True, eq=False)
class OptimResult:
    """The result of a minimisation.

    Args:
        image: (1, 3, H, W).
        state: of the optimiser after the last step.
        losses: of each iteration, before its step.
    """

    image: Tensor
    state: AdamState
    losses: list[Losses]


def adam(
    image: Tensor,
    objective: ObjectiveFunction,
    steps: int,
    state: AdamState,
    step_size: StepSize,
    on_step: Callable[[], None] = do_nothing,
) -> OptimResult:
    """Minimise by Adam (Kingma & Ba 2015, algorithm 1) on an image pyramid, pixels in [0, 1].

    A step is the sum of Adam's steps at several scales, each with its own second moment. A change
    of a whole region then takes fewer steps than with a step for each pixel alone. Steps are taken
    in opponent colours: RGB channels change together, and steps in RGB would hardly change their
    differences. The second moment is corrected for bias, the first as far as ``step_size`` says.

    Args:
        image: (1, 3, H, W) to start from; not changed.
        objective: differentiable.
        steps: number of steps.
        state: of the previous frame, or ``AdamState.zero``.
        step_size: of each step.
        on_step: called before each step.
    """
    losses = []
    for _ in range(steps):
        on_step()
        image, state, current = adam_step(objective, image, state, step_size)
        losses.append(current)
    return OptimResult(image, state, losses)


def adam_step(
    objective: ObjectiveFunction, image: Tensor, state: AdamState, step_size: StepSize
) -> tuple[Tensor, AdamState, Losses]:
    """One step of ``adam``: image and state after it, and the losses before it."""
    with torch.enable_grad():
        image = image.detach().requires_grad_(True)
        losses = objective(image)
        # Gradients of a mean over pixels underflow in float16; those of the sum are of order 1.
        pixels = image.shape[-2] * image.shape[-1]
        (gradient,) = torch.autograd.grad(losses["total"] * pixels, image)
    with torch.no_grad():
        # If float16 overflows all the same, this step ignores the value: a NaN would stay in the
        # state.
        gradient = gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        basis = opponent_matrix(image.device)
        opponent = apply_color_matrix(basis / pixels, gradient)
        state, direction = _update(state, opponent, step_size)
        image = (image - apply_color_matrix(basis.T * step_size.lr, direction)).clamp_(0, 1)
    return image, state, {name: loss.detach() for name, loss in losses.items()}


def _update(state: AdamState, gradient: Tensor, step_size: StepSize) -> tuple[AdamState, Tensor]:
    """State after one more gradient, and the step per learning rate; in opponent colours."""
    squares = torch._foreach_pow(pyramid(gradient), 2)
    torch._foreach_lerp_(squares, state.exp_avg_sq, BETA2)
    correction = torch._foreach_mul(state.bias_correction, BETA2)
    torch._foreach_add_(correction, 1 - BETA2)
    mean = torch.lerp(gradient, state.exp_avg, BETA1)
    left_out = (1 - correction[0]).clamp_min_(0).pow_(MEAN_EXPONENT)  # BETA1 ** step
    corrected = mean / (1 - left_out * step_size.mean_correction)
    lookahead = torch.lerp(corrected, gradient, step_size.nesterov * (1 - BETA1))
    rate = torch._foreach_mul(correction, -step_size.decay)
    torch._foreach_add_(rate, 1)
    torch._foreach_clamp_min_(rate, MIN_LR_FRACTION)
    roots = torch._foreach_div(squares, correction)
    torch._foreach_sqrt_(roots)
    torch._foreach_add_(roots, EPSILON)
    steps = torch._foreach_mul(pyramid(lookahead), rate)
    torch._foreach_div_(steps, roots)
    direction = steps[-1]
    for step in steps[-2::-1]:
        coarser = upsample2(direction, *step.shape[-2:]).mul_(step_size.coarse_gain)
        direction = step.add_(coarser)
    direction[:, 1:] *= step_size.chroma_gain
    return AdamState(mean, tuple(squares), tuple(correction)), direction


def pyramid(image: Tensor) -> list[Tensor]:
    """(1, C, H, W) at ``PYRAMID_SCALES`` scales, fewer for a small image."""
    scales = [image]
    while len(scales) < PYRAMID_SCALES and min(scales[-1].shape[-2:]) > 1:
        finest = scales[-1]
        odd = [0, finest.shape[-1] % 2, 0, finest.shape[-2] % 2]
        scales.append(avg_pool2(F.pad(finest, odd, mode="replicate") if any(odd) else finest))
    return scales
