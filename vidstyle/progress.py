"""Progress on standard error: bars on a terminal, a plain line every few seconds elsewhere."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import ClassVar, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_INTERVAL_SECONDS = 5.0
"""Interval of the plain lines."""


@dataclass(frozen=True)
class ProgressEvent:
    """The progress of some work.

    Args:
        unit: what is counted: ``frame``, ``iteration`` (of a single image), ``file`` or ``step``.
        done: how many are finished.
        total: how many there will be; None where unknown.
        elapsed_seconds: since the work began.
        remaining_seconds: an estimate; None where there is none yet.
        note: losses, or the iteration of the first frame; may be empty.
    """

    event: ClassVar[str] = "progress"
    unit: str
    done: int
    total: int | None
    elapsed_seconds: float
    remaining_seconds: float | None
    note: str


@dataclass(frozen=True)
class StartEvent:
    """A render begins.

    Args:
        input: its name.
        output: its name.
        frames: how many the clip has; None where unknown.
        source_size: (width, height) of the input in px.
        working_size: (width, height) in px at which frames are optimised.
        output_size: (width, height) of the output in px.
        device: where frames are optimised.
        memory_bytes: an estimate of the memory that is needed.
    """

    event: ClassVar[str] = "start"
    input: str
    output: str
    frames: int | None
    source_size: tuple[int, int]
    working_size: tuple[int, int]
    output_size: tuple[int, int]
    device: str
    memory_bytes: int


@dataclass(frozen=True)
class EndEvent:
    """A render is complete.

    Args:
        input: its name.
        output: its name.
        frames: how many were stylised.
        seconds: how long it took.
    """

    event: ClassVar[str] = "end"
    input: str
    output: str
    frames: int
    seconds: float


@dataclass(frozen=True)
class MaskEvent:
    """A clip of masks is complete.

    Args:
        output: its name.
        covers: time of the first frame whose mask is not empty, and end of the last, in seconds.
    """

    event: ClassVar[str] = "mask"
    output: str
    covers: tuple[float, float]


Event = ProgressEvent | StartEvent | EndEvent | MaskEvent
Listener = Callable[[Event], None]


class EventWriter:
    """A ``Listener`` that writes each event as one line of JSON: ``{"event": "progress", ...}``.

    Args:
        stream: is flushed after each line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write a line."""
        print(json.dumps({"event": event.event, **asdict(event)}), file=self._stream, flush=True)


class ProgressDisplay:
    """Counts the units of any long work. A context manager, which shows and removes the bar.

    Args:
        unit: what is counted, e.g. "frame".
        total: how many there will be; None where unknown.
        quiet: show nothing.
        parent: display of the work that this work is one unit of; both are shown. None: no such
            work.
        listener: is called with a ``ProgressEvent`` at every ``show``.
    """

    def __init__(
        self,
        unit: str,
        total: int | None,
        quiet: bool = False,
        parent: "ProgressDisplay | None" = None,
        listener: Listener | None = None,
    ) -> None:
        self._unit, self._total, self._quiet, self._parent = unit, total, quiet, parent
        self._listener = listener
        self._console: Console = parent._console if parent else Console(stderr=True)
        self._created = self._shown = time.monotonic()
        # Time and count after the first unit, which often takes longest: the rate leaves it out.
        self._rate_start: tuple[float, float] | None = None
        self._done = 0.0
        self._bar: Progress | None = parent._bar if parent else None
        if parent is None and self._console.is_terminal and not quiet:
            self._bar = _bar(self._console)
        if self._bar:
            self._task = self._bar.add_task(unit, total=total, count=self._count(), note="")

    def __enter__(self) -> "ProgressDisplay":
        if self._bar and not self._parent:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar and self._parent:
            self._bar.remove_task(self._task)
        elif self._bar:
            self._bar.stop()

    def show(self, done: float, note: str = "") -> None:
        """``done`` units are finished; ``note`` is shown after the count."""
        before, self._done = int(self._done), done
        now = time.monotonic()
        if self._rate_start is None and done:
            self._rate_start = now, done
        if self._parent and self._total:
            self._parent.advance(done / self._total)
        if self._listener:
            self._listener(self._event(now, note))
        if self._bar:
            self._bar.update(self._task, completed=done, count=self._count(), note=note)
        elif not self._quiet and (
            now - self._shown >= LINE_INTERVAL_SECONDS or (done == self._total != before)
        ):
            self._shown = now
            line = f"{self._parent.text() if self._parent else ''}{self.text()}{note}"
            with suppress(OSError):  # a full disk under a log file does not stop the work
                self._console.print(line, highlight=False, soft_wrap=True)

    def advance(self, fraction: float) -> None:
        """Count this fraction of the next unit as done too."""
        self._done = int(self._done) + min(fraction, 0.999)
        if self._rate_start is None:
            self._rate_start = time.monotonic(), self._done
        if self._bar:
            self._bar.update(self._task, completed=self._done)

    def text(self) -> str:
        """The progress as text: ``file 37/500  0.52/s  ETA 0:14:50  ``."""
        rate, remaining = self._rate_and_remaining(time.monotonic())
        speed = f"  {rate:.2f}/s" if rate else ""
        left = f"  ETA {_clock(remaining)}" if remaining else ""
        return f"{self._unit} {self._count()}{speed}{left}  "

    def _rate_and_remaining(self, now: float) -> tuple[float, float | None]:
        """Units per second, and the seconds that remain where they can be estimated."""
        start, already = self._rate_start or (now, 0)
        rate = (self._done - already) / max(now - start, 1e-6)
        if not (self._total and rate):
            return rate, None
        return rate, max(0.0, (self._total - self._done) / rate)

    def _event(self, now: float, note: str) -> ProgressEvent:
        remaining = self._rate_and_remaining(now)[1]
        elapsed = now - self._created
        return ProgressEvent(self._unit, int(self._done), self._total, elapsed, remaining, note)

    def _count(self) -> str:
        return f"{int(self._done)}/{self._total}" if self._total else f"{int(self._done)}"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def duration_text(seconds: float) -> str:
    """A duration in its two largest units: ``48 s``, ``3 min 20 s``, ``1 h 5 min``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
