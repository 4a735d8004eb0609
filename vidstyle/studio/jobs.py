"""The queue of renders: kept on disk, so that it survives the server."""

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, RLock
from typing import Any

from ..errors import InputError, OutputError
from ..io.files import part_folder
from ..runtime.worker import Worker
from .devices import Devices
from .items import Clip, ClipMask
from .job import DESCRIPTION, FINISHED, UNFINISHED, Job, load_job
from .library import Library
from .plan import MissingError, Plan, check_complete, job_arguments, new_job, new_mask_job
from .render_process import RenderProcess, end_orphan

log = logging.getLogger(__name__)

MAX_TRIES = 3
"""How often a render is started that a signal ends, such as that of a system without memory."""

LOCKED, LOCKED_SECONDS = "is being written by another program", 5.0
"""What a render says whose output is locked by one that a killed server left behind, and the time
in seconds after which it is tried again."""

INTERRUPTED = 130
"""Exit code of a render that a signal of its terminal or of a user ended."""

CLOSE_SECONDS = 120.0
"""Time in seconds that renders may take to write what is finished when the server ends."""

FILES = (DESCRIPTION, "log.txt")
"""What stays in the folder of a cancelled job."""


class JobError(Exception):
    """A job is not in the state that a command needs. The message is one line."""


