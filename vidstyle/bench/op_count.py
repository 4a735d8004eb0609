"""FLOP counting: additions and multiplications of some code, and of its convolutions alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context manager that counts FLOPs by the formulas of ``torch.utils.flop_counter``.

    A multiplication and an addition are two FLOPs. Operations without a formula (elementwise
    operations, pooling) count as none.

    Attributes:
        flops: of all operations, forward and backward.
        conv_flops: of the convolutions alone.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.conv_flops = 0
        self._convolutions: list[Callable[[], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Execute an operation and count its FLOPs."""
        call = partial(func, *args, **(kwargs or {}))
        result = call()
        name = func._overloadpacket.__name__
        if name == "cudnn_convolution_relu":  # PyTorch has no formula for this operation
            count = conv_flop_count(args[0].shape, args[1].shape, result.shape)
        elif func._overloadpacket in flop_registry:
            count = flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=result)
        else:
            return result
        self.flops += count
        if "convolution" in name:
            self.conv_flops += count
            self._convolutions.append(call)
        return result

    def rerun_convolutions(self) -> None:
        """Execute the recorded convolutions again, forward and backward, and nothing else."""
        with torch.no_grad():
            for call in self._convolutions:
                call()
