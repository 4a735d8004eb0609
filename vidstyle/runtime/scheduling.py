"""Scheduling of threads by the operating system."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TASKS = Path("/proc/self/task")
"""Linux lists the threads of a program there."""


@contextmanager
def kept_scheduling() -> Iterator[None]:
    """Keep the scheduling of this thread, and give it to the threads that start within the block.

    SVT-AV1 gives itself, and the thread that opens it, the highest real-time priority where it may:
    as root, so in most containers. Nothing else runs then until these threads rest, and threads
    that start later inherit the priority. Without effect on other systems than Linux.
    """
    if sys.platform != "linux":
        yield
        return
    policy, priority, before = os.sched_getscheduler(0), os.sched_getparam(0), set(_threads())
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in {0, *_threads()} - before:  # 0 is this one
                with suppress(OSError):  # it has ended meanwhile
                    os.sched_setscheduler(thread, policy, priority)


def _threads() -> list[int]:
    try:
        return [int(path.name) for path in TASKS.iterdir()]
    except OSError:
        return []
