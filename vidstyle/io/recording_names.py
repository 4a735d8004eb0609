"""Names of recordings. PyTorch is not needed for them, so that they can be checked before it is loaded."""

from pathlib import Path

from ..errors import OutputError
from .animation import ANIMATIONS
from .files import check_writable, partial_path
from .mux import CONTAINERS

MOST_PARTS = 99
"""Number of files that may be left of recordings with one name."""


def check_recording(path: Path, overwrite: bool = False) -> None:
    """Find out whether a recording can be written to a file. Nothing is left behind.

    Raises:
        OutputError: it cannot be.
    """
    endings = (*CONTAINERS, *ANIMATIONS)
    if path.suffix.lower() not in endings:
        raise OutputError(
            f"{path} is no file for a recording: end its name in {', '.join(endings)}"
        )
    check_writable(path, overwrite)
    claim_part(path).unlink()


def claim_part(path: Path) -> Path:
    """Make an empty file to write to until ``path`` is whole: ``clip.part.mp4``, or ``clip.part-2.mp4`` where that one exists.

    Two programs never get the same one.

    Raises:
        OutputError: it cannot be made.
    """
    usual = partial_path(path)
    for name in (
        usual,
        *(usual.with_stem(f"{usual.stem}-{number}") for number in range(2, MOST_PARTS + 1)),
    ):
        try:
            name.touch(exist_ok=False)
            return name
        except FileExistsError:
            continue
        except OSError as error:  # a name too long, a full disk
            raise OutputError(
                f"{path} cannot be written ({error.strerror}): choose another name or place"
            ) from None
    raise OutputError(f"there are too many files like {usual}: move some away")
