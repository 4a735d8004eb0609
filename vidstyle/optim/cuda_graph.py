"""Functions of tensors, compiled or recorded as CUDA graphs once, and called for every frame."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ..errors import DeviceError
from ..ops.custom_ops import tracing
from ..ops.pytree import Signature, signature_of, tensors_in, with_tensors, without_data

log = logging.getLogger(__name__)

Program = Callable[[Sequence[Tensor]], list[Tensor]]
"""A function of a list of tensors."""

Made = TypeVar("Made")

MAX_CACHED_PROGRAMS = 2
"""Prepared programs kept at once: enough to alternate between two sizes."""


class ProgramCache(Generic[Made]):
    """Prepared programs by the signature of their inputs, and the time their preparation took.

    Args:
        name: of these programs in messages, in the plural.
        fall_back: return None where a program cannot be prepared, and warn once.
    """

    def __init__(self, name: str, fall_back: bool) -> None:
        self._name, self._fall_back, self._failed = name, fall_back, False
        self._made: list[tuple[Signature, Made]] = []
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self._made)

    def find(self, signature: Signature) -> Made | None:
        """The program for these inputs; None where there is none yet."""
        return next((made for known, made in self._made if known == signature), None)

    def get(self, signature: Signature, make: Callable[[], Made]) -> Made | None:
        """The program for these inputs, prepared now if need be.

        Raises:
            DeviceError: this machine cannot prepare it, and ``fall_back`` is False.
        """
        found = self.find(signature)
        if found is not None or self._failed:
            return found
        began = time.perf_counter()
        try:
            made = make()
        except torch.OutOfMemoryError:  # another engine needs as much
            raise
        except Exception as error:  # compilers and drivers fail in many ways
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            if not self._fall_back:
                raise DeviceError(
                    f"{self._name} cannot be prepared here ({reason}): use engine='eager'",
                    "engine",
                ) from error
            log.warning("%s take longer: they cannot be prepared here (%s)", self._name, reason)
            self._failed = True
            return None
        self.seconds += time.perf_counter() - began
        # Each program holds memory of its own.
        self._made = [*self._made[len(self._made) + 1 - MAX_CACHED_PROGRAMS :], (signature, made)]
        return made


def compiled(program: Program, inputs: Sequence[Tensor]) -> Program:
    """Compile a program and its gradients for these shapes (``make_fx``, ``torch.compile``)."""
    from torch.fx.experimental.proxy_tensor import make_fx

    log.info("compiling, which takes a minute or two")
    # Tracing takes one tensor under two names for one input.
    firsts = [tensor.clone() for tensor in inputs]
    with torch.no_grad(), tracing():
        trace = make_fx(program)(firsts)
    trace.graph.eliminate_dead_code()
    trace.recompile()
    # On a CPU operations are short, and Python would spend a large share of the time between them.
    cpp_wrapper = firsts[0].device.type == "cpu"
    fast: Program = torch.compile(trace, dynamic=False, options={"cpp_wrapper": cpp_wrapper})

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return fast([_strided_like(*pair) for pair in zip(inputs, firsts, strict=True)])

    with warnings.catch_warnings():
        # Products of float32 are exact on purpose.
        warnings.filterwarnings("ignore", "TensorFloat32")
        run(firsts)  # the first call compiles: errors are raised now
    return run


def _strided_like(tensor: Tensor, first: Tensor) -> Tensor:
    """The same numbers with the first strides: sides of 1 px may have any, others recompile."""
    if tensor.stride() == first.stride():
        return tensor
    return torch.empty_strided(
        first.shape, first.stride(), dtype=first.dtype, device=first.device
    ).copy_(tensor)


class CudaGraph:
    """A function of tensors, recorded as a CUDA graph. ``replay`` overwrites ``outputs``.

    Args:
        function: may change its inputs.
        inputs: the first ones; they are copied to the device.
        device: a CUDA device.
    """

    WARM_UPS = 3

    def __init__(self, function: Program, inputs: Sequence[Tensor], device: torch.device) -> None:
        self._device = device
        self.inputs = [torch.empty_like(tensor, device=device).copy_(tensor) for tensor in inputs]
        with torch.no_grad(), torch.cuda.device(device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            # Libraries choose their algorithms before the recording.
            with torch.cuda.stream(stream):
                for _ in range(self.WARM_UPS):
                    function(self.inputs)
            torch.cuda.current_stream().wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile, for example for optical flow.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self.outputs = function(self.inputs)

    def take(self, inputs: Sequence[Tensor]) -> None:
        """Copy other inputs of the same shapes."""
        torch._foreach_copy_(self.inputs, list(inputs))

    def replay(self) -> None:
        """Run the graph without waiting for its end."""
        with torch.cuda.device(self._device):
            self._graph.replay()


class GraphedFunction(Generic[Made]):
    """A function of pytrees, recorded as a CUDA graph when a signature comes twice in a row.

    The next call overwrites what it returns. A signature that comes once, such as after a change of
    size, is not worth a recording.

    Args:
        function: of pytrees of tensors and constants, into a pytree.
        device: where the tensors are copied to.
        fall_back: see ``ProgramCache``.
    """

    def __init__(
        self, function: Callable[..., Made], device: torch.device, fall_back: bool
    ) -> None:
        self._function, self._device = function, device
        self._graphs: ProgramCache[tuple[CudaGraph, Made]] = ProgramCache("frame setups", fall_back)
        self._last: Signature | None = None

    @property
    def seconds(self) -> float:
        """Time spent on recording so far."""
        return self._graphs.seconds

    def __call__(self, *nested: Any) -> Made:
        """As the function itself."""
        signature = signature_of(nested)
        repeated, self._last = signature == self._last, signature
        if not repeated and self._graphs.find(signature) is None:
            return self._function(*nested)
        tensors = tensors_in(nested)
        found = self._graphs.get(signature, lambda: self._record(nested, tensors))
        if found is None:
            return self._function(*nested)
        graph, result = found
        graph.take(tensors)
        graph.replay()
        return result

    def _record(self, nested: tuple[Any, ...], tensors: Sequence[Tensor]) -> tuple[CudaGraph, Made]:
        template = without_data(nested)

        def program(inputs: Sequence[Tensor]) -> list[Tensor]:
            return tensors_in(self._function(*with_tensors(template, inputs)))

        inputs = [tensor.to(self._device) for tensor in tensors]
        result = self._function(*with_tensors(nested, inputs))
        graph = CudaGraph(program, inputs, self._device)
        return graph, with_tensors(result, graph.outputs)
