"""Delay of the camera of a browser: there and back by WebRTC, beside vidstyle's own latency.

    python benchmarks/webrtc.py [--seconds 30] [--json benchmarks/results/webrtc-cpu.json]

Two stand-ins send a clip whose frames have their number or time drawn into them. aiortc sends it to
a session on this machine, and reads the time from the source that comes back: alone (bypass), or
next to its painting. A headless Chromium, where one is installed, takes the clip for its camera;
its page reads the numbers from the camera's own view and from what comes back. In both all parts
share the same cores: encoders, decoders, vidstyle, the browser.
"""

import argparse
import statistics
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import torch
from webrtc_client import SOUND_WAIT_SECONDS, Client

import vidstyle as vs
from vidstyle.bench.clips import object_clip
from vidstyle.bench.results import Row, machine, row_text, write_results
from vidstyle.io.images import bundled_styles
from vidstyle.live.browser_camera import BrowserCamera
from vidstyle.live.defaults import live_settings
from vidstyle.live.latency_stamp import draw_stamp, read_stamp, stamp_age
from vidstyle.live.loop import live
from vidstyle.live.session import Session, prepare_styles
from vidstyle.live.startup import LiveOptions
from vidstyle.live.web.server import Page
from vidstyle.web.address import listen

ROOT = Path(__file__).parent.parent
SIZE, RATE, STYLE = (320, 180), 30, "strokes"
WARM_UP_SECONDS = 10.0
"""Seconds left out of the figures: the connection, the start of the painting, the bit rate."""

BEEP_SECONDS = 0.1
"""Each second begins with a bright picture and a tone of this duration."""

NUMBER_PX = 20
"""Height of the bar code of a frame's number in the clip for Chromium."""

READ_NUMBERS = """
const done = arguments[0], seconds = arguments[1];
const self = document.createElement("video"), painting = document.getElementById("painting");
self.muted = true;
self.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 180 } });
await self.play();
const canvas = document.createElement("canvas");
canvas.width = 320; canvas.height = 180;
const pen = canvas.getContext("2d", { willReadFrequently: true });
function numberOf(video) {
  pen.drawImage(video, 0, 0, video === painting ? 640 : 320, 180);
  const { data } = pen.getImageData(0, 10, 320, 1);
  let number = 0;
  for (let bit = 0; bit < 16; bit++) {
    if (data[4 * (bit * 20 + 10)] > 128) number |= 1 << bit;
  }
  return number;
}
const captured = new Map(), delays = [], shown = [];
function watch(video, act) {
  const next = (now, data) => { act(now, data); video.requestVideoFrameCallback(next); };
  video.requestVideoFrameCallback(next);
}
watch(self, (now, data) => captured.set(numberOf(self), data.captureTime ?? now));
watch(painting, (now, data) => {
  const before = captured.get(numberOf(painting));
  if (before !== undefined) delays.push(data.expectedDisplayTime - before);
});
const poll = setInterval(() => {
  shown.push(parseInt(document.getElementById("delay").textContent.replace("delay", "")));
}, 1000);
setTimeout(() => { clearInterval(poll); done([delays, shown]); }, 1000 * seconds);
"""


def camera_images():
    """Two seconds of an object that moves forth and back, so that a loop has no jump."""
    images = [frame.image for frame in object_clip("object", SIZE, RATE, 4.3).frames]
    return images + images[-2:0:-1]


@contextmanager
def session_with_page(features, side_by_side=True):
    """A live session with the camera of a browser; yields (session, page)."""
    style = vs.Style.from_images([bundled_styles()[STYLE]], features)
    camera = BrowserCamera(SIZE)
    page = Page(listen("127.0.0.1:0"), camera=camera)
    stylizer = vs.Stylizer(features, style, live_settings())
    prepare_styles([style], stylizer, SIZE)
    session = Session(LiveOptions(), camera, stylizer, [(STYLE, style)], outputs=[page])
    if side_by_side:
        session.display.actions["side_by_side"]()
    thread = threading.Thread(target=live, args=(session, camera, stylizer))
    thread.start()
    try:
        yield session, page
    finally:
        session.command({"do": "quit"})
        thread.join()


