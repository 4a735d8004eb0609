"""How a live session goes, and its first second: the camera is shown while the painter gets ready."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import TypeVar

from ..runtime.worker import LIVE_PATIENCE_SECONDS, Worker
from .camera import LiveSource
from .slate import Slates
from .window import Window

Prepared = TypeVar("Prepared")

FIRST_STEPS = 6
"""Of the first frame: the camera is to show at once, and the painting to form over it."""

MOST_STEPS = 100
"""That may be asked for per frame."""

ENDING_KEYS = ("q", "escape", "close")


class SessionClosed(Exception):  # noqa: N818 (no error: somebody is done)
    """Whoever watches has closed the window, pressed q, or seen enough."""


@dataclass(frozen=True)
class LiveOptions:
    """How a live session goes.

    Args:
        fps: frames per second to reach.
        fade_seconds: how long one style turns into the next.
        seconds: when to end; None: never.
        record: where to record from the start; None: where key r says.
        most_steps: how many steps a frame may get at most.
    """

    fps: float = 30.0
    fade_seconds: float = 1.0
    seconds: float | None = None
    record: Path | None = None
    most_steps: int = 8

    def __post_init__(self) -> None:
        for name in ("fps", "fade_seconds"):
            if not 0 <= getattr(self, name) <= 1000 or (name == "fps" and self.fps == 0):
                raise ValueError(
                    f"{name} is {getattr(self, name)}: it must be above 0, and 1000 at most"
                )
        if not 1 <= self.most_steps <= MOST_STEPS:
            raise ValueError(f"steps is {self.most_steps}: it must be 1 to {MOST_STEPS}")


def preview_while_loading(
    source: LiveSource, window: Window | None, prepare: Callable[[], Prepared]
) -> Prepared:
    """Show what the camera sees, unpainted, until ``prepare`` is through: PyTorch takes longer to load than a camera to open.

    Raises:
        Closed: whoever watches has already seen enough.
        The error of ``prepare``, or of the camera.
    """
    if window is None:
        return prepare()

    def read(stage: Worker) -> None:
        for frame in source:
            if not stage.put(frame):
                return

    found: list[Prepared] = []
    worker = Worker(lambda stage: found.append(prepare()), "preparing")
    reader = Worker(read, "reader", newest=True)
    slates = Slates(source)
    try:
        while worker.is_alive():
            with suppress(Empty):
                window.show(
                    reader.queue.get(timeout=LIVE_PATIENCE_SECONDS).image,
                    ["getting ready to paint"],
                )
            slate = slates.due()
            if slate is not None:
                window.show(slate, ["getting ready to paint"])
            if window.key() in ENDING_KEYS:
                raise SessionClosed
    finally:
        reader.stopped.set()
        worker.join()  # what it loads cannot be left half loaded
        reader.join()
    worker.raise_error()
    reader.raise_error()
    return found[0]
