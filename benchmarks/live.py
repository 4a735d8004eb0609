"""Frame rate, latency and start of a live session, with a clip in place of the webcam.

    python benchmarks/live.py [--frames 2000] [--fps 30] [--json benchmarks/results/live-cpu.json]

A clock is drawn into each camera image. The session shows the source next to the stylised frame
(``--compare``), and the clock is read from the shown source: latency is the time from the camera
image to its display. The display is a stand-in; with DISPLAY set, the times from the start to the
first frames are measured in a real window.
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
from live_look import look_rows

import vidstyle as vs
from vidstyle.bench.clips import object_clip
from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.live.camera import Camera, PacedFile
from vidstyle.live.defaults import live_settings
from vidstyle.live.latency_stamp import draw_stamp, read_stamp, stamp_age
from vidstyle.live.loop import live
from vidstyle.live.session import Session, prepare_styles
from vidstyle.live.startup import LiveOptions
from vidstyle.live.virtual_camera import VirtualCamera
from vidstyle.runtime.device import open_files, resident_memory

ROOT = Path(__file__).parent.parent
SIZE, CAMERA_FPS, STYLES = (320, 180), 30, ("strokes", "watercolor", "ink")
WARM_UP_FRAMES = 200
"""Frames left out of the figures, during which the session chooses steps and working size."""

SWITCH_EVERY_FRAMES = 100
GONE_FROM, GONE_UNTIL, UNPLUGGED_SECONDS = 6.0, 9.0, 14.0
"""Start and end of the disconnection and length of that session, seconds."""

STARTS = 5
"""Starts of the command that the times to the first frames are measured on."""

VIRTUAL_CAMERA_SECONDS = 60

OPENMP_THREADS = "vidstyle-cpu-watch", "vidstyle-openmp-team"
"""Names of threads of ``runtime.openmp``."""


class ClockedFile(PacedFile):
    """A clip at its frame rate, with a clock drawn into each frame."""

    def _read_frames(self):
        for frame in super()._read_frames():
            yield replace(frame, image=draw_stamp(frame.image))


class UnpluggedCapture:
    """Stand-in for ``cv2.VideoCapture`` of a webcam that is disconnected for a while."""

    def __init__(self, images):
        self._images, self._began, self._next = images, None, 0.0
        self.reconnected = None

    def __call__(self, name):
        return self

    def _connected(self):
        self._began = self._began or time.monotonic()
        return not GONE_FROM < time.monotonic() - self._began < GONE_UNTIL

    def isOpened(self):  # noqa: N802 (OpenCV's name)
        return self._connected()

    def read(self):
        if not self._connected():
            return False, None
        if time.monotonic() - self._began >= GONE_UNTIL and self.reconnected is None:
            self.reconnected = self._began + GONE_UNTIL
        now = time.monotonic()
        self._next = max(self._next + 1 / CAMERA_FPS, now)
        time.sleep(self._next - now)
        return True, draw_stamp(
            self._images[int(self._next * CAMERA_FPS) % len(self._images)][..., ::-1]
        )

    def set(self, *given):
        return True

    def get(self, *given):
        return CAMERA_FPS

    def release(self):
        pass


class RecordingWindow:
    """Stand-in for the window: records the clock of each shown frame and switches styles.

    Args:
        features: for their device.
        count: number of frames after which it closes; None: it neither closes nor switches styles.
    """

    def __init__(self, features, count=None):
        self.shown, self.switched, self.usage = [], [], []
        self._device, self._count = features.device, count

    def show(self, image, lines=()):
        clock, now = (
            read_stamp(image[:, : image.shape[1] // 2]),
            time.monotonic(),
        )  # the source is on the left
        self.shown.append((now, None if clock is None else now - stamp_age(clock)))
        if len(self.shown) in (WARM_UP_FRAMES, self._count):
            self.usage.append((resident_memory(self._device), open_files()))

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

    def intervals(self):
        """Seconds between successive shown frames, without warm-up."""
        return [after[0] - before[0] for before, after in pairwise(self.shown[WARM_UP_FRAMES:])]


def camera_images():
    """Two seconds of an object that moves forth and back, so that a loop has no jump."""
    images = [frame.image for frame in object_clip("object", SIZE, CAMERA_FPS, 4.3).frames]
    return images + images[-2:0:-1]


def make_clip(path, images):
    """Write them to a file."""
    with vs.VideoWriter(
        path, vs.VideoInfo(SIZE, Fraction(CAMERA_FPS), Fraction(1, 90000))
    ) as writer:
        for number, image in enumerate(images):
            writer.send(vs.Frame(image, Fraction(number, CAMERA_FPS), Fraction(1, CAMERA_FPS)))


class Studio:
    """Features and styles of the sessions."""

    def __init__(self):
        self.features = vs.load_features("bundled", "auto")
        files = [ROOT / "samples" / "styles" / f"{name}.jpg" for name in STYLES]
        self.styles = [(file.stem, vs.Style.from_images([file], self.features)) for file in files]

    def run(self, camera, window, options, outputs=()):
        """Run a session that shows the source next to the stylised frame; return its stylizer."""
        stylizer = vs.Stylizer(
            self.features,
            self.styles[0][1],
            live_settings(),
        )
        prepare_styles([style for _, style in self.styles], stylizer, SIZE)
        session = Session(options, camera, stylizer, self.styles, window, outputs)
        window.session = session
        session.actions["side_by_side"]()
        live(session, camera, stylizer)
        return stylizer


def pace_rows(studio, clip, count, fps):
    """Frame rate, latency, jitter, style switches, memory."""
    window = RecordingWindow(studio.features, count)
    with ClockedFile(clip, loop=True) as camera:
        stylizer = studio.run(camera, window, LiveOptions(fps=fps))
    (memory, files), (memory_after, files_after) = window.usage
    growth = f"memory after {count} frames relative to {WARM_UP_FRAMES} frames"
    # Those of OpenMP, which follow other programs' use of the CPU, end some seconds after the last
    # frame.
    names = [thread.name for thread in threading.enumerate()]
    ours = [name for name in names if name.startswith("vidstyle") and name not in OPENMP_THREADS]
    threads = len(ours)
    return [
        Row("frames per second", 1 / statistics.median(window.intervals())),
        Row("working size, long side", max(stylizer.working_size(SIZE)), "px"),
        *latency_rows(window),
        *interval_rows(window),
        Row(growth, memory_after / memory, "", "<= 1.02"),
        Row("threads left over", threads, "", "0"),
        Row("open files left over", files_after - files, "", "0"),
    ]


def latency_rows(window):
    """Times from a camera image to its display."""
    latencies = [when - clock for when, clock in window.shown[WARM_UP_FRAMES:]]
    median, tenth = statistics.median(latencies), len(latencies) // 10
    last, first = statistics.median(latencies[-tenth:]), statistics.median(latencies[:tenth])
    relative = median / statistics.median(window.intervals())
    return [
        Row("added latency, in median frame intervals", relative, "", "<= 1.5"),
        Row("added latency", 1000 * median, "ms"),
        Row("latency of the last tenth relative to the first tenth", last / first),
    ]


def interval_rows(window):
    """Times between two shown frames, in general and after switches of style."""
    intervals = window.intervals()
    median, slow = statistics.median(intervals), sorted(intervals)[int(0.95 * len(intervals))]
    wrong = sum(after[1] <= before[1] for before, after in pairwise(window.shown[WARM_UP_FRAMES:]))
    around = [(max(0, n - 5), n + 45) for n in (n - WARM_UP_FRAMES for n in window.switched)]
    longest = [max(intervals[start:end]) / median for start, end in around]
    name = "95th percentile of the frame interval relative to its median"
    switch = "style switch: longest interval, in median intervals"
    return [
        Row(name, slow / median, "", "<= 1.25"),
        Row("frames stylised twice or shown out of order", wrong, "", "0"),
        Row(f"{switch}, median of all switches", statistics.median(longest), "", "<= 2"),
        Row(f"{switch}, longest of all switches", max(longest), "", "<= 2"),
        Row("longest interval of the run, in median intervals", max(intervals) / median),
    ]


class FakeDriver:
    """Stand-in for a virtual camera's driver: copies each image and notes the time."""

    device = "fake"

    def __init__(self, *given):
        self.times = []

    def send(self, image):
        """Take one image, as pyvirtualcam does."""
        self.times.append(time.monotonic())
        image.copy()

    def close(self):
        pass


