"""A source whose frames are changed as they are read: they get masks, regions or other times."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from ..runtime.closing import Closing
from .frame import Frame
from .source import ImageSource, Source


@runtime_checkable
class Stoppable(Protocol):
    """Something that takes long for a frame, and can be ended from another thread."""

    def stop(self) -> None:
        """End it."""


class Closable(Protocol):
    """Something to be closed with the source."""

    def close(self) -> None:
        """Release all resources."""


def mapped(
    source: Source,
    change: Callable[[Frame], Frame],
    *resources: Closable,
    size: tuple[int, int] | None = None,
) -> Source:
    """A source whose frames are changed by a function. It is closed if an image cannot be changed.

    Args:
        source: of the frames; all else of the result is that of this source.
        change: is called once with each frame.
        resources: are closed with the source. Where one has ``memory_frames``, that number of
            skipped frames is changed too.
        size: (width, height) of the changed frames, if another.
    """
    info = source.format if size is None else replace(source.format, size=size)
    changed = _MappedSource(source, change, resources, info.size)
    if not isinstance(source, ImageSource):
        return changed
    try:
        (frame,) = changed
    finally:
        changed.close()
    still = ImageSource.of(frame)
    still.format = info
    return still


class _MappedSource(Closing):
    """See ``mapped``."""

    def __init__(
        self,
        source: Source,
        change: Callable[[Frame], Frame],
        resources: tuple[Closable, ...],
        size: tuple[int, int],
    ) -> None:
        self._source, self._change, self._resources = source, change, resources
        self._size, self._unseen = size, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @property
    def format(self) -> Any:
        """Properties of the frames."""
        return replace(self._source.format, size=self._size)

    def __iter__(self) -> Iterator[Frame]:
        unseen, self._unseen = self._unseen, 0
        for frame in self._source:
            changed = self._change(frame)
            if unseen:
                unseen -= 1
            else:
                yield changed

    def skip(self, count: int) -> None:
        """Skip frames, but for the last ones, which masks of later frames depend on."""
        memory = max((getattr(each, "memory_frames", 0) for each in self._resources), default=0)
        self._unseen = min(count, memory)
        self._source.skip(count - self._unseen)

    def stop(self) -> None:
        """End a blocked reader in another thread."""
        self._source.stop()
        for each in self._resources:
            if isinstance(each, Stoppable):
                each.stop()

    def close(self) -> None:
        """Close the clip and the resources."""
        for each in (self._source, *self._resources):
            each.close()
