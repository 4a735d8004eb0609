"""What a piece of code computes: multiplications and additions, and its convolutions, to be done again by themselves."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts multiplications and additions by PyTorch's own formulas: ``all`` of them, and what was ``convolved``.

    ``convolve`` does the convolutions again, forth and back, and nothing else.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.all = self.convolved = 0
        self._convolutions: list[Callable[[], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Let an operation happen, and count it."""
        call = partial(func, *args, **(kwargs or {}))
        result = call()
        name = func._overloadpacket.__name__
        if name == "cudnn_convolution_relu":  # which PyTorch has no formula for
            count = conv_flop_count(args[0].shape, args[1].shape, result.shape)
        elif func._overloadpacket in flop_registry:
            count = flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=result)
        else:
            return result
        self.all += count
        if "convolution" in name:
            self.convolved += count
            self._convolutions.append(call)
        return result

    def convolve(self) -> None:
        """The same convolutions of the same maps."""
        with torch.no_grad():
            for call in self._convolutions:
                call()
