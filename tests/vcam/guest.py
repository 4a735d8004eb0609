"""What is tried in the guest, as its only user. Each trial writes what it found as JSON into the folder given."""

import json
import os
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]
OUT, CHOSEN = Path(sys.argv[1]), sys.argv[2].split(",")
os.environ["OPENCV_LOG_LEVEL"] = "ERROR"  # it tells of each try to open a camera that is away

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from obs_room import room  # noqa: E402
from patches import PATCHES, middles, patches  # noqa: E402

from vidstyle.live import obs as obs_module  # noqa: E402
from vidstyle.live.camera import Camera  # noqa: E402
from vidstyle.live.capture import cameras  # noqa: E402
from vidstyle.live.v4l2loopback import routes  # noqa: E402
from vidstyle.live.virtual_camera import Loopback, PyVirtualCam, VirtualCamera  # noqa: E402

DEVICE, SIZE, RATE = "/dev/video10", (320, 180), 10
LOAD = (
    "/bin/busybox",
    "insmod",
    "/run/v4l2loopback.ko",
    "devices=1",
    "video_nr=10",
    "card_label=vidstyle",
    "exclusive_caps=0",
)


def numbered(number):
    """A picture that says its number: eight columns, black or white."""
    bits = [255 * (number >> bit & 1) for bit in range(8)]
    return (
        np.repeat(np.array(bits, np.uint8), SIZE[0] // 8)[None, :, None]
        .repeat(SIZE[1], 0)
        .repeat(3, 2)
    )


def number_of(image):
    columns = image[SIZE[1] // 2, SIZE[0] // 16 :: SIZE[0] // 8].mean(-1)
    return sum(int(level > 128) << bit for bit, level in enumerate(columns))


def read(count, kept, device=DEVICE):
    """Look through the virtual camera as other programs do."""
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    while len(kept) < count:
        there, image = capture.read()
        if not there:
            break
        kept.append(image[..., ::-1].copy())
    capture.release()


def colours(way_in):
    """Largest difference of each patch as it is read back."""
    camera, kept = VirtualCamera(DEVICE, SIZE, RATE, opened=way_in), []
    camera.open(None)
    camera.show(patches(SIZE))
    wait(lambda: camera.sent > 3)
    read(4, kept)
    camera.close()
    middle = middles(kept[-1])
    return {"read": middle.tolist(), "worst": int(np.abs(middle - PATCHES).max())}


def order(way_in):
    """Numbers of the pictures in the order in which they are read."""
    feed, kept = way_in(DEVICE, SIZE, RATE), []
    packer = VirtualCamera(DEVICE, SIZE, RATE, opened=way_in)
    from av.video.reformatter import VideoReformatter

    pictures = [packer._packed(numbered(number), VideoReformatter()) for number in range(40)]
    feed.send(pictures[0])
    reader = threading.Thread(target=read, args=(25, kept))
    reader.start()
    for number in range(1, 40):
        time.sleep(1 / RATE)
        feed.send(pictures[number])
    while reader.is_alive():
        feed.send(pictures[39])
        time.sleep(0.1)
    feed.close()
    return {"read": [number_of(image) for image in kept]}


def vanished():
    """The device goes while it is in use, its module too, and comes back."""
    camera = VirtualCamera(DEVICE, SIZE, RATE, opened=PyVirtualCam)
    camera.open(None)
    camera.show(patches(SIZE))
    wait(lambda: camera.sent > 3)
    Path(DEVICE).rename("/dev/gone")
    wait(lambda: camera.device is None)
    subprocess.run(["/bin/busybox", "rmmod", "v4l2loopback"], check=True)
    sent = camera.sent
    time.sleep(2)
    assert camera.sent == sent
    subprocess.run(LOAD, check=True)
    wait(lambda: Path(DEVICE).exists())
    back = time.monotonic()
    wait(lambda: camera.sent > sent)
    took, kept = time.monotonic() - back, []
    read(3, kept)
    camera.close()
    return {"seconds": took, "read_after": middles(kept[-1]).tolist()}


def unplugged():
    """vivid, a webcam, is unplugged and plugged in again, while its pictures are taken."""
    name = next(name for name in cameras() if "vivid" in name)
    driver = Path("/sys/bus/platform/drivers/vivid")
    with Camera(name, (320, 180), 30) as camera:
        frames = iter(camera)
        first = [next(frames) for _ in range(5)]
        (driver / "unbind").write_text("vivid.0")
        gone = time.monotonic()
        wait(lambda: camera.status == "lost")
        noticed = time.monotonic() - gone
        time.sleep(1)
        (driver / "bind").write_text("vivid.0")
        back = time.monotonic()
        wait(lambda: camera.status != "lost")
        next(frames)  # a camera whose frames nobody takes is "silent"
        wait(lambda: camera.status == "ok")
        again = time.monotonic() - back
    return {
        "cameras": {each: str(place) for each, place in cameras().items()},
        "size": first[0].size,
        "noticed": noticed,
        "back": again,
    }


def live():
    """The command, from a clip to the virtual camera."""
    root = HERE.parent.parent
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "live",
        "strokes",
        "ink",
        "--camera",
        "samples/clips/boat.mp4",
        "--loop",
    ]
    command += [
        "--no-window",
        "--working-size",
        "64",
        "--virtual-camera",
        "--virtual-camera-size",
        "320x180",
    ]
    command += ["--virtual-camera-fps", "5", "-t", "240"]  # loading takes a minute
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root)
    kept, began = [], time.monotonic()
    while process.poll() is None and len(kept) < 40 and time.monotonic() - began < 300:
        read(len(kept) + 5, kept)
        kept = [image for image in kept if image.std() > 20]  # black until there is a painting
        time.sleep(0.5)
    process.terminate()
    said = process.communicate()[1]
    if kept:
        cv2.imwrite(str(OUT / "live.png"), kept[-1][..., ::-1])
    changed = len({image.tobytes() for image in kept})
    return {
        "read": len(kept),
        "different": changed,
        "contrast": float(kept[-1].std()) if kept else 0.0,
        "said": said,
    }


