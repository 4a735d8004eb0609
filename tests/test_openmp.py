"""Idle OpenMP threads sleep while other programs are busy, and spin while they are not."""

import ctypes
import os
import threading
from pathlib import Path

import pytest
import torch
from conftest import until

from vidstyle.runtime import openmp
from vidstyle.runtime.openmp import OtherPrograms, SpinControl, spin_control
from vidstyle.runtime.worker import Worker

TASKS = Path("/proc/self/task")


class Library:
    """Stands in for libgomp, and notes the teams it was asked for."""

    def __init__(self):
        self.teams = []

    def GOMP_parallel(self, function, data, threads, flags):  # noqa: N802 (its name)
        self.teams.append(threads)


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(openmp, "SAMPLE_SECONDS", 0.01)
    monkeypatch.setattr(openmp, "LINGER_SECONDS", 0.05)


@pytest.fixture
def fresh():
    spin_control.cache_clear()
    yield spin_control
    spin_control.cache_clear()


def watchers():
    return [
        thread
        for thread in threading.enumerate()
        if thread.name in ("vidstyle-cpu-watch", "vidstyle-openmp-team")
    ]


def test_spin_control_lets_idle_threads_sleep_only_while_other_programs_are_busy(quickly):
    used, library = [0.0], Library()
    control = SpinControl(library, lambda: used[0])
    with control:
        used[0] = 1.0
        until(lambda: control.sleeping)
        used[0] = 0.0
        until(lambda: not control.sleeping)
        used[0] = 2.0
        until(lambda: control.sleeping)
    until(lambda: not watchers())
    assert not control.sleeping
    assert library.teams == [os.cpu_count() + 1] * 2


def test_spin_control_does_not_change_its_mind_for_little(quickly):
    asked, used = [0], [0.2]  # less than makes threads sleep, more than lets sleeping ones spin

    def others():
        asked[0] += 1
        return used[0]

    control = SpinControl(Library(), others)
    with control:
        until(lambda: asked[0] > 3)
        assert not control.sleeping
        used[0] = 1.0
        until(lambda: control.sleeping)
        used[0], asked[0] = 0.2, 0
        until(lambda: asked[0] > 3)
        assert control.sleeping
    until(lambda: not watchers())


def test_spin_control_watches_while_any_thread_is_within(quickly):
    control = SpinControl(Library(), lambda: 0.0)
    with control:
        with control:
            pass
        threading.Event().wait(0.2)  # longer than the watch lingers
        assert len(watchers()) == 1
    until(lambda: not watchers())
    with control:
        until(watchers)
    until(lambda: not watchers())


def test_other_programs_cores_exclude_this_process(tmp_path, monkeypatch):
    times, clock, own = tmp_path / "stat", [100.0], [5.0]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2}, raising=False)
    monkeypatch.setattr(openmp.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(openmp.time, "process_time", lambda: own[0])
    tick = os.sysconf("SC_CLK_TCK")

    def write(first, second):
        rows = [f"cpu0 {first}", f"cpu1 {900 * tick} 0 0 0 0 0 0 0 0 0", f"cpu2 {second}"]
        times.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *rows, "intr 1 2 3"]))

    write("0 0 0 0 0 0 0 0 0 0", "0 0 0 0 0 0 0 0 0 0")
    others = OtherPrograms(times)
    clock[0], own[0] = 102.0, 6.5
    # 2 s of user, 0.5 s of nice and 1 s of interrupts on the two CPUs that count; idle, iowait and
    # steal do not.
    write(
        f"{2 * tick} 0 0 {9 * tick} {9 * tick} 0 0 {9 * tick} 0 0",
        f"0 {tick // 2} 0 0 0 {tick} 0 0 0 0",
    )
    assert others.cores() == pytest.approx((2 + 0.5 + 1 - 1.5) / 2)
    assert others.cores() == 0


@pytest.mark.skipif(not TASKS.exists(), reason="threads are counted in /proc")
def test_spin_control_keeps_a_team_of_idle_threads_and_lets_it_go(quickly, fresh, monkeypatch):
    for name in openmp.CHOICES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    control = fresh()
    if not isinstance(control, SpinControl):
        pytest.skip("PyTorch has another OpenMP here")
    torch.ones(10).sum()
    used = [0.0]
    control._others = lambda: used[0]
    before, team = len(list(TASKS.iterdir())), os.cpu_count() + 1
    with control:
        used[0] = 1.0
        until(lambda: len(list(TASKS.iterdir())) >= before + team)
        used[0] = 0.0
        until(lambda: len(list(TASKS.iterdir())) < before + team)
    until(lambda: not watchers())


def test_spin_control_does_nothing_for_a_single_thread(fresh, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    with fresh():
        assert not watchers()


@pytest.mark.parametrize("name", openmp.CHOICES)
def test_spin_control_leaves_what_the_user_chose(name, fresh, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setenv(name, "PASSIVE" if name == "OMP_WAIT_POLICY" else "5")
    monkeypatch.setattr(ctypes, "CDLL", lambda *a, **k: pytest.fail("libgomp was touched"))
    with fresh():
        assert not watchers()


def test_one_thread_counts_for_the_calling_thread_alone():
    if openmp._libgomp() is None:
        pytest.skip("PyTorch has another OpenMP here")
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)

    def work(worker):
        with openmp.one_thread():
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    try:
        Worker(work, "test").join()
        assert seen == [1, 2] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
