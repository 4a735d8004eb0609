"""Names for snapshots and recordings."""

import time
from pathlib import Path

from ..errors import OutputError
from ..io.files import partial_path

MOST_FILES = 99
"""Number of files that may be named after one second."""


def is_unused(path: Path) -> bool:
    """Whether no file has this name, nor a recording into it that is not finished."""
    return not path.exists() and not partial_path(path).exists()


def unused_name(ending: str) -> Path:
    """A file name with the present date and time that no file in the working folder has, nor a recording that is not finished.

    Args:
        ending: such as "png".

    Raises:
        OutputError: ``MOST_FILES`` files have the name of this second already.
    """
    moment = time.strftime("vidstyle-%Y%m%d-%H%M%S")
    for more in ("", *(f"-{number}" for number in range(2, MOST_FILES + 1))):
        name = Path(f"{moment}{more}.{ending}")
        if is_unused(name):
            return name
    raise OutputError(f"there are too many files called {moment}: move some away")
