"""Objects that a ``with`` block closes."""

from typing import Self


class Closing:
    """Base of context managers that are closed at the end of the block, whatever ends it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release all resources."""
        raise NotImplementedError
