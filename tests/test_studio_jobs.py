"""The studio's queue of renders: order, pauses, restarts, and renders that are killed."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from fractions import Fraction

import cv2
import numpy as np
import pytest
from conftest import SECONDS, times_of, until, write_clip
from studio_session import QUICK, FakeProcess

from vidstyle import DeviceError
from vidstyle.studio.devices import Devices, device_names
from vidstyle.studio.jobs import MAX_TRIES, JobError, JobQueue
from vidstyle.studio.library import Library
from vidstyle.studio.plan import Plan
from vidstyle.studio.render_process import RenderProcess, end_orphan, process_start

RATE = Fraction(2)
"""Frames per second of the clips: a segment, from which a render resumes, has four of them."""


class Bench:
    """A library with one clip, and queues on one folder."""

    def __init__(self, folder, frames):
        self.folder = folder / "studio"
        self.library = Library(self.folder)
        upload = self.library.begin_clip("clip.mp4")
        write_clip(upload.path, count=frames, rate=RATE)
        self.clip, self.style = self.library.finish_clip(upload), self.library.style("ink")

    @contextmanager
    def queue(self, devices=("cpu",), parallel=1):
        queue = JobQueue(self.folder / "jobs", self.library, Devices(devices, parallel))
        queue.start()
        try:
            yield queue
        finally:
            queue.close()

    def add(self, queue, **settings):
        return queue.add(Plan(self.clip, self.style, "draft", QUICK | settings))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, frames=4)


@pytest.fixture
def long_bench(tmp_path):
    return Bench(tmp_path, frames=30)


@pytest.fixture
def fake(monkeypatch):
    """Renders are ``FakeProcess``; returns those that were started."""
    monkeypatch.setattr("vidstyle.studio.jobs.RenderProcess", FakeProcess)
    FakeProcess.started = ()
    return lambda: FakeProcess.started


def states(queue):
    return [job.state for job in queue.jobs]


def document(queue, job):
    return json.loads((queue.output(job).parent / "job.json").read_text())


def test_queue_renders_a_job(bench):
    with bench.queue() as queue:
        seen = queue.version
        job = bench.add(queue, original_colors=True)
        assert job.command.startswith("vidstyle render -i clip.mp4 -s ink -o clip_ink.mp4 --preset")
        assert "--original-colors" in job.command and "--steps=1" in job.command
        assert job.public()["output"] is None and "pid" not in job.public()
        until(lambda: document(queue, job)["state"] not in ("queued", "running"))
        shown = job.public()
        assert (shown["state"], shown["message"], shown["output"]) == ("done", "", "clip_ink.mp4")
        assert shown["done"] == shown["total"] == 4 and shown["seconds"] > 0
        assert shown["bytes"] == queue.output(job).stat().st_size and queue.version > seen
        assert len(times_of(queue.output(job))) == 4
        assert document(queue, job)["pid"] is None
        for wrong in (queue.pause, queue.resume, queue.cancel):
            with pytest.raises(JobError):
                wrong(job)
        queue.remove(job)
        assert not queue.jobs and not queue.output(job).parent.exists()


def test_queue_resumes_after_a_pause_and_after_a_kill(long_bench):
    with long_bench.queue() as queue:
        job = long_bench.add(queue)
        until(lambda: job.done > 8)
        queue.pause(job)
        assert document(queue, job)["state"] == job.state == "paused"
        until(lambda: job.pid is None)
        assert job.state == "paused" and not queue.output(job).exists()
        queue.resume(job)
        until(lambda: job.done > 12)
        os.kill(job.pid, signal.SIGKILL)
        until(lambda: job.tries == 1)
        until(lambda: job.state not in ("queued", "running"))
        assert job.state == "done" and len(times_of(queue.output(job))) == 30
        log = (queue.output(job).parent / "log.txt").read_text()
        assert log.count("resumed after") == 2


def test_queue_cancelled_job_leaves_no_frames(long_bench):
    with long_bench.queue() as queue:
        job = long_bench.add(queue)
        until(lambda: job.done > 8)
        queue.cancel(job)
        assert job.state == "cancelled"
        until(lambda: job.pid is None)
        folder = queue.output(job).parent
        # Its description is being written meanwhile.
        until(lambda: sorted(path.name for path in folder.iterdir()) == ["job.json", "log.txt"])
        assert job.state == "cancelled"


def test_queue_cancelled_job_resumed_at_once_begins_anew(long_bench):
    with long_bench.queue() as queue:
        job = long_bench.add(queue)
        until(lambda: job.done > 8)
        first = job.pid
        queue.cancel(job)
        queue.resume(job)
        assert job.state == "queued" and job.pid == first
        until(lambda: job.pid not in (None, first))
        until(lambda: job.state not in ("queued", "running"))
        assert job.state == "done" and len(times_of(queue.output(job))) == 30
        assert "resumed after" not in (queue.output(job).parent / "log.txt").read_text()


def test_queue_of_a_killed_server_removes_frames_that_were_cancelled(bench, fake, monkeypatch):
    monkeypatch.setattr(FakeProcess, "cancel", lambda self: None)  # it outlives the server
    with bench.queue() as queue:
        job = bench.add(queue)
        until(lambda: len(fake()) == 1)
        queue.cancel(job)
        queue.resume(job)
        left = document(queue, job)
        assert left["state"] == "queued" and "discards" not in job.public()
    parts = queue.output(job).parent / "clip_ink.part"
    parts.mkdir()
    (parts.parent / "job.json").write_text(json.dumps(left))
    with bench.queue():
        until(lambda: len(fake()) == 2)
        assert not parts.exists() and "--resume" not in fake()[1].arguments


def test_queue_cancelled_job_has_no_time(bench, fake):
    """What it took would count when it is resumed, and in estimates of other renders."""
    with bench.queue() as queue:
        job = bench.add(queue)
        for number, end in enumerate((queue.pause, queue.cancel)):
            until(lambda number=number: len(fake()) == number + 1)
            fake()[-1].last_events = [{"event": "progress", "done": 2, "elapsed_seconds": 60.0}]
            end(job)
            until(lambda: job.pid is None)
            if end == queue.pause:
                assert job.seconds == 60
                queue.cancel(job)
            assert job.seconds == document(queue, job)["seconds"] == 0
            queue.resume(job)


def test_queue_closed_and_opened_again_resumes(long_bench):
    with long_bench.queue() as queue:
        job = long_bench.add(queue)
        until(lambda: job.done > 8)
    assert document(queue, job)["state"] == "running" and document(queue, job)["pid"] is None
    with long_bench.queue() as again:
        resumed = again.get(job.id)
        until(lambda: resumed.state not in ("queued", "running"))
        assert resumed.state == "done" and len(times_of(again.output(resumed))) == 30
        assert "resumed after" in (again.output(job).parent / "log.txt").read_text()


def test_queue_fails_after_some_kills(bench, fake):
    with bench.queue() as queue:
        job = bench.add(queue)
        for number in range(MAX_TRIES):
            until(lambda number=number: len(fake()) == number + 1)
            fake()[-1].end(-9)
        until(lambda: job.state == "failed")
        assert "signal 9" in job.message and "resume" in job.message
        assert len(fake()) == MAX_TRIES
        queue.resume(job)
        until(lambda: len(fake()) == MAX_TRIES + 1)
        fake()[-1].end(0)
        until(lambda: job.state == "done")


def test_queue_failed_job_has_the_message_of_its_render(bench, fake):
    with bench.queue() as queue:
        job = bench.add(queue)
        fake()[-1].end(1)
        until(lambda: job.state == "failed")
        assert job.message == "the clip is damaged: get it again"


def test_queue_waits_for_another_writer(bench, fake, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.jobs.LOCKED_SECONDS", 0.01)
    locked = "clip_ink.mp4 is being written by another program: wait until it ends"
    with bench.queue() as queue:
        job = bench.add(queue)
        monkeypatch.setattr(FakeProcess, "last_message", lambda self: locked)
        for number in range(MAX_TRIES):
            until(lambda number=number: len(fake()) == number + 1)
            fake()[-1].end(1)
        until(lambda: job.state == "failed")
        assert job.message == locked


def test_queue_renders_in_order_and_moves(bench, fake):
    with bench.queue() as queue:
        jobs = [bench.add(queue) for _ in range(4)]
        assert states(queue) == ["running", "queued", "queued", "queued"]
        queue.move(jobs[3], jobs[1])
        queue.move(jobs[1], None)
        order = [jobs[0], jobs[3], jobs[2], jobs[1]]
        assert queue.jobs == order
        for number, job in enumerate(order):
            until(lambda number=number: len(fake()) == number + 1)
            assert job.state == "running" and job.file in fake()[-1].arguments[6]
            assert str(queue.output(job)) in fake()[-1].arguments
            fake()[-1].end(0)
            until(lambda job=job: job.state == "done")
    again = JobQueue(bench.folder / "jobs", bench.library)
    assert [job.id for job in again.jobs] == [job.id for job in order]


def test_queue_renders_in_parallel(bench, fake):
    with bench.queue(parallel=2) as queue:
        for _ in range(3):
            bench.add(queue)
        assert states(queue) == ["running", "running", "queued"]


def test_queue_gives_each_device_one_job(bench, fake):
    with bench.queue(devices=("cuda:0", "cuda:1")) as queue:
        jobs = [bench.add(queue) for _ in range(4)]
        assert states(queue) == ["running", "running", "queued", "queued"]
        assert [each.arguments[-2:] for each in fake()] == [
            ["--device", "cuda:0"],
            ["--device", "cuda:1"],
        ]
        fake()[1].end(0)
        until(lambda: jobs[2].state == "running")
        fake()[0].end(1)
        until(lambda: jobs[3].state == "running")
        assert [job.public()["device"] for job in jobs] == ["cuda:0", "cuda:1", "cuda:1", "cuda:0"]


def test_queue_job_goes_on_on_the_device_where_it_began(bench, fake):
    both = "cuda:0", "cuda:1"
    with bench.queue(both) as queue:
        first, second = bench.add(queue), bench.add(queue)
        queue.output(second).with_suffix(".part").mkdir()
        for job in (second, first):
            queue.pause(job)
            until(lambda job=job: job.pid is None)
        third = bench.add(queue)
        queue.resume(first)  # it has no frames yet
        queue.resume(second)
        assert states(queue) == ["running", "queued", "running"]
        assert (first.device, third.device) == ("cuda:1", "cuda:0")
        fake()[-2].end(0)  # cuda:0 is free, and second waits for cuda:1
        until(lambda: third.state == "done")
        assert second.state == "queued"
        fake()[-1].end(0)
        until(lambda: second.state == "running")
        assert second.device == "cuda:1" and "--resume" in fake()[-1].arguments
    with bench.queue(both) as again:  # restarted
        assert again.get(second.id).state == "running" and len(fake()) == 6
        assert fake()[-1].arguments[-3:] == ["--device", "cuda:1", "--resume"]
    with bench.queue(both[:1]) as again:
        found = again.get(second.id)
        assert found.state == "failed" and len(fake()) == 6
        assert "start vidstyle studio with --device cuda:1" in found.message


def test_device_names_are_checked():
    assert device_names("auto") in (["cpu"], ["cuda"], ["mps"]) and device_names("cpu") == ["cpu"]
    for wrong, words in (("cpu,cpu", "names cpu twice"), ("cpu,x", "unknown device 'x'")):
        with pytest.raises(ValueError, match=words):
            device_names(wrong)
    with pytest.raises(DeviceError, match="cuda:99 is not available"):
        device_names("cpu, cuda:99")


def test_queue_paused_job_lets_the_next_one_run(bench, fake):
    with bench.queue() as queue:
        first, second = bench.add(queue), bench.add(queue)
        queue.pause(second)
        queue.pause(first)
        until(lambda: first.pid is None)
        assert states(queue) == ["paused", "paused"]
        queue.resume(second)
        queue.resume(first)
        assert states(queue) == ["queued", "running"]
        assert queue.uses(bench.clip.id) and queue.uses("ink") and not queue.uses("dots")


@pytest.fixture
def mask(bench):
    upload = bench.library.begin_mask(bench.clip, "left.png")
    cv2.imwrite(str(upload.path), np.eye(48, 64, dtype=np.uint8) * 255)
    return bench.library.finish_mask(bench.clip, upload)


@pytest.mark.parametrize(("device", "state"), [("cuda:0", "running"), ("cpu", "queued")])
def test_queue_carries_masks_on_the_cpu(bench, mask, fake, device, state):
    with bench.queue(devices=(device,)) as queue:
        bench.add(queue)
        queue.carry(bench.clip, mask)
        assert states(queue) == ["running", state]
        fake()[0].end(0)
        until(lambda: queue.jobs[0].state == "done")
        assert queue.jobs[1].state == "running" and queue.jobs[1].device == "cpu"


def test_queue_carries_a_mask_once_at_a_time(bench, mask, fake):
    with bench.queue() as queue:
        job = queue.carry(bench.clip, mask)
        assert queue.carry(bench.clip, mask) is job and len(fake()) == 1
        fake()[-1].end(1)
        until(lambda: job.state == "failed")
        assert queue.carry(bench.clip, mask) is not job


def test_queue_job_without_clip_fails(bench, fake):
    with bench.queue() as queue:
        first, second = bench.add(queue), bench.add(queue)
        bench.library.remove_clip(bench.clip.id)
        fake()[-1].end(0)
        until(lambda: second.state == "failed")
        assert "removed" in second.message and first.state == "done"
        with pytest.raises(JobError, match="removed"):
            queue.resume(second)


def test_queue_job_with_its_output_is_done_after_a_crash(bench, fake):
    with bench.queue() as queue:
        job = bench.add(queue)
        part = queue.output(job).with_name("clip_ink.part")
        part.mkdir()
    queue.output(job).write_text("complete")
    with bench.queue() as again:
        assert states(again) == ["done"] and again.get(job.id).bytes == 8
        assert not part.exists() and len(fake()) == 1


def test_queue_ignores_damaged_jobs(bench, fake):
    with bench.queue() as queue:
        job = bench.add(queue)
    path = queue.output(job).parent / "job.json"
    found = json.loads(path.read_text())
    for wrong in ("", "[]", json.dumps({**found, "file": "../x"}), json.dumps({"id": job.id})):
        path.write_text(wrong)
        assert JobQueue(bench.folder / "jobs", bench.library).jobs == []


def test_end_orphan_ends_only_the_process_it_names():
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        start = process_start(process.pid)
        if not start:
            process.kill()
            pytest.skip("this system does not tell when a process started")
        end_orphan(process.pid, start + "1")
        assert process.poll() is None
        end_orphan(process.pid, start)
        assert process.wait(SECONDS) == -signal.SIGTERM
    assert process_start(process.pid) != start


SERVER = """
import sys, time
from pathlib import Path
from vidstyle.studio.devices import Devices
from vidstyle.studio.jobs import JobQueue
from vidstyle.studio.library import Library
from vidstyle.studio.plan import Plan
folder = Path(sys.argv[1])
library = Library(folder)
queue = JobQueue(folder / "jobs", library, Devices(["cpu"]))
queue.start()
settings = {"steps": 1, "initial_steps": 2, "working_size": 64}
job = queue.add(Plan(library.clips[0], library.style("ink"), "draft", settings))
while job.done < 8:
    time.sleep(0.01)
print(job.id, job.pid, flush=True)
time.sleep(600)
"""


def test_queue_of_a_killed_server_is_taken_over(long_bench):
    command = [sys.executable, "-P", "-c", SERVER, str(long_bench.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        number, pid = server.stdout.readline().split()
        server.kill()
    assert int(pid) > 0
    with long_bench.queue() as queue:
        job = queue.get(number)
        assert job.pid != int(pid)
        until(lambda: job.state not in ("queued", "running"))
        assert (job.state, job.message) == ("done", "")
        assert len(times_of(queue.output(job))) == 30


def test_render_process_tells_its_last_message(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("vidstyle: of an earlier render\n")
    process = RenderProcess(["rendre"], log)
    assert not list(process.events()) and process.wait() == 2
    assert process.last_message().startswith("'rendre' is neither a command")
