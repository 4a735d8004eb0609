"""How the steps of the optimisation are executed: one by one as they are written, compiled, or as a recorded CUDA graph."""

import logging
import time
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import DeviceError
from .features import Features
from .losses import Losses, Objective
from .optimize import Minimum, Moments, adam, adam_step
from .tensors import signature_of, tensors_in, with_tensors

log = logging.getLogger(__name__)

KEPT = 2
"""Prepared programs kept at once: enough to go back and forth between two sizes."""

Program = Callable[[Sequence[Tensor]], list[Tensor]]
"""A step as a function of tensors alone: what changes, then what stays -> what changed, then the losses in one tensor."""


class Descent(Protocol):
    """``adam``, or the same executed otherwise."""

    def __call__(
        self,
        picture: Tensor,
        objective: Objective,
        steps: int,
        moments: Moments,
        learning_rate: float,
        tick: Callable[[], None] = lambda: None,
    ) -> Minimum:
        """As ``adam``, to within rounding."""


def choose_descent(engine: str, device: torch.device) -> Descent:
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
        raise DeviceError(f"a CUDA graph needs a CUDA device, and the painting is on {device}: use --engine auto")
    if engine == "compile":
        return Prepared(_CompiledAndRecorded if device.type == "cuda" else _Compiled)
    if engine == "graph" or (engine == "auto" and device.type == "cuda"):
        return Prepared(_Recorded, fall_back=engine == "auto")
    return adam


Made = TypeVar("Made")


def replayed(function: Callable[..., Made], engine: str, device: torch.device) -> Callable[..., Made]:
    """A function of nested tensors as it is or, where the engine records, ``Replayed``."""
    return Replayed(function, device, fall_back=engine == "auto") if device.type == "cuda" and engine != "eager" else function


class _Executable(Protocol):
    """A program ready to run, made from it and its first inputs."""

    def __call__(self, changing: Sequence[Tensor], fixed: Sequence[Tensor], ticks: Sequence[Callable[[], None]]) -> list[Tensor]:
        """Take one step for each of ``ticks``; what changed at the end, then the losses of each step."""


class _Signature(NamedTuple):
    """What a program is prepared for. All else (targets, weights, picture, moments) goes into it as tensors."""

    features: Features
    layers: tuple[str, ...]
    shapes: tuple[tuple[torch.Size, torch.dtype], ...]


class _Ready(Generic[Made]):
    """What was made for inputs of some signature, and the time that took; None where it cannot be made."""

    def __init__(self, fall_back: bool) -> None:
        self._fall_back, self._failed = fall_back, False
        self._made: dict[Hashable, Made] = {}
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self._made)

    def get(self, signature: Hashable, make: Callable[[], Made]) -> Made | None:
        if self._failed:
            return None
        if signature not in self._made:
            began = time.perf_counter()
            try:
                made = make()
            except torch.OutOfMemoryError:  # not a matter of how steps are taken
                raise
            except Exception as error:  # compilers and drivers fail in many ways
                reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
                if not self._fall_back:
                    raise DeviceError(f"steps cannot be prepared on this machine ({reason}): use --engine eager") from error
                log.warning("steps are taken one by one, which is slower: they cannot be prepared here (%s)", reason)
                self._failed = True
                return None
            self.seconds += time.perf_counter() - began
            while len(self._made) >= KEPT:  # each holds memory of its own
                del self._made[next(iter(self._made))]
            self._made[signature] = made
        return self._made[signature]


class Prepared:
    """A ``Descent`` that is prepared at its first use, and used again for every frame, style and strength.

    Args:
        prepare: makes an executable of a program, a number of changing inputs, and all first inputs.
        fall_back: take plain steps where that fails, and say so once.

    """

    def __init__(self, prepare: Callable[[Program, int, Sequence[Tensor]], "_Executable"], fall_back: bool = False) -> None:
        self._prepare = prepare
        self._ready: _Ready[_Executable] = _Ready(fall_back)

    @property
    def seconds(self) -> float:
        """Time spent on preparing so far."""
        return self._ready.seconds

    def __call__(
        self,
        picture: Tensor,
        objective: Objective,
        steps: int,
        moments: Moments,
        learning_rate: float,
        tick: Callable[[], None] = lambda: None,
    ) -> Minimum:
        """As ``adam``, to within rounding.

        Raises:
            DeviceError: this machine cannot prepare it.
        """
        objective = objective.settled(picture)  # all that steps need must be in its tensors
        changing = [picture, *moments.tensors()]
        fixed = [torch.full((), float(learning_rate), device=picture.device), *objective.tensors()]
        executable = self._executable(objective, moments, changing, fixed)
        if executable is None:
            return adam(picture, objective, steps, moments, learning_rate, tick)
        results = executable(changing, fixed, [tick] * steps)
        painted, after, losses = results[0], results[1 : len(changing)], results[len(changing) :]
        return Minimum(painted, moments.with_tensors(after), [Losses(*loss.unbind()) for loss in losses])

    def _executable(
        self, objective: Objective, moments: Moments, changing: list[Tensor], fixed: list[Tensor]
    ) -> _Executable | None:
        """The one for such inputs, prepared if need be; None where it cannot be."""
        inputs = [*changing, *fixed]
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        signature = _Signature(objective.features, (*objective.content, *objective.style_layers), shapes)
        return self._ready.get(signature, lambda: self._prepare(_program(objective, moments), len(changing), inputs))


