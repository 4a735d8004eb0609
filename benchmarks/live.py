"""How live is live: a clip with a clock drawn into it in place of a webcam, painted, styles switched on the way.

python benchmarks/live.py [--frames 2000] [--fps 30] [--json benchmarks/results/live-cpu.json]

What is shown has its source beside it, and the clock is read there: latency is from the moment a picture is there to when it is
shown, whatever happens in between. There is no screen; with one (DISPLAY), the time to the first picture is taken in a window.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import vidstyle as vs
from vidstyle.bench.clips import object_clip
from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.live.camera import Camera, PacedFile
from vidstyle.live.latency_stamp import age, clock_of, with_clock
from vidstyle.live.session import Session, live, look_at
from vidstyle.live.startup import FIRST_STEPS, LiveOptions
from vidstyle.live.virtual_camera import VirtualCamera
from vidstyle.runtime.device import open_files, resident_memory

ROOT = Path(__file__).parent.parent
SIZE, CAMERA_FPS, STYLES = (320, 180), 30, ("strokes", "watercolor", "ink")
WARM_UP_FRAMES = 200
"""Until the pace is found: steps and size of the painting are chosen meanwhile."""

SWITCH_EVERY_FRAMES = 100
GONE_FROM, GONE_UNTIL, UNPLUGGED_SECONDS = 6.0, 9.0, 14.0
FIRST_TIMES = 5
VIRTUAL_SECONDS = 60


class Clocked(PacedFile):
    """A clip at its own pace, with a clock in it."""

    def _read_frames(self):
        for frame in super()._read_frames():
            yield replace(frame, image=with_clock(frame.image))


class Unplugged:
    """What OpenCV makes of a webcam that is unplugged for a while."""

    def __init__(self, images):
        self._images, self._began, self._next = images, None, 0.0
        self.back = None

    def __call__(self, name):
        return self

    def _there(self):
        self._began = self._began or time.monotonic()
        return not GONE_FROM < time.monotonic() - self._began < GONE_UNTIL

    def isOpened(self):  # noqa: N802 (OpenCV's name)
        return self._there()

    def read(self):
        if not self._there():
            return False, None
        if time.monotonic() - self._began >= GONE_UNTIL and self.back is None:
            self.back = self._began + GONE_UNTIL
        now = time.monotonic()
        self._next = max(self._next + 1 / CAMERA_FPS, now)
        time.sleep(self._next - now)
        return True, with_clock(
            self._images[int(self._next * CAMERA_FPS) % len(self._images)][..., ::-1]
        )

    def set(self, *given):
        return True

    def get(self, *given):
        return CAMERA_FPS

    def release(self):
        pass


class Watcher:
    """In place of a window: notes when which clock was shown, switches styles, and closes after so many frames."""

    def __init__(self, features, count=None):
        self.shown, self.switched, self.kept = [], [], []
        self._device, self._count = features.device, count

    def show(self, image, lines=()):
        clock, now = (
            clock_of(image[:, : image.shape[1] // 2]),
            time.monotonic(),
        )  # the source is on the left
        self.shown.append((now, None if clock is None else now - age(clock)))
        if len(self.shown) in (WARM_UP_FRAMES, self._count):
            self.kept.append((resident_memory(self._device), open_files()))

    def key(self):
        frames = len(self.shown)
        if frames == self._count:
            return "q"
        if (
            self._count
            and frames > WARM_UP_FRAMES
            and frames % SWITCH_EVERY_FRAMES == 0
            and frames not in self.switched
        ):
            self.switched.append(frames)
            return "n"
        return None

    def close(self):
        pass


def images_of():
    """Two seconds of something that moves before a still ground, there and back so that nothing jumps when it begins again."""
    images = [frame.image for frame in object_clip("object", SIZE, CAMERA_FPS, 4.3).frames]
    return images + images[-2:0:-1]


def make_clip(path, images):
    """The same as a file."""
    with vs.VideoWriter(
        path, vs.VideoInfo(SIZE, Fraction(CAMERA_FPS), Fraction(1, 90000))
    ) as writer:
        for number, image in enumerate(images):
            writer.send(vs.Frame(image, Fraction(number, CAMERA_FPS), Fraction(1, CAMERA_FPS)))


class Studio:
    """All that a session needs but the camera."""

    def __init__(self):
        self.features = vs.load_features("bundled", "auto")
        files = [ROOT / "samples" / "styles" / f"{name}.jpg" for name in STYLES]
        self.styles = [(file.stem, vs.Style.from_images([file], self.features)) for file in files]

    def watch(self, camera, watcher, show, screens=()):
        """Paint what a camera gives, source beside; returns the stylizer."""
        stylizer = vs.Stylizer(
            self.features,
            self.styles[0][1],
            replace(vs.PRESETS["draft"], initial_steps=FIRST_STEPS),
        )
        look_at([style for _, style in self.styles], stylizer, SIZE)
        session = Session(show, camera, stylizer, self.styles, watcher, screens)
        session.press("c")
        live(session, camera, stylizer)
        return stylizer


def pace_rows(studio, clip, count, fps):
    """Rate, latency, jitter, switches, memory."""
    watcher = Watcher(studio.features, count)
    with Clocked(clip, loop=True) as camera:
        stylizer = studio.watch(camera, watcher, LiveOptions(fps=fps))
    shown = watcher.shown[WARM_UP_FRAMES:]
    intervals = [after[0] - before[0] for before, after in pairwise(shown)]
    median, slow = statistics.median(intervals), sorted(intervals)[int(0.95 * len(intervals))]
    late = [when - clock for when, clock in shown]
    wrong = sum(after[1] <= before[1] for before, after in pairwise(shown))
    gaps = [
        max(intervals[max(0, n - WARM_UP_FRAMES - 5) : n - WARM_UP_FRAMES + 45])
        for n in watcher.switched
    ]
    (memory, files), (memory_after, files_after) = watcher.kept
    tenth = len(late) // 10
    return [
        Row("frames per second", 1 / median),
        Row("working size, long side", max(stylizer.working_size(SIZE)), "px"),
        Row(
            "added latency, in median frame intervals",
            statistics.median(late) / median,
            "",
            "<= 1.5",
        ),
        Row("added latency", 1000 * statistics.median(late), "ms"),
        Row(
            "latency of the last tenth relative to the first tenth",
            statistics.median(late[-tenth:]) / statistics.median(late[:tenth]),
        ),
        Row(
            "95th percentile of the frame interval relative to its median",
            slow / median,
            "",
            "<= 1.25",
        ),
        Row("frames stylised twice or shown out of order", wrong, "", "0"),
        Row(
            "style switch: longest interval, in median intervals, median of all switches",
            statistics.median(gaps) / median,
            "",
            "<= 2",
        ),
        Row(
            "style switch: longest interval, in median intervals, longest of all switches",
            max(gaps) / median,
            "",
            "<= 2",
        ),
        Row("longest interval of the run, in median intervals", max(intervals) / median),
        Row(
            f"memory after {count} frames relative to {WARM_UP_FRAMES} frames",
            memory_after / memory,
            "",
            "<= 1.02",
        ),
        Row(
            "threads left over",
            sum(thread.name.startswith("vidstyle") for thread in threading.enumerate()),
            "",
            "0",
        ),
        Row("open files left over", files_after - files, "", "0"),
    ]


class Taker:
    """In place of a virtual camera's driver: takes a copy of each picture."""

    device = "taker"

    def __init__(self, *given):
        self.times = []

    def send(self, picture):
        """Note when, and do what a driver does."""
        self.times.append(time.monotonic())
        picture.copy()

    def close(self):
        pass


