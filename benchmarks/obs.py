"""Delay and colour error of 640 x 360 images at 30 frames per second in a headless OBS.

    python benchmarks/obs.py [--seconds 300] [--json benchmarks/results/obs-cpu.json]

The images come through shared memory, the control page's MJPEG, and the streams of
``vidstyle live -o``. They are not stylised: only the path from vidstyle's outputs into OBS is
measured. A clock is drawn into each image at output and read from screenshots of OBS; half of the
time of a screenshot counts as delay.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import numpy as np
import torch

from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.errors import DeviceError
from vidstyle.live.latency_stamp import draw_stamp, read_stamp, stamp_age
from vidstyle.live.obs import MEDIA_KIND, SCRIPT_KIND, SOURCE, connect_source, request_page
from vidstyle.live.obs_client import ObsClient
from vidstyle.live.obs_install import install_scripts
from vidstyle.live.shared_memory import SharedMemoryOutput
from vidstyle.live.stream_output import StreamOutput
from vidstyle.live.web.server import Page
from vidstyle.web.address import listen

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from color_patches import PATCHES, color_patches, column_centers
from obs_harness import obs_process

SIZE, RATE = (640, 360), 30
STREAMS = {
    "udp": "udp://{}:{}",
    "rtmp": "rtmp://{}:{}/live/x",
    "rtsp": "rtsp://{}:{}/x",
    "tcp": "tcp://{}:{}",
}


class NoSession:
    """Stand-in for a live session."""

    state = {}  # noqa: RUF012 (never changed)


def feed(outputs, ended):
    """Send colour patches with a clock to all outputs, ``RATE`` times per second."""
    image = color_patches(SIZE)
    due = time.monotonic()
    while not ended.is_set():
        for output in outputs:
            output.show(draw_stamp(image))
        due += 1 / RATE
        time.sleep(max(0.0, due - time.monotonic()))


def watch(obs, seconds):
    """Ages (ms) of the image in OBS, four per second, and the last image."""
    ages, image, end = [], None, time.monotonic() + seconds
    while time.monotonic() < end:
        moment, image = obs.screenshot(SOURCE)
        clock = None if image is None else read_stamp(image)
        if clock is not None:
            ages.append(1000 * stamp_age(clock, moment))
        time.sleep(0.25)
    return ages, image


def rows_of(obs, name, seconds, target=""):
    """Rows of the connected input."""
    print(name, flush=True)
    time.sleep(5)
    ages, image = watch(obs, seconds)
    tenth = max(1, len(ages) // 10)
    return [
        Row(f"{name}: delay, median of {seconds:g} s", statistics.median(ages), "ms", target),
        Row(f"{name}: delay, 95th percentile", float(np.percentile(ages, 95)), "ms"),
        Row(f"{name}: delay of the last tenth", statistics.median(ages[-tenth:]), "ms"),
        Row(
            f"{name}: largest error of eight colour patches",
            int(np.abs(column_centers(image) - PATCHES).max()),
            "levels",
            "<= 3",
        ),
    ]


def looped(obs, stream, flips=20):
    """Delay from a scene of OBS through a stream, a live session and shared memory back into OBS.

    The colour of the scene is changed, and the time is measured until the change arrives. The
    session has ``--strength 0``, so that it keeps the scene's colours.
    """
    page = f"127.0.0.1:{obs_process.free_port()}"
    colours = {"color": 0xFF2040E0, "width": SIZE[0], "height": SIZE[1]}
    obs.request("CreateScene", sceneName="Plain")
    obs.request(
        "CreateInput",
        sceneName="Plain",
        inputName="plain",
        inputKind="color_source_v3",
        inputSettings=colours,
    )
    connect_source(obs, page, SCRIPT_KIND)
    obs.request("SetCurrentProgramScene", sceneName="Plain")
    obs.request("StartRecord")
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "live",
        "strokes",
        "--camera",
        stream,
        "--no-window",
        "--obs",
        "--web",
        page,
    ]
    session = subprocess.Popen([*command, "--strength", "0"], stderr=subprocess.DEVNULL)

    def green():
        image = obs.screenshot(SOURCE)[1]
        return None if image is None else int(image[image.shape[0] // 2, image.shape[1] // 2, 1])

    delays = []
    try:
        obs_process.wait_until(
            lambda: (now := green()) is not None and abs(now - 0x40) < 20
        )  # the colour of the scene
        for number in range(flips):
            before = green()
            colour, began = (0xFF40C820, 0xFF2040E0)[number % 2], time.monotonic()
            obs.request("SetInputSettings", inputName="plain", inputSettings={"color": colour})
            while abs(green() - before) < 60:
                time.sleep(0.03)  # each screenshot takes time of OBS
                assert time.monotonic() - began < 30, "the change did not arrive"
            delays.append(1000 * (time.monotonic() - began))
            time.sleep(0.5 + 0.03 * number)
        rate = request_page(page, "state")["fps"]
    finally:
        session.terminate()
        session.wait()
        with suppress(DeviceError):  # OBS ends anyway
            obs.request("StopRecord")
    name = f"OBS out (udp), stylised at {rate:.0f} frames per second, OBS in (shared memory)"
    return [Row(f"{name}: delay, median of {flips} changes", statistics.median(delays), "ms")]


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        home, port, ended = Path(folder), obs_process.free_port(), Event()
        stream = f"udp://127.0.0.1:{obs_process.free_port()}"
        obs_process.write_config(home, port, SIZE, f"{stream}?pkt_size=1316")
        os.environ["HOME"] = folder
        install_scripts()
        page = Page(listen("127.0.0.1:0"))
        outputs = [SharedMemoryOutput(), page]
        for output in outputs:
            output.open(NoSession())
        feeder = Thread(target=feed, args=(outputs, ended))
        feeder.start()
        try:
            with (
                obs_process.running(home, port),
                closing(ObsClient(f"127.0.0.1:{port}", "")) as obs,
            ):
                obs_process.wait_until(
                    lambda: SCRIPT_KIND in obs.request("GetInputKindList")["inputKinds"]
                )
                short, address = min(60, args.seconds), page.url[7:-1]
                connect_source(obs, address, SCRIPT_KIND)
                rows = rows_of(obs, "shared memory", short, "<= 35")
                connect_source(obs, address, MEDIA_KIND)
                rows += rows_of(obs, "MJPEG", args.seconds, "<= 80")
                for name, form in STREAMS.items():
                    number = obs_process.free_port()
                    connect_source(obs, address, MEDIA_KIND, form.format("0.0.0.0", number))
                    outputs.append(StreamOutput(form.format("127.0.0.1", number), RATE))
                    outputs[-1].open(NoSession())
                    rows += rows_of(obs, name, short)
                    outputs.pop().close()
                ended.set()
                feeder.join()
                outputs[0].close()
                rows += looped(obs, stream)
        finally:
            ended.set()
            feeder.join()
            for output in outputs:
                output.close()
    for row in rows:
        print(row_text(row))
    if args.json:
        write_results(args.json, rows, machine(torch.device("cpu")))


if __name__ == "__main__":
    main()
