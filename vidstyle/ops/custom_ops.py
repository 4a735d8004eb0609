"""Custom operators (``torch.library.custom_op``) that ``torch.compile`` does not look into.

The compiler would fuse these functions into the operations after them, which computes each element
several times, and would choose another memory format for their results.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

Args = ParamSpec("Args")
Result = TypeVar("Result")

_traces: list[None] = []


@contextmanager
def tracing() -> Iterator[None]:
    """Mark that a program is traced for the compiler, in this thread or in autograd's threads."""
    _traces.append(None)
    try:
        yield
    finally:
        _traces.pop()


def custom_op(
    fake: Callable[..., torch.Tensor] | None = None, mutates_args: Sequence[str] = ()
) -> Callable[[Callable[Args, Result]], Callable[Args, Result]]:
    """Decorator that makes a function a custom operator while a program is traced.

    At all other times the plain function is called: the dispatch of a custom operator takes longer
    than some of these functions.

    Args:
        fake: a function with the same parameters that returns an empty tensor of the result's
            shape, dtype and memory format; None if nothing is returned.
        mutates_args: names of the parameters that are changed in place.
    """

    def decorate(function: Callable[Args, Result]) -> Callable[Args, Result]:
        operation = torch.library.custom_op(
            f"vidstyle::{function.__name__.lstrip('_')}", function, mutates_args=mutates_args
        )
        if fake is not None:
            operation.register_fake(fake)

        @wraps(function)
        def call(*args: Args.args, **kwargs: Args.kwargs) -> Result:
            return operation(*args, **kwargs) if _traces else function(*args, **kwargs)

        return call

    return decorate
