"""Discrete-event simulation of tasks on a cluster: workers, a shared link, failures, stragglers."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import simpy


@dataclass(frozen=True)
class Cluster:
    """The machines. All values but the number of workers are assumed.

    Args:
        workers: number of workers; each does one task at a time.
        workers_per_node: workers that are lost together.
        start: seconds until a worker takes its first task.
        link: bytes per second between the driver and all workers together: 10 Gbit/s.
        failure_hours: mean time between failures of a node; infinite: no node fails.
        restart: seconds until a lost node is replaced.
        noise: standard deviation of the logarithm of the duration of a task.
        slow_share: share of the workers that are slow.
        slow_factor: ratio of their durations to those of the other workers.
    """

    workers: int
    workers_per_node: int = 8
    start: float = 0.0
    link: float = 1.25e9
    failure_hours: float = math.inf
    restart: float = 120.0
    noise: float = 0.1
    slow_share: float = 0.02
    slow_factor: float = 1.5


@dataclass(frozen=True)
class Task:
    """What a worker does at a time.

    Args:
        seconds: of computing.
        received: bytes from the driver before it.
        returned: bytes to the driver after it.
    """

    seconds: float
    received: float = 0.0
    returned: float = 0.0


class Simulation:
    """One run of tasks on a cluster.

    Workers take the longest task first. A task that is lost with its node goes back to the queue.

    Args:
        cluster: the machines.
        stages: lists of tasks. A stage begins when all tasks of the stage before it are done.
        seed: of failures, noise, and the choice of the slow workers.

    Attributes:
        seconds: until the last task is done.
        computed: seconds that workers computed for tasks that they finished.
        finished: number of tasks that were done.
        lost: number of tasks that were lost with their node and done again.
    """

    def __init__(self, cluster: Cluster, stages: list[list[Task]], seed: int) -> None:
        self.seconds = self.computed = 0.0
        self.finished = self.lost = 0
        self._cluster, self._random = cluster, random.Random(seed)
        self._env = simpy.Environment()
        self._link = simpy.Resource(self._env)
        self._queue = simpy.PriorityStore(self._env)
        self._start_workers()
        self._env.run(until=self._env.process(self._driver(stages)))
        self.seconds = self._env.now

    def _start_workers(self) -> None:
        """Start all workers, and the failures of their nodes."""
        cluster = self._cluster
        nodes: dict[int, list[simpy.Process]] = {}
        for number in range(cluster.workers):
            slow = self._random.random() < cluster.slow_share
            worker = self._env.process(self._worker(cluster.slow_factor if slow else 1.0))
            nodes.setdefault(number // cluster.workers_per_node, []).append(worker)
        if math.isfinite(cluster.failure_hours):
            for node in nodes.values():
                self._env.process(self._failures(node))

    def _driver(self, stages: list[list[Task]]) -> Iterator[simpy.Event]:
        for stage in stages:
            self._unfinished, self._stage_done = len(stage), self._env.event()
            for number, task in enumerate(stage):
                self._queue.put(simpy.PriorityItem((-task.seconds, number), task))
            yield self._stage_done

    def _worker(self, factor: float) -> Iterator[simpy.Event]:
        wait = self._cluster.start
        while True:
            request = None
            try:
                yield self._env.timeout(wait)
                while True:
                    request = self._queue.get()
                    yield request
                    yield from self._do(request.value.item, factor)
                    request = None
            except simpy.Interrupt:
                if request is not None:
                    self._give_back(request)
                wait = self._cluster.restart + self._cluster.start

    def _give_back(self, request: simpy.Event) -> None:
        """Put the task of a lost worker back, or cancel its request for one."""
        if request.triggered:
            self.lost += 1
            self._queue.put(request.value)
        else:
            request.cancel()

    def _do(self, task: Task, factor: float) -> Iterator[simpy.Event]:
        seconds = task.seconds * factor * self._random.lognormvariate(0, self._cluster.noise)
        yield from self._transfer(task.received)
        yield self._env.timeout(seconds)
        yield from self._transfer(task.returned)
        self.computed += seconds
        self.finished += 1
        self._unfinished -= 1
        if not self._unfinished:
            self._stage_done.succeed()

    def _transfer(self, size: float) -> Iterator[simpy.Event]:
        if size:
            with self._link.request() as turn:
                yield turn
                yield self._env.timeout(size / self._cluster.link)

    def _failures(self, node: list[simpy.Process]) -> Iterator[simpy.Event]:
        while True:
            hours = self._random.expovariate(1 / self._cluster.failure_hours)
            yield self._env.timeout(hours * 3600)
            for worker in node:
                worker.interrupt()
            yield self._env.timeout(self._cluster.restart)
