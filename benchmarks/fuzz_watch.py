"""What a case of ``benchmarks/fuzz.py`` does to the world: files, connections, memory, what is printed."""

import contextlib
import gc
import os
import sys
import tempfile
from pathlib import Path

MEMORY_MIB = 2048
"""A case may truly use so much."""

REACHES = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "pickle.find_class",
)
"""Beginnings of the names of Python's audit events that no file may cause, outside of the output's folder."""


class Watch:
    """What a process does to the world while a case runs, as far as Python and the system tell."""

    def __init__(self):
        self._allowed, self._reached = None, []
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        for stream in (1, 2):  # libraries write to these without asking Python
            os.dup2(self._said.fileno(), stream)
        sys.addaudithook(self._hear)

    def _hear(self, event, given):
        if self._allowed is None or not event.startswith(("open", *REACHES)):
            return
        writes = (
            event == "open"
            and isinstance(given[2], int)
            and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if event == "open" and (not writes or isinstance(given[0], int)):
            return
        if not (
            isinstance(given[0], (str, bytes))
            and os.path.realpath(os.fsdecode(given[0])).startswith(self._allowed)
        ):
            self._reached.append(f"{event} {given[0]!r}")

    @contextlib.contextmanager
    def on(self, folder):
        """While a case runs in a folder."""
        self._said.seek(0)
        self._said.truncate()
        self._reached.clear()
        self._before, self._near = open_files(), contents(folder)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted anew
        self._begun = memory_mib()
        self._allowed = os.path.realpath(folder / "out")
        try:
            yield
        finally:
            self._allowed = None

    def wrong(self, folder):
        """What a case did that no file may cause; empty where nothing."""
        gc.collect()  # an exception may hold on to what it came through
        used = memory_mib() - self._begun
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        found = {
            "reaches": self._reached[:3],
            "leaves files open": open_files() > self._before,
            "writes beside its output": contents(folder) != self._near,
            f"takes {used} MiB": used > MEMORY_MIB,
            f"says {said[:200]!r}": "Traceback" in said or "Exception ignored" in said,
        }
        return ", ".join(
            f"{what} {why}" if why is not True else what for what, why in found.items() if why
        )


def open_files():
    """How many files this process has open, where the system tells."""
    handles = Path("/proc/self/fd")
    return len(list(handles.iterdir())) if handles.exists() else 0


def memory_mib():
    """The most memory that this process truly had, where the system tells."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
    return 0


def contents(folder):
    """What lies in a folder, but for the output's."""
    files = [*folder.iterdir(), *(folder / "in").iterdir()]
    return {
        file: (file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
        if file.is_file() or file.name not in ("in", "out")
    }
