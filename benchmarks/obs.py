"""How soon, and how true, pictures are in OBS: a real one without a screen, fed 30 pictures of 640 x 360 per second.

Through shared memory, the control page's MJPEG, and the streams of ``vidstyle live -o``.

python benchmarks/obs.py [--seconds 300] [--json benchmarks/results/obs-cpu.json]

Nothing is painted meanwhile: this is the way from vidstyle's screens into OBS alone. The clock is drawn into each picture as it
is handed over, and read from OBS's own screenshots; half of what a screenshot takes is counted.
"""

import argparse
import os
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import numpy as np
import torch

from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.live.broadcast import Broadcast
from vidstyle.live.obs import MEDIA_KIND, SCRIPT_KIND, Remote, connect, install
from vidstyle.live.sharedpicture import SharedPicture
from vidstyle.live.stopwatch import age, clock_of, with_clock
from vidstyle.live.web import Page, listen

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from obs_room import room
from patches import PATCHES, middles, patches

SIZE, RATE = (640, 360), 30
STREAMS = {"udp": "udp://{}:{}", "rtmp": "rtmp://{}:{}/live/x", "rtsp": "rtsp://{}:{}/x", "tcp": "tcp://{}:{}"}


class Nobody:
    """In place of a session."""

    state = {}  # noqa: RUF012 (never changed)


def feed(screens, ended):
    """Show patches of colour with a clock above them, at the rate."""
    image = patches(SIZE)
    due = time.monotonic()
    while not ended.is_set():
        for screen in screens:
            screen.show(with_clock(image))
        due += 1 / RATE
        time.sleep(max(0.0, due - time.monotonic()))


def watch(obs, seconds):
    """Ages of the picture in OBS, one every quarter of a second, and the last picture."""
    ages, image, end = [], None, time.monotonic() + seconds
    while time.monotonic() < end:
        moment, image = obs.shot()
        clock = None if image is None else clock_of(image)
        if clock is not None:
            ages.append(1000 * age(clock, moment))
        time.sleep(0.25)
    return ages, image


def rows_of(obs, name, seconds, target=""):
    """The figures of the way in that is connected."""
    time.sleep(5)
    ages, image = watch(obs, seconds)
    tenth = max(1, len(ages) // 10)
    return [
        Row(f"{name}: delay, median of {seconds:g} s", statistics.median(ages), "ms", target),
        Row(f"{name}: delay, 95th percentile", float(np.percentile(ages, 95)), "ms"),
        Row(f"{name}: delay of the last tenth", statistics.median(ages[-tenth:]), "ms"),
        Row(f"{name}: worst of eight patches of colour", int(np.abs(middles(image) - PATCHES).max()), "levels", "<= 3"),
    ]


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        home, port, ended = Path(folder), room.free_port(), Event()
        room.furnish(home, port, SIZE)
        os.environ["HOME"] = folder
        install()
        server = listen("127.0.0.1:0")
        page = Page(server)
        screens = [SharedPicture(), page]
        for screen in screens:
            screen.open(Nobody())
        feeder = Thread(target=feed, args=(screens, ended))
        feeder.start()
        try:
            with room.running(home, port), closing(Remote(f"127.0.0.1:{port}", "")) as obs:
                short, address = min(60, args.seconds), page.url[7:-1]
                connect(obs, address, SCRIPT_KIND)
                rows = rows_of(obs, "shared memory", short, "<= 35")
                connect(obs, address, MEDIA_KIND)
                rows += rows_of(obs, "MJPEG", args.seconds, "<= 80")
                for name, stream in STREAMS.items():
                    number = room.free_port()
                    connect(obs, address, MEDIA_KIND, stream.format("0.0.0.0", number))
                    screens.append(Broadcast(stream.format("127.0.0.1", number), RATE))
                    screens[-1].open(Nobody())
                    rows += rows_of(obs, name, short)
                    screens.pop().close()
        finally:
            ended.set()
            feeder.join()
            for screen in screens:
                screen.close()
    for row in rows:
        print(row_text(row))
    if args.json:
        write_results(args.json, rows, machine(torch.device("cpu")))


if __name__ == "__main__":
    main()
