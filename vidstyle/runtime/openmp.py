"""Waiting of OpenMP's idle threads: they spin on an idle machine, and sleep while other programs
need its cores.

PyTorch shares each operation among threads of GNU OpenMP (libgomp). A thread without work spins for
some milliseconds before it sleeps, since waking a thread takes longer than most operations do. On
an idle machine nothing is quicker; beside another program a spinning thread takes the core that the
thread it waits for needs, and a render takes ten times as long. libgomp hardly spins while it
manages more threads than there are CPUs (its manual, ``GOMP_SPINCOUNT``). So while other programs
are busy, a thread here keeps a team of idle OpenMP threads. As many threads as before compute, and
every bit of what they compute stays the same.

macOS, Windows and PyTorch with another OpenMP are left as they are.
"""

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from .worker import Worker

SAMPLE_SECONDS = 0.5
"""Interval in seconds at which the use of the CPU is read. The kernel counts in units of 10 ms."""

BUSY_CORES, IDLE_CORES = 0.3, 0.15
"""Other programs are busy from when they use this many cores, until they use fewer than that many.
"""

LINGER_SECONDS = 3.0
"""Time in seconds that the use of the CPU is read after the last frame: another may follow."""

CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Environment variables by which a user chooses how threads wait."""

CPU_TIMES = Path("/proc/stat")


class OtherPrograms:
    """Use of the CPUs of this process by other programs (Linux).

    Args:
        times: the kernel's table of CPU times, for tests.
    """

    def __init__(self, times: Path = CPU_TIMES) -> None:
        self._times = times
        self._cpus = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        self._before = self._read()

    def cores(self) -> float:
        """Cores that other programs used since the last call, on average."""
        before, self._before = self._before, self._read()
        seconds, busy, own = (now - then for now, then in zip(self._before, before, strict=True))
        return max(0.0, busy - own) / max(seconds, 1e-3)

    def _read(self) -> tuple[float, float, float]:
        """Seconds on the clock, of all programs on these CPUs, and of this process."""
        rows = (line.split() for line in self._times.read_text().splitlines())
        user_to_softirq = (
            row[1:4] + row[6:8] for row in rows if row and row[0] in self._cpus
        )  # without idle, iowait, steal
        ticks = sum(int(number) for row in user_to_softirq for number in row)
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


class SpinControl:
    """Lets OpenMP's idle threads sleep while other programs are busy. Within a ``with`` block, and
    shortly after.

    Several threads may be within at once.

    Args:
        openmp: libgomp.
        others: returns how many cores other programs use.
    """

    def __init__(self, openmp: Any, others: Callable[[], float]) -> None:
        self._openmp, self._others = openmp, others
        self._within, self._left = 0, 0.0
        self._lock = Lock()
        self._watcher: Worker | None = None
        self._team: Worker | None = None

    @property
    def sleeping(self) -> bool:
        """Whether idle threads sleep at once."""
        return self._team is not None

    def __enter__(self) -> None:
        """Watch the CPU from now on."""
        with self._lock:
            self._within += 1
            if self._watcher is None:
                self._watcher = Worker(self._watch, "cpu-watch")

    def __exit__(self, *_: object) -> None:
        """Watch it a little longer."""
        with self._lock:
            self._within -= 1
            self._left = time.monotonic()

    def _watch(self, stage: Worker) -> None:
        while True:
            time.sleep(SAMPLE_SECONDS)
            busy = self._others() > (IDLE_CORES if self.sleeping else BUSY_CORES)
            with self._lock:
                over = not self._within and time.monotonic() - self._left > LINGER_SECONDS
                if over or not busy:
                    self._release()
                elif self._team is None:
                    self._team = Worker(self._keep_team, "openmp-team")
                if over:
                    self._watcher = None
                    return

    def _keep_team(self, stage: Worker) -> None:
        """Have one OpenMP thread more than there are CPUs until told to end; libgomp ends a team
        with its thread."""
        nothing = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p)
        self._openmp.GOMP_parallel(nothing, None, (os.cpu_count() or 1) + 1, 0)
        stage.stopped.wait()

    def _release(self) -> None:
        if self._team is not None:
            self._team.stopped.set()
            self._team.join()
            self._team = None


@cache
def spin_control() -> AbstractContextManager[None]:
    """The control of this process; one that does nothing where threads are left as they are.

    A single thread waits for no other.
    """
    chosen = any(name in os.environ for name in CHOICES)
    if chosen or torch.get_num_threads() == 1 or not CPU_TIMES.exists():
        return nullcontext()
    openmp = _libgomp()
    return nullcontext() if openmp is None else SpinControl(openmp, OtherPrograms().cores)


@cache
def _libgomp() -> Any:
    """The OpenMP library of PyTorch; None where it is another than libgomp."""
    with suppress(OSError, AttributeError):
        libraries = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*"))
        openmp = ctypes.CDLL(
            str(libraries[0]) if libraries else None, mode=os.RTLD_NOLOAD | os.RTLD_NOW
        )
        openmp.GOMP_parallel  # noqa: B018 (AttributeError where this OpenMP is another)
        return openmp
    return None


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block, the calling thread computes without a team of OpenMP threads.

    For work beside the optimiser: a second team would be more threads than CPUs, so that libgomp
    would not let the optimiser's threads spin any more, and these would take up to twice as long.
    An optimiser on a GPU needs no such threads.
    """
    on_gpu = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    openmp = None if on_gpu else _libgomp()
    if openmp is None or torch.get_num_threads() == 1:  # which also sets up this thread's number
        yield
        return
    before = openmp.omp_get_max_threads()
    openmp.omp_set_num_threads(1)
    try:
        yield
    finally:
        openmp.omp_set_num_threads(before)
