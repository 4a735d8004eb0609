"""Folders of the user for what is not part of a render (XDG base directories)."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Folder of downloaded weights: ``$XDG_CACHE_HOME/vidstyle``, by default
    ``~/.cache/vidstyle``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidstyle"


def data_folder() -> Path:
    """Folder of the studio, presets and certificates: ``$XDG_DATA_HOME/vidstyle``, by default
    ``~/.local/share/vidstyle``."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "vidstyle"