def virtual_camera_rows(studio, clip):
    """The rate of a virtual camera while the painting is a third as quick."""
    taker, watcher = Taker(), Watcher(studio.features)
    camera = VirtualCamera(opened=lambda *given: taker)
    with Clocked(clip, loop=True) as source:
        studio.watch(source, watcher, LiveOptions(fps=10, seconds=VIRTUAL_SECONDS + 10), [camera])
    times = [when for when in taker.times if when > taker.times[-1] - VIRTUAL_SECONDS]
    shown = [when for when, _ in watcher.shown if times[0] < when < times[-1]]
    span = times[-1] - times[0]
    figure = f"virtual camera, 1280 x 720, {VIRTUAL_SECONDS} s: frames per second"
    return [
        Row(figure, (len(times) - 1) / span, "", "29.4 to 30.6"),
        Row("stylised frames per second meanwhile", len(shown) / span),
    ]


def unplugged_row(studio, images):
    """From the camera's return to its first picture that is shown."""
    device, watcher = Unplugged(images), Watcher(studio.features)
    with Camera(0, capture=device) as camera:
        studio.watch(camera, watcher, LiveOptions(seconds=UNPLUGGED_SECONDS))
    back = next(when for when, clock in watcher.shown if when > device.back and clock is not None)
    assert any(clock is None for _, clock in watcher.shown), "the slate was never shown"
    return Row("camera reconnected: time to the first frame", back - device.back, "s", "<= 3")


CHILD = """
import sys, time
from vidstyle import cli
from vidstyle.live import window
show = window.Window.show
def noted(self, image, lines=()):
    show(self, image, lines)
    kind = "painting" if any("fps" in line for line in lines) else "picture"
    if kind not in seen:
        seen.add(kind)
        print(kind, time.monotonic(), flush=True)
seen = set()
window.Window.show = noted
cli.main(["live", "--camera", sys.argv[1], "--loop", "-t", "4"])
"""


def first_rows(clip):
    """From the start of the command to the first picture, and to the first painting, in a window."""
    found = {"picture": [], "painting": []}
    for _ in range(FIRST_TIMES):
        began = time.monotonic()
        command = [sys.executable, "-c", CHILD, str(clip)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for line in said.splitlines():
            kind, when = line.split()
            found[kind].append(float(when) - began)
    return [
        Row(
            f"start to the first camera image in the window, longest of {FIRST_TIMES}",
            max(found["picture"]),
            "s",
            "<= 1",
        ),
        Row(
            f"start to the first stylised frame in the window, longest of {FIRST_TIMES}",
            max(found["painting"]),
            "s",
        ),
    ]


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        clip, images, studio = Path(folder) / "clip.mp4", images_of(), Studio()
        make_clip(clip, images)
        rows = first_rows(clip) if os.environ.get("DISPLAY") else []
        rows += [
            *pace_rows(studio, clip, args.frames, args.fps),
            unplugged_row(studio, images),
            *virtual_camera_rows(studio, clip),
        ]
    for row in rows:
        print(row_text(row))
    if args.json:
        write_results(args.json, rows, machine(torch.device("cpu")))


if __name__ == "__main__":
    main()
