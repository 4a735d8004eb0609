"""L-BFGS (Liu & Nocedal 1989), PyTorch's, for single images."""

from collections.abc import Callable

import torch
from torch import Tensor

from .adam import AdamState, Losses, ObjectiveFunction, OptimResult, do_nothing

HISTORY_SIZE = 20
"""Pairs of steps and gradients that approximate the Hessian."""


def lbfgs(
    image: Tensor,
    objective: ObjectiveFunction,
    steps: int,
    on_step: Callable[[], None] = do_nothing,
) -> OptimResult:
    """Minimise by L-BFGS, with ``steps`` evaluations. No state is kept from frame to frame.

    Without a line search a step can raise the loss, so the best image of all evaluations is
    returned.

    Args:
        image: (1, 3, H, W) to start from; not changed.
        objective: differentiable; called once more at the end.
        steps: maximum number of evaluations.
        on_step: called before each of them.
    """
    moving = image.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [moving],
        max_iter=steps,
        max_eval=steps,
        history_size=HISTORY_SIZE,
        tolerance_grad=0,
        tolerance_change=0,
    )
    losses: list[Losses] = []
    best, lowest = image, float("inf")

    def evaluate() -> Tensor:
        nonlocal best, lowest
        on_step()
        optimizer.zero_grad()
        current = objective(moving)
        total = current["total"].item()
        if total < lowest:
            best, lowest = moving.detach().clone(), total
        current["total"].backward()  # type: ignore[no-untyped-call]
        losses.append({name: loss.detach() for name, loss in current.items()})
        return current["total"]

    optimizer.step(evaluate)  # type: ignore[no-untyped-call]
    with torch.no_grad():  # the image after the last step has not been evaluated
        if objective(moving)["total"].item() < lowest:
            best = moving.detach()
    return OptimResult(best.clamp(0, 1), AdamState.zero(image), losses)
