"""What the driver needs of workers, and a worker in the driver's own process."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from .sources import check_source
from .tasks import Clip, Outcome, Recipe, Task, perform


class Finished(NamedTuple):
    """A task that has ended: its handle, and how."""

    handle: int
    outcome: Outcome


class Workers(Protocol):
    """Workers that do tasks."""

    slots: int
    """Number of tasks that are done at once."""

    go_on_after_interrupt: bool
    """Whether the running tasks are finished after an interrupt, instead of ending with it."""

    def submit(self, clip: Clip, task: Task, avoid: str = "") -> int:
        """Begin a task and return a handle.

        Args:
            clip: that the task belongs to.
            task: what to do.
            avoid: name of a node on which the task should not be done.
        """

    def wait(self, seconds: float) -> Sequence[Finished]:
        """Tasks that have ended; none when the time in seconds is over."""

    def send_source(self, clip: Clip, path: Path) -> None:
        """Send a source to the workers that do not see it; for tasks submitted from now on.

        Raises:
            InputError: it is not what it was when the render began.
        """

    def cancel(self) -> None:
        """Drop all tasks that are not finished."""


class LocalWorker:
    """Does one task after another in this process.

    Args:
        recipe: of the command.
    """

    slots = 1
    go_on_after_interrupt = False

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._tasks: list[tuple[int, Clip, Task]] = []
        self._next = 0

    def submit(self, clip: Clip, task: Task, avoid: str = "") -> int:
        """See ``Workers``; the task is done in ``wait``."""
        self._next += 1
        self._tasks.append((self._next, clip, task))
        return self._next

    def wait(self, seconds: float) -> Sequence[Finished]:
        """Do the first task."""
        handle, clip, task = self._tasks.pop(0)
        return [Finished(handle, perform(self._recipe, clip, task))]

    def send_source(self, clip: Clip, path: Path) -> None:
        """See ``Workers``; this process sees it, or it was changed."""
        check_source(path, clip.contents)

    def cancel(self) -> None:
        """See ``Workers``."""
        self._tasks.clear()
