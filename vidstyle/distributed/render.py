"""Renders whose shots are tasks: on a Ray cluster, or one after another in this process."""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from ..batch import make_folder
from ..errors import SettingValueError, VidstyleError
from ..inputs import names_text
from ..io.files import part_folder
from ..io.shot_folder import has_work_list, threads_of
from ..job import RenderJob
from ..render_job import JobFiles, announce, render_job
from ..runtime.interrupts import deferred
from ..settings import Settings
from ..stylizer.stylizer import Stylizer
from .driver import Driver
from .outputs import Output, open_output
from .tasks import Recipe
from .workers import LocalWorker, Workers

log = logging.getLogger(__name__)

MAX_TRIES = 3
"""Default of ``ClusterOptions.max_tries``."""


@dataclass(frozen=True)
class ClusterOptions:
    """How a render is spread over a Ray cluster.

    Args:
        address: ``HOST:PORT`` of a cluster, ``auto``, or ``local`` for a Ray of its own on this
            machine.
        workers: number of workers; None: as many as the cluster has room for.
        gpus_per_worker: GPUs of each worker; None: one where there are GPUs.
        cpus_per_worker: CPU cores of each worker, which has as many threads; None: two beside a
            GPU, else one.
        max_tries: how often a shot is tried whose worker or machine fails.
        split: maximum number of frames of a shot; longer ones are split. None: shots stay whole.

    Raises:
        ValueError: a value out of range.
    """

    address: str = "local"
    workers: int | None = None
    gpus_per_worker: float | None = None
    cpus_per_worker: int | None = None
    max_tries: int = MAX_TRIES
    split: int | None = None

    def __post_init__(self) -> None:
        if self.address not in ("local", "auto") and not _is_host_and_port(self.address):
            raise ValueError(
                f"{self.address!r} is not the address of a Ray cluster: use HOST:PORT, auto or "
                "local"
            )
        for name in ("workers", "cpus_per_worker", "max_tries", "split"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingValueError(f"{name} is {value}: it must be 1 or more", name)
        gpus = self.gpus_per_worker
        if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != int(gpus))):
            raise SettingValueError(
                f"gpus_per_worker is {gpus:g}: it must be a whole number, or a fraction of one GPU",
                "gpus_per_worker",
            )


def _is_host_and_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and "/" not in address and port.isdecimal()


def render_on_cluster(
    jobs: Sequence[tuple[RenderJob, Settings]],
    stylizer: Stylizer,
    options: ClusterOptions,
    device: str = "auto",
    flow_weights: Path | None = None,
    message: Callable[[VidstyleError], str] = str,
) -> None:
    """Render clips and images on a Ray cluster.

    Args:
        jobs: what to render, each with the settings of its stylisation.
        stylizer: has the features and the style.
        options: the cluster, and how it is used.
        device: name of the device of each worker.
        flow_weights: file with RAFT's weights, on every machine.
        message: makes the message of an error in a batch.

    Raises:
        VidstyleError: an input cannot be read, an output cannot be written, the cluster lacks what
            the workers need, or some shots failed too often.
    """
    from . import cluster

    with cluster.connected(options.address):
        wanted = cluster.choose_resources(options.cpus_per_worker, options.gpus_per_worker)
        if device == "auto" and not wanted.gpus:
            device = "cpu"  # a GPU that Ray does not know of would be everybody's
        recipe = Recipe.of(stylizer, device, wanted.cpus, flow_weights)
        with _outputs(jobs, options.split, wanted.cpus, message) as opened:
            workers = cluster.RayWorkers(recipe, wanted, options.workers)
            for output in opened.outputs:
                stylizer.settings = output.job.layout(output.clip.settings, output.info)
                announce(output.job, output.info, stylizer)
            log.info(
                "%d workers with %s (%s)",
                *(workers.slots, wanted.text(), ", ".join(workers.devices)),
            )
            try:
                _render(workers, opened, options.max_tries, message)
            finally:
                workers.close()


def resume_shots(
    job: RenderJob,
    stylizer: Stylizer,
    device: str = "auto",
    flow_weights: Path | None = None,
) -> None:
    """Resume a render of shots in this process, one after another, without Ray.

    Each shot is computed with as many threads as the workers had, and its frames are the same.

    Args:
        job: the one that began on a cluster.
        stylizer, device, flow_weights: as for ``render_on_cluster``.

    Raises:
        VidstyleError: see ``render_on_cluster``.
    """
    threads = threads_of(part_folder(Path(job.output))) or torch.get_num_threads()
    recipe = Recipe.of(stylizer, device, threads, flow_weights)
    with _outputs([(job, stylizer.settings)], None, threads, str) as opened:
        _render(LocalWorker(recipe), opened, 1, str)


def render_here(
    job: RenderJob,
    stylizer: Stylizer,
    device: str = "auto",
    flow_weights: Path | None = None,
    files: JobFiles | None = None,
) -> None:
    """Render a job in this process. One that began on a cluster is resumed shot by shot.

    Args:
        job: what to render.
        stylizer, device, flow_weights: as for ``render_on_cluster``.
        files: see ``render_job``.

    Raises:
        VidstyleError: see ``render_job`` and ``render_on_cluster``.
    """
    if is_render_of_shots(job):
        resume_shots(job, stylizer, device, flow_weights)
    else:
        render_job(job, stylizer, files)


def is_render_of_shots(job: RenderJob) -> bool:
    """Whether a job resumes a render whose shots are tasks."""
    return job.resume and has_work_list(part_folder(Path(job.output)))


class _outputs:  # noqa: N801 (a context)
    """Opens the outputs of jobs. In a batch an output that cannot be opened is left out."""

    def __init__(
        self,
        jobs: Sequence[tuple[RenderJob, Settings]],
        split: int | None,
        threads: int,
        message: Callable[[VidstyleError], str],
    ) -> None:
        self._jobs, self._arguments, self._message = jobs, (split, threads), message
        self.outputs: list[Output] = []
        self.failed: list[str] = []

    def __enter__(self) -> "_outputs":
        for job, settings in self._jobs:
            try:
                make_folder(Path(job.output).parent)
                self.outputs.append(open_output(job, settings, *self._arguments))
            except VidstyleError as error:
                if len(self._jobs) == 1:
                    raise
                _report(error, self._message)
                self.failed.append(str(job.input))
        return self

    def __exit__(self, *_: object) -> None:
        for output in self.outputs:
            output.release()


def _render(
    workers: Workers, opened: _outputs, max_tries: int, message: Callable[[VidstyleError], str]
) -> None:
    outputs, failed = opened.outputs, opened.failed
    single = len(outputs) + len(failed) == 1
    quiet = any(output.job.quiet for output in outputs)
    driver = Driver(workers, max_tries, quiet)
    with deferred():
        driver.render(outputs)
    for output in outputs:
        error = driver.failed.get(id(output))
        if error is not None and single:
            raise error
        if error is not None:
            _report(error, message)
            failed.append(str(output.job.input))
    if failed:
        total = len(outputs) + len(failed) - len(driver.failed)
        raise VidstyleError(
            f"{len(failed)} of {total} failed: {names_text(failed)}; the others are finished, and "
            "--skip-existing skips them"
        )


def _report(error: VidstyleError, message: Callable[[VidstyleError], str]) -> None:
    with suppress(OSError):
        print(f"vidstyle: {message(error)}", file=sys.stderr)
