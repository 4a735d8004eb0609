"""Limits of this process: CPU cores and memory, by its affinity and cgroups.

A container's limits are those of its control groups (cgroup v2: ``cpu.max``, ``memory.max``; v1:
``cpu.cfs_quota_us``, ``memory.limit_in_bytes``), which ``os.cpu_count`` and ``/proc/meminfo`` do
not know about.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import SettingValueError

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")

_threads: int | None = None


def set_threads(count: int) -> None:
    """Use at most ``count`` threads for computing, decoding and encoding each, whatever this
    process may use.

    Raises:
        ValueError: fewer than one.
    """
    global _threads  # noqa: PLW0603 (a setting of the whole process, like PyTorch's own)
    if count < 1:
        raise SettingValueError(f"threads is {count}: it must be 1 or more", "threads")
    _threads = count


@contextmanager
def thread_limit(count: int) -> Iterator[None]:
    """``set_threads`` within the context."""
    global _threads  # noqa: PLW0603
    before = _threads
    set_threads(count)
    try:
        yield
    finally:
        _threads = before


def threads() -> int:
    """Number of threads to use at once: the cores of this process, or the number of ``set_threads``
    if that is smaller."""
    return min(_threads or usable_cores(), usable_cores())


def usable_cores(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """CPU cores this process may keep busy: its affinity, and the whole cores of its cgroups'
    quota. At least 1."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quotas = [math.inf]
    for folder in _folders(cgroups, own, "cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota, period = (
                    (folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
                )
            if quota != "max" and float(quota) > 0:
                quotas.append(float(quota) / float(period))
    return max(1, int(min(allowed, *quotas)))


def free_cgroup_memory(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int | None:
    """Bytes that the tightest memory limit of this process's cgroups leaves free; None where there
    is no limit.

    The cache of files counts as free, since the kernel gives it up before it kills a process.
    """
    free: list[int] = []
    for folder in _folders(cgroups, own, "memory"):
        for limit_name, used_name, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(OSError, ValueError):  # "max" is no limit
                limit, used = (int((folder / name).read_text()) for name in (limit_name, used_name))
                lines = (folder / "memory.stat").read_text().splitlines()
                cached = next(
                    (int(line.split()[1]) for line in lines if line.startswith(f"{cache} ")), 0
                )
                if limit < 2**60:  # cgroup v1 writes a huge number for no limit
                    free.append(max(0, limit - used + cached))
    return min(free, default=None)


def _folders(cgroups: Path, own: Path, controller: str) -> Iterator[Path]:
    """This process's cgroups for a controller, from its own up to the root; a container often sees
    its own as the root."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            roots = [cgroups, cgroups / "unified"]
        elif controller in controllers.split(","):
            roots = [cgroups / controllers, cgroups / controller]
        else:
            continue
        relative = Path(path.lstrip("/"))
        for root in dict.fromkeys(roots):
            yield from (root / part for part in (relative, *relative.parents))
