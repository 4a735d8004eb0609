"""Where the command ``vidstyle render`` writes to."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import VidstyleError
from .usage import check_outputs

log = logging.getLogger(__name__)


def choose_canvas(args: argparse.Namespace) -> Any:
    """The canvas of ``--size WIDTHxHEIGHT``, or None; ``args.size`` is then a long side, or None.

    Raises:
        ValueError: flags that exclude each other, or a side out of range.
    """
    from ..canvas import Canvas

    if not isinstance(args.size, tuple):
        if args.fit:
            raise ValueError("--fit works with a width and height only: add --size 1080x1920")
        return None
    if args.compare:
        raise ValueError("--compare cannot be used with --size WIDTHxHEIGHT: give one number")
    canvas, args.size = Canvas(args.size, args.fit or "fill"), None
    return canvas


def choose_output(args: argparse.Namespace, given: Sequence[str], styles: Sequence[str]) -> bool:
    """Whether the output is a folder. A folder as input gets a folder of its own if none is given.

    Raises:
        ValueError: it is not clear where to write to.
        OutputError: the output must be a folder and cannot be one.
    """
    from ..inputs import default_output, is_taken, output_is_folder
    from ..io.files import PIPE

    if args.json == PIPE and args.output == PIPE:
        raise ValueError("--json - and -o - both write to standard output: give one of them a file")
    if args.output is None and any(Path(name).is_dir() for name in given):
        if len(given) > 1:
            raise ValueError("several inputs with a folder among them need a folder: add -o FOLDER")
        fixed = args.overwrite or args.resume or args.skip_existing
        args.output = str(default_output(given[0], styles, None if fixed else is_taken))
        log.info("output folder: %s", args.output)
    several = bool(args.styles) or len(given) > 1
    return args.output is not None and output_is_folder(given, args.output, several)


def output_of(args: argparse.Namespace, job: Any, into_folder: bool, preview: bool) -> str | Path:
    """The output of a job: the name that was given, or the default name."""
    from ..inputs import default_output, is_taken, resolve_output
    from ..io.files import part_folder

    if args.output is not None:
        return resolve_output(job.input, args.output, into_folder, preview)
    taken: Callable[[Path], bool] | None = is_taken
    if args.overwrite or args.skip_existing:
        taken = None
    elif args.resume:  # the unfinished run, if there is one
        taken = lambda path: path.exists() and not part_folder(path).exists()  # noqa: E731
    elif args.preview is not None:
        taken = lambda path: Path(resolve_output(job.input, path, False, True)).exists()  # noqa: E731
    styles = list(job.provenance["styles"])
    return resolve_output(job.input, default_output(str(job.input), styles, taken), False, preview)


def with_outputs(args: argparse.Namespace, jobs: Sequence[Any], into_folder: bool) -> list[Any]:
    """The jobs with their outputs, without those that --skip-existing leaves out.

    Raises:
        VidstyleError: two jobs have the same output, or an output is an input.
    """
    from ..io.files import part_folder
    from ..io.outputs import exists

    by_output: dict[str | Path, Any] = {}
    for job in jobs:
        output = output_of(args, job, into_folder, args.preview is not None)
        if output in by_output:
            both = f"{by_output[output].input} and {job.input} would both become {output}"
            raise VidstyleError(f"{both}: rename one, or render them into different folders")
        by_output[output] = replace(job, output=output)
    inputs = [*jobs[0].inputs, *(job.input for job in jobs[1:]), *filter(None, [args.timeline])]
    check_outputs(args, by_output, inputs, args.overwrite or args.resume or args.skip_existing)
    existing = [output for output in by_output if args.skip_existing and exists(output)]
    if existing:
        log.info("%d of %d outputs exist and are skipped", len(existing), len(by_output))
    wanted = [job for output, job in by_output.items() if output not in set(existing)]
    if args.skip_existing:
        resumable = args.preview is None
        return [
            replace(job, resume=resumable and part_folder(Path(job.output)).exists())
            for job in wanted
        ]
    ask = not (args.overwrite or args.never or args.resume)
    return [
        replace(job, overwrite=args.overwrite or (ask and _asked(job.output))) for job in wanted
    ]


def _asked(output: str | Path) -> bool:
    """Ask whether to replace an existing output, as ffmpeg does, if there is a terminal."""
    if not (Path(output).is_file() and sys.stdin is not None and sys.stdin.isatty()):
        return False
    print(f"{output} exists. Replace it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