class JobQueue:
    """Renders jobs one after the other, or some at once, each in a process of its own.

    Its methods may be called by several threads. ``version`` grows with every change.

    Args:
        folder: of the jobs; is created where it does not exist.
        library: has the files of clips and styles.
        devices: where they are rendered.

    Raises:
        OutputError: the folder cannot be created or read.
    """

    def __init__(self, folder: Path, library: Library, devices: Devices | None = None) -> None:
        self._folder, self._library = folder.absolute(), library
        self._devices = devices or Devices()
        self._lock = RLock()
        self._running: dict[str, RenderProcess] = {}
        self._threads: dict[str, Worker] = {}
        self._ready = self._closing = False
        self._closed = Event()
        self.version = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = [load_job(path) for path in folder.iterdir() if path.is_dir()]
        except OSError as error:
            reason = error.strerror
            raise OutputError(
                f"{folder} cannot be used ({reason}): choose another with --folder"
            ) from None
        loaded = sorted((job for job in found if job), key=lambda job: job.position)
        self._jobs = {job.id: job for job in loaded}

    def start(self) -> None:
        """Go on with what the last server did not finish."""
        for job in self.jobs:
            if job.pid is not None:
                end_orphan(job.pid, job.pid_start)
                job.pid, job.pid_start = None, ""
        with self._lock:
            self._ready = True
            for job in self._jobs.values():
                if job.state == "running":
                    job.state = "queued"
                    if self.output(job).exists():
                        self._complete(job)
                    self._changed(job)
                elif job.state == "cancelled" or job.discards:
                    self._clear(job)
            self._start_next()

    @property
    def jobs(self) -> list[Job]:
        """All jobs in the order of the queue."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.position)

    def public(self) -> list[dict[str, Any]]:
        """All jobs as the page sees them."""
        with self._lock:
            return [job.public() for job in self.jobs]

    def get(self, id: str) -> Job | None:
        """The job of an id, if there is one."""
        return self._jobs.get(id)

    def output(self, job: Job) -> Path:
        """The file that a job writes."""
        return self._folder / job.id / job.file

    def uses(self, id: str) -> bool:
        """Whether an unfinished job needs a clip, a style or a mask."""
        return any(job.uses(id) and job.state in UNFINISHED for job in self.jobs)

    def add(self, plan: Plan) -> Job:
        """Add a render at the end of the queue; its output has a name of its own.

        Raises:
            OSError: it cannot be written to disk.
        """
        with self._lock:
            taken = {job.file for job in self._jobs.values()}
            return self._append(new_job(plan, self._library, taken))

    def carry(self, clip: Clip, mask: ClipMask) -> Job:
        """Add a job that carries a drawn mask along its clip; one that is unfinished is used.

        Raises:
            OSError: it cannot be written to disk.
        """
        with self._lock:
            carrying = (job for job in self.jobs if job.kind == "mask" and job.mask == mask.id)
            unfinished = [job for job in carrying if job.state in UNFINISHED]  # of a double click
            return unfinished[0] if unfinished else self._append(new_mask_job(clip, mask))

    def _append(self, job: Job) -> Job:
        """Write a job and queue it. The lock is held."""
        job.position = max((each.position for each in self._jobs.values()), default=0) + 1
        folder = self._folder / job.id
        folder.mkdir()
        try:
            job.write(folder)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._jobs[job.id] = job
        self.version += 1
        self._start_next()
        return job

    def pause(self, job: Job) -> None:
        """Interrupt a job; its finished frames are kept.

        Raises:
            JobError: it is finished.
        """
        with self._lock:
            if job.state not in UNFINISHED:
                raise JobError(f"the job is {job.state}: only an unfinished job can be paused")
            self._stop(job, "paused", RenderProcess.interrupt)

    def resume(self, job: Job) -> None:
        """Queue a paused, failed or cancelled job again, at its old place.

        Raises:
            JobError: it is done, or lacks its clip, a style or a mask.
        """
        with self._lock:
            if job.state == "done":
                raise JobError("the job is done: start a new one")
            try:
                check_complete(job, self._library)
            except MissingError as error:
                raise JobError(str(error)) from None
            if job.state not in ("queued", "running"):
                job.state, job.message, job.tries = "queued", "", 0
                self._changed(job)
                self._start_next()

    def cancel(self, job: Job) -> None:
        """End a job and remove its finished frames.

        Raises:
            JobError: it is done.
        """
        with self._lock:
            if job.state == "done":
                raise JobError("the job is done: delete it instead")
            job.done, job.seconds, job.discards = 0, 0.0, job.id in self._running
            self._stop(job, "cancelled", RenderProcess.cancel)
            if job.id not in self._running:
                self._clear(job)

    def move(self, job: Job, before: Job | None) -> None:
        """Put a job before another one; None: at the end."""
        with self._lock:
            order = [each for each in self.jobs if each is not job]
            order.insert(len(order) if before is None else order.index(before), job)
            for position, each in enumerate(order, 1):
                if each.position != position:
                    each.position = position
                    self._changed(each)

    def remove(self, job: Job) -> None:
        """Remove a finished job and its output.

        Raises:
            JobError: it is not finished.
        """
        with self._lock:
            if job.state not in FINISHED or job.id in self._running:
                raise JobError("the job is not finished: cancel it first")
            del self._jobs[job.id]
            self.version += 1
            with suppress(OSError):
                (self._folder / job.id / DESCRIPTION).unlink()
            shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def close(self) -> None:
        """Interrupt what is running; the next server goes on with it."""
        with self._lock:
            self._closing = True
            self._closed.set()
            running, threads = list(self._running.values()), list(self._threads.values())
            for process in running:
                process.interrupt()
        for thread in threads:
            thread.join(CLOSE_SECONDS)
        for process in running:
            process.kill()

    def _stop(self, job: Job, state: str, end: Callable[[RenderProcess], None]) -> None:
        """Give a job another state, and end its process if it runs."""
        job.state, job.message, job.remaining_seconds = state, "", None
        if job.id in self._running:
            job.message = "writing what is finished" if state == "paused" else ""
            end(self._running[job.id])
        self._changed(job)

    def _start_next(self) -> None:
        """Start as many of the queued jobs as may run. The lock is held."""
        for job in self.jobs:
            if not self._ready or self._closing:
                return
            if job.state == "queued" and job.id not in self._running:
                needed = job.needed_device(part_folder(self.output(job)).exists())
                running = [self._jobs[key].device for key in self._running]
                if device := self._devices.free(running, needed):
                    self._start(job, device)

    def _start(self, job: Job, device: str) -> None:
        output, job.device = self.output(job), device
        try:
            if job.kind != "mask" and (absence := self._devices.absence(job.device)):
                raise MissingError(absence)
            arguments = job_arguments(job, self._library, output)
            process = RenderProcess(arguments, output.parent / "log.txt", self._library.folder)
        except MissingError as error:
            self._fail(job, str(error))
            return
        except OSError as error:
            reason = f"the render cannot be started ({error.strerror})"
            self._fail(job, f"{reason}: free some disk space or memory, then resume")
            return
        job.state, job.message, job.remaining_seconds, job.discards = "running", "", None, False
        job.pid, job.pid_start = process.pid, process.start
        self._running[job.id] = process
        self._changed(job)
        self._threads[job.id] = Worker(lambda worker: self._follow(job, process), "job")

    def _follow(self, job: Job, process: RenderProcess) -> None:
        """Note the progress of a process until it ends. Called in a thread."""
        before = job.seconds
        for event in process.events():
            with self._lock:
                job.note(event, before)
                self.version += 1
        code = process.wait()
        if code and LOCKED in process.last_message():
            self._closed.wait(LOCKED_SECONDS)
        with self._lock:
            del self._running[job.id], self._threads[job.id]
            if not (self._closing and job.state == "running" and code):
                self._end(job, process, code)
            job.pid, job.pid_start = None, ""
            self._changed(job)
            self._start_next()

    def _end(self, job: Job, process: RenderProcess, code: int) -> None:
        """Give a job the state that follows from the end of its process. The lock is held."""
        job.remaining_seconds, output = None, self.output(job)
        if job.discards:
            job.seconds, job.message, job.discards = 0.0, "", False
            self._clear(job)
        elif output.exists():  # it gets its name when it is complete
            self._complete(job)
        elif job.state != "running":  # paused, or resumed meanwhile
            job.message = ""
        elif code == INTERRUPTED:
            job.state, job.message = "paused", "the render was interrupted: resume it"
        elif (code < 0 or LOCKED in process.last_message()) and job.tries + 1 < MAX_TRIES:
            job.state, job.tries = "queued", job.tries + 1
            reason = f"signal {-code} ended the render" if code < 0 else "another render writes it"
            job.message = f"{reason}: it is tried again"
        elif code < 0:
            remedy = "free some memory or choose a smaller painted size, then resume"
            self._fail(job, f"signal {-code} ended the render {MAX_TRIES} times: {remedy}")
        else:
            message = process.last_message().replace(f"{output.parent}{os.sep}", "")
            message = message.replace("--resume then resumes", "then resume")
            self._fail(job, message or f"the render ended with code {code}: see its log.txt")

    def _complete(self, job: Job) -> None:
        mask = self._library.mask(job.mask or "") if job.kind == "mask" else None
        try:
            size = self.output(job).stat().st_size
            if mask is not None:
                self._library.keep_carried(mask, self.output(job), job.covers)
        except (InputError, OSError) as error:
            self._fail(job, f"the mask cannot be kept ({error}): try again")
            return
        # The state last: others look at it first.
        job.bytes, job.message, job.state = size, "", "done"
        job.done = job.total = job.total or job.done
        self._clear(job, job.file)

    def _fail(self, job: Job, message: str) -> None:
        job.message, job.state = message, "failed"
        self._changed(job)

    def _clear(self, job: Job, kept: str = "") -> None:
        """Remove what a job wrote, but for its output if that is ``kept``."""
        with suppress(OSError):
            for path in (self._folder / job.id).iterdir():
                if path.name not in (*FILES, kept):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _changed(self, job: Job) -> None:
        """Keep a change of a job on disk, and tell it."""
        self.version += 1
        try:
            job.write(self._folder / job.id)
        except OSError as error:
            log.warning("a job's state cannot be written (%s): free some space", error.strerror)