def _program(objective: Objective, moments: Moments) -> Program:
    """``adam_step`` as a function of picture, moments, learning rate and the objective's tensors."""
    count = 1 + len(moments.tensors())

    def program(inputs: Sequence[Tensor]) -> list[Tensor]:
        carried, asked = moments.with_tensors(inputs[1:count]), objective.with_tensors(inputs[count + 1 :])
        picture, carried, losses = adam_step(asked, inputs[0], carried, inputs[count])
        return [picture, *carried.tensors(), torch.stack(list(losses))]

    return program


def compiled(program: Program, inputs: Sequence[Tensor]) -> Program:
    """A program traced together with its gradients, and compiled, for inputs of such shapes."""
    from torch.fx.experimental.proxy_tensor import make_fx

    log.info("compiling, which takes a minute or two")
    firsts = [tensor.clone() for tensor in inputs]  # tracing tells tensors by what they are: two names for one are one to it
    with torch.no_grad():
        traced = make_fx(program)(firsts)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    quick: Program = torch.compile(traced)

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return quick([_strided_like(*pair) for pair in zip(inputs, firsts, strict=True)])

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TensorFloat32")  # products are exact where they are in float32
        run(firsts)  # it is compiled at its first use: errors are to come now
    return run


class _Compiled:
    """Compiled, one step after the other."""

    def __init__(self, program: Program, changing: int, inputs: Sequence[Tensor]) -> None:
        self._step = compiled(program, inputs)

    def __call__(self, changing: Sequence[Tensor], fixed: Sequence[Tensor], ticks: Sequence[Callable[[], None]]) -> list[Tensor]:
        losses, changing = [], [tensor.clone() for tensor in changing]  # what came before may be the very same picture
        for tick in ticks:
            tick()
            *changing, loss = self._step([*changing, *fixed])
            losses.append(loss)
        return [*changing, *losses]


def _strided_like(tensor: Tensor, first: Tensor) -> Tensor:
    """The same numbers with the first one's strides. A side of one pixel may have any, and other ones would compile anew."""
    if tensor.stride() == first.stride():
        return tensor
    return torch.empty_strided(first.shape, first.stride(), dtype=first.dtype, device=first.device).copy_(tensor)


class Graph:
    """A function of tensors recorded as a CUDA graph. Inputs are copied in; ``outputs`` are written over at each ``replay``.

    Args:
        function: may change its inputs.
        inputs: the first ones, copied, from wherever they are.
    """

    WARM_UPS = 3

    def __init__(self, function: Program, inputs: Sequence[Tensor], device: torch.device) -> None:
        self._device = device
        self.inputs = [torch.empty_like(tensor, device=device).copy_(tensor) for tensor in inputs]
        with torch.no_grad(), torch.cuda.device(device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):  # libraries choose their algorithms now, not while recording
                for _ in range(self.WARM_UPS):
                    function(self.inputs)
            torch.cuda.current_stream().wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            # What other threads do on the device in the meantime, such as looking for motion, is their own affair.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self.outputs = function(self.inputs)

    def take(self, inputs: Sequence[Tensor]) -> None:
        """Other inputs of the same shapes."""
        torch._foreach_copy_(self.inputs, list(inputs))

    def replay(self) -> None:
        """Do it all, and wait for nothing."""
        with torch.cuda.device(self._device):
            self._graph.replay()


class Replayed(Generic[Made]):
    """A function of nested tensors, recorded at its first call with such shapes: nothing waits for Python in between.

    What it returns is written over by its next call.

    Args:
        function: of dataclasses, tuples and mappings of tensors and of what does not change, into the same.
        device: where the tensors are to be.
        fall_back: as in ``Prepared``.
    """

    def __init__(self, function: Callable[..., Made], device: torch.device, fall_back: bool) -> None:
        self._function, self._device = function, device
        self._ready: _Ready[tuple[Graph, Made]] = _Ready(fall_back)

    @property
    def seconds(self) -> float:
        """Time spent on recording so far."""
        return self._ready.seconds

    def __call__(self, *nested: Any) -> Made:
        """As the function itself."""
        tensors = list(tensors_in(nested))
        ready = self._ready.get(signature_of(nested), lambda: self._recorded(nested, tensors))
        if ready is None:
            return self._function(*nested)
        graph, result = ready
        graph.take(tensors)
        graph.replay()
        return result

    def _recorded(self, nested: tuple[Any, ...], tensors: Sequence[Tensor]) -> tuple[Graph, Made]:
        def program(inputs: Sequence[Tensor]) -> list[Tensor]:
            return list(tensors_in(self._function(*with_tensors(nested, iter(inputs)))))

        inputs = [tensor.to(self._device) for tensor in tensors]
        result = self._function(*with_tensors(nested, iter(inputs)))
        graph = Graph(program, inputs, self._device)
        return graph, with_tensors(result, iter(graph.outputs))


class _Recorded:
    """Recorded as a CUDA graph that changes its own inputs: nothing waits for Python between steps."""

    def __init__(self, program: Program, changing: int, inputs: Sequence[Tensor]) -> None:
        def step(inputs: Sequence[Tensor]) -> list[Tensor]:
            *changed, losses = program(inputs)
            for kept, new in zip(inputs[:changing], changed, strict=True):
                kept.copy_(new)
            return [losses]

        self._graph = Graph(step, inputs, inputs[0].device)
        self._changing = self._graph.inputs[:changing]

    def __call__(self, changing: Sequence[Tensor], fixed: Sequence[Tensor], ticks: Sequence[Callable[[], None]]) -> list[Tensor]:
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
