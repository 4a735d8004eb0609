"""Time of one optimiser step, relative to its features, its convolutions and textbook code.

Each function of this module returns a function that takes ``STEPS_PER_ROUND`` steps.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..optim.adam import AdamState, StepSize
from ..stylizer.stylizer import Stylizer
from . import textbook
from .fixtures import Fixture
from .op_count import OperationCounter
from .results import Row
from .timing import median_seconds

STEPS_PER_ROUND = 2


def stylizer_steps(stylizer: Stylizer, content: Tensor) -> Callable[[], None]:
    """The stylizer's own steps, as a warm-started frame takes them."""
    everywhere = torch.ones_like(content[:, :1])
    objective = stylizer.objective(content, (content, everywhere)).with_fixed_targets(content)
    state, step_size = AdamState.zero(content), StepSize(stylizer.settings.learning_rate)

    def take_steps() -> None:
        stylizer.step_runner(content, objective, STEPS_PER_ROUND, state, step_size)

    return take_steps


def feature_steps(stylizer: Stylizer, content: Tensor) -> Callable[[], None]:
    """Forward and backward passes of the features alone: same precision, eager."""
    objective = stylizer.objective(content)
    read = [loss.layers for loss in objective.losses if loss.name in ("content", "style")]
    layers = {layer for group in read for layer in group}
    gradients = {
        name: torch.ones_like(maps) for name, maps in objective.features(content, layers).items()
    }

    def take_steps() -> None:
        for _ in range(STEPS_PER_ROUND):
            image = content.clone().requires_grad_(True)
            maps = objective.features(image, layers)
            outputs = [maps[name] for name in gradients]
            torch.autograd.grad(outputs, image, list(gradients.values()))

    return take_steps


def textbook_steps(loss: textbook.TextbookLoss, content: Tensor) -> Callable[[], None]:
    """Steps of ``torch.optim.Adam`` on the textbook objective."""
    fixed = loss.with_fixed_matches(content)

    def take_steps() -> None:
        textbook.adam(lambda _: fixed, content, STEPS_PER_ROUND)

    return take_steps


def step_rows(fixture: Fixture, stylizer: Stylizer, content: Tensor) -> Iterator[Row]:
    """Times of all of them, and the throughput of a step next to that of its convolutions."""
    settings = stylizer.settings
    eager = stylizer_steps(fixture.stylizer(replace(settings, engine="eager")), content)
    with OperationCounter() as counter:
        eager()
    functions = {
        "step": stylizer_steps(stylizer, content),
        "features": feature_steps(stylizer, content),
        "textbook": textbook_steps(fixture.textbook_loss(settings, content), content),
        "convolutions": counter.rerun_convolutions,
    }
    seconds = median_seconds(functions, content.device)
    step = seconds["step"]
    step_rate = counter.flops / step / 1e9
    conv_rate = counter.conv_flops / seconds["convolutions"] / 1e9
    yield Row("step", 1000 * step / STEPS_PER_ROUND, "ms")
    features_ms = 1000 * seconds["features"] / STEPS_PER_ROUND
    yield Row("features forward and backward", features_ms, "ms")
    yield Row("step relative to its features", step / seconds["features"], "", "<= 1.3")
    ratio = step / seconds["textbook"]
    yield Row("step relative to the textbook's in float32", ratio, "", "<= 0.4")
    yield Row("throughput of a step", step_rate, "GFLOP/s")
    yield Row("throughput of its convolutions alone", conv_rate, "GFLOP/s")
    percent = 100 * step_rate / conv_rate
    yield Row("share of the convolutions' throughput", percent, "%", ">= 50 on a GPU")
