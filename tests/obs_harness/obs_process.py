"""OBS without a screen: under Xvfb, with a home directory of its own."""

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
"""Time limit in seconds for OBS to start."""

CUSTOM_OUTPUT = """[Output]
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
"""Settings, Output, Recording, Custom Output (FFmpeg): "recording" sends a stream to an address."""


def missing():
    """Return why OBS cannot run here; None if it can."""
    programs = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"no {', '.join(programs)} here" if programs else None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def write_config(home, port, size=(640, 360), stream=""):
    """Write settings with which OBS starts without questions, with its websocket on a port.

    Args:
        home: home directory.
        port: of the websocket.
        size: (width, height) of the canvas in px.
        stream: address to which "recordings" are sent; "": none.

    Returns:
        The folder of the settings.
    """
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
    for name in ("global.ini", "user.ini"):  # OBS 31 and later read user.ini
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
    video = (
        f"[Video]\nBaseCX={width}\nBaseCY={height}\nOutputCX={width}\nOutputCY={height}\n"
        "FPSCommon=30\n"
    )
    output = CUSTOM_OUTPUT.format(stream) if stream else ""
    profile = config / "basic/profiles/Untitled/basic.ini"
    profile.write_text(f"[General]\nName=Untitled\n{video}{output}")
    collection = {
        "name": "Untitled",
        "current_scene": "Scene",
        "current_program_scene": "Scene",
        "sources": [{"name": "Scene", "id": "scene", "settings": {}}],
        "scene_order": [{"name": "Scene"}],
    }
    (config / "basic/scenes/Untitled.json").write_text(json.dumps(collection))
    return config


@contextlib.contextmanager
def running(home, port):
    """Run OBS and its X server; yield the display's name when the websocket answers."""
    sockets = Path("/tmp/.X11-unix")
    number = next(number for number in range(90, 200) if not (sockets / f"X{number}").exists())
    display = f":{number}"
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    env = {
        **os.environ,
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "DISPLAY": display,
        "QT_QPA_PLATFORM": "xcb",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "LP_NUM_THREADS": "1",
    }
    # OBS cannot use the Qt plugins of OpenCV's wheel, which these variables name.
    for name in ("XDG_CONFIG_HOME", "QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):
        env.pop(name, None)
    log = (home / "obs.log").open("w")
    flags = {
        "stdout": log,
        "stderr": subprocess.STDOUT,
        "stdin": subprocess.DEVNULL,
        "env": env,
        "start_new_session": True,
    }
    server = ["Xvfb", display, "-screen", "0", "1400x1000x24", "+extension", "GLX"]
    obs = ["dbus-run-session", "--", "obs", "--multi", "--verbose"]
    obs += ["--disable-missing-files-check", "--collection", "Untitled", "--profile", "Untitled"]
    processes = [subprocess.Popen([*server, "-nolisten", "tcp"], **flags)]
    try:
        wait_until((sockets / f"X{number}").exists)
        processes.append(subprocess.Popen(obs, **flags))
        wait_until(lambda: answers(port))
        yield display
    finally:
        for process in reversed(processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
        log.close()


def answers(port):
    """Whether a server accepts connections on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_until(condition, seconds=START_SECONDS):
    """Wait until a function returns something true; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not true within {seconds} s"
        time.sleep(0.1)
