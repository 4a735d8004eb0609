"""Functions that a compiler takes as they are.

It would compute all that goes into a pixel anew for each place where that is of use, and has its own ideas about how channels
lie in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

Taken = ParamSpec("Taken")
Made = TypeVar("Made")

_traces: list[None] = []


@contextmanager
def tracing() -> Iterator[None]:
    """While a program is traced for a compiler, in this thread or in autograd's."""
    _traces.append(None)
    try:
        yield
    finally:
        _traces.pop()


def custom_op(
    shaped: Any = None, changes: Sequence[str] = ()
) -> Callable[[Callable[Taken, Made]], Callable[Taken, Made]]:
    """Make a function a custom operator (``torch.library.custom_op``) while a program is traced.

    Elsewhere the plain function is called, since dispatching a custom operator takes time.

    Args:
        shaped: of the same arguments, an empty tensor like the one that is returned; None where nothing is.
        changes: the arguments that are changed in place.
    """

    def wrap(function: Callable[Taken, Made]) -> Callable[Taken, Made]:
        operation = torch.library.custom_op(
            f"vidstyle::{function.__name__.lstrip('_')}", function, mutates_args=changes
        )
        if shaped is not None:
            operation.register_fake(shaped)

        @wraps(function)
        def run(*args: Taken.args, **named: Taken.kwargs) -> Made:
            return operation(*args, **named) if _traces else function(*args, **named)

        return run

    return wrap