def measure_there_and_back(features, seconds, add, bypass):
    """Delay of images that aiortc sends and gets back."""
    images, ages, own = camera_images(), [], []
    name = "bypass" if bypass else "painting"

    def draw(at):
        return draw_stamp(images[int(at * RATE) % len(images)])

    def take(now, frame):
        if frame.format.name != "yuv420p":
            return
        shown = frame.to_ndarray(format="rgb24")
        stamp = read_stamp(shown if bypass else shown[:, : shown.shape[1] // 2])
        if stamp is not None:
            ages.append(stamp_age(stamp))

    with session_with_page(features, side_by_side=not bypass) as (session, page):
        if bypass:
            session.command({"do": "bypass"})
        client = Client(page.url, draw, RATE)
        try:
            client.connect()
            time.sleep(WARM_UP_SECONDS)
            client.take = take
            for _ in range(round(seconds)):
                time.sleep(1)
                own.append(session.status()["latency_ms"])
            stylized = session.status()["stylized_fps"]
        finally:
            client.close()
    total, added = 1000 * statistics.median(ages), statistics.median(own)
    add(f"{name}: from camera to image, median", total, "ms", "<= 100" if bypass else "")
    add(f"{name}: 95th percentile", 1000 * float(np.percentile(ages, 95)), "ms")
    add(f"{name}: vidstyle's own latency in it", added, "ms")
    add(f"{name}: added by WebRTC", total - added, "ms", "<= 100")
    add(f"{name}: images per second", len(ages) / seconds)
    add(f"{name}: stylised frames per second", stylized)


def measure_sound(features, seconds, add):
    """How much later the sound comes back than the picture that was sent with it."""
    bright = np.full((SIZE[1], SIZE[0], 3), 220, np.uint8)
    flashes, beeps, light, loud = [], [], [False], [False]

    def beginning(at):
        return at % 1 < BEEP_SECONDS

    def take(now, frame):
        if isinstance(frame, av.VideoFrame):
            on = frame.to_ndarray(format="gray").mean() > 128
            flashes.extend([now] if on and not light[0] else [])
            light[0] = on
        else:
            on = np.abs(frame.to_ndarray().astype(int)).max() > 4000
            beeps.extend([now] if on and not loud[0] else [])
            loud[0] = on

    with session_with_page(features, side_by_side=False) as (session, page):
        session.command({"do": "bypass"})
        client = Client(
            page.url, lambda at: bright // (1 if beginning(at) else 8), RATE, play=beginning
        )
        try:
            client.connect()
            time.sleep(WARM_UP_SECONDS)
            client.take = take
            time.sleep(seconds)
        finally:
            client.close()
    beeps = [beep - SOUND_WAIT_SECONDS for beep in beeps]
    nearest = [min((beep - flash for beep in beeps), key=abs) for flash in flashes[1:-1]]
    add("sound after picture, median", 1000 * statistics.median(nearest), "ms", "-40 to 60")


def numbered_clip(path):
    """Write the clip for Chromium: each frame has its number as a bar code in its upper rows."""
    images = camera_images()
    with av.open(str(path), "w", format="yuv4mpegpipe") as container:
        stream = container.add_stream("wrapped_avframe", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(len(images) * 5):
            image = images[number % len(images)].copy()
            bits = [255 * (number >> bit & 1) for bit in range(16)]
            image[:NUMBER_PX] = np.repeat(np.array(bits, np.uint8), SIZE[0] // 16)[None, :, None]
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure_chromium(features, seconds, add):
    """Delay from the camera of Chromium to its screen, and what its page says about it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from page_session import browser

    with TemporaryDirectory() as folder:
        clip = Path(folder) / "camera.y4m"
        numbered_clip(clip)
        flags = [
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={clip}",
        ]
        with session_with_page(features) as (session, page), browser(*flags) as driver:
            session.command({"do": "bypass"})
            driver.set_script_timeout(seconds + 30)
            driver.get(page.url)
            time.sleep(2)
            driver.find_element("id", "use_camera").click()
            time.sleep(WARM_UP_SECONDS)
            script = "(async () => {" + READ_NUMBERS.replace("arguments", "given") + "})();"
            script = f"const given = [arguments[1], arguments[0]]; {script}"
            delays, shown = driver.execute_async_script(script, seconds)
    add("Chromium: from camera to screen, median", statistics.median(delays), "ms", "<= 150")
    add("Chromium: 95th percentile", float(np.percentile(delays, 95)), "ms")
    add("Chromium: what the page says, median", statistics.median(shown), "ms")


def main():
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--only", choices=("aiortc", "sound", "chromium"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []

    def add(*row):
        rows.append(Row(*row))
        print(row_text(rows[-1]), flush=True)

    features = vs.load_features("bundled", "cpu")
    if args.only in (None, "aiortc"):
        measure_there_and_back(features, args.seconds, add, bypass=True)
        measure_there_and_back(features, args.seconds, add, bypass=False)
    if args.only in (None, "sound"):
        measure_sound(features, args.seconds, add)
    if args.only in (None, "chromium"):
        measure_chromium(features, args.seconds, add)
    if args.json:
        write_results(args.json, rows, machine(torch.device("cpu")))


if __name__ == "__main__":
    main()
