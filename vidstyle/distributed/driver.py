"""The driver: hands tasks to workers, longest first, and tries again where a machine failed."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import VidstyleError
from ..progress import ProgressDisplay
from ..runtime.interrupts import check
from .outputs import Output
from .shot_list import ScanRange
from .tasks import Outcome, Task, Trouble
from .workers import Workers

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""Interval in seconds at which the driver looks for signals."""


@dataclass
class _Unit:
    """A task of an output.

    Args:
        output: that it belongs to.
        task: what to do.
        frames: how many it stylises; the longest is done first.
        tries: how many tries have failed.
        avoid: the node of the last of them.
        limit: how many tasks were done at once when it was begun.
        sent: whether the source was sent to the workers for it.
    """

    output: Output
    task: Task
    frames: int
    tries: int = 0
    avoid: str = ""
    limit: int = 0
    sent: bool = False


@dataclass
class Driver:
    """Renders outputs with workers.

    Args:
        workers: do the tasks.
        max_tries: how often a task is tried whose worker or machine fails.
        quiet: show no progress.

    ``failed`` maps each output that could not be rendered to its error.
    """

    workers: Workers
    max_tries: int = 3
    quiet: bool = False
    failed: dict[int, VidstyleError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._limit = self.workers.slots
        self._troubles = 0
        self._interrupted = False

    def render(self, outputs: Sequence[Output]) -> None:
        """Render all outputs. An error of one does not end the others.

        Raises:
            VidstyleError: of the workers: there is no sense in going on.
            KeyboardInterrupt: the running tasks were finished and their results kept.
        """
        try:
            self._find_shots(outputs)
            self._stylize([each for each in outputs if id(each) not in self.failed])
        except BaseException:
            self.workers.cancel()
            raise
        finally:
            for output in outputs:
                output.release()

    def _find_shots(self, outputs: Sequence[Output]) -> None:
        wanted = {id(output): list(output.scans(self.workers.slots)) for output in outputs}
        while any(wanted.values()):
            units = [_Unit(each, part, 0) for each in outputs for part in wanted[id(each)]]
            found = self._scan(units)
            if self._interrupted:
                raise KeyboardInterrupt
            again: dict[int, list[ScanRange]] = {id(output): [] for output in outputs}
            for output in outputs:
                parts = wanted[id(output)]
                if parts and id(output) not in self.failed:
                    with self._failure_of(output):
                        again[id(output)] = list(
                            output.scanned([found[id(output), part] for part in parts])
                        )
            wanted = again

    def _scan(self, units: Sequence[_Unit]) -> dict[tuple[int, Task], Any]:
        """(output, range) -> scan, of the tasks that did not fail."""
        found: dict[tuple[int, Task], Any] = {}

        def keep(unit: _Unit, result: Any) -> None:
            found[id(unit.output), unit.task] = result

        with ProgressDisplay("range", len(units), self.quiet) as display:
            self._do(units, keep, lambda: display.show(len(found), "finding cuts"))
        return found

    def _stylize(self, outputs: Sequence[Output]) -> None:
        units: list[_Unit] = []
        for output in outputs:
            with self._failure_of(output):
                output.begin()
                units += [_Unit(output, task, frames) for task, frames in output.tasks()]
        left = {id(each): sum(unit.output is each for unit in units) for each in outputs}
        total, done, shots = sum(unit.frames for unit in units), 0, 0
        began, complete = time.monotonic(), [each for each in outputs if not left[id(each)]]

        def accept(unit: _Unit, result: Any) -> None:
            nonlocal done, shots
            unit.output.accept(unit.task, result)
            done, shots = done + unit.frames, shots + 1
            left[id(unit.output)] -= 1
            if not left[id(unit.output)]:
                complete.append(unit.output)

        def finish() -> None:
            while complete:
                output = complete.pop(0)
                if id(output) not in self.failed:
                    with self._failure_of(output):
                        output.finish()

        def show() -> None:
            speed = done / max(time.monotonic() - began, 1e-6)
            failures = f", {self._troubles} failed" if self._troubles else ""
            display.show(done, f"{shots}/{len(units)} shots, {speed:.2f} frames/s{failures}")
            finish()  # after the progress that it ends

        finish()
        listener = outputs[0].job.listener if outputs else None
        with ProgressDisplay("frame", total, self.quiet, None, listener) as display:
            self._do(units, accept, show)
        for output in outputs:
            if (self._interrupted or id(output) in self.failed) and left[id(output)]:
                with self._failure_of(output):
                    output.keep()
        if self._interrupted:
            raise KeyboardInterrupt

    def _do(
        self,
        units: Sequence[_Unit],
        accept: Callable[[_Unit, Any], None],
        show: Callable[[], None],
    ) -> None:
        """Do all tasks, or, after an interrupt, those that are running."""
        waiting = sorted(units, key=lambda unit: unit.frames)
        running: dict[int, _Unit] = {}
        while waiting or running:
            try:
                if not self._interrupted:
                    check()
                while waiting and len(running) < self._limit:
                    unit = waiting.pop()
                    if id(unit.output) not in self.failed:
                        unit.limit = self._limit
                        handle = self.workers.submit(unit.output.clip, unit.task, unit.avoid)
                        running[handle] = unit
                finished = self.workers.wait(POLL_SECONDS) if running else []
            except KeyboardInterrupt:
                if self._interrupted:
                    raise
                self._interrupted = True
                waiting.clear()
                if not self.workers.go_on_after_interrupt:
                    running.clear()
                continue
            for handle, outcome in finished:
                unit = running.pop(handle)
                if outcome.trouble is None:
                    with self._failure_of(unit.output):
                        accept(unit, outcome.value)
                elif self._should_retry(unit, outcome) and not self._interrupted:
                    waiting.append(unit)
                    waiting.sort(key=lambda unit: unit.frames)
            if finished:
                show()

    def _should_retry(self, unit: _Unit, outcome: Outcome) -> bool:
        """Whether a task that failed is done again; if not, its output has failed.

        Raises:
            VidstyleError: the workers are of no use.
        """
        trouble, error = outcome.trouble, outcome.error or VidstyleError("a task failed")
        if trouble is Trouble.VERSIONS:
            raise error
        if trouble is Trouble.SOURCE and not unit.sent:  # a second time it does not help
            unit.sent = True
            with self._failure_of(unit.output):
                self.workers.send_source(unit.output.clip, Path(unit.output.clip.job.input))
            return id(unit.output) not in self.failed
        self._troubles += 1
        unit.tries, unit.avoid = unit.tries + 1, outcome.node
        if trouble is Trouble.MEMORY:
            unit.avoid = ""
            if unit.limit == self._limit > 1:
                self._limit //= 2
                log.warning("out of memory: %d tasks at once from now on", self._limit)
                return True
        if trouble is not Trouble.OWN and unit.tries < self.max_tries:
            log.warning("%s: %s; trying again", unit.output.job.label, error)
            return True
        if trouble is not Trouble.OWN:
            error = VidstyleError(
                f"{unit.output.job.label}: {unit.tries} tries failed, the last one of this: "
                f"{error}; resume=True resumes with the other shots kept",
                "resume",
            )
        self.failed.setdefault(id(unit.output), error)
        return False

    def _failure_of(self, output: Output) -> "_Failure":
        return _Failure(self.failed, output)


class _Failure:
    """A context that notes an error of an output."""

    def __init__(self, failed: dict[int, VidstyleError], output: Output) -> None:
        self._failed, self._output = failed, output

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, VidstyleError):
            self._failed.setdefault(id(self._output), error)
            return True
        return False
