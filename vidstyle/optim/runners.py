"""Engines: the steps of the optimisation run eagerly, compiled, or as a recorded CUDA graph."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..errors import DeviceError
from ..losses.objective import Objective
from ..ops.pytree import (
    numbers_to_tensors,
    signature_of,
    tensors_in,
    with_tensors,
    without_data,
)
from .adam import AdamState, OptimResult, StepSize, adam, adam_step, do_nothing
from .cuda_graph import CudaGraph, GraphedFunction, Made, Program, ProgramCache, compiled


class StepRunner(Protocol):
    """``adam``, or an engine that gives the same result to within rounding."""

    def __call__(
        self,
        image: Tensor,
        objective: Objective,
        steps: int,
        state: AdamState,
        step_size: StepSize,
        on_step: Callable[[], None] = do_nothing,
    ) -> OptimResult:
        """As ``adam``."""


def make_step_runner(engine: str, device: torch.device) -> StepRunner:
    """The engine for steps at the working size.

    Args:
        engine: ``eager``, ``compile`` (``torch.compile``: needs a C++ compiler, and takes a minute;
            on CUDA the result is recorded as a graph), ``graph`` (a CUDA graph: needs a CUDA
            device), or ``auto``: a graph on CUDA, eager elsewhere.
        device: where the image is.

    Raises:
        DeviceError: a graph without a CUDA device.
    """
    if engine == "graph" and device.type != "cuda":
        raise DeviceError(
            f"a CUDA graph needs a CUDA device, and the image is on {device}: use engine='auto'",
            "engine",
        )
    if engine == "compile":
        return PreparedRunner(_CompiledGraphed if device.type == "cuda" else _Compiled)
    if engine == "graph" or (engine == "auto" and device.type == "cuda"):
        return PreparedRunner(_Graphed, fall_back=engine == "auto")
    return adam


def graphed(
    function: Callable[..., Made], engine: str, device: torch.device
) -> Callable[..., Made]:
    """A function of pytrees, as a ``GraphedFunction`` where the engine records CUDA graphs."""
    return (
        GraphedFunction(function, device, fall_back=engine == "auto")
        if device.type == "cuda" and engine != "eager"
        else function
    )


class _Executable(Protocol):
    """A program ready to run."""

    def __call__(
        self,
        changing: Sequence[Tensor],
        fixed: Sequence[Tensor],
        on_steps: Sequence[Callable[[], None]],
    ) -> list[Tensor]:
        """Take one step for each callback.

        Returns:
            ``changing`` after the last step, then the losses of each step.
        """


class PreparedRunner:
    """A ``StepRunner`` that prepares one program for every frame, style and weight.

    The program is a function of the tensors in the image, the Adam state, the step size and the
    objective. So it is prepared again only for other features, losses, shapes or dtypes.

    Args:
        prepare: makes an executable of a program, the number of its changing inputs, and all first
            inputs.
        fall_back: take eager steps where this machine cannot prepare a program, and warn once.
    """

    def __init__(
        self,
        prepare: Callable[[Program, int, Sequence[Tensor]], "_Executable"],
        fall_back: bool = False,
    ) -> None:
        self._prepare = prepare
        self._programs: ProgramCache[_Executable] = ProgramCache("steps", fall_back)

    @property
    def seconds(self) -> float:
        """Time spent on preparing so far."""
        return self._programs.seconds

    def __call__(
        self,
        image: Tensor,
        objective: Objective,
        steps: int,
        state: AdamState,
        step_size: StepSize,
        on_step: Callable[[], None] = do_nothing,
    ) -> OptimResult:
        """As ``adam``, to within rounding.

        Raises:
            DeviceError: this machine cannot prepare it.
        """
        objective = objective.with_fixed_targets(image)
        changing = image, state
        fixed = numbers_to_tensors((step_size, objective), image.device)
        first, rest = tensors_in(changing), tensors_in(fixed)
        executable = self._programs.get(
            signature_of((changing, fixed)),
            lambda: self._prepare(_program(changing, fixed), len(first), [*first, *rest]),
        )
        if executable is None:
            return adam(image, objective, steps, state, step_size, on_step)
        results = executable(first, rest, [on_step] * steps)
        image, state = with_tensors(changing, results[: len(first)])
        losses = [
            dict(zip(objective.names, values.unbind(), strict=True))
            for values in results[len(first) :]
        ]
        return OptimResult(image, state, losses)


def _program(changing: tuple[Tensor, AdamState], fixed: tuple[StepSize, Objective]) -> Program:
    """``adam_step`` of the tensors in both, into those of ``changing``, then the losses."""
    template = without_data((*changing, *fixed))

    def program(inputs: Sequence[Tensor]) -> list[Tensor]:
        image, state, step_size, objective = with_tensors(template, inputs)
        image, state, losses = adam_step(objective, image, state, step_size)
        return [*tensors_in((image, state)), torch.stack(list(losses.values()))]

    return program


class _Compiled:
    """Compiled, one step after the other."""

    def __init__(self, program: Program, changing: int, inputs: Sequence[Tensor]) -> None:
        self._step = compiled(program, inputs)

    def __call__(
        self,
        changing: Sequence[Tensor],
        fixed: Sequence[Tensor],
        on_steps: Sequence[Callable[[], None]],
    ) -> list[Tensor]:
        # The warped previous frame in ``fixed`` can be the very tensor that the steps start from.
        losses, changing = [], [tensor.clone() for tensor in changing]
        for on_step in on_steps:
            on_step()
            *changing, loss = self._step([*changing, *fixed])
            losses.append(loss)
        return [*changing, *losses]


class _Graphed:
    """Recorded as a CUDA graph that overwrites its own inputs: no step waits for Python."""

    def __init__(self, program: Program, changing: int, inputs: Sequence[Tensor]) -> None:
        def step(inputs: Sequence[Tensor]) -> list[Tensor]:
            *changed, losses = program(inputs)
            for kept, new in zip(inputs[:changing], changed, strict=True):
                kept.copy_(new)
            return [losses]

        self._graph = CudaGraph(step, inputs, inputs[0].device)
        self._changing = self._graph.inputs[:changing]

    def __call__(
        self,
        changing: Sequence[Tensor],
        fixed: Sequence[Tensor],
        on_steps: Sequence[Callable[[], None]],
    ) -> list[Tensor]:
        self._graph.take([*changing, *fixed])
        losses = []
        for on_step in on_steps:
            on_step()
            self._graph.replay()
            losses.append(self._graph.outputs[0].clone())
        return [*(tensor.clone() for tensor in self._changing), *losses]


class _CompiledGraphed(_Graphed):
    """Compiled, then recorded: few kernels, and no wait between them."""

    def __init__(self, program: Program, changing: int, inputs: Sequence[Tensor]) -> None:
        super().__init__(compiled(program, inputs), changing, inputs)
