"""Time from a request to the pictures of a preview, through the HTTP server of the studio.

python benchmarks/preview.py [--clip CLIP] [--rounds 5] [--json benchmarks/results/preview.json]
    [--viewers 20 --jobs 3]

Without --viewers each preset is measured by one client: a changed setting while nothing is painted,
a changed setting while the last one is being painted, a change of the strength alone, and a frame
that was not shown before, which the client asks for at the same time, as the page does. With
--viewers so many clients ask for one preview each, at once, while renders run. Times are in seconds
and include the JPEG of each picture, but not the browser.
"""

import argparse
import json
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import torch
from studio_kills import START_SECONDS, Server

from vidstyle.bench.results import machine

ROOT = Path(__file__).parents[1]

PRESETS = ("draft", "standard")

LOOK_SECONDS = 0.1
"""Interval in seconds between two requests for the state while viewers wait."""


class Studio:
    """A server with a clip, and the requests of its page.

    Args:
        folder: of the studio.
        clip: file.
        flags: of ``vidstyle studio``.
    """

    def __init__(self, folder, clip, *flags):
        self._server = Server(folder, *flags)
        self.client = self._server.client
        data, name = clip.read_bytes(), {"name": clip.name}
        self.clip = self.client.post("/api/clips", params=name, content=data).json()
        self.step = self.clip["seconds"] / 40  # between two frames that are looked at

    def close(self):
        """End the server."""
        self._server.kill()

    def pictures(self, window="", until="end", client=None, **wanted):
        """Time of each picture of a preview since its request: (stage, seconds).

        Args:
            window: that asks.
            until: stage after which the client leaves.
            client: of HTTP.
            wanted: time, preset and settings.
        """
        body = {"clip": self.clip["id"], "style": "strokes", "window": window, **wanted}
        started, found = time.perf_counter(), []
        with (client or self.client).stream("POST", "/api/previews", json=body) as answer:
            for line in answer.iter_lines():
                if not line.startswith("data: "):
                    continue
                event = json.loads(line.removeprefix("data: "))
                if event["stage"] == "error":
                    raise SystemExit(event["message"])
                if "image" in event:
                    found.append((event["stage"], time.perf_counter() - started))
                if event["stage"] == until:
                    break
        return found

    def frame(self, at):
        """Get a frame as the page does."""
        self.client.get(f"/api/clips/{self.clip['id']}/frame.jpg", params={"time": at, "px": 960})

    def memory_mb(self):
        """Peak memory of the server in MB; None where the system does not tell."""
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self._server.pid}/status").read_text().splitlines()
            line = next(line for line in lines if line.startswith("VmHWM"))
            return round(int(line.split()[1]) / 1000)
        return None


def summary(rounds):
    """Median and longest time of the first, the second and the last picture of some previews."""
    places = {"first": 0, "second": 1, "fine": -1}
    times = {
        name: [found[place][1] for found in rounds if len(found) > place]
        for name, place in places.items()
    }
    return {
        name: {"median": round(statistics.median(found), 3), "longest": round(max(found), 3)}
        for name, found in times.items()
        if found
    }


def measure(studio, preset, count):
    """The times of one preset."""
    studio.pictures(time=0, preset=preset)  # loads what is loaded once
    idle, busy, blend, scrub = [], [], [], []
    for number in range(count):
        changes = {"content_weight": round(0.05 + 0.005 * number, 3)}
        idle.append(studio.pictures(time=0, preset=preset, settings=changes))
        with ThreadPoolExecutor(1) as pool:
            coarse, going = threading.Event(), {"tv_weight": round(0.7 + 0.1 * number, 1)}
            before = pool.submit(superseded, studio, preset, going, coarse)
            coarse.wait()
            time.sleep(2)  # it is painted fine
            changes = {"tv_weight": going["tv_weight"] + 1}
            busy.append(studio.pictures(time=0, preset=preset, settings=changes))
            before.result()
        blend.append(studio.pictures(time=0, preset=preset, settings={**changes, "strength": 0.5}))
    for number in range(count):
        at = round((PRESETS.index(preset) * count + number + 1) * studio.step, 3)
        thread = threading.Thread(target=studio.frame, args=(at,))
        thread.start()
        scrub.append(studio.pictures(time=at, preset=preset))
        thread.join()
    found = {"setting": idle, "setting_while_painting": busy, "strength": blend, "scrub": scrub}
    return {name: summary(rounds) for name, rounds in found.items()}


def superseded(studio, preset, settings, coarse):
    """Have a preview painted until another one of the window takes its place."""
    body = {"clip": studio.clip["id"], "style": "strokes", "preset": preset, "settings": settings}
    with (
        httpx.Client(base_url=studio.client.base_url, timeout=START_SECONDS) as client,
        client.stream("POST", "/api/previews", json=body) as answer,
    ):
        for line in answer.iter_lines():
            if "coarse" in line[:40]:
                coarse.set()
    coarse.set()


def crowd(studio, viewers, jobs):
    """The times of many viewers at once, while renders run."""
    for _ in range(jobs):
        body = {"clip": studio.clip["id"], "style": "ink", "preset": "draft"}
        studio.client.post("/api/jobs", json=body).raise_for_status()

    def view(number):
        with httpx.Client(base_url=studio.client.base_url, timeout=None) as client:
            wanted = {"time": number * studio.step, "preset": "draft", "window": f"of {number}"}
            return studio.pictures(client=client, **wanted)

    answers = []
    with ThreadPoolExecutor(viewers) as pool:
        views = [pool.submit(view, number) for number in range(viewers)]
        while not all(each.done() for each in views):
            started = time.perf_counter()
            studio.client.get("/api/state").raise_for_status()
            answers.append(time.perf_counter() - started)
            time.sleep(LOOK_SECONDS)
    state = {"median": round(statistics.median(answers), 3), "longest": round(max(answers), 3)}
    return {**summary([each.result() for each in views]), "state_answer": state}


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=ROOT / "samples" / "clips" / "boat.mp4")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--viewers", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        studio = Studio(folder, args.clip, "--parallel", str(max(1, args.jobs)))
        try:
            if args.viewers:
                found = {f"{args.viewers} viewers": crowd(studio, args.viewers, args.jobs)}
            else:
                found = {preset: measure(studio, preset, args.rounds) for preset in PRESETS}
            found["peak_memory_mb"] = studio.memory_mb()
        finally:
            studio.close()
    made = {"machine": machine(torch.device("cpu")), "clip": args.clip.name, **found}
    print(json.dumps(made, indent=1))
    if args.json:
        args.json.write_text(json.dumps(made, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
