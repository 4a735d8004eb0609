"""Previews of the studio: what is kept between them, their turns, and many viewers at once."""

import asyncio
import json
import os
import threading
from contextlib import suppress
from itertools import count
from threading import Event, Thread

import cv2
import httpx
import numpy as np
import pytest
from conftest import until
from studio_session import (
    SECONDS,
    FakeProcess,
    client_of,
    decoded,
    events_of,
    make_previews_quick,
    open_studio,
    upload,
    uploaded_clip,
)

from vidstyle.studio.devices import Devices
from vidstyle.studio.frames import Recent
from vidstyle.studio.preview import KEPT_PAINTINGS
from vidstyle.studio.preview_request import UNSEEN
from vidstyle.studio.turns import StoppedError, Turns


@pytest.fixture
def studio(tmp_path, monkeypatch, features):
    """A studio with the tiny network for previews."""
    make_previews_quick(monkeypatch, features)
    with open_studio(tmp_path / "studio") as made:
        yield made


@pytest.fixture
def client(studio):
    with client_of(studio) as found:
        yield found


@pytest.fixture
def clip_id(client, tmp_path):
    return uploaded_clip(client, tmp_path)


def half_mask(left, right):
    """A mask as PNG, of two levels."""
    mask = np.full((48, 64), right, np.uint8)
    mask[:, :32] = left
    return cv2.imencode(".png", mask)[1].tobytes()


@pytest.fixture
def mask_id(client, clip_id):
    data = half_mask(255, 0)
    return upload(client, data, "half.png", f"clips/{clip_id}/masks").json()["id"]


def preview(client, **body):
    """The stages of a preview but for waiting, and its last image."""
    with client.stream("POST", "/api/previews", json=body) as answer:
        events = [event for event in events_of(answer) if event["stage"] != "waiting"]
    return [event["stage"] for event in events], decoded(events[-2]["image"])


def test_studio_change_of_the_blend_takes_no_iterations(client, clip_id, mask_id, monkeypatch):
    body = {"clip": clip_id, "style": "ink", "preset": "draft", "mask": mask_id}
    changes = {"strength": 0.6, "original_colors": True, "temporal": 0.9, "steps": 9}
    changes |= {"initial_steps": 300, "working_size": 256}
    assert set(changes) == set(UNSEEN)
    stages, whole = preview(client, **body)
    assert stages[0] == "coarse"
    stages, blended = preview(client, **body, settings=changes)
    assert stages == ["fine", "end"] and (blended != whole).any()
    monkeypatch.setattr("vidstyle.studio.preview.KEPT_PAINTINGS", 0)
    stages, image = preview(client, **body, settings={"tv_weight": 2.0})
    assert stages[0] == "coarse" and (image != whole).any()
    stages, image = preview(client, **body, settings=changes)  # nothing is kept any more
    assert stages[0] == "coarse" and (image == blended).all()


def test_studio_preview_of_a_changed_mask_is_painted_again(client, studio, clip_id, mask_id):
    body = {"clip": clip_id, "style": "ink", "preset": "draft", "mask": mask_id}
    _, inside = preview(client, **body)
    path = studio.library.mask_path(studio.library.mask(mask_id))
    changed = path.stat().st_mtime_ns
    path.write_bytes(half_mask(0, 255))
    os.utime(path, ns=(changed + 10**9, changed + 10**9))
    stages, outside = preview(client, **body)
    assert stages[0] == "coarse" and (outside != inside).any()


def test_recent_values_are_made_once_and_dropped():
    recent, made, begun, go_on = Recent(2), [], Event(), Event()

    def make(value):
        made.append(value)
        begun.set()
        go_on.wait()
        return value

    found = []
    threads = [Thread(target=lambda: found.append(recent.get("a", lambda: make(1))))]
    threads[0].start()
    begun.wait()
    threads += [Thread(target=lambda: found.append(recent.get("a", lambda: make(2))))]
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert found == [1, 1] and made == [1]
    with pytest.raises(KeyError):
        recent.get("b", lambda: {}["gone"])
    assert recent.get("b", lambda: 3) == 3  # an error is not kept
    recent.get("c", lambda: 4)
    assert recent.get("a", lambda: 5) == 5


def test_turns_short_ones_come_between_and_long_ones_go_on():
    turns, never, order = Turns(), Event(), []

    def take(name, short):
        with turns.turn(never, short=short) as turn:
            order.append(name)
            turn.go_on()

    with turns.turn(never) as turn:
        threads = []
        for name, short in (("long", False), ("first", True), ("second", True)):
            threads.append(Thread(target=take, args=(name, short)))
            threads[-1].start()
            until(lambda: len(turns._queue) == len(threads) + 1)
        assert order == []
        turn.go_on()
        assert order == ["first", "second"] and turn.paused > 0
        threads.append(Thread(target=take, args=("third", True)))
        threads[-1].start()
        until(lambda: len(turns._queue) == 3)
        order.append("went on")
        turn.go_on()
        assert order == ["first", "second", "went on", "third"]
    for thread in threads:
        thread.join()
    assert order[-1] == "long"


