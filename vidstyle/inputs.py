"""Inputs by name: clips and images in folders, and where the output of an input goes."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from .errors import InputError, OutputError
from .io.animation import ANIMATIONS
from .io.files import PIPE, is_url, part_folder
from .io.image_names import IMAGE_EXTENSIONS, is_image, is_numbered, is_still, unnumbered_stem
from .io.mux import CONTAINERS
from .io.outputs import exists
from .io.segment_archive import SUFFIX

log = logging.getLogger(__name__)

WRITABLE_ENDINGS = (*CONTAINERS, *ANIMATIONS, *IMAGE_EXTENSIONS, SUFFIX)
"""Endings of files that can be written."""

CLIP_ENDINGS = frozenset(
    f".{ending}"
    for ending in re.findall(
        r"\w+",
        """3g2 3gp asf avi divx dv f4v flv gif ivf m1v m2ts m2v m4v mj2 mjpg mkv mov mp4 mpeg mpg
        mts mxf nut ogm ogv qt rm rmvb ts vob webm wmv y4m""",
    )
)
"""Endings by which clips are found in a folder. A clip with another ending can be named itself."""

MAX_LISTED_NAMES = 20
"""Number of file names listed in a message; of more files only the count is told."""


def expand_folders(names: Sequence[str]) -> list[str]:
    """The names, with each folder replaced by the clips and images in it, sorted by name.

    Folders within folders are not searched and hidden files are left out. Other files are skipped,
    and their names are logged.

    Raises:
        InputError: a folder holds no clips or images, or cannot be read.
    """
    inputs: list[str] = []
    for name in names:
        inputs += _files_in(Path(name)) if Path(name).is_dir() else [name]
    return inputs


def _files_in(folder: Path) -> list[str]:
    try:
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError as error:
        reason = error.strerror
        raise InputError(f"{folder} cannot be read ({reason}): choose another folder") from None
    found = [
        file
        for file in files
        if file.is_file() and (file.suffix.lower() in CLIP_ENDINGS or is_still(file))
    ]
    if not found:
        raise InputError(
            f"{folder} is a directory without clips or images (judged by the endings of their "
            "names): name another directory, or name files"
        )
    skipped = [file.name for file in files if file not in set(found)]
    if skipped:
        log.warning("%s: skipped, neither clips nor images: %s", folder, names_text(skipped))
    return [str(file) for file in found]


def names_text(names: Sequence[str]) -> str:
    """Names separated by commas; of many names the first ones and the number of the others."""
    rest = len(names) - MAX_LISTED_NAMES
    return ", ".join(names[:MAX_LISTED_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def output_is_folder(names: Sequence[str], output: str, several: bool) -> bool:
    """Whether an output is a folder.

    Args:
        names: the inputs as they were given.
        output: as it was given.
        several: whether several inputs were allowed.

    Raises:
        OutputError: the output must be a folder and cannot be one.
    """
    folder = Path(output)
    file_name = output == PIPE or (
        folder.suffix.lower() in WRITABLE_ENDINGS and not folder.is_dir()
    )
    if not any(Path(name).is_dir() for name in names) and (
        not several or (len(names) == 1 and file_name)
    ):
        return False
    if file_name or (folder.exists() and not folder.is_dir()):
        raise OutputError(
            f"{output} is not a directory: several inputs need a directory as output, which is "
            "created if it does not exist"
        )
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not os.access(existing, os.W_OK):
        raise OutputError(f"the folder {existing} cannot be written to: choose another place")
    return True


def resolve_output(name: str, output: str | Path, into_folder: bool, preview: bool) -> str | Path:
    """The file that a stylised input is written to.

    Args:
        name: of the input.
        output: as given.
        into_folder: whether ``output`` is a folder. The file in it has the name of the input, with
            its ending where files of that kind can be written, else .png for an image and .mp4 for
            a clip.
        preview: whether only one frame is wanted. It is written to the output if that is an image
            file, else to ``NAME.preview.png`` in the same folder.
    """
    path: str | Path = output
    if into_folder:
        given = Path(name)
        kept = given.suffix.lower() in (*CONTAINERS, *IMAGE_EXTENSIONS, ".gif")
        path = Path(output) / (given.name if kept else given.stem + _default_ending(given))
    if not preview:
        return path
    if str(path) == PIPE:
        return Path("preview.png")
    path = Path(path)
    return path if is_image(path) and not is_numbered(path) else path.with_suffix(".preview.png")


def _default_ending(name: Path) -> str:
    return ".png" if is_still(name) and not is_numbered(name) else ".mp4"


def default_output(
    name: str, styles: Sequence[str | Path], taken: Callable[[Path], bool] | None = None
) -> Path:
    """A name for the output of an input: ``clip.mp4`` in the style ``strokes`` ->
    ``clip_strokes.mp4``.

    The output lies in the folder of the input; that of an address in the working directory. A
    folder becomes a folder. A name that is taken gets a number: ``clip_strokes_2.mp4``.

    Args:
        name: of the input.
        styles: names of the styles.
        taken: whether a name is not to be used; None: all may be used.

    Raises:
        OutputError: the input is standard input, which has no name.
    """
    if name == PIPE:
        raise OutputError("the output has no name: standard input needs output=FILE", "output")
    given = Path(Path(urlsplit(name).path).name or "clip") if is_url(name) else Path(name)
    ending = given.suffix.lower()
    if given.is_dir():
        stem, ending = given.resolve().name, ""
    elif is_numbered(given):
        stem, ending = unnumbered_stem(given), ".mp4"
    else:
        stem = given.stem
        ending = ending if ending in (*CONTAINERS, *IMAGE_EXTENSIONS) else _default_ending(given)
    base = "_".join([stem, *(Path(style).stem for style in styles)])
    folder = given.resolve().parent if given.is_dir() else given.parent
    paths = (folder / f"{each}{ending}" for each in _numbered_names(base))
    return next(path for path in paths if not (taken and taken(path)))


def _numbered_names(base: str) -> Iterator[str]:
    yield base
    for number in count(2):
        yield f"{base}_{number}"


def is_taken(output: Path) -> bool:
    """Whether an output exists, or an unfinished run of it."""
    return exists(output) or part_folder(output).exists()