def virtual_camera_rows(studio, clip):
    """Frame rate of a virtual camera while the session shows a third of it."""
    driver, window = FakeDriver(), RecordingWindow(studio.features)
    camera = VirtualCamera(open_device=lambda *given: driver)
    with ClockedFile(clip, loop=True) as source:
        studio.run(
            source, window, LiveOptions(fps=10, seconds=VIRTUAL_CAMERA_SECONDS + 10), [camera]
        )
    times = [when for when in driver.times if when > driver.times[-1] - VIRTUAL_CAMERA_SECONDS]
    span = times[-1] - times[0]
    figure = f"virtual camera, 1280 x 720, {VIRTUAL_CAMERA_SECONDS} s: frames per second"
    return [
        Row(figure, (len(times) - 1) / span, "", "29.4 to 30.6"),
        Row("stylised frames per second meanwhile", window.session.display.stylized_fps),
    ]


def unplugged_row(studio, images):
    """Time from the camera's reconnection to its first shown frame."""
    device, window = UnpluggedCapture(images), RecordingWindow(studio.features)
    with Camera(0, capture=device) as camera:
        studio.run(camera, window, LiveOptions(seconds=UNPLUGGED_SECONDS))
    back = next(
        when for when, clock in window.shown if when > device.reconnected and clock is not None
    )
    assert any(clock is None for _, clock in window.shown), "the placeholder was never shown"
    return Row(
        "camera reconnected: time to the first frame", back - device.reconnected, "s", "<= 3"
    )


