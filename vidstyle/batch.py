"""Many clips and pictures, one after another: what one of them fails of does not end the others."""

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from .errors import InputError, OutputError, VidstyleError
from .io.animation import ANIMATIONS
from .io.files import PIPE
from .io.images import IMAGE_EXTENSIONS, is_still
from .io.mux import CONTAINERS
from .progress import ProgressDisplay
from .render import Job

log = logging.getLogger(__name__)

WRITTEN_ENDINGS = (*CONTAINERS, *ANIMATIONS, *IMAGE_EXTENSIONS)
"""Endings of files that can be written."""

CLIP_ENDINGS = frozenset(
    f".{ending}"
    for ending in re.findall(
        r"\w+",
        """3g2 3gp asf avi divx dv f4v flv gif ivf m1v m2ts m2v m4v mj2 mjpg mkv mov mp4 mpeg mpg mts mxf nut ogm ogv qt rm rmvb
        ts vob webm wmv y4m""",
    )
)
"""Endings by which clips are found in a folder. A clip of any other ending can be named by itself."""

MOST_NAMES = 20
"""So many names of files are listed in a line; of more only the number."""


def inputs_of(names: Sequence[str]) -> list[str]:
    """The inputs with the clips and pictures in a folder in place of the folder, in order of their names.

    Folders in a folder are not searched, hidden files are left out, and what else is passed over is logged.

    Raises:
        InputError: a folder without clips and pictures, or one that cannot be read.
    """
    inputs: list[str] = []
    for name in names:
        inputs += _in_folder(Path(name)) if Path(name).is_dir() else [name]
    return inputs


def _in_folder(folder: Path) -> list[str]:
    try:
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"{folder} cannot be read ({error.strerror}): choose another folder"
        ) from None
    found = [
        file
        for file in files
        if file.is_file() and (file.suffix.lower() in CLIP_ENDINGS or is_still(file))
    ]
    if not found:
        raise InputError(
            f"{folder} is a directory without clips or pictures by their names: name another, or name files"
        )
    passed_over = [file.name for file in files if file not in set(found)]
    if passed_over:
        log.warning(
            "%s: passed over, neither clips nor pictures by their names: %s",
            folder,
            names_text(passed_over),
        )
    return [str(file) for file in found]


def names_text(names: Sequence[str]) -> str:
    """Names in a line, of many only the first."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def goes_into_folder(names: Sequence[str], output: str, several: bool) -> bool:
    """Whether an output is a folder.

    Args:
        names: of the inputs, as they were given.
        output: as it was given.
        several: whether several inputs were allowed.

    Raises:
        OutputError: the output must be a folder and cannot be one.
    """
    folder = Path(output)
    named_like_file = output == PIPE or (
        folder.suffix.lower() in WRITTEN_ENDINGS and not folder.is_dir()
    )
    if not any(Path(name).is_dir() for name in names) and (
        not several or (len(names) == 1 and named_like_file)
    ):
        return False
    if named_like_file or (folder.exists() and not folder.is_dir()):
        raise OutputError(
            f"{output} is not a folder: give -o a folder for several inputs; one that is not there is made"
        )
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not os.access(there, os.W_OK):
        raise OutputError(f"the folder {there} cannot be written to: choose another place")
    return True


def paint_all(
    jobs: Sequence[Job],
    paint: Callable[[Job], object],
    quiet: bool = False,
    skipped: int = 0,
    message: Callable[[VidstyleError], str] = str,
) -> None:
    """Paint one job after another into folders that are made where they are not there. A failure ends only its own job.

    Args:
        jobs: what to paint.
        paint: paints one job, with progress shown within that of all.
        quiet: show no progress.
        skipped: how many further jobs of the batch are done already.
        message: makes the message of an error.

    Raises:
        VidstyleError: some failed; the error names them.
    """
    failed: list[str] = []
    total = len(jobs) + skipped
    with ProgressDisplay("file", total, quiet) as display:
        for number, job in enumerate(jobs):
            display.show(skipped + number)
            try:
                _make_folder(Path(job.output).parent)
                paint(replace(job, within=display))
            except VidstyleError as error:
                print(f"vidstyle: {message(error)}", file=sys.stderr)
                failed.append(str(job.input))
            except KeyboardInterrupt:
                done = skipped + number - len(failed)
                print(
                    f"vidstyle: {done} of {total} files are painted; --skip-existing goes on with the others",
                    file=sys.stderr,
                )
                raise
            except (
                Exception
            ) as error:  # a fault of ours: it is told, and the other files are painted
                kind = type(error).__name__
                print(
                    f"vidstyle: {job.input}: {kind}: {error} (a fault in vidstyle; -v shows where)",
                    file=sys.stderr,
                )
                log.debug("%s failed", job.input, exc_info=True)
                failed.append(f"{job.input} ({kind})")
        display.show(total)
    if failed:
        others = "the others are painted, and --skip-existing passes over them"
        raise VidstyleError(f"{len(failed)} of {total} failed: {names_text(failed)}; {others}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be made ({error.strerror}): choose another place"
        ) from None
