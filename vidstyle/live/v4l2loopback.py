"""Which virtual cameras this machine has, what is missing for one, and the command or click that helps."""

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

LOAD = "sudo modprobe v4l2loopback devices=1 video_nr=10 card_label=vidstyle exclusive_caps=1"
CONTROL = "sys/class/misc/v4l2loopback"
"""What v4l2loopback has had since 0.13. Devices of earlier ones, with ``exclusive_caps=1``, open once only (0.12.7 was tried)."""

SYSTEM = Path("/")


def loopback_devices() -> list[str]:
    """The devices of v4l2loopback, those named vidstyle first."""
    folders = sorted(
        (SYSTEM / "sys/devices/virtual/video4linux").glob("video*"),
        key=lambda path: int(path.name[5:]),
    )
    named = {f"/dev/{folder.name}": _read(folder / "name") for folder in folders}
    return sorted(named, key=lambda device: "vidstyle" not in named[device].lower())


def routes() -> Iterator[str]:
    """One line for each way to a virtual camera: whether it works, else what to do."""
    installed = find_spec("pyvirtualcam") is not None
    if sys.platform.startswith("linux"):
        devices = loopback_devices()
        for device in devices:
            trouble = _trouble_with(device)
            yield f"virtual camera {device}: {trouble or 'ready'}, through {'pyvirtualcam' if installed else 'FFmpeg'}"
        if not devices:
            yield f"virtual camera: none; {why_no_loopback()}"
        return
    extra = (
        "pyvirtualcam is installed"
        if installed
        else "not without pyvirtualcam (pip install 'vidstyle[virtualcam]')"
    )
    yield f"virtual camera: {extra}; {remedy('')}"


def remedy(said: str) -> str:
    """What to do about a virtual camera that does not open.

    Args:
        said: what the driver or library said.
    """
    if sys.platform.startswith("linux"):
        device = next(iter(re.findall(r"/dev/video\d+", said)), None) or next(
            iter(loopback_devices()), None
        )
        return (
            _trouble_with(device) if device in loopback_devices() else None
        ) or why_no_loopback()
    busy = re.search(r"could not be started|in use|busy", said, re.IGNORECASE)
    if sys.platform == "darwin":
        start = "install OBS 30 or newer, start its virtual camera once, allow its extension in System Settings, then stop it"
        return "stop the virtual camera in OBS: there is one only" if busy else start
    if busy:
        return "stop the virtual camera in OBS: there is one only; Unity Capture is another"
    return (
        "install OBS (obsproject.com), which brings a virtual camera, and leave its own one stopped"
    )


def why_no_loopback() -> str:
    """Why Linux has no device of v4l2loopback, and what to do."""
    if loopback_devices():
        return f"another program has it, or it is no virtual camera: name one of {', '.join(loopback_devices())}"
    if (SYSTEM / "sys/module/v4l2loopback").exists():
        return f"v4l2loopback is loaded without a device: sudo modprobe -r v4l2loopback; {LOAD}"
    release = platform.release()
    modules = SYSTEM / "lib/modules" / release
    if any(modules.rglob("v4l2loopback.ko*")):
        return f"v4l2loopback is not loaded: {LOAD}" + _secure_boot()
    if not modules.exists():
        return f"this kernel ({release}) takes no modules, as in most containers: v4l2loopback must be loaded in the host"
    return f"v4l2loopback is not installed: sudo apt install v4l2loopback-dkms (or your system's package), then {LOAD}"


def _secure_boot() -> str:
    for variable in (SYSTEM / "sys/firmware/efi/efivars").glob("SecureBoot-*"):
        if variable.read_bytes()[-1:] == b"\1":
            return " (if Secure Boot rejects its key: sudo mokutil --import /var/lib/dkms/mok.pub, then restart)"
    return ""


def _trouble_with(device: str | None) -> str | None:
    """What stands in the way of a device that is there; None: nothing that can be seen from here."""
    if device is None:
        return None
    if not (SYSTEM / device[1:]).exists():
        return f"{device} has no file: sudo modprobe -r v4l2loopback; {LOAD}"
    if not os.access(SYSTEM / device[1:], os.W_OK):
        return "may not be written to: sudo usermod -aG video $USER, then log in again"
    exclusive = _read(SYSTEM / "sys/module/v4l2loopback/parameters/exclusive_caps").startswith("Y")
    if exclusive and not (SYSTEM / CONTROL).exists():
        again = f"sudo modprobe -r v4l2loopback; {LOAD}"
        return (
            "this old v4l2loopback opens once only with exclusive_caps=1: "
            f"for each new start {again} (0.15 needs none of that)"
        )
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
