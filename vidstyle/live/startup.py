"""Options and start of a live session: the camera is shown while PyTorch loads."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, TypeVar

from ..runtime.worker import LIVE_PATIENCE_SECONDS, Worker
from .camera import LiveSource
from .slate import SlateGenerator
from .window import Window

if TYPE_CHECKING:
    from .microphone import Microphone

Loaded = TypeVar("Loaded")

MAX_STEPS = 100
"""Largest number of steps per frame that can be requested."""

QUIT_KEYS = ("q", "escape", "close")

LOADING_MESSAGE = "loading"
"""Text over the camera's frames until the first stylised one."""


class SessionClosed(Exception):  # noqa: N818 (a normal end, not an error)
    """The user closed the window or pressed q, or the session's duration is over."""


@dataclass(frozen=True)
class LiveOptions:
    """Options of a live session.

    Args:
        fps: target frame rate.
        crossfade_seconds: duration of the crossfade between styles.
        seconds: duration of the session; None: unlimited.
        record: file to record to from the start; None: key r starts a recording.
        max_steps: largest number of steps per frame.
        presets: file of the presets; None: they are forgotten at the end.
        microphone: the sound of recordings; None: they have none.

    Raises:
        ValueError: a value out of range.
    """

    fps: float = 30.0
    crossfade_seconds: float = 1.0
    seconds: float | None = None
    record: Path | None = None
    max_steps: int = 8
    presets: Path | None = None
    microphone: "Microphone | None" = None

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise ValueError(f"fps is {self.fps}: it must be above 0, and 1000 at most")
        if not 0 <= self.crossfade_seconds <= 1000:
            message = f"the crossfade's duration is {self.crossfade_seconds} s"
            raise ValueError(f"{message}: it must be 0 to 1000 s")
        if not 1 <= self.max_steps <= MAX_STEPS:
            raise ValueError(f"steps is {self.max_steps}: it must be 1 to {MAX_STEPS}")


def preview_while_loading(
    source: LiveSource, window: Window | None, load: Callable[[], Loaded]
) -> Loaded:
    """Show the camera's frames in the window until ``load``, on a thread of its own, returns.

    Loading PyTorch takes longer than opening a camera. A camera that gives no frames is not waited
    for. Call this function on the main thread.

    Args:
        source: the camera.
        window: None: only ``load`` is called.
        load: takes no arguments.

    Returns:
        The result of ``load``.

    Raises:
        SessionClosed: the user closed the window.
        The error of ``load``, or of the camera.
    """
    if window is None:
        return load()

    def read(worker: Worker) -> None:
        for frame in source.with_pauses():
            if worker.stopped.is_set() or (frame is not None and not worker.put(frame)):
                return

    loaded: list[Loaded] = []
    loader = Worker(lambda worker: loaded.append(load()), "loader")
    reader = Worker(read, "reader", newest=True)
    slates = SlateGenerator(source)
    try:
        while loader.is_alive():
            with suppress(Empty):
                image = reader.queue.get(timeout=LIVE_PATIENCE_SECONDS).image
                window.show(image, [LOADING_MESSAGE])
            slate = slates.next_slate()
            if slate is not None:
                window.show(slate, [LOADING_MESSAGE])
            if window.key() in QUIT_KEYS:
                raise SessionClosed
    finally:
        reader.stopped.set()
        loader.join()  # an import cannot be interrupted
        reader.join()
    loader.raise_error()
    reader.raise_error()
    return loaded[0]
