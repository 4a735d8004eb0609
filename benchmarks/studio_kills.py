"""Kill the server of the studio at random moments, start it again each time, and check its queue.

python benchmarks/studio_kills.py [--kills 20] [--jobs 3] [--seed 0]
    [--json benchmarks/results/studio-kills.json]
"""

import argparse
import atexit
import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import torch
from kills import digest_of, make_clip

from vidstyle.bench.results import machine

SHORTEST_SECONDS, LONGEST_SECONDS = 0.2, 8.0
"""Range of the time from the server's first answer to its end."""

START_SECONDS = 120
"""Time limit in seconds for the server's first answer."""

SETTINGS = {"working_size": 160, "initial_steps": 10}

ENDED = ("done", "failed", "cancelled")


class Server:
    """A server of the studio in a process of its own.

    Args:
        folder: of the studio.
        flags: further ones of ``vidstyle studio``.
    """

    def __init__(self, folder, *flags):
        command = [sys.executable, "-m", "vidstyle", "studio", "--no-browser", "--folder", folder]
        command += flags
        self._process = subprocess.Popen(
            [*map(str, command), "--address", "127.0.0.1:0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._process.kill)
        address = next(
            found[0]
            for line in self._process.stderr
            if (found := re.search(r"http://[^\s?]+", line))
        )
        self.client = httpx.Client(base_url=address, timeout=START_SECONDS)

    @property
    def pid(self):
        """The number of its process."""
        return self._process.pid

    def jobs(self):
        """The jobs, as the page gets them."""
        return self.client.get("/api/state").json()["jobs"]

    def kill(self):
        """End the server as a crash does."""
        self.client.close()
        self._process.kill()
        self._process.wait()


def submit(server, clip, count):
    """Upload the clip, and queue renders of it."""
    data = clip.read_bytes()
    added = server.client.post("/api/clips", params={"name": clip.name}, content=data).json()
    for style in ("ink", "strokes", "mosaic", "glass")[:count]:
        wanted = {"clip": added["id"], "style": style, "preset": "draft", "settings": SETTINGS}
        server.client.post("/api/jobs", json=wanted).raise_for_status()


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    chance, rows = random.Random(args.seed), []
    with TemporaryDirectory() as name:
        folder, clip = Path(name) / "studio", Path(name) / "in.mp4"
        make_clip(clip)
        expected = digest_of(clip)[1]
        server = Server(folder)
        submit(server, clip, args.jobs)
        for number in range(args.kills):
            seconds = chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS)
            time.sleep(seconds)
            states = [job["state"] for job in server.jobs()]
            server.kill()
            server = Server(folder)
            rows.append({"killed_after_seconds": round(seconds, 3), "states": states})
            kept = len(server.jobs())
            rows[-1]["jobs_after_restart"] = kept
            print(f"{number + 1}/{args.kills}: {rows[-1]}", file=sys.stderr)
        while any(job["state"] not in ENDED for job in server.jobs()):
            time.sleep(1)
        complete = 0
        for job in server.jobs():
            output = Path(name) / f"{job['id']}.mp4"
            output.write_bytes(server.client.get(f"/api/jobs/{job['id']}/output").content)
            complete += job["state"] == "done" and digest_of(output)[1] == expected
        server.kill()
    lost = args.jobs - complete
    print(f"{len(rows)} kills, {args.jobs} jobs of {expected} frames: {lost} lost")
    if args.json:
        summary = {"seed": args.seed, "jobs": args.jobs, "frames": expected, "lost": lost}
        made_on = machine(torch.device("cpu"))
        args.json.write_text(
            json.dumps({"machine": made_on, **summary, "kills": rows}, indent=1) + "\n"
        )
    return 0 if lost == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
