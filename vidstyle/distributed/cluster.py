"""Workers of a Ray cluster. The only module that imports Ray.

Ray starts, places and ends the workers, and carries tasks and results. A task is tried once by Ray:
the driver decides about another try, since it knows the clip's own errors from those of a machine.
"""

import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DeviceError, VidstyleError
from ..runtime.limits import usable_cores
from .sources import check_source, remove_source
from .tasks import Clip, Outcome, Probe, Recipe, Task, Trouble, perform
from .workers import Finished

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody was asked
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's own future default

try:
    import ray
    from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise VidstyleError(
        f"rendering on a cluster needs Ray ({error}): pip install 'vidstyle[ray]'"
    ) from None

log = logging.getLogger(__name__)

LOCAL = "local"
"""The address that stands for a Ray of this command alone."""

MAX_REASON_LENGTH = 300
"""Characters of Ray's own messages that are shown."""

CONNECT_SECONDS = 10.0
"""Time in seconds in which the head of a cluster must answer."""

PROBE_SECONDS = 300.0
"""Time in seconds in which every machine must have started a worker."""


@dataclass(frozen=True)
class Resources:
    """What one worker needs.

    Args:
        cpus: CPU cores; also the number of its threads.
        gpus: GPUs; a fraction where several workers share one.
    """

    cpus: int
    gpus: float

    def fit(self, node: Mapping[str, float]) -> int:
        """How many workers fit on a node with these resources."""
        by_cpu = int(node.get("CPU", 0) // self.cpus)
        if not self.gpus:
            return by_cpu
        # Ray does not spread one worker over several GPUs, unless it needs whole ones.
        gpus = int(node.get("GPU", 0))
        by_gpu = gpus * int(1 / self.gpus) if self.gpus < 1 else int(gpus // self.gpus)
        return min(by_cpu, by_gpu)

    def text(self) -> str:
        """For messages: ``2 CPUs and 0.5 GPUs``."""
        return _resources_text(self.cpus, self.gpus)


def _resources_text(cpus: float, gpus: float) -> str:
    def several(count: float, what: str) -> str:
        return f"{count:g} {what}{'' if count == 1 else 's'}"

    return several(cpus, "CPU") + (f" and {several(gpus, 'GPU')}" if gpus else "")


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to a cluster, or a Ray of its own that ends with the context.

    Args:
        address: ``HOST:PORT`` or ``auto``; None or ``local``: start one on this machine. A Ray
            that this process is connected to already is used, and left as it is.

    Raises:
        VidstyleError: there is no cluster at the address, or it has another version of Ray.
    """
    if ray.is_initialized() and address in (None, LOCAL, "auto"):
        yield
        return
    _check_reachable(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    options: dict[str, Any] = {}
    if address in (None, LOCAL):
        options = {"include_dashboard": False, "num_cpus": usable_cores()}
    try:
        ray.init(address=address or LOCAL, logging_level="error", log_to_driver=False, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:MAX_REASON_LENGTH] or type(error).__name__
        raise VidstyleError(
            f"no Ray cluster at {address or LOCAL} ({reason}): start one with `ray start --head`, "
            "or leave the address out"
        ) from None
    finally:
        for number, handler in handlers.items():  # Ray installs its own
            signal.signal(number, handler)
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Check that something answers at the address: Ray would try for minutes.

    Raises:
        VidstyleError: nothing does.
    """
    if address in (None, LOCAL, "auto"):
        return
    host, _, port = str(address).rpartition(":")
    try:
        with socket.create_connection((host, int(port)), CONNECT_SECONDS):
            pass
    except OSError as error:
        raise VidstyleError(
            f"no Ray cluster at {address} ({error.strerror or error}): start one with `ray start "
            "--head`, or leave the address out"
        ) from None


def _nodes() -> dict[str, Mapping[str, Any]]:
    """Node id -> description, of the nodes that are alive."""
    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def choose_resources(cpus: int | None, gpus: float | None) -> Resources:
    """What a worker needs: as given, else a GPU where there are GPUs, and two cores beside a GPU,
    else one."""
    if gpus is None:
        gpus = float(any(node["Resources"].get("GPU") for node in _nodes().values()))
    return Resources(cpus or (2 if gpus else 1), gpus)


ALL_GPUS = {"env_vars": {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}}
"""Environment of workers with GPUs. Ray would make one GPU visible for each task, but a process
that has used a GPU does not see another one later: it would stay on a GPU that Ray has given to
somebody else."""


@ray.remote(max_retries=0)
def _perform(
    recipe: Sequence[Any], clip: Clip | None, task: Task, source: Sequence[Any]
) -> Outcome:
    """``perform`` in a worker. References within lists are fetched only when they are needed."""
    fetch = (lambda: np.asarray(ray.get(source[0]))) if source else None
    outcome = perform(_recipe(recipe[0]), clip, task, fetch, _gpu())
    return replace(outcome, node=ray.get_runtime_context().get_node_id())


def _gpu() -> int | None:
    """The index, among the GPUs that this process sees, of the one that Ray gave to this task."""
    given = [str(each) for each in ray.get_gpu_ids()]
    if not given:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",").index(given[0]) if visible else int(given[0])


@ray.remote(num_cpus=0, max_retries=0)
def _remove_source(contents: str) -> None:
    remove_source(contents)


_recipes: dict[str, Recipe] = {}


def _recipe(reference: Any) -> Recipe:
    """The recipe, which a worker keeps for its next tasks."""
    name = reference.hex()
    if name not in _recipes:
        found = ray.get(reference)
        _recipes.clear()
        _recipes[name] = found
    return _recipes[name]


class RayWorkers:
    """Workers of the connected cluster, see ``Workers``.

    ``devices`` are descriptions of their devices, without repetition.

    Args:
        recipe: of the command.
        resources: of each worker.
        count: number of workers; None: as many as fit.

    Raises:
        DeviceError: the cluster has no room for that number of workers.
        VidstyleError: a machine has other versions, or starts no worker.
    """

    go_on_after_interrupt = True

    def __init__(self, recipe: Recipe, resources: Resources, count: int | None = None) -> None:
        self._resources = resources
        self.slots = self._room(count)
        self._recipe = [ray.put(recipe)]
        self._running: dict[Any, int] = {}
        self._sources: dict[str, list[Any]] = {}
        self._next = 0
        self.devices = self._probe()

    def _room(self, count: int | None) -> int:
        """The number of workers.

        Raises:
            DeviceError: they do not fit.
        """
        wanted, nodes = self._resources, list(_nodes().values())
        room = sum(wanted.fit(node["Resources"]) for node in nodes)
        if room >= (count or 1):
            return count or room
        there = "; ".join(
            f"{node['NodeManagerHostname']} has "
            + _resources_text(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0))
            for node in nodes
        )
        remedy = f"use workers={room}" if room else "ask for less"
        raise DeviceError(
            f"{count or 1} workers of {wanted.text()} each do not fit into the cluster, which has "
            f"room for {room} ({there}): {remedy}, with cpus_per_worker or gpus_per_worker, or add "
            "machines",
            "workers",
            "cpus_per_worker",
            "gpus_per_worker",
        )

    def _options(self, node: str | None = None) -> dict[str, Any]:
        options: dict[str, Any] = {
            "num_cpus": self._resources.cpus,
            "num_gpus": self._resources.gpus,
        }
        if self._resources.gpus:
            options["runtime_env"] = ALL_GPUS
        if node is not None:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=True)
        return options

    def _able_nodes(self) -> list[str]:
        """Ids of the nodes that are alive and have room for a worker."""
        fit = self._resources.fit
        return [name for name, node in _nodes().items() if fit(node["Resources"])]

    def _probe(self) -> tuple[str, ...]:
        """Start a worker on every machine with room for one; return their devices."""
        references = [
            _perform.options(**self._options(node)).remote(self._recipe, None, Probe(), [])
            for node in self._able_nodes()
        ]
        try:
            outcomes: list[Outcome] = ray.get(references, timeout=PROBE_SECONDS)
        except RayError as error:
            raise VidstyleError(
                f"a machine of the cluster starts no worker ({_reason(error)}): check that "
                "vidstyle is installed there"
            ) from None
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        devices = tuple(dict.fromkeys(str(outcome.value) for outcome in outcomes))
        if len(devices) > 1:
            log.warning(
                "the workers have different devices (%s): frames may differ in the last bit",
                ", ".join(devices),
            )
        return devices

    def submit(self, clip: Clip, task: Task, avoid: str = "") -> int:
        """See ``Workers``."""
        others = [node for node in self._able_nodes() if node != avoid]
        node = others[self._next % len(others)] if avoid and others else None
        remote = _perform.options(**self._options(node))
        source = self._sources.get(clip.contents, [])
        self._next += 1
        self._running[remote.remote(self._recipe, clip, task, source)] = self._next
        return self._next

    def wait(self, seconds: float) -> Sequence[Finished]:
        """See ``Workers``."""
        ready, _ = ray.wait(list(self._running), timeout=seconds, num_returns=1)
        return [Finished(self._running.pop(each), _outcome(each)) for each in ready]

    def send_source(self, clip: Clip, path: Path) -> None:
        """See ``Workers``; the bytes are put into Ray's object store, once."""
        if clip.contents not in self._sources:
            check_source(path, clip.contents)
            log.info("%s: not every machine sees it, so it is sent to the workers", path)
            self._sources[clip.contents] = [ray.put(np.fromfile(path, np.uint8))]

    def cancel(self) -> None:
        """See ``Workers``."""
        for reference in self._running:
            ray.cancel(reference, force=True)
        self._running.clear()

    def close(self) -> None:
        """Remove the sources that were sent."""
        removals = [
            _remove_source.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)
            ).remote(contents)
            for contents in self._sources
            for node in _nodes()
        ]
        if removals:
            ray.wait(removals, num_returns=len(removals), timeout=10)


def _outcome(reference: Any) -> Outcome:
    """The end of a task that is ready."""
    try:
        outcome: Outcome = ray.get(reference)
        return outcome
    except OutOfMemoryError as error:
        return Outcome(None, Trouble.MEMORY, VidstyleError(_reason(error)))
    except RayTaskError as error:  # a bug of vidstyle: another try would end alike
        log.debug("%s", error)
        text = f"{_reason(error)} in a worker (a bug in vidstyle; -v shows where)"
        return Outcome(None, Trouble.OWN, VidstyleError(text))
    except RayError as error:
        return Outcome(None, Trouble.LOST, VidstyleError(_reason(error)))


def _reason(error: RayError) -> str:
    """What happened, in one line: Ray's messages are tracebacks, or end in advice."""
    if isinstance(error, RayTaskError):
        return str(error).strip().splitlines()[-1][:MAX_REASON_LENGTH]
    sentence = str(error).strip().split(". ")[0].splitlines()
    return sentence[0][:MAX_REASON_LENGTH] if sentence else type(error).__name__
