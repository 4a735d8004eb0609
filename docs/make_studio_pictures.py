"""Make docs/studio.jpg: the studio with a sample clip, in a headless Chromium.

python docs/make_studio_pictures.py
"""

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from vidstyle.studio.server import Studio
from vidstyle.web.address import listen

ROOT = Path(__file__).parent.parent
CLIP, STYLE, MOMENT = ROOT / "samples" / "clips" / "boat.mp4", "strokes", 1.0
OUTPUT = ROOT / "docs" / "studio.jpg"
SIZE, QUALITY = (1440, 900), 78

TIMEOUT_SECONDS = 120

CHOOSE = """
document.getElementById(`style-${arguments[0]}`).click();
const time = document.getElementById("time");
time.value = arguments[1];
time.dispatchEvent(new Event("input"));
"""

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
    cv2.imwrite(str(OUTPUT), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
