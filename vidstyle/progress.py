"""Progress on stderr: live bars on a terminal, plain lines every few seconds elsewhere."""

import time
from contextlib import suppress
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
        within: the display of longer work that this is one step of; it moves along, and both are shown.
    """

    def __init__(
        self,
        unit: str,
        total: int | None,
        quiet: bool = False,
        within: "ProgressDisplay | None" = None,
    ) -> None:
        self._unit, self._total, self._quiet, self._within = unit, total, quiet, within
        self._console: Console = within._console if within else Console(stderr=True)
        self._shown = time.monotonic()
        self._began: tuple[float, float] | None = (
            None  # when, and at which step: the first often takes longest and is left out
        )
        self._done = 0.0
        self._bar: Progress | None = within._bar if within else None
        if within is None and self._console.is_terminal and not quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
            )
            timing = (
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, *timing, console=self._console, transient=True)
        if self._bar:
            self._task = self._bar.add_task(unit, total=total, count=self._count(), note="")

    def __enter__(self) -> "ProgressDisplay":
        if self._bar and not self._within:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar and self._within:
            self._bar.remove_task(self._task)
        elif self._bar:
            self._bar.stop()

    def show(self, done: float, note: str = "") -> None:
        """``done`` units are finished; ``note`` says how it goes."""
        begun, self._done = int(self._done), done
        now = time.monotonic()
        if self._began is None and done:
            self._began = now, done
        if self._within and self._total:
            self._within.advance(done / self._total)
        if self._bar:
            self._bar.update(self._task, completed=done, count=self._count(), note=note)
        elif not self._quiet and (
            now - self._shown >= LINE_EVERY_SECONDS or (done == self._total != begun)
        ):
            self._shown = now
            line = f"{self._within.text() if self._within else ''}{self.text()}{note}"
            with suppress(
                OSError
            ):  # a full disk that takes no more of the log is no reason to stop the work
                self._console.print(line, highlight=False, soft_wrap=True)

    def advance(self, fraction: float) -> None:
        """This share of the step after those that are finished is done too."""
        self._done = int(self._done) + min(fraction, 0.999)
        if self._began is None:
            self._began = time.monotonic(), self._done
        if self._bar:
            self._bar.update(self._task, completed=self._done)

    def text(self) -> str:
        """How far the work is, in words: ``file 37/500  0.52/s  ETA 0:14:50  ``."""
        now = time.monotonic()
        began, already = self._began or (now, 0)
        rate = (self._done - already) / max(now - began, 1e-6)
        speed = f"  {rate:.2f}/s" if rate else ""
        left = (
            f"  ETA {_clock((self._total - self._done) / rate)}"
            if self._total and rate and self._done < self._total
            else ""
        )
        return f"{self._unit} {self._count()}{speed}{left}  "

    def _count(self) -> str:
        return f"{int(self._done)}/{self._total}" if self._total else f"{int(self._done)}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def duration_text(seconds: float) -> str:
    """Seconds in words short enough for a line: ``0:01:23``."""
    return _clock(round(seconds))
