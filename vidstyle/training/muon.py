"""The optimiser Muon (Jordan et al. 2024) for the kernels of convolutions.

The momentum of each matrix is replaced by the nearest orthogonal matrix, so that all directions
are learnt at the same rate. After 90 seconds of feature distillation, 360 steps of Muon explained
31 % of the variance of ``relu2_1`` and 524 steps of AdamW 19 %.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, from Jordan et al.: they bring singular values near 1
fastest."""

NEWTON_SCHULZ_STEPS = 5
"""Iterations, as in Jordan et al."""

EPSILON = 1e-7
"""Floor of a divisor."""


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates. ``torch.optim.Muon`` takes matrices alone.

    Args:
        params: weights (O, I, kh, kw); each is used as a matrix (O, I kh kw).
        lr: learning rate: the root mean square of the update's singular values.
        momentum: Nesterov momentum.
    """

    def __init__(self, params: ParamsT, lr: float, momentum: float = 0.8) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all weights by their gradients. There is no closure."""
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                average = state["momentum"]
                average.lerp_(weight.grad, 1 - momentum)
                update = orthogonalised(weight.grad.lerp(average, momentum).flatten(1))
                rows, columns = update.shape
                scale = max(1.0, rows / columns) ** 0.5
                weight.add_(update.reshape(weight.shape), alpha=-lr * scale)


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of a (M, N) matrix and singular values of about 1."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + EPSILON)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    found: Tensor = x if wide is matrix else x.T
    return found


def kernels(module: nn.Module) -> list[nn.Parameter]:
    """The kernels of a module's convolutions that are larger than 1 x 1."""
    return [x for x in module.parameters() if x.dim() == 4 and x[0, 0].numel() > 1]
