"""Pytrees: nested tuples, named tuples, dicts and registered dataclasses as lists of tensors.

Compiled programs and CUDA graphs are functions of lists of tensors. These functions turn any nested
value into such a list and back, so that no program needs to know which tensors it is made of.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

T = TypeVar("T")
Registered = TypeVar("Registered", bound=type)


def register_dataclass(cls: Registered) -> Registered:
    """Make a dataclass a pytree, all of whose fields are children. A class decorator."""
    names = [field.name for field in fields(cls)]
    pytree.register_pytree_node(
        cls,
        lambda value: ([getattr(value, name) for name in names], None),
        lambda children, _: cls(*children),
    )
    return cls


class Signature(NamedTuple):
    """Structure of a nested value, and shape and dtype of its tensors. Compare it with ``==``.

    Args:
        structure: containers, and how they are nested.
        leaves: shape and dtype of each tensor; all that is no tensor as it is.
    """

    structure: pytree.TreeSpec
    leaves: tuple[Any, ...]


def signature_of(nested: Any) -> Signature:
    """The same for two values that differ in nothing but the numbers in their tensors."""
    leaves, structure = pytree.tree_flatten(nested)
    described = [(x.shape, x.dtype) if isinstance(x, Tensor) else x for x in leaves]
    return Signature(structure, tuple(described))


def tensors_in(nested: Any) -> list[Tensor]:
    """All tensors of a nested value, in a fixed order."""
    return [leaf for leaf in pytree.tree_leaves(nested) if isinstance(leaf, Tensor)]


def with_tensors(nested: T, tensors: Iterable[Tensor]) -> T:
    """The same nested value with other ``tensors_in`` it."""
    rest = iter(tensors)
    replaced: T = pytree.tree_map_only(Tensor, lambda _: next(rest), nested)
    return replaced


def without_data(nested: T) -> T:
    """The same value with empty tensors: a template for ``with_tensors`` without memory."""
    return with_tensors(nested, [tensor.new_empty(0) for tensor in tensors_in(nested)])


def numbers_to_tensors(nested: T, device: torch.device) -> T:
    """The same nested value with each number as a float32 scalar on the device."""
    made: T = pytree.tree_map_only(
        (int, float), lambda number: torch.full((), float(number), device=device), nested
    )
    return made