CHILD = """
import sys, time
from vidstyle import cli
from vidstyle.live import window
show = window.Window.show
def noted(self, image, lines=()):
    show(self, image, lines)
    kind = "stylized" if any("fps" in line for line in lines) else "camera"
    if kind not in seen:
        seen.add(kind)
        print(kind, time.monotonic(), flush=True)
seen = set()
window.Window.show = noted
cli.main(["live", "--camera", sys.argv[1], "--loop", "-t", "4"])
"""


def first_rows(clip):
    """Times from the start of the command to the first frames in a window."""
    found = {"camera": [], "stylized": []}
    for _ in range(STARTS):
        began = time.monotonic()
        command = [sys.executable, "-c", CHILD, str(clip)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for line in output.splitlines():
            kind, when = line.split()
            found[kind].append(float(when) - began)
    return [
        Row(
            f"start to the first camera image in the window, longest of {STARTS}",
            max(found["camera"]),
            "s",
            "<= 1",
        ),
        Row(
            f"start to the first stylised frame in the window, longest of {STARTS}",
            max(found["stylized"]),
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
        clip, images, studio = Path(folder) / "clip.mp4", camera_images(), Studio()
        make_clip(clip, images)
        rows = first_rows(clip) if os.environ.get("DISPLAY") else []
        rows += [
            *pace_rows(studio, clip, args.frames, args.fps),
            *look_rows(studio.features, studio.styles[:2], clip),
            unplugged_row(studio, images),
            *virtual_camera_rows(studio, clip),
        ]
    for row in rows:
        print(row_text(row))
    if args.json:
        write_results(args.json, rows, machine(torch.device("cpu")))


if __name__ == "__main__":
    main()
