"""What is prepared once and used for every frame: functions of tensors that are compiled, or recorded as CUDA graphs."""

import logging
import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ..errors import DeviceError
from ..ops.custom_ops import tracing

log = logging.getLogger(__name__)

Program = Callable[[Sequence[Tensor]], list[Tensor]]
"""A function of tensors alone."""

Made = TypeVar("Made")

MAX_CACHED_PROGRAMS = 2
"""Prepared programs kept at once: enough to go back and forth between two sizes."""


class ProgramCache(Generic[Made]):
    """What was made for inputs of some signature, and the time that took; None where it cannot be made.

    Args:
        what: is to be done with it, in the plural.
        fall_back: go on without where it cannot be made, and say so once.
    """

    def __init__(self, what: str, fall_back: bool) -> None:
        self._what, self._fall_back, self._failed = what, fall_back, False
        self._made: dict[Hashable, Made] = {}
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self._made)

    def __contains__(self, signature: Hashable) -> bool:
        return signature in self._made

    def get(self, signature: Hashable, make: Callable[[], Made]) -> Made | None:
        """What is ready, or made now."""
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
                    raise DeviceError(
                        f"{self._what} cannot be prepared here ({reason}): use engine='eager'",
                        "engine",
                    ) from error
                log.warning("%s take longer: they cannot be prepared here (%s)", self._what, reason)
                self._failed = True
                return None
            self.seconds += time.perf_counter() - began
            while len(self._made) >= MAX_CACHED_PROGRAMS:  # each holds memory of its own
                del self._made[next(iter(self._made))]
            self._made[signature] = made
        return self._made[signature]


def compiled(program: Program, inputs: Sequence[Tensor]) -> Program:
    """A program traced together with its gradients, and compiled, for inputs of such shapes."""
    from torch.fx.experimental.proxy_tensor import make_fx

    log.info("compiling, which takes a minute or two")
    firsts = [
        tensor.clone() for tensor in inputs
    ]  # tracing tells tensors by what they are: two names for one are one to it
    with torch.no_grad(), tracing():
        trace = make_fx(program)(firsts)
    trace.graph.eliminate_dead_code()
    trace.recompile()
    # On a CPU operations are short, and Python would take its time between them.
    quick: Program = torch.compile(
        trace, dynamic=False, options={"cpp_wrapper": firsts[0].device.type == "cpu"}
    )

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return quick([_strided_like(*pair) for pair in zip(inputs, firsts, strict=True)])

    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "TensorFloat32"
        )  # products are exact where they are in float32
        run(firsts)  # it is compiled at its first use: errors are to come now
    return run


def _strided_like(tensor: Tensor, first: Tensor) -> Tensor:
    """The same numbers with the first one's strides. A side of one pixel may have any, and other ones would compile anew."""
    if tensor.stride() == first.stride():
        return tensor
    return torch.empty_strided(
        first.shape, first.stride(), dtype=first.dtype, device=first.device
    ).copy_(tensor)


class CudaGraph:
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
            with torch.cuda.stream(
                stream
            ):  # libraries choose their algorithms now, not while recording
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


class GraphedFunction(Generic[Made]):
    """A function of nested tensors, recorded at its second call running with such shapes: nothing waits for Python in between.

    What it returns is written over by its next call. What comes once, such as a change of size, is not worth recording.

    Args:
        function: of dataclasses, tuples and mappings of tensors and of what does not change, into the same.
        device: where the tensors are to be.
        fall_back: as in ``PreparedRunner``.
    """

    def __init__(
        self, function: Callable[..., Made], device: torch.device, fall_back: bool
    ) -> None:
        self._function, self._device = function, device
        self._ready: ProgramCache[tuple[CudaGraph, Made]] = ProgramCache(
            "beginnings of frames", fall_back
        )
        self._last: Hashable = None

    @property
    def seconds(self) -> float:
        """Time spent on recording so far."""
        return self._ready.seconds

    def __call__(self, *nested: Any) -> Made:
        """As the function itself."""
        signature = signature_of(nested)
        again, self._last = signature == self._last, signature
        if not again and signature not in self._ready:
            return self._function(*nested)
        tensors = list(tensors_in(nested))
        ready = self._ready.get(signature, lambda: self._recorded(nested, tensors))
        if ready is None:
            return self._function(*nested)
        graph, result = ready
        graph.take(tensors)
        graph.replay()
        return result

    def _recorded(
        self, nested: tuple[Any, ...], tensors: Sequence[Tensor]
    ) -> tuple[CudaGraph, Made]:
        def program(inputs: Sequence[Tensor]) -> list[Tensor]:
            return list(tensors_in(self._function(*with_tensors(nested, iter(inputs)))))

        inputs = [tensor.to(self._device) for tensor in tensors]
        result = self._function(*with_tensors(nested, iter(inputs)))
        graph = CudaGraph(program, inputs, self._device)
        return graph, with_tensors(result, iter(graph.outputs))


def tensors_in(nested: Any) -> Iterator[Tensor]:
    """All tensors of dataclasses, tuples and mappings within each other, in a fixed order."""
    if isinstance(nested, Tensor):
        yield nested
    for part in _parts(nested):
        yield from tensors_in(part)


def with_tensors(nested: Any, tensors: Iterator[Tensor]) -> Any:
    """The same with other ``tensors_in`` it."""
    if isinstance(nested, Tensor):
        return next(tensors)
    parts = [with_tensors(part, tensors) for part in _parts(nested)]
    if isinstance(nested, Mapping):
        return dict(zip(nested, parts, strict=True))
    if isinstance(nested, tuple):
        return type(nested)(*parts) if hasattr(nested, "_fields") else tuple(parts)
    return type(nested)(*parts) if parts else nested


def signature_of(nested: Any) -> Hashable:
    """The same for two of them that differ in nothing but the numbers in their tensors."""
    if isinstance(nested, Tensor):
        return nested.shape, nested.dtype
    names = tuple(nested) if isinstance(nested, Mapping) else ()
    parts = tuple(signature_of(part) for part in _parts(nested))
    return (type(nested), names, parts) if parts or isinstance(nested, (Mapping, tuple)) else nested


def _parts(nested: Any) -> Iterable[Any]:
    if isinstance(nested, Mapping):
        return nested.values()
    if isinstance(nested, tuple):
        return nested
    if is_dataclass(nested) and not isinstance(nested, type):
        return [getattr(nested, field.name) for field in fields(nested)]
    return ()
