"""Side effects of a case of ``benchmarks/fuzz.py``: files, connections, memory, output."""

import contextlib
import gc
import os
import sys
import tempfile
from pathlib import Path

MEMORY_MIB = 2048
"""Resident memory that a case may use."""

FORBIDDEN = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "pickle.find_class",
)
"""Prefixes of audit events (PEP 578) that a case may not cause outside of its output folder."""


class Watch:
    """Observes the side effects of a process by audit events and /proc."""

    def __init__(self):
        self._allowed, self._reached = None, []
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        for stream in (1, 2):  # libraries write to these directly
            os.dup2(self._output.fileno(), stream)
        sys.addaudithook(self._on_event)

    def _on_event(self, event, args):
        if self._allowed is None or not event.startswith(("open", *FORBIDDEN)):
            return
        writes = (
            event == "open"
            and isinstance(args[2], int)
            and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if event == "open" and (not writes or isinstance(args[0], int)):
            return
        if not (
            isinstance(args[0], (str, bytes))
            and os.path.realpath(os.fsdecode(args[0])).startswith(self._allowed)
        ):
            self._reached.append(f"{event} {args[0]!r}")

    @contextlib.contextmanager
    def on(self, folder):
        """Context manager: observe a case that runs in ``folder``."""
        self._output.seek(0)
        self._output.truncate()
        self._reached.clear()
        self._open_before, self._files_before = open_files(), contents(folder)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak of resident memory
        self._memory_before = memory_mib()
        self._allowed = os.path.realpath(folder / "out")
        try:
            yield
        finally:
            self._allowed = None

    def wrong(self, folder):
        """Forbidden side effects of the case, as text; empty if there are none."""
        gc.collect()  # frees files that a traceback references
        used = memory_mib() - self._memory_before
        self._output.seek(0)
        text = self._output.read().decode(errors="replace")
        found = {
            "causes": self._reached[:3],
            "leaves files open": open_files() > self._open_before,
            "writes outside of its output": contents(folder) != self._files_before,
            f"takes {used} MiB": used > MEMORY_MIB,
            f"prints {text[:200]!r}": "Traceback" in text or "Exception ignored" in text,
        }
        return ", ".join(
            f"{what} {why}" if why is not True else what for what, why in found.items() if why
        )


def open_files():
    """Number of open files of this process; 0 without /proc."""
    handles = Path("/proc/self/fd")
    return len(list(handles.iterdir())) if handles.exists() else 0


def memory_mib():
    """Peak resident memory of this process; 0 without /proc."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
    return 0


def contents(folder):
    """Files of a case's folder without those of its output folder: path -> (size, mtime)."""
    files = [*folder.iterdir(), *(folder / "in").iterdir()]
    return {
        file: (file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
        if file.is_file() or file.name not in ("in", "out")
    }
