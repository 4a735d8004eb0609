"""How the steps of the optimisation are executed: one by one as they are written, compiled, or as a recorded CUDA graph."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import DeviceError
from ..features.extractor import Features
from ..losses.objective import Losses, Objective
from .cuda_graph import (
    CudaGraph,
    GraphedFunction,
    Made,
    Program,
    ProgramCache,
    compiled,
    tensors_in,
    with_tensors,
)
from .optimizers import AdamState, OptimResult, StepSize, adam, adam_step


class StepRunner(Protocol):
    """``adam``, or the same executed otherwise."""

    def __call__(
        self,
        picture: Tensor,
        objective: Objective,
        steps: int,
        moments: AdamState,
        rate: StepSize,
        tick: Callable[[], None] = lambda: None,
    ) -> OptimResult:
        """As ``adam``, to within rounding."""


def make_step_runner(engine: str, device: torch.device) -> StepRunner:
    """How to take the steps at a painting's full size.

    Args:
        engine: ``eager``, ``compile`` (``torch.compile``: needs a C++ compiler, and takes a minute; on CUDA the result is
            recorded as a graph), ``graph`` (a CUDA graph: needs a CUDA device), or ``auto``: a graph on CUDA, eager
            elsewhere.
        device: where the painting is.

    Raises:
        DeviceError: a graph without a CUDA device.
    """
    if engine == "graph" and device.type != "cuda":
        raise DeviceError(
            f"a CUDA graph needs a CUDA device, and the painting is on {device}: use engine='auto'",
            "engine",
        )
    if engine == "compile":
        return PreparedRunner(_CompiledAndRecorded if device.type == "cuda" else _Compiled)
    if engine == "graph" or (engine == "auto" and device.type == "cuda"):
        return PreparedRunner(_Recorded, fall_back=engine == "auto")
    return adam


def graphed(
    function: Callable[..., Made], engine: str, device: torch.device
) -> Callable[..., Made]:
    """A function of nested tensors as it is or, where the engine records, ``GraphedFunction``."""
    return (
        GraphedFunction(function, device, fall_back=engine == "auto")
        if device.type == "cuda" and engine != "eager"
        else function
    )


class _Executable(Protocol):
    """A program ready to run, made from it and its first inputs."""

    def __call__(
        self,
        changing: Sequence[Tensor],
        fixed: Sequence[Tensor],
        ticks: Sequence[Callable[[], None]],
    ) -> list[Tensor]:
        """Take one step for each of ``ticks``; what changed at the end, then the losses of each step."""


class _Signature(NamedTuple):
    """What a program is prepared for. All else (targets, weights, picture, moments) goes into it as tensors."""

    features: Features
    layers: tuple[str, ...]
    shapes: tuple[tuple[torch.Size, torch.dtype], ...]


class PreparedRunner:
    """A ``StepRunner`` that is prepared at its first use, and used again for every frame, style and strength.

    Args:
        prepare: makes an executable of a program, a number of changing inputs, and all first inputs.
        fall_back: take plain steps where that fails, and say so once.
    """

    def __init__(
        self,
        prepare: Callable[[Program, int, Sequence[Tensor]], "_Executable"],
        fall_back: bool = False,
    ) -> None:
        self._prepare = prepare
        self._ready: ProgramCache[_Executable] = ProgramCache("steps", fall_back)

    @property
    def seconds(self) -> float:
        """Time spent on preparing so far."""
        return self._ready.seconds

    def __call__(
        self,
        picture: Tensor,
        objective: Objective,
        steps: int,
        moments: AdamState,
        rate: StepSize,
        tick: Callable[[], None] = lambda: None,
    ) -> OptimResult:
        """As ``adam``, to within rounding.

        Raises:
            DeviceError: this machine cannot prepare it.
        """
        objective = objective.with_fixed_matches(
            picture
        )  # all that steps need must be in its tensors
        changing = [picture, *tensors_in(moments)]
        fixed = [
            *(torch.full((), float(number), device=picture.device) for number in rate),
            *objective.tensors(),
        ]
        executable = self._executable(objective, moments, changing, fixed)
        if executable is None:
            return adam(picture, objective, steps, moments, rate, tick)
        results = executable(changing, fixed, [tick] * steps)
        painted, after, losses = results[0], results[1 : len(changing)], results[len(changing) :]
        return OptimResult(
            painted, with_tensors(moments, iter(after)), [Losses(*loss.unbind()) for loss in losses]
        )

    def _executable(
        self, objective: Objective, moments: AdamState, changing: list[Tensor], fixed: list[Tensor]
    ) -> _Executable | None:
        """The one for such inputs, prepared if need be; None where it cannot be."""
        inputs = [*changing, *fixed]
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        signature = _Signature(
            objective.features, (*objective.content, *objective.style_layers), shapes
        )
        return self._ready.get(
            signature, lambda: self._prepare(_program(objective, moments), len(changing), inputs)
        )


def _program(objective: Objective, moments: AdamState) -> Program:
    """``adam_step`` as a function of picture, moments, rate and the objective's tensors.

    What changes, then what stays -> what changed, then the losses in one tensor.
    """
    rated = 1 + len(list(tensors_in(moments)))
    aimed = rated + len(StepSize._fields)

    def program(inputs: Sequence[Tensor]) -> list[Tensor]:
        carried, rate = with_tensors(moments, iter(inputs[1:rated])), StepSize(*inputs[rated:aimed])
        picture, carried, losses = adam_step(
            objective.with_tensors(inputs[aimed:]), inputs[0], carried, rate
        )
        return [picture, *tensors_in(carried), torch.stack(list(losses))]

    return program


class _Compiled:
    """Compiled, one step after the other."""

    def __init__(self, program: Program, changing: int, inputs: Sequence[Tensor]) -> None:
        self._step = compiled(program, inputs)

    def __call__(
        self,
        changing: Sequence[Tensor],
        fixed: Sequence[Tensor],
        ticks: Sequence[Callable[[], None]],
    ) -> list[Tensor]:
        losses, changing = (
            [],
            [tensor.clone() for tensor in changing],
        )  # what came before may be the very same picture
        for tick in ticks:
            tick()
            *changing, loss = self._step([*changing, *fixed])
            losses.append(loss)
        return [*changing, *losses]


class _Recorded:
    """Recorded as a CUDA graph that changes its own inputs: nothing waits for Python between steps."""

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
        ticks: Sequence[Callable[[], None]],
    ) -> list[Tensor]:
        self._graph.take([*changing, *fixed])
        losses = []
        for tick in ticks:
            tick()
            self._graph.replay()
            losses.append(self._graph.outputs[0].clone())
        return [*(tensor.clone() for tensor in self._changing), *losses]


class _CompiledAndRecorded(_Recorded):
    """Compiled, and then recorded: few kernels, and nothing to wait for between them."""

    def __init__(self, program: Program, changing: int, inputs: Sequence[Tensor]) -> None:
        super().__init__(compiled(program, inputs), changing, inputs)
