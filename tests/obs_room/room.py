"""A real OBS without a screen: under Xvfb, with a home of its own."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("obs", "Xvfb", "dbus-run-session")
START_SECONDS = 60


def missing():
    """Why there can be no OBS here; None: there can."""
    without = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"no {', '.join(without)} here" if without else None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


STREAMING = """[Output]
Mode=Advanced
[AdvOut]
RecType=FFmpeg
FFOutputToFile=false
FFURL={}
FFFormat=mpegts
FFExtension=ts
FFVEncoder=libx264
FFVEncoderId=27
FFVBitrate=4000
FFVGOPSize=30
FFVCustom=preset=ultrafast tune=zerolatency
FFAEncoder=aac
FFAEncoderId=86018
FFAudioMixes=1
FFIgnoreCompat=true
"""
"""What *Settings, Output, Recording, Custom Output (FFmpeg)* writes: "recording" sends a stream to an address."""


def furnish(home, port, size=(640, 360), stream=""):
    """Settings of an OBS that asks nothing at its start and answers to its websocket; what it records goes to ``stream``."""
    config = home / ".config/obs-studio"
    (config / "basic/profiles/Untitled").mkdir(parents=True)
    (config / "basic/scenes").mkdir(parents=True)
    names = "".join(
        f"{name}=Untitled\n"
        for name in ("Profile", "ProfileDir", "SceneCollection", "SceneCollectionFile")
    )
    websocket = (
        f"[OBSWebSocket]\nFirstLoad=false\nServerEnabled=true\nServerPort={port}\n"
        "AuthRequired=false\nAlertsEnabled=false\n"
    )
    general = "[General]\nFirstRun=true\nLastVersion=486539266\n"
    for name in ("global.ini", "user.ini"):  # the second one since OBS 31
        (config / name).write_text(f"{general}[Basic]\n{names}{websocket}")
    plugin = config / "plugin_config/obs-websocket"
    plugin.mkdir(parents=True)
    settings = {
        "first_load": False,
        "server_enabled": True,
        "server_port": port,
        "auth_required": False,
        "alerts_enabled": False,
    }
    (plugin / "config.json").write_text(json.dumps(settings))
    width, height = size
    video = f"[Video]\nBaseCX={width}\nBaseCY={height}\nOutputCX={width}\nOutputCY={height}\nFPSCommon=30\n"
    (config / "basic/profiles/Untitled/basic.ini").write_text(
        f"[General]\nName=Untitled\n{video}" + (STREAMING.format(stream) if stream else "")
    )
    scene = {"name": "Scene", "id": "scene", "settings": {}}
    collection = {
        "name": "Untitled",
        "current_scene": "Scene",
        "current_program_scene": "Scene",
        "sources": [scene],
    }
    (config / "basic/scenes/Untitled.json").write_text(
        json.dumps({**collection, "scene_order": [{"name": "Scene"}]})
    )
    return config


@contextlib.contextmanager
def running(home, port):
    """OBS and its screen; yields the screen's name once its websocket answers."""
    display = next(
        f":{number}" for number in range(90, 200) if not Path(f"/tmp/.X11-unix/X{number}").exists()
    )
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    env = {
        **os.environ,
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "DISPLAY": display,
        "QT_QPA_PLATFORM": "xcb",
    }
    env |= {"LIBGL_ALWAYS_SOFTWARE": "1", "LP_NUM_THREADS": "1"}
    for name in (
        "XDG_CONFIG_HOME",
        "QT_QPA_PLATFORM_PLUGIN_PATH",
        "QT_QPA_FONTDIR",
    ):  # OpenCV's own Qt is none for OBS
        env.pop(name, None)
    log = (home / "obs.log").open("w")
    flags = {
        "stdout": log,
        "stderr": subprocess.STDOUT,
        "stdin": subprocess.DEVNULL,
        "env": env,
        "start_new_session": True,
    }
    screen = subprocess.Popen(
        ["Xvfb", display, "-screen", "0", "1400x1000x24", "+extension", "GLX", "-nolisten", "tcp"],
        **flags,
    )
    started = []
    try:
        wait(lambda: Path(f"/tmp/.X11-unix/X{display[1:]}").exists())
        command = [
            "dbus-run-session",
            "--",
            "obs",
            "--multi",
            "--verbose",
            "--disable-missing-files-check",
        ]
        started.append(
            subprocess.Popen(
                [*command, "--collection", "Untitled", "--profile", "Untitled"], **flags
            )
        )
        wait(lambda: answers(port))
        yield display
    finally:
        for process in [*started, screen]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
        log.close()


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait(what, seconds=START_SECONDS):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.1)
