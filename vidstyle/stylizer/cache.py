"""A cache of tensors with a limit of memory: the least recently used values are dropped (LRU)."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from ..ops.pytree import tensors_in

Value = TypeVar("Value")

PROTECTED_LOOKUPS = 16
"""Number of latest lookups whose values are kept at any size: those of about four frames, in all
styles of a blend."""


@dataclass
class _Entry:
    value: Any
    size_bytes: int
    used: int


class TensorCache:
    """LRU cache of pytrees of tensors.

    Values belong to owners, and are dropped with them. The values of the latest lookups are never
    dropped: values that every frame needs are then not computed again for each, even if they alone
    exceed the budget. Several threads may use the cache at once.

    Args:
        budget_bytes: maximum size of all values together.
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
        """Size of all values now."""
        with self._lock:
            return sum(entry.size_bytes for entry, _, _ in self._all())

    @contextmanager
    def lookup(self) -> Iterator[None]:
        """A context whose values are needed together: none of them is dropped for another."""
        with self._lock:
            self._starts.append(next(self._uses))
        yield
        with self._lock:
            if self._grown:
                self._drop_least_recently_used()

    def find(self, owner: object, key: Hashable) -> Any:
        """The value of an owner and a key; None where there is none."""
        with self._lock:
            entry = self._entries.get(owner, {}).get(key)
            if entry is None:
                return None
            entry.used = next(self._uses)
            return entry.value

    def keep(self, owner: object, key: Hashable, value: Value) -> Value:
        """Add the value of an owner and a key, and return it."""
        with self._lock:
            self._entries.setdefault(owner, {})[key] = _Entry(
                value, _size_bytes(value), next(self._uses)
            )
            self._grown = True
        return value

    def get(self, owner: object, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of an owner and a key, made and added where there is none."""
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
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(value))
