"""Make docs/studio.jpg and docs/studio-edits.jpg: the studio with a sample clip, and with keyframes
and a mask, in a headless Chromium.

python docs/make_studio_pictures.py
"""

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from make_mask import boat_masks, read

from vidstyle.studio.server import Studio
from vidstyle.web.address import listen

ROOT = Path(__file__).parent.parent
CLIP, STYLE, MOMENT = ROOT / "samples" / "clips" / "boat.mp4", "strokes", 1.0
OUTPUT, EDITS_OUTPUT = ROOT / "docs" / "studio.jpg", ROOT / "docs" / "studio-edits.jpg"
KEYFRAMES = ((0.5, "watercolor", 0.8), (1.5, "ink", 0.4))
"""(time in seconds, style, fade in seconds) of each keyframe."""

EDITS_MOMENT, REGION_STYLE = 1.0, "glass"
RATE = 12
"""Frames per second of the clip."""
SIZE, QUALITY = (1440, 960), 78

TIMEOUT_SECONDS = 120

CHOOSE = """
document.getElementById(`style-${arguments[0]}`).click();
const time = document.getElementById("time");
time.value = arguments[1];
time.dispatchEvent(new Event("input"));
"""

ADD_KEYFRAME = """
const [at, style, fade] = arguments;
const time = document.getElementById("time");
time.value = at;
time.dispatchEvent(new Event("input"));
document.getElementById("key-add").click();
for (const [name, value] of [["style", style], ["fade", fade]]) {
  const field = document.getElementById(`key-${name}`);
  field.value = value;
  field.dispatchEvent(new Event("change"));
}
"""

USE_MASK = """
const use = document.querySelector("#mask-list select");
use.value = arguments[0];
use.dispatchEvent(new Event("change"));
use.scrollIntoView({ block: "center" });
"""

HAS_MASK = "return document.querySelectorAll('#mask-list .mask').length === 1"
IS_STALE = "return document.querySelector('.stale') !== null"
IS_CURRENT = "return document.querySelector('.stale') === null"
IS_PAINTED = "return document.getElementById('note').textContent.startsWith('painted in')"
HAS_FRAME = "return document.getElementById('frame').naturalWidth > 0"
QUEUE = "document.getElementById('render').click()"
IS_RUNNING = """
const item = document.querySelector("#jobs li[data-state=running]");
return item !== null && item.querySelector("progress").value > 0.3;
"""


def wait(driver, script):
    """Wait until a script returns true."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while not driver.execute_script(script):
        if time.monotonic() > end:
            raise TimeoutError(script)
        time.sleep(0.05)


def photograph(driver, url):
    """The page with a painted frame and a render under way, (H, W, 3) BGR."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False},
    )
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    driver.get(url)
    driver.find_element("id", "clip-file").send_keys(str(CLIP))
    wait(driver, HAS_FRAME)
    driver.execute_script(CHOOSE, STYLE, MOMENT)
    wait(driver, IS_PAINTED)
    driver.execute_script(QUEUE)
    wait(driver, IS_RUNNING)
    return screenshot(driver)


def photograph_edits(driver, folder):
    """The same page with keyframes and the mask of the boat, (H, W, 3) BGR."""
    mask = boat_masks(read(CLIP))[round(EDITS_MOMENT * RATE)]
    cv2.imwrite(str(folder / "boat.png"), mask)
    for keyframe in KEYFRAMES:
        driver.execute_script(ADD_KEYFRAME, *keyframe)
    driver.find_element("id", "mask-file").send_keys(str(folder / "boat.png"))
    wait(driver, HAS_MASK)
    driver.execute_script(USE_MASK, REGION_STYLE)
    driver.execute_script(CHOOSE, STYLE, EDITS_MOMENT)
    wait(driver, IS_STALE)
    wait(driver, IS_CURRENT)
    wait(driver, IS_PAINTED)
    return screenshot(driver)


def screenshot(driver):
    """What the browser shows, (H, W, 3) BGR."""
    return cv2.imdecode(np.frombuffer(driver.get_screenshot_as_png(), np.uint8), 1)


def main():
    """Write the picture."""
    sys.path.insert(0, str(ROOT / "tests"))
    from page_session import browser

    with (
        tempfile.TemporaryDirectory() as folder,
        browser() as driver,
        closing(Studio(listen("127.0.0.1:0", "--address"), Path(folder))) as studio,
    ):
        studio.open()
        picture = photograph(driver, studio.url)
        for job in studio.queue.jobs:
            studio.queue.cancel(job)
        edits = photograph_edits(driver, Path(folder))
    for path, image in ((OUTPUT, picture), (EDITS_OUTPUT, edits)):
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
