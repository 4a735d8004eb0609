"""One step of the optimisation, beside the bare features and the textbook's: functions that take ``STEPS_PER_ROUND`` of them."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..optim.optimizers import AdamState, StepSize
from ..stylizer.stylizer import Stylizer
from . import textbook
from .fixtures import Fixture
from .op_count import Operations
from .results import Row
from .timing import medians

STEPS_PER_ROUND = 2


def steps_of(stylizer: Stylizer, content: Tensor) -> Callable[[], None]:
    """As a frame takes them."""
    objective = stylizer.objective(
        content, (content, torch.ones_like(content[:, :1]))
    ).with_fixed_matches(content)
    moments, rate = AdamState.zero(content), StepSize(stylizer.settings.learning_rate)

    def steps() -> None:
        stylizer.step_runner(content, objective, STEPS_PER_ROUND, moments, rate)

    return steps


def bare_features(stylizer: Stylizer, content: Tensor) -> Callable[[], None]:
    """As often forward and backward through the features alone, in the same precision, eagerly."""
    objective = stylizer.objective(content)
    layers = {*objective.content, *objective.style_layers}
    gradients = {
        name: torch.ones_like(maps) for name, maps in objective.features(content, layers).items()
    }

    def look() -> None:
        for _ in range(STEPS_PER_ROUND):
            picture = content.clone().requires_grad_(True)
            maps = objective.features(picture, layers)
            torch.autograd.grad(
                [maps[name] for name in gradients], picture, list(gradients.values())
            )

    return look


def textbook_steps(loss: textbook.TextbookLoss, content: Tensor) -> Callable[[], None]:
    """By PyTorch's Adam."""
    with_fixed_matches = loss.with_fixed_matches(content)

    def steps() -> None:
        textbook.adam(lambda _: with_fixed_matches, content, STEPS_PER_ROUND)

    return steps


def one_step(subject: Fixture, stylizer: Stylizer, content: Tensor) -> Iterator[Row]:
    """How long each takes, and how near ours comes to its own convolutions."""
    settings = stylizer.settings
    eager = steps_of(subject.stylizer(replace(settings, engine="eager")), content)
    with Operations() as work:
        eager()
    rounds = {
        "step": steps_of(stylizer, content),
        "bare": bare_features(stylizer, content),
        "plain": textbook_steps(subject.textbook_loss(settings, content), content),
        "convolutions": work.convolve,
    }
    times = medians(rounds, content.device)
    seconds = {name: time / STEPS_PER_ROUND for name, time in times.items()}
    speeds = [
        operations / times[name] / 1e9
        for operations, name in ((work.all, "step"), (work.convolved, "convolutions"))
    ]
    yield Row("step", 1000 * seconds["step"], "ms")
    yield Row("features forward and backward", 1000 * seconds["bare"], "ms")
    yield Row("step relative to that", seconds["step"] / seconds["bare"], "", "<= 1.3")
    yield Row(
        "step relative to the textbook's in float32",
        seconds["step"] / seconds["plain"],
        "",
        "<= 0.4",
    )
    yield Row("within a step", speeds[0], "GFLOP/s")
    yield Row("in its convolutions alone", speeds[1], "GFLOP/s")
    yield Row(
        "share of the convolutions' throughput", 100 * speeds[0] / speeds[1], "%", ">= 50 on a GPU"
    )