def test_turns_long_one_ends_while_short_ones_have_their_turn():
    turns, never, stop, stopped = Turns(), Event(), Event(), Event()
    begun, go_on = Event(), Event()

    def long():
        with suppress(StoppedError), turns.turn(stop) as turn:
            begun.set()
            until(lambda: len(turns._queue) == 2)
            turn.go_on()
        stopped.set()

    def short():
        with turns.turn(never, short=True):
            go_on.wait()

    threads = [Thread(target=long), Thread(target=short)]
    threads[0].start()
    begun.wait()
    threads[1].start()
    stop.set()
    assert stopped.wait(SECONDS)
    go_on.set()
    for thread in threads:
        thread.join()
    assert turns._queue == []


def test_turns_come_in_the_order_of_arrival():
    turns, never, order = Turns(), Event(), []

    def take(name, stop):
        try:
            with turns.turn(stop):
                order.append(name)
        except StoppedError:
            order.append(f"{name} stopped")

    stopped = Event()
    with turns.turn(never):
        threads = []
        for name, stop in (("a", never), ("b", stopped), ("c", never)):
            threads.append(Thread(target=take, args=(name, stop)))
            threads[-1].start()
            until(lambda: len(turns._queue) == len(threads) + 1)
        stopped.set()
        until(lambda: order == ["b stopped"])
    for thread in threads:
        thread.join()
    assert order == ["b stopped", "a", "c"]


class BusyProcess(FakeProcess):
    """A render that tells its progress all the time."""

    def events(self):
        yield {"event": "start", "frames": 10**9, "working_size": [64, 48]}
        for done in count():
            yield {"event": "progress", "done": done}
            if self.ended.wait(0.005):
                return


class Viewer:
    """A window of the studio in another browser: it watches the jobs, and has previews painted."""

    def __init__(self, clients, clip, number):
        self._clients = clients
        self._body = {"clip": clip, "style": "ink", "preset": "draft", "window": f"of {number}"}
        self.jobs, self.events, self.stages, self.coarse = [], 0, [], asyncio.Event()

    async def watch(self, until_jobs):
        """Follow the jobs until they are as they should be."""
        async with self._clients.stream("GET", "/api/events") as answer:
            async for event in self._events_of(answer):
                self.jobs, self.events = event.get("jobs", self.jobs), self.events + 1
                if until_jobs(self.jobs):
                    return

    async def paint(self, time):
        """Have a frame painted, to the end."""
        self.stages = []
        body = {**self._body, "time": time}
        async with self._clients.stream("POST", "/api/previews", json=body) as answer:
            async for event in self._events_of(answer):
                self.stages.append(event["stage"])
                if event["stage"] == "coarse":
                    self.coarse.set()

    async def _events_of(self, answer):
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def test_studio_serves_20_viewers_and_3_renders(client, clip_id, studio, monkeypatch):
    """No preview waits for another window's endless one, streams tell the newest state of the jobs,
    and other requests are answered meanwhile."""
    monkeypatch.setattr("vidstyle.studio.jobs.RenderProcess", BusyProcess)
    monkeypatch.setattr("vidstyle.studio.preview.FINE_STEPS", 100_000)
    monkeypatch.setattr(studio.queue, "_devices", Devices(parallel=3))
    BusyProcess.started = FakeProcess.started = ()

    def all_done(jobs):
        return [job["state"] for job in jobs] == ["done"] * 3

    async def requests():
        """Requests of other kinds."""
        ids = [(await other.post("/api/jobs", json=job)).json()["id"] for _ in range(3)]
        for path in ("/api/state", f"/api/clips/{clip_id}/frame.jpg?time=1", "/api/styles/ink.jpg"):
            assert (await other.get(path)).status_code == 200
        assert (await other.post("/api/estimates", json={"clip": clip_id})).status_code == 200
        assert (await other.post(f"/api/jobs/{ids[0]}/pause")).json()["state"] == "paused"
        assert (await other.post(f"/api/jobs/{ids[0]}/resume")).status_code == 200

    async def crowd():
        viewers = [Viewer(clients, clip_id, number) for number in range(20)]
        watching = [asyncio.create_task(each.watch(all_done)) for each in viewers]
        painting = [asyncio.create_task(each.paint(at / 20)) for at, each in enumerate(viewers)]
        await asyncio.gather(*(each.coarse.wait() for each in viewers))
        await requests()
        assert [each.stages.count("coarse") for each in viewers] == [1] * 20
        assert not any(task.done() for task in (*watching, *painting))
        monkeypatch.setattr("vidstyle.studio.preview.FINE_STEPS", 4)
        await asyncio.gather(*(each.paint(1 + at / 20) for at, each in enumerate(viewers)))
        assert [each.stages[-2:] for each in viewers] == [["fine", "end"]] * 20
        await asyncio.gather(*painting)  # each was stopped by the next one of its window
        while len(running := [each for each in FakeProcess.started if not each.ended.is_set()]) < 3:
            await asyncio.sleep(0.05)
        for process in running:
            process.end(0)
        await asyncio.gather(*watching)
        assert all(each.events > 2 for each in viewers)

    async def limited():
        nonlocal clients, other
        options = {"base_url": studio.url, "timeout": SECONDS}
        async with httpx.AsyncClient(**options) as clients, httpx.AsyncClient(**options) as other:
            await asyncio.wait_for(crowd(), 2 * SECONDS)

    clients = other = None
    job = {"clip": clip_id, "style": "ink", "preset": "draft"}
    asyncio.run(limited())
    until(lambda: not any(each.name == "vidstyle-preview" for each in threading.enumerate()))
    assert studio._previewer._turns._queue == [] and studio._previewer._wanted == {}
    assert len(studio._previewer._optimised) <= KEPT_PAINTINGS
