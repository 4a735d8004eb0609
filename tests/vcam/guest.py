"""The trials in the guest, run as its only user. Each writes its results as JSON to a folder.

python guest.py FOLDER TRIAL,TRIAL,...
"""

import json
import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]
OUT, SELECTED = Path(sys.argv[1]), sys.argv[2].split(",")
os.environ["OPENCV_LOG_LEVEL"] = "ERROR"  # OpenCV logs each attempt to open a missing camera

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from av.video.reformatter import VideoReformatter  # noqa: E402
from color_patches import PATCHES, color_patches, column_centers  # noqa: E402

from vidstyle.live.camera import Camera  # noqa: E402
from vidstyle.live.capture import list_cameras  # noqa: E402
from vidstyle.live.v4l2loopback import diagnose  # noqa: E402
from vidstyle.live.virtual_camera import (  # noqa: E402
    FFmpegConnection,
    PyVirtualCamConnection,
    VirtualCamera,
)

DEVICE, SIZE, RATE = "/dev/video10", (320, 180), 10
LOAD_MODULE = (
    "/bin/busybox",
    "insmod",
    "/run/v4l2loopback.ko",
    "devices=1",
    "video_nr=10",
    "card_label=vidstyle",
    "exclusive_caps=0",
)


def numbered_image(number):
    """Return an image that encodes its number: eight columns, black or white."""
    bits = [255 * (number >> bit & 1) for bit in range(8)]
    row = np.repeat(np.array(bits, np.uint8), SIZE[0] // 8)
    return row[None, :, None].repeat(SIZE[1], 0).repeat(3, 2)


def number_of(image):
    columns = image[SIZE[1] // 2, SIZE[0] // 16 :: SIZE[0] // 8].mean(-1)
    return sum(int(level > 128) << bit for bit, level in enumerate(columns))


def read_device(count, images, device=DEVICE):
    """Read from the virtual camera as other programs do, until there are ``count`` images."""
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    while len(images) < count:
        success, bgr = capture.read()
        if not success:
            break
        images.append(bgr[..., ::-1].copy())
    capture.release()


def colors(backend):
    """Read colour patches back, and return their largest difference."""
    camera, images = VirtualCamera(DEVICE, SIZE, RATE, open_device=backend), []
    camera.open(None)
    camera.show(color_patches(SIZE))
    wait(lambda: camera.sent > 3)
    read_device(4, images)
    camera.close()
    centers = column_centers(images[-1])
    return {"read": centers.tolist(), "worst": int(np.abs(centers - PATCHES).max())}


def order(backend):
    """Return the numbers of the images in the order in which they are read."""
    connection, images = backend(DEVICE, SIZE, RATE), []
    converter = VirtualCamera(DEVICE, SIZE, RATE, open_device=backend)
    reformatter = VideoReformatter()
    frames = [converter._to_pixels(numbered_image(number), reformatter) for number in range(40)]
    connection.send(frames[0])
    reader = threading.Thread(target=read_device, args=(25, images))
    reader.start()
    for number in range(1, 40):
        time.sleep(1 / RATE)
        connection.send(frames[number])
    while reader.is_alive():
        connection.send(frames[39])
        time.sleep(0.1)
    connection.close()
    return {"read": [number_of(image) for image in images]}


def vanished():
    """Remove the device and its module during use, and load them again."""
    camera = VirtualCamera(DEVICE, SIZE, RATE, open_device=PyVirtualCamConnection)
    camera.open(None)
    camera.show(color_patches(SIZE))
    wait(lambda: camera.sent > 3)
    Path(DEVICE).rename("/dev/gone")
    wait(lambda: camera.device is None)
    subprocess.run(["/bin/busybox", "rmmod", "v4l2loopback"], check=True)
    sent = camera.sent
    time.sleep(2)
    assert camera.sent == sent
    subprocess.run(LOAD_MODULE, check=True)
    wait(Path(DEVICE).exists)
    start = time.monotonic()
    wait(lambda: camera.sent > sent)
    seconds, images = time.monotonic() - start, []
    read_device(3, images)
    camera.close()
    return {"seconds": seconds, "read_after": column_centers(images[-1]).tolist()}


def unplugged():
    """Unplug vivid, a simulated webcam, and plug it in again, while its frames are read."""
    name = next(name for name in list_cameras() if "vivid" in name)
    driver = Path("/sys/bus/platform/drivers/vivid")
    with Camera(name, (320, 180), 30) as camera:
        frames = iter(camera)
        first = [next(frames) for _ in range(5)]
        (driver / "unbind").write_text("vivid.0")
        start = time.monotonic()
        wait(lambda: camera.status == "lost")
        noticed = time.monotonic() - start
        time.sleep(1)
        (driver / "bind").write_text("vivid.0")
        start = time.monotonic()
        wait(lambda: camera.status != "lost")
        next(frames)  # a camera whose frames nobody takes is "silent"
        wait(lambda: camera.status == "ok")
        back = time.monotonic() - start
    return {
        "cameras": {name: str(device) for name, device in list_cameras().items()},
        "size": first[0].size,
        "noticed": noticed,
        "back": back,
    }


def live():
    """Run the command with a clip and the virtual camera."""
    command = [sys.executable, "-m", "vidstyle", "live", "strokes", "ink", "--loop"]
    command += ["--camera", "samples/clips/boat.mp4", "--no-window", "--working-size", "64"]
    command += ["--virtual-camera", "--virtual-camera-size", "320x180"]
    command += ["--virtual-camera-fps", "5", "-t", "120"]
    root = HERE.parent.parent
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root)
    images, start = [], time.monotonic()
    while process.poll() is None and len(images) < 40 and time.monotonic() - start < 300:
        read_device(len(images) + 5, images)
        images = [image for image in images if image.std() > 20]  # black before the first frame
        time.sleep(0.5)
    process.terminate()
    messages = process.communicate()[1]
    if images:
        cv2.imwrite(str(OUT / "live.png"), images[-1][..., ::-1])
    return {
        "read": len(images),
        "different": len({image.tobytes() for image in images}),
        "contrast": float(images[-1].std()) if images else 0.0,
        "messages": messages,
    }


def obs_loop():
    """Stylise OBS's own virtual camera, see ``guest_obs``."""
    from vcam import guest_obs

    return guest_obs.obs_loop(DEVICE, SIZE, OUT, wait)


def opens_once():
    """Return the diagnosis of a device that does not open a second time."""
    for _ in range(2):
        camera = VirtualCamera(None, SIZE, RATE, open_device=PyVirtualCamConnection)
        camera.open(None)
        time.sleep(2)
        warning, sent = camera._last_warning, camera.sent
        camera.close()
    return {"diagnosis": list(diagnose()), "warning": warning, "sent": sent}


def wait(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not true within {seconds} s"
        time.sleep(0.01)


TRIALS = {
    "colors-pyvirtualcam": lambda: colors(PyVirtualCamConnection),
    "colors-ffmpeg": lambda: colors(FFmpegConnection),
    "order-pyvirtualcam": lambda: order(PyVirtualCamConnection),
    "order-ffmpeg": lambda: order(FFmpegConnection),
    "unplugged": unplugged,
    "vanished": vanished,
    "opens-once": opens_once,
    "obs-loop": obs_loop,
    "live": live,
}

for name in SELECTED:
    start = time.monotonic()
    print("trial", name, flush=True)
    try:
        result = TRIALS[name]()
    except BaseException:  # noqa: BLE001 (reported by the test)
        result = {"error": traceback.format_exc()}
    result["seconds_taken"] = time.monotonic() - start
    (OUT / f"{name}.json").write_text(json.dumps(result))