def obs_loop():
    """OBS's own virtual camera, painted, and shown back in the same OBS. Colours of its scene are changed, and waited for."""
    os.environ.update(
        HOME="/run/home",
        DISPLAY=":77",
        QT_QPA_PLATFORM="xcb",
        LIBGL_ALWAYS_SOFTWARE="1",
        LP_NUM_THREADS="1",
    )
    os.environ.update(XDG_RUNTIME_DIR="/run/xdg", DBUS_SESSION_BUS_ADDRESS="unix:path=/nonexistent")
    for name in (
        "QT_QPA_PLATFORM_PLUGIN_PATH",
        "QT_QPA_FONTDIR",
    ):  # OpenCV's own Qt is none for OBS
        os.environ.pop(name, None)
    home, page = Path("/run/home"), "127.0.0.1:8765"
    for folder in (home, Path("/run/xdg"), Path("/dev/shm")):
        folder.mkdir(mode=0o700, exist_ok=True)
    for command in (
        ["mount", "-t", "tmpfs", "shm", "/dev/shm"],
        ["ifconfig", "lo", "127.0.0.1", "up"],
    ):
        subprocess.run(["/bin/busybox", *command], check=True)
    config = room.furnish(home, 4455, SIZE)
    scenes = config / "basic/scenes/Untitled.json"
    camera = {
        "type": 1,
        "internal": 0,
        "scene": "Scene",
        "source": "",
    }  # the scene of this name, whichever is on
    scenes.write_text(json.dumps({**json.loads(scenes.read_text()), "virtual-camera": camera}))
    profile = config / "basic/profiles/Untitled/basic.ini"
    profile.write_text(profile.read_text().replace("FPSCommon=30", "FPSCommon=10"))
    obs_module.install()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    started = [
        subprocess.Popen(
            ["Xvfb", ":77", "-nolock", "-screen", "0", "640x480x24", "+extension", "GLX"], **quiet
        )
    ]
    time.sleep(8)
    with (OUT / "obs.log").open("w") as log:
        flags = [
            "--multi",
            "--disable-missing-files-check",
            "--collection",
            "Untitled",
            "--profile",
            "Untitled",
        ]
        started.append(
            subprocess.Popen(["obs", *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        )
        try:
            wait(lambda: room.answers(4455), 240)
            return _seen_in_obs(page, started)
        finally:
            for process in reversed(started):
                process.terminate()


def _seen_in_obs(page, started):
    obs_module.SECONDS = 60
    with closing(obs_module.Remote("127.0.0.1:4455", "")) as obs:
        return _painted_back(obs, page, started)


def _painted_back(obs, page, started):
    wait(lambda: obs_module.SCRIPT_KIND in obs.ask("GetInputKindList")["inputKinds"], 240)
    colours, red = (
        {"width": SIZE[0], "height": SIZE[1]},
        0xFF2040E0,
    )  # as OBS writes it: alpha, blue, green, red
    given = {**colours, "color": red}
    obs.ask(
        "CreateInput",
        sceneName="Scene",
        inputName="colour",
        inputKind="color_source_v3",
        inputSettings=given,
    )
    obs.ask("CreateScene", sceneName="Painted")
    obs.ask("SetCurrentProgramScene", sceneName="Painted")
    obs_module.connect(obs, page)
    obs.ask("StartVirtualCam")
    wait(lambda: obs.ask("GetVirtualCamStatus")["outputActive"], 60)
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "live",
        "strokes",
        "--camera",
        DEVICE,
        "--no-window",
        "--obs",
        "--web",
        page,
    ]
    command += ["--strength", "0", "--working-size", "64", "--steps", "1", "--flow", "none"]
    with (OUT / "vidstyle.log").open("w") as log:
        started.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, cwd=HERE.parent.parent)
        )

    def middle():
        image = obs.shot()[1]
        return (
            [0, 0, 0] if image is None else image[image.shape[0] // 2, image.shape[1] // 2].tolist()
        )

    wait(lambda: max(middle()) > 100, 400)
    seen, took = [middle()], []
    for color in (0xFF40C820, red, 0xFF40C820):
        began, before = time.monotonic(), middle()
        obs.ask("SetInputSettings", inputName="colour", inputSettings={"color": color})
        wait(lambda before=before: np.abs(np.subtract(middle(), before)).max() > 100, 60)
        took.append(time.monotonic() - began)
        time.sleep(3)
        seen.append(middle())
    shot = obs.shot("Painted")[1]
    cv2.imwrite(str(OUT / "painted.png"), shot[..., ::-1])
    return {"seen": seen, "seconds": took, "state": obs_module.ask_page(page, "state")}


def opens_once():
    """What is said where the device does not open a second time."""
    for _ in range(2):
        camera = VirtualCamera(None, SIZE, RATE, opened=PyVirtualCam)
        camera.open(None)
        time.sleep(2)
        said, sent = camera._said, camera.sent
        camera.close()
    return {"routes": list(routes()), "said": said, "sent": sent}


def wait(what, seconds=120):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.01)


TRIALS = {
    "colours-pyvirtualcam": lambda: colours(PyVirtualCam),
    "colours-ffmpeg": lambda: colours(Loopback),
    "order-pyvirtualcam": lambda: order(PyVirtualCam),
    "order-ffmpeg": lambda: order(Loopback),
    "unplugged": unplugged,
    "vanished": vanished,
    "opens-once": opens_once,
    "obs-loop": obs_loop,
    "live": live,
}

for name in CHOSEN:
    began = time.monotonic()
    print("trial", name, flush=True)
    try:
        found = TRIALS[name]()
    except BaseException:  # noqa: BLE001 (told outside)
        found = {"error": traceback.format_exc()}
    found["took"] = time.monotonic() - began
    (OUT / f"{name}.json").write_text(json.dumps(found))
