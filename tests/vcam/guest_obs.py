"""The trial of OBS in the guest: its own virtual camera is stylised and shown in the same OBS."""

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from obs_harness import obs_process

from vidstyle.live import obs as obs_module
from vidstyle.live import obs_client, obs_install

PAGE, WEBSOCKET_PORT = "127.0.0.1:8765", 4455
HOME = Path("/run/home")
RED, GREEN = 0xFF2040E0, 0xFF40C820
"""Colours as OBS writes them: alpha, blue, green, red."""

ENVIRONMENT = {
    "HOME": str(HOME),
    "DISPLAY": ":77",
    "QT_QPA_PLATFORM": "xcb",
    "LIBGL_ALWAYS_SOFTWARE": "1",
    "LP_NUM_THREADS": "1",
    "XDG_RUNTIME_DIR": "/run/xdg",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
}


def obs_loop(device, size, out, wait):
    """Change the colour of a scene, and wait for the change in the stylised frames.

    Args:
        device: the virtual camera's path.
        size: (width, height) in px.
        out: folder for logs and images.
        wait: waits until a function returns true.
    """
    os.environ.update(ENVIRONMENT)
    # OBS cannot use the Qt plugins of OpenCV's wheel, which these variables name.
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):
        os.environ.pop(name, None)
    for folder in (HOME, Path("/run/xdg"), Path("/dev/shm")):
        folder.mkdir(mode=0o700, exist_ok=True)
    for command in (
        ["mount", "-t", "tmpfs", "shm", "/dev/shm"],
        ["ifconfig", "lo", "127.0.0.1", "up"],
    ):
        subprocess.run(["/bin/busybox", *command], check=True)
    _write_config(size)
    obs_install.install_scripts()
    server = ["Xvfb", ":77", "-nolock", "-screen", "0", "640x480x24", "+extension", "GLX"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    processes = [subprocess.Popen(server, **quiet)]
    time.sleep(8)
    obs = ["obs", "--multi", "--disable-missing-files-check"]
    obs += ["--collection", "Untitled", "--profile", "Untitled"]
    with (out / "obs.log").open("w") as log:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        processes.append(subprocess.Popen(obs, **quiet))
        try:
            wait(lambda: obs_process.answers(WEBSOCKET_PORT), 240)
            obs_client.TIMEOUT_SECONDS = obs_module.TIMEOUT_SECONDS = 60
            with closing(obs_client.ObsClient(f"127.0.0.1:{WEBSOCKET_PORT}", "")) as client:
                wait(
                    lambda: (
                        obs_module.SCRIPT_KIND in client.request("GetInputKindList")["inputKinds"]
                    ),
                    240,
                )
                _create_scenes(client, size, wait)
                processes.append(_start_vidstyle(device, out))
                return _change_colors(client, out, wait)
        finally:
            for process in reversed(processes):
                process.terminate()


def _write_config(size):
    config = obs_process.write_config(HOME, WEBSOCKET_PORT, size)
    scenes = config / "basic/scenes/Untitled.json"
    # The virtual camera shows this scene, whichever one is current.
    camera = {"type": 1, "internal": 0, "scene": "Scene", "source": ""}
    scenes.write_text(json.dumps({**json.loads(scenes.read_text()), "virtual-camera": camera}))
    profile = config / "basic/profiles/Untitled/basic.ini"
    profile.write_text(profile.read_text().replace("FPSCommon=30", "FPSCommon=10"))


def _create_scenes(client, size, wait):
    client.request(
        "CreateInput",
        sceneName="Scene",
        inputName="color",
        inputKind="color_source_v3",
        inputSettings={"width": size[0], "height": size[1], "color": RED},
    )
    client.request("CreateScene", sceneName="Stylized")
    client.request("SetCurrentProgramScene", sceneName="Stylized")
    obs_module.connect_source(client, PAGE)
    client.request("StartVirtualCam")
    wait(lambda: client.request("GetVirtualCamStatus")["outputActive"], 60)


def _start_vidstyle(device, out):
    command = [sys.executable, "-m", "vidstyle", "live", "strokes", "--camera", device]
    command += ["--no-window", "--obs", "--web", PAGE, "--strength", "0"]
    command += ["--working-size", "64", "--steps", "1", "--flow", "none"]
    root = Path(__file__).parent.parent.parent
    with (out / "vidstyle.log").open("w") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, cwd=root)


def _change_colors(client, out, wait):
    def center():
        image = client.screenshot(obs_module.SOURCE)[1]
        if image is None:
            return [0, 0, 0]
        return image[image.shape[0] // 2, image.shape[1] // 2].tolist()

    wait(lambda: max(center()) > 100, 400)
    seen, seconds = [center()], []
    for color in (GREEN, RED, GREEN):
        start, before = time.monotonic(), center()
        client.request("SetInputSettings", inputName="color", inputSettings={"color": color})
        wait(lambda before=before: np.abs(np.subtract(center(), before)).max() > 100, 60)
        seconds.append(time.monotonic() - start)
        time.sleep(3)
        seen.append(center())
    image = client.screenshot("Stylized")[1]
    cv2.imwrite(str(out / "stylized.png"), image[..., ::-1])
    return {"seen": seen, "seconds": seconds, "state": obs_module.request_page(PAGE, "state")}
