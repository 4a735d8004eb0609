"""Names of recordings, checked before PyTorch is loaded: this module does not import it."""

from pathlib import Path

from ..errors import OutputError
from .animation import ANIMATIONS
from .files import check_writable, partial_path
from .mux import CONTAINERS

MAX_PART_FILES = 99
"""Number of part files that recordings of one name may leave."""


def check_recording(path: Path, overwrite: bool = False) -> None:
    """Check that a recording can be written to a file. Nothing is left behind.

    Raises:
        OutputError: it cannot.
    """
    endings = (*CONTAINERS, *ANIMATIONS)
    if path.suffix.lower() not in endings:
        raise OutputError(f"{path} has an unsupported extension: use {', '.join(endings)}")
    check_writable(path, overwrite)
    create_part_file(path).unlink()


def create_part_file(path: Path) -> Path:
    """Create an empty part file for ``path``: ``clip.part.mp4``, or ``clip.part-2.mp4`` if that
    exists.

    Two programs never get the same file.

    Raises:
        OutputError: no part file can be created.
    """
    usual = partial_path(path)
    for name in (
        usual,
        *(usual.with_stem(f"{usual.stem}-{number}") for number in range(2, MAX_PART_FILES + 1)),
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
