"""The source on the machine of a worker: at the driver's path, or a copy that was sent to it."""

import getpass
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..io.files import fingerprint, write_file
from ..io.image_names import existing_numbers


class SourceMissingError(Exception):
    """The worker does not see the source."""


def local_source(name: str | Path, contents: str, fetch: Callable[[], np.ndarray] | None) -> Path:
    """The source on this machine: at the driver's path if it has the same content there.

    Args:
        name: its absolute path on the driver's machine.
        contents: its fingerprint; empty for an image sequence.
        fetch: gets its bytes; None: they were not sent.

    Raises:
        SourceMissingError: it is not there, and its bytes were not sent.
        InputError: images of a sequence are not there.
        OSError: what was sent cannot be written.
    """
    path = Path(name)
    if not contents:
        if existing_numbers(path):
            return path
        raise InputError(
            f"the images {path} are not on every machine: put them into a folder that all "
            "machines share"
        )
    if _has_contents(path, contents):
        return path
    if fetch is None:
        raise SourceMissingError(f"{path} is not there, or has another content: put it back")
    return _stored_source(path.name, contents, fetch)


def check_source(path: Path, contents: str) -> None:
    """Check that a source has on the driver's machine the content that it had at the start.

    Raises:
        InputError: it has another, or cannot be read.
    """
    if not _has_contents(path, contents):
        raise InputError(
            f"{path} was changed, moved or removed during the render: put it back as it was and "
            "add resume=True, or restart with overwrite=True",
            "resume",
            "overwrite",
        )


def source_folder() -> Path:
    """The folder of sources that were sent to this machine, which other users cannot read."""
    # A container's user may have no name.
    user = getattr(os, "getuid", getpass.getuser)()
    return Path(tempfile.gettempdir()) / f"vidstyle-sources-{user}"


def _stored_source(name: str, contents: str, fetch: Callable[[], np.ndarray]) -> Path:
    """The file of a source that was sent, written once on each machine.

    Raises:
        OSError: it cannot be written.
    """
    digest = contents.rpartition(" ")[2]
    path = source_folder() / f"{digest}-{name}"
    if not _has_contents(path, contents):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_file(path, fetch().tobytes())
    return path


def _has_contents(path: Path, contents: str) -> bool:
    try:
        return path.is_file() and fingerprint(path) == contents
    except OSError:
        return False


def remove_source(contents: str) -> None:
    """Remove a source that was sent to this machine, if it was."""
    digest = contents.rpartition(" ")[2]
    for file in source_folder().glob(f"{digest}-*"):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # other renders may still need theirs
        source_folder().rmdir()
