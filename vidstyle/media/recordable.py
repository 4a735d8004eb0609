"""Names of recordings. PyTorch is not needed for them, so that they can be checked before it is loaded."""

import logging
from pathlib import Path

from ..errors import OutputError
from .animate import ANIMATIONS
from .files import check_writable, part_name
from .mux import CONTAINERS

log = logging.getLogger(__name__)


def check_recording(path: Path, overwrite: bool = False) -> None:
    """Find out whether a recording can be written to a file. What an earlier one left is named, and stays.

    Raises:
        OutputError: it cannot be.
    """
    endings = (*CONTAINERS, *ANIMATIONS)
    if path.suffix.lower() not in endings:
        raise OutputError(f"{path} is no file for a recording: end its name in {', '.join(endings)}")
    check_writable(path, overwrite)
    unused_part(path)
    if part_name(path).exists():
        log.warning("%s is left of a recording that was broken off, and can be played: rename or delete it", part_name(path))


def unused_part(path: Path) -> Path:
    """A name for a file until it is whole: ``clip.part.mp4``, or ``clip.part-2.mp4`` where that one is taken.

    Raises:
        OutputError: the system does not allow such names.
    """
    usual = part_name(path)
    names = (usual, *(usual.with_stem(f"{usual.stem}-{number}") for number in range(2, 100)))
    try:
        name = next((name for name in names if not name.exists()), None)
        if name is None:
            raise OutputError(f"there are too many files like {usual}: move some away")
        name.touch()
        name.unlink()
    except OSError as error:  # a name too long
        raise OutputError(f"{path} cannot be written ({error.strerror}): choose another name or place") from None
    return name
