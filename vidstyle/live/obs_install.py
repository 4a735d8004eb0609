"""``vidstyle obs install``: copies the scripts to OBS and lists them in its scene collections."""

import json
import logging
import shutil
import sys
from contextlib import suppress
from importlib import resources
from pathlib import Path

from ..errors import DeviceError, OutputError
from .obs_client import config_folders

log = logging.getLogger(__name__)

SCRIPTS = ("vidstyle_source.lua", "vidstyle_panel.py")


def install_scripts() -> None:
    """Copy the scripts to each OBS, and list them in its scene collections unless OBS is running.

    Raises:
        DeviceError: OBS has no settings here.
        OutputError: the folder of OBS cannot be written.
    """
    folders = config_folders()
    if not folders:
        remedy = "install OBS (obsproject.com), start it once, then try again"
        raise DeviceError(f"OBS has no settings here: {remedy}")
    for folder in folders:
        scripts = folder / "vidstyle"
        try:
            _copy_scripts(scripts)
            listed = [] if is_running() else _list_in_scenes(folder, scripts)
        except OSError as error:
            message = f"cannot write to {folder} ({error.strerror})"
            raise OutputError(f"{message}: check its permissions") from None
        log.info("scripts: %s", scripts)
        for file in listed:
            message = "the scripts are in the scene collection %s from the next start of OBS"
            log.info(message, file.stem)
        if not listed:
            log.info("add them in OBS: Tools, Scripts, +, then both files in that folder")


def _copy_scripts(scripts: Path) -> None:
    scripts.mkdir(exist_ok=True)
    for name in SCRIPTS:
        source = resources.files(__package__) / "obs_scripts" / name
        (scripts / name).write_bytes(source.read_bytes())
    program = shutil.which("vidstyle") or str(Path(sys.executable).with_name("vidstyle"))
    (scripts / "vidstyle_panel.json").write_text(json.dumps({"program": program}))


def _list_in_scenes(folder: Path, scripts: Path) -> list[Path]:
    """Return the scene collections of an OBS that list the scripts now."""
    files = sorted((folder / "basic/scenes").glob("*.json"))
    return [file for file in files if _list_scripts(file, scripts)]


def _list_scripts(file: Path, scripts: Path) -> bool:
    """List the scripts in a scene collection.

    Returns:
        False if the file cannot be parsed; it is not changed then.
    """
    try:
        scenes = json.loads(file.read_text())
        listed = scenes.setdefault("modules", {}).setdefault("scripts-tool", [])
        known = {entry["path"] for entry in listed}
    except (ValueError, AttributeError, KeyError, TypeError):
        return False
    paths = [str(scripts / name) for name in SCRIPTS]
    listed += [{"path": path, "settings": {}} for path in paths if path not in known]
    temporary = file.with_suffix(".json.vidstyle")
    temporary.write_text(json.dumps(scenes, indent=4))
    temporary.replace(file)
    return True


def is_running() -> bool:
    """Whether OBS may be running here: at its end it overwrites its scene collections.

    True if it cannot be determined, which is the case on other systems than Linux.
    """
    if not sys.platform.startswith("linux"):
        return True
    for file in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if file.read_text().strip() == "obs":
                return True
    return False
