"""Tensors that are kept for later use, within one limit of memory."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor

Value = TypeVar("Value")

PROTECTED_LOOKUPS = 16
"""The values of so many latest lookups are kept whatever they take: those of about four frames, in all styles of a blend."""


@dataclass
class _Entry:
    value: Any
    size_bytes: int
    used: int


class TensorCache:
    """Keeps values made of tensors, and drops the least recently used ones when they take more than a number of bytes.

    Values belong to owners, and are dropped when their owner is. The values of the latest lookups are never dropped, so
    that what every frame needs is not made anew for each, even where it alone takes more than the budget. May be used by
    several threads at once.

    Args:
        budget_bytes: how much all values may take together.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._entries: WeakKeyDictionary[object, dict[Hashable, _Entry]] = WeakKeyDictionary()
        self._uses = count()
        self._grown = False
        self._starts: deque[int] = deque([0], maxlen=PROTECTED_LOOKUPS)
        self._lock = Lock()

    @property
    def size_bytes(self) -> int:
        """How much all values take now."""
        with self._lock:
            return sum(entry.size_bytes for entry, _, _ in self._all())

    @contextmanager
    def lookup(self) -> Iterator[None]:
        """What is found and kept within this context is needed together: none of it is dropped for the rest."""
        with self._lock:
            self._starts.append(next(self._uses))
        yield
        with self._lock:
            if self._grown:
                self._drop_least_recently_used()

    def find(self, owner: object, key: Hashable) -> Any:
        """The value that is kept for an owner under a key; None where there is none."""
        with self._lock:
            entry = self._entries.get(owner, {}).get(key)
            if entry is None:
                return None
            entry.used = next(self._uses)
            return entry.value

    def keep(self, owner: object, key: Hashable, value: Value) -> Value:
        """Keep a value for an owner under a key, and return it."""
        with self._lock:
            self._entries.setdefault(owner, {})[key] = _Entry(
                value, _size_bytes(value), next(self._uses)
            )
            self._grown = True
        return value

    def get(self, owner: object, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value that is kept for an owner under a key; it is made, and kept, where there is none."""
        found: Value | None = self.find(owner, key)
        return self.keep(owner, key, make()) if found is None else found

    def _all(self) -> Iterator[tuple[_Entry, dict[Hashable, _Entry], Hashable]]:
        return (
            (entry, kept, key)
            for kept in list(self._entries.values())
            for key, entry in kept.items()
        )

    def _drop_least_recently_used(self) -> None:
        self._grown = False
        excess = sum(entry.size_bytes for entry, _, _ in self._all()) - self.budget_bytes
        if excess <= 0:
            return
        for entry, kept, key in sorted(self._all(), key=lambda each: each[0].used):
            if excess <= 0 or entry.used >= self._starts[0]:
                return
            del kept[key]
            excess -= entry.size_bytes


def _size_bytes(value: Any) -> int:
    """Bytes of a tensor, or of all in a tuple or in the values of a dictionary."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(_size_bytes, value.values() if isinstance(value, dict) else value))
