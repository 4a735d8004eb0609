"""The files that an output is written to, and the check that none of them is an input."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import OutputError
from .animation import ANIMATIONS
from .files import PIPE, is_url, part_folder, partial_path
from .images import is_image, is_numbered, numbered, numbers_of
from .mux import CONTAINERS

FileId = tuple[int, int]
"""(device, inode): equal for all names of one file, by whatever links or letter case it is reached."""

REMEDY = "choose another name for the output"


def written_files(output: str | Path) -> list[Path]:
    """All names that writing an output may create, replace or remove.

    Of numbered pictures these are the ones that exist. Nothing is listed for standard output and addresses.
    """
    if str(output) == PIPE or is_url(output):
        return []
    path = Path(output)
    if is_image(path) and is_numbered(path):
        return [numbered(path, number) for number in numbers_of(path)]
    clip = path.suffix.lower() in (*CONTAINERS, *ANIMATIONS)
    return [path, partial_path(path), part_folder(path)] if clip else [path]


def exists(output: str | Path) -> bool:
    """Whether an output is there already; of numbered pictures, whether one of them is."""
    path = Path(output)
    return bool(numbers_of(path)) if is_image(path) and is_numbered(path) else path.exists()


def input_files(name: str | Path) -> list[str | Path]:
    """The files behind the name of an input: the pictures there are where it stands for numbered pictures."""
    if is_url(name):
        return []
    path = Path(name)
    if is_image(path) and is_numbered(path):
        return [numbered(path, number) for number in numbers_of(path)]
    return [name]


def check_apart(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Refuse outputs that would replace or remove an input, or one another.

    Files are compared by what they are, not by their names: links, relative names and letter case make no difference.

    Args:
        outputs: of one command, as it names them; each stands for all of its ``written_files``.
        inputs: files that are read; ``-`` is the file that standard input is read from.

    Raises:
        OutputError: an output is an input too, is the folder of one, or is another output.
    """
    files: dict[FileId, str | Path] = {}
    folders: dict[FileId, str | Path] = {}
    seen: set[Path] = set()
    for name in (file for given in inputs for file in input_files(given)):
        if (found := _id(name)) is not None:
            files.setdefault(found, name)
        parent = Path(os.path.realpath(name)).parent
        for folder in () if parent in seen else (parent, *parent.parents):
            if (found := _id(folder)) is not None:
                folders.setdefault(found, name)
        seen.add(parent)
    written: dict[str, str | Path] = {}
    for output in outputs:
        names = written_files(output)
        for path in names:
            read = folders if path == part_folder(Path(output)) else files
            if (found := _id(path)) is not None and found in read:
                raise OutputError(
                    f"writing {output} would replace {_shown(read[found])}, which is read: {REMEDY}"
                )
        for key in {os.path.normcase(os.path.realpath(path)) for path in names}:
            if written.setdefault(key, output) is not output:
                raise OutputError(
                    f"{output} and {written[key]} would be written to the same place: {REMEDY}"
                )


def _id(name: str | Path) -> FileId | None:
    """What a file is told by; None where there is none."""
    try:
        found = os.fstat(sys.stdin.fileno()) if str(name) == PIPE else Path(name).stat()
    except (OSError, ValueError, AttributeError):  # standard input is closed, or no file
        return None
    return found.st_dev, found.st_ino


def _shown(name: str | Path) -> str | Path:
    return "standard input" if str(name) == PIPE else name
