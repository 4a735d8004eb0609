"""File names of snapshots and recordings."""

import time
from pathlib import Path

from ..errors import OutputError
from ..io.files import partial_path

MAX_FILES = 99
"""Number of files that may be named after the same second."""


def is_unused(path: Path) -> bool:
    """Whether neither a file nor an unfinished recording has this name."""
    return not path.exists() and not partial_path(path).exists()


def unused_name(extension: str) -> Path:
    """Return a name with the present date and time that is unused in the working directory.

    Args:
        extension: without the dot, such as "png".

    Raises:
        OutputError: ``MAX_FILES`` files are named after this second already.
    """
    stem = time.strftime("vidstyle-%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{number}" for number in range(2, MAX_FILES + 1))):
        path = Path(f"{stem}{suffix}.{extension}")
        if is_unused(path):
            return path
    raise OutputError(f"there are too many files called {stem}: move some of them")
