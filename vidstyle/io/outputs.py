"""The files that an output is written to, checked against the inputs."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import OutputError
from .animation import ANIMATIONS
from .files import PIPE, is_url, part_folder, partial_path
from .image_names import existing_numbers, image_path, is_image, is_numbered
from .mux import CONTAINERS

FileId = tuple[int, int]
"""(device, inode): equal for all paths of one file, through links and in any letter case."""

REMEDY = "choose another name for the output"


def written_files(output: str | Path) -> list[Path]:
    """All paths that writing an output may create, replace or remove.

    For an image sequence these are the existing images. Standard output and addresses have none.
    """
    if str(output) == PIPE or is_url(output):
        return []
    path = Path(output)
    if is_image(path) and is_numbered(path):
        return [image_path(path, number) for number in existing_numbers(path)]
    clip = path.suffix.lower() in (*CONTAINERS, *ANIMATIONS)
    return [path, partial_path(path), part_folder(path)] if clip else [path]


def exists(output: str | Path) -> bool:
    """Whether an output exists; for an image sequence, whether any image does."""
    path = Path(output)
    return bool(existing_numbers(path)) if is_image(path) and is_numbered(path) else path.exists()


def input_files(name: str | Path) -> list[str | Path]:
    """The files of an input: the existing images of an image sequence."""
    if is_url(name):
        return []
    path = Path(name)
    if is_image(path) and is_numbered(path):
        return [image_path(path, number) for number in existing_numbers(path)]
    return [name]


def check_apart(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Refuse outputs that would replace or remove an input, or one another.

    Files are compared by identity, not by name: links, relative paths and letter case do not
    matter.

    Args:
        outputs: of one command; each stands for all of its ``written_files``.
        inputs: files that are read; ``-`` stands for the file behind standard input.

    Raises:
        OutputError: an output is an input, contains one, or is another output.
    """
    files: dict[FileId, str | Path] = {}
    folders: dict[FileId, str | Path] = {}
    seen: set[Path] = set()
    for name in (file for given in inputs for file in input_files(given)):
        if (found := _file_id(name)) is not None:
            files.setdefault(found, name)
        parent = Path(os.path.realpath(name)).parent
        for folder in () if parent in seen else (parent, *parent.parents):
            if (found := _file_id(folder)) is not None:
                folders.setdefault(found, name)
        seen.add(parent)
    written: dict[str, str | Path] = {}
    for output in outputs:
        names = written_files(output)
        for path in names:
            read = folders if path == part_folder(Path(output)) else files
            if (found := _file_id(path)) is not None and found in read:
                raise OutputError(
                    f"writing {output} would replace {_label(read[found])}, which is read: {REMEDY}"
                )
        for key in {os.path.normcase(os.path.realpath(path)) for path in names}:
            if written.setdefault(key, output) is not output:
                raise OutputError(
                    f"{output} and {written[key]} would be written to the same place: {REMEDY}"
                )


def _file_id(name: str | Path) -> FileId | None:
    """The identity of a file; None where there is none."""
    try:
        found = os.fstat(sys.stdin.fileno()) if str(name) == PIPE else Path(name).stat()
    except (OSError, ValueError, AttributeError):  # standard input is closed, or no file
        return None
    return found.st_dev, found.st_ino


def _label(name: str | Path) -> str | Path:
    return "standard input" if str(name) == PIPE else name
