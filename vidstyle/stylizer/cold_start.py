"""Cold start: a first frame is optimised coarse to fine, from its content or from noise."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..features.extractor import MIN_SIDE_PX
from ..io.frame import fit
from ..losses.objective import Objective
from ..ops.tensors import resize
from ..optim.adam import AdamState, Losses, OptimResult, StepSize
from ..settings import Settings
from .iterations import Size
from .sizes import content_scale

PYRAMID_RATIO = 0.6
"""Size of a pyramid level relative to the next finer one."""

MIN_LEVEL_STEPS = 20
"""Iterations of a pyramid level below which a cold start has fewer levels. The last level would end
far from convergence: strokes of the coarse levels, which have a low content weight, would cover
faces, and the first steps, which are long, would leave grain."""

REMATCH_STEPS = 10
"""Steps after which the targets that depend on the image, such as matches, are computed again."""


MatchColors = Callable[[Tensor], Tensor]
"""Gives a frame, (1, 3, H, W), colours nearer to the style's."""

MakeObjective = Callable[[Tensor, tuple[Tensor, Tensor]], Objective]
"""``Stylizer.objective``: of the content, and of the previous image with its mask."""

Minimize = Callable[[Tensor, AdamState, Objective, int, StepSize, bool], OptimResult]
"""Steps of the optimiser of the settings: by a prepared program if the last argument is True."""


def cold_start(
    content: Tensor,
    steps: int,
    settings: Settings,
    match_colors: MatchColors,
    make_objective: MakeObjective,
    minimize: Minimize,
) -> tuple[OptimResult, list[tuple[Size, Losses]]]:
    """Stylise a first frame, coarse to fine, from the content or from noise.

    Args:
        content: (1, 3, H, W) RGB in [0, 1].
        steps: on all pyramid levels together.
        settings: of the stylizer.
        match_colors: of the style.
        make_objective, minimize: of the stylizer.

    Returns:
        The result at the full size, and the losses of each iteration with its size.
    """
    sizes = pyramid_sizes(settings, (content.shape[-1], content.shape[-2]), steps)
    image = initial_image(settings, resize(content, sizes[0]), match_colors)
    step_size = StepSize(settings.learning_rate)
    losses: list[tuple[Size, Losses]] = []
    for number, size in enumerate(sizes):
        target, image = resize(content, size), resize(image, size)
        share = steps * (number + 1) // len(sizes) - steps * number // len(sizes)
        # A temporal term that is valid nowhere: all frames then share one compiled program.
        objective = make_objective(target, (image, torch.zeros_like(image[:, :1])))
        # Coarse strokes come first: the content has its full weight, which is that for the full
        # size, at the full size alone.
        weight = content_scale(sizes[-1]) / content_scale(size) * (number + 1) / len(sizes)
        objective = objective.reweighted(content=weight)
        # A program prepared for a coarse size would not be used again.
        prepared = size == sizes[-1]
        state = AdamState.zero(image)
        while share > 0:
            count = share if settings.optimizer == "lbfgs" else min(share, REMATCH_STEPS)
            fixed = objective.with_fixed_targets(image)
            result = minimize(image, state, fixed, count, step_size, prepared)
            image, state, share = result.image, result.state, share - count
            losses += [(size, loss) for loss in result.losses]
    return OptimResult(image, state, []), losses


def pyramid_sizes(settings: Settings, size: tuple[int, int], steps: int) -> list[tuple[int, int]]:
    """(width, height) of the pyramid levels, coarse to fine; the finest is ``size``.

    There are at most ``settings.pyramid_levels``, fewer for a small image or few steps.

    Args:
        settings: of the stylizer.
        size: (width, height) of the image in px.
        steps: on all levels together.
    """
    levels = [size]
    while len(levels) < min(settings.pyramid_levels, steps // MIN_LEVEL_STEPS):
        coarser = fit(size, round(max(levels[0]) * PYRAMID_RATIO))
        if min(coarser) < MIN_SIDE_PX:
            break
        levels.insert(0, coarser)
    return levels


def initial_image(settings: Settings, content: Tensor, match_colors: MatchColors) -> Tensor:
    """The image that the coarsest level starts from, of the shape of ``content``.

    Args:
        settings: ``init`` and ``seed``.
        content: (1, 3, H, W) RGB in [0, 1].
        match_colors: of the style.
    """
    if settings.init != "noise":
        return match_colors(content)
    # On the CPU: the same noise for every device.
    generator = torch.Generator().manual_seed(settings.seed)
    return torch.rand(content.shape, generator=generator).to(content.device)
