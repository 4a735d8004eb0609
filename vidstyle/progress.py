"""Progress on stderr: a live bar on a terminal, a plain line every few seconds elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_SECONDS = 5.0


class ProgressDisplay:
    """Counts steps of any long work.

    Args:
        unit: what is counted, e.g. "frame".
        total: how many there will be; None where unknown.
        quiet: show nothing.
    """

    def __init__(self, unit: str, total: int | None, quiet: bool = False) -> None:
        self._unit, self._total, self._quiet = unit, total, quiet
        self._console = Console(stderr=True)
        self._shown = time.monotonic()
        self._first: tuple[float, int] | None = None  # the first unit often takes longest: the rate is that of the others
        self._bar: Progress | None = None
        if self._console.is_terminal and not quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
            timing = (TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(*columns, *timing, console=self._console, transient=True)
            self._task = self._bar.add_task(unit, total=total, note="")

    def __enter__(self) -> "ProgressDisplay":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int, note: str = "") -> None:
        """``done`` units are finished; ``note`` says how it goes."""
        if self._bar:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if self._first is None and done:
            self._first = now, done
        if self._quiet or (now - self._shown < LINE_EVERY_SECONDS and done != self._total):
            return
        self._shown = now
        of = f"/{self._total}" if self._total else ""
        began, already = self._first or (now, 0)
        rate = (done - already) / max(now - began, 1e-6)
        speed = f"  {rate:.2f}/s" if rate else ""
        left = f"  ETA {_clock((self._total - done) / rate)}" if self._total and rate and done < self._total else ""
        self._console.print(f"{self._unit} {done}{of}{speed}{left}  {note}", highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def duration_text(seconds: float) -> str:
    """Seconds in words short enough for a line: ``0:01:23``."""
    return _clock(round(seconds))
