"""Diagnosis of virtual cameras: which ones exist, what is missing, and the command that helps."""

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

LOAD_COMMAND = (
    "sudo modprobe v4l2loopback devices=1 video_nr=10 card_label=vidstyle exclusive_caps=1"
)
RELOAD_COMMAND = f"sudo modprobe -r v4l2loopback; {LOAD_COMMAND}"

CONTROL_DEVICE = "sys/class/misc/v4l2loopback"
"""Exists since v4l2loopback 0.13.

Devices of earlier versions open only once with ``exclusive_caps=1`` (tried with 0.12.7).
"""

SYSTEM_ROOT = Path("/")


def loopback_devices() -> list[str]:
    """Return the paths of v4l2loopback devices, those named vidstyle first."""
    folders = sorted(
        (SYSTEM_ROOT / "sys/devices/virtual/video4linux").glob("video*"),
        key=lambda path: int(path.name[5:]),
    )
    names = {f"/dev/{folder.name}": _read_text(folder / "name") for folder in folders}
    return sorted(names, key=lambda device: "vidstyle" not in names[device].lower())


def diagnose() -> Iterator[str]:
    """Yield one line per virtual camera or backend: that it is ready, or what to do."""
    installed = find_spec("pyvirtualcam") is not None
    if sys.platform.startswith("linux"):
        devices = loopback_devices()
        for device in devices:
            status = _device_problem(device) or "ready"
            backend = "pyvirtualcam" if installed else "FFmpeg"
            yield f"virtual camera {device}: {status}, through {backend}"
        if not devices:
            yield f"virtual camera: none; {missing_device_remedy()}"
        return
    package = "pyvirtualcam is installed"
    if not installed:
        package = "pyvirtualcam is missing (pip install 'vidstyle[virtualcam]')"
    yield f"virtual camera: {package}; {remedy('')}"


def remedy(message: str) -> str:
    """Return what to do about a virtual camera that does not open.

    Args:
        message: the error message of the driver or library.
    """
    if sys.platform.startswith("linux"):
        known = loopback_devices()
        named = next(iter(re.findall(r"/dev/video\d+", message)), None)
        device = named or next(iter(known), None)
        problem = _device_problem(device) if device in known else None
        return problem or missing_device_remedy()
    busy = re.search(r"could not be started|in use|busy", message, re.IGNORECASE)
    if sys.platform == "darwin":
        if busy:
            return "stop the virtual camera in OBS: only one program can use it"
        return (
            "install OBS 30 or newer, start its virtual camera once, allow its extension in "
            "System Settings, then stop it"
        )
    if busy:
        return (
            "stop the virtual camera in OBS, as only one program can use it, or use Unity Capture"
        )
    return "install OBS (obsproject.com), which has a virtual camera, and do not start it in OBS"


def missing_device_remedy() -> str:
    """Return why there is no usable v4l2loopback device on Linux, and what to do."""
    if loopback_devices():
        names = ", ".join(loopback_devices())
        return f"another program uses it, or it is not a virtual camera: name one of {names}"
    if (SYSTEM_ROOT / "sys/module/v4l2loopback").exists():
        return f"v4l2loopback is loaded without a device: {RELOAD_COMMAND}"
    release = platform.release()
    modules = SYSTEM_ROOT / "lib/modules" / release
    if any(modules.rglob("v4l2loopback.ko*")):
        return f"v4l2loopback is not loaded: {LOAD_COMMAND}" + _secure_boot_hint()
    if not modules.exists():
        problem = f"this kernel ({release}) has no modules, as in most containers"
        return f"{problem}: load v4l2loopback on the host"
    install = "sudo apt install v4l2loopback-dkms (or your system's package)"
    return f"v4l2loopback is not installed: {install}, then {LOAD_COMMAND}"


def _secure_boot_hint() -> str:
    for variable in (SYSTEM_ROOT / "sys/firmware/efi/efivars").glob("SecureBoot-*"):
        if variable.read_bytes()[-1:] == b"\1":
            command = "sudo mokutil --import /var/lib/dkms/mok.pub"
            return f" (if Secure Boot rejects its key: {command}, then restart)"
    return ""


def _device_problem(device: str | None) -> str | None:
    """Return why an existing device cannot be used, and a remedy; None if no problem is visible."""
    if device is None:
        return None
    path = SYSTEM_ROOT / device[1:]
    if not path.exists():
        return f"{device} has no file: {RELOAD_COMMAND}"
    if not os.access(path, os.W_OK):
        return "no permission to write: sudo usermod -aG video $USER, then log in again"
    parameter = SYSTEM_ROOT / "sys/module/v4l2loopback/parameters/exclusive_caps"
    exclusive = _read_text(parameter).startswith("Y")
    if exclusive and not (SYSTEM_ROOT / CONTROL_DEVICE).exists():
        return (
            "this version of v4l2loopback opens only once with exclusive_caps=1: "
            f"before each start {RELOAD_COMMAND} (not needed with version 0.15)"
        )
    return None


def _read_text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
