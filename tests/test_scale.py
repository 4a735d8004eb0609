"""benchmarks/scale.py: the simulation of renders on many workers."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from cluster_simulation import Cluster, Simulation, Task
from scale import SEAM_FRAMES, Film, Hardware, cut_tasks, parts, shot_tasks, simulate

EVEN = {"noise": 0.0, "slow_share": 0.0, "workers_per_node": 1}
"""A cluster on which a task takes exactly its seconds."""
TASKS = [Task(float(seconds)) for seconds in (7, 3, 9, 4, 12, 5)]
TOTAL = sum(task.seconds for task in TASKS)
SHORT_FILM = replace(Film(), frames=2400)
HARDWARE = Hardware("test", frame=1.0, first_frame=10.0, start=5.0, decode=0.01, cuts=0.02)


def test_simulation_one_worker_takes_the_sum_of_all_tasks():
    run = Simulation(Cluster(1, start=2, **EVEN), [TASKS[:3], TASKS[3:]], seed=0)
    assert run.seconds == pytest.approx(2 + TOTAL)
    assert (run.computed, run.finished, run.lost) == (pytest.approx(TOTAL), len(TASKS), 0)


def test_simulation_starts_the_longest_task_first():
    # 12 3 | 9 4 | 7 5; in the order of the list 7 12 | 3 4 5 | 9 would take 19.
    assert Simulation(Cluster(3, **EVEN), [TASKS], seed=0).seconds == pytest.approx(15)


def test_simulation_a_stage_waits_for_the_one_before():
    run = Simulation(Cluster(2, **EVEN), [[Task(10), Task(1)], [Task(4)]], seed=0)
    assert run.seconds == pytest.approx(14)


def test_simulation_transfers_share_the_link():
    tasks = [Task(1, received=100, returned=50)] * 2
    run = Simulation(Cluster(2, link=100, **EVEN), [tasks], seed=0)
    # One worker receives for 1 s, then the other; the first has returned when the second is ready.
    assert run.seconds == pytest.approx(1 + 1 + 1 + 0.5)


@pytest.mark.parametrize("workers", [1, 3])
def test_simulation_a_failure_costs_the_tasks_of_its_node_only(workers):
    restart, start = 5, 2
    failing = Cluster(workers, start=start, failure_hours=30 / 3600, restart=restart, **EVEN)
    run = Simulation(failing, [TASKS * 10], seed=0)
    assert run.lost > 0
    assert run.finished == 10 * len(TASKS)
    assert run.computed == pytest.approx(10 * TOTAL)
    if workers == 1:
        dearest = max(task.seconds for task in TASKS) + restart + start
        # A node may also fail while it starts, when it has no task to lose.
        spent = run.seconds - start - 10 * TOTAL
        assert run.lost * (restart + start) < spent < (run.lost + 3) * dearest


def test_simulation_a_seed_determines_all_figures():
    def figures(seed):
        cluster = Cluster(4, workers_per_node=2, failure_hours=0.1, start=1)
        return simulate(SHORT_FILM, HARDWARE, cluster, 48, seed)

    assert figures(1) == figures(1)
    assert figures(1) != figures(2)


def test_film_shots_have_all_frames_and_their_mean_length():
    lengths = Film().shots(0)
    assert sum(lengths) == Film().frames
    assert min(lengths) >= 1
    # About 1,800 shots: the standard error of the mean is 1.2 / 42 = 3 %.
    assert sum(lengths) / len(lengths) == pytest.approx(Film().mean_shot, rel=0.1)


@pytest.mark.parametrize(("length", "bound"), [(1, 48), (48, 48), (49, 48), (500, 48), (500, None)])
def test_parts_are_equal_and_within_the_bound(length, bound):
    lengths = parts(length, bound)
    assert sum(lengths) == length
    assert max(lengths) <= (bound or length)
    assert max(lengths) - min(lengths) <= 1


def test_shot_tasks_of_parts_pay_for_first_frames_and_seams():
    free = replace(HARDWARE, decode=0.0)
    whole, split = (shot_tasks(SHORT_FILM, free, 0, bound) for bound in (None, 48))
    more = len(split) - len(whole)
    assert more > 0
    spent = sum(task.seconds for task in split) - sum(task.seconds for task in whole)
    assert spent == pytest.approx(more * (10 + 10 + 1 + SEAM_FRAMES))


def test_simulate_one_worker_is_efficient_and_many_are_less_so():
    one, many = (
        simulate(SHORT_FILM, HARDWARE, Cluster(count, start=5, **EVEN), None, 0)
        for count in (1, 500)
    )
    assert one["efficiency"] == pytest.approx(1, abs=1e-6)
    assert 0.9 < one["utilisation"] < 1
    assert many["seconds"] < one["seconds"]
    assert many["efficiency"] < many["utilisation"] < one["utilisation"]


def test_cut_tasks_cover_the_film_once_and_are_not_too_short():
    tasks = cut_tasks(Film(), replace(HARDWARE, cuts=1.0), 1000)
    frames = sum(task.seconds - Film().lead_in for task in tasks)
    assert frames == pytest.approx(Film().frames)
    assert len(tasks) == 360
