"""The command line: parses flags, runs a command, turns errors and signals into exit codes."""

import argparse
import difflib
import errno
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TextIO

from ..errors import VidstyleError, printable
from ..runtime.interrupts import INTERRUPTED, handled
from ..runtime.limits import set_threads, threads
from . import bench, join, live, mask, obs, render, sheet, studio, train
from .parsers import Command, Parser, make_parser
from .usage import USAGE, in_flags, usage_errors

log = logging.getLogger(__name__)

DONE, FAILED = 0, 1
"""Exit codes: all is done; a file, a device or another program caused an error."""

PIPE = "-"
"""The name of standard input and output."""

NAME_ERRORS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EIO),
)
"""Error numbers of the system for a file that may not be used, or cannot by its name."""


def program() -> NoReturn:
    """The command ``vidstyle`` as a process of its own."""
    reserve_standard_streams()
    with handled() as signals:
        code = main()
        if signals.requested:  # threads that wait in C code, or for each other, are not waited for
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError, AttributeError):
                    stream.flush()
            os._exit(INTERRUPTED)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    It is 0 when all is done, 1 after an error of the world, 130 after an interrupt. Wrong usage
    raises SystemExit with code 2, as argparse does.
    """
    parser = build_parser()
    args = _parsed(parser, sys.argv[1:] if arguments is None else arguments)
    with _log_on_stderr(args), handled() as signals:
        for renamed in getattr(args, "renamed", []):
            log.warning(renamed)
        try:
            _limit_threads(args, parser)
            args.command(args, parser)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BaseException as error:
            code = _exit_code(error, signals.requested)
            if code is None:
                raise
            return code
        return DONE


def reserve_standard_streams() -> None:
    """Open the null device as standard input, output or error where the program was started without
    it.

    Otherwise the first files to be opened would take these places, and whatever a library prints
    would be written into them.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 (open as long as the process lives)


def _exit_code(error: BaseException, interrupted: bool) -> int | None:
    """Say in one line what ended a command, and return the exit code; None where a traceback is
    due."""
    if isinstance(error, VidstyleError):
        _say(in_flags(error))
    elif isinstance(error, ImportError) and "cannot open shared object" in str(error):
        remedy = "on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"
        _say(f"OpenCV lacks a library of the system ({error}); {remedy}")
    elif isinstance(error, BrokenPipeError):  # whoever read our output has gone
        _drop_output()
    elif isinstance(error, Exception) and _is_full_disk(error):
        name = getattr(error, "filename", None) or "output"
        _say(f"cannot write {name}: no space is left; free some, or choose another place")
        _drop_output()
    elif isinstance(error, OSError) and error.errno in NAME_ERRORS and error.filename:
        log.debug("where it failed", exc_info=error)
        remedy = "check its name, and whether you may use it and its folder"
        _say(f"{printable(str(error.filename))} cannot be used ({error.strerror}): {remedy}")
    elif not interrupted and not isinstance(error, KeyboardInterrupt):
        return None
    if interrupted or isinstance(
        error, KeyboardInterrupt
    ):  # after which any error may follow from it
        _say("interrupted")
        return INTERRUPTED
    return FAILED


def _is_full_disk(error: Exception) -> bool:
    from ..io.files import is_full_disk

    return is_full_disk(error)


def _say(words: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(f"vidstyle: {words}", file=sys.stderr)


def _drop_output() -> None:
    """Discard buffered standard output, which Python would write when it exits."""
    if sys.stdout is sys.__stdout__ is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)


def _parsed(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments. Names of inputs and styles may stand between flags."""
    args: argparse.Namespace
    args, rest = parser.parse_known_args(_with_command(parser, arguments))
    for word in rest:
        if word.startswith("-"):
            args.parser.refuse_flag(word)
        if not hasattr(args, "names"):
            args.parser.error(f"{word!r} is one argument too many: remove it")
    if rest:
        args.names += rest
    return args


def _with_command(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> Sequence[str]:
    """The arguments, with ``render`` before them where they begin with an input or a flag of its.

    Without arguments the help is printed, and the program ends.
    """
    if not arguments:
        parser.print_help(sys.stderr)
        raise SystemExit(USAGE)
    first = arguments[0]
    if first == "studio" and studio.LIVE in arguments:
        return studio.as_live(arguments[1:], parser)
    if first in COMMANDS or (first.startswith("-") and first not in (PIPE, *RENDER_FLAGS)):
        return arguments
    looks_like_input = any(letter in first for letter in "./\\%") or Path(first).exists()
    if first.startswith("-") or looks_like_input:
        return ["render", *arguments]
    nearest = difflib.get_close_matches(first, COMMANDS, n=1)
    hint = f": did you mean {nearest[0]}?" if nearest else f"; commands are {', '.join(COMMANDS)}"
    _say(f"{first!r} is neither a command nor an existing file{hint}")
    raise SystemExit(USAGE)


def _limit_threads(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """``--threads``, for everything that computes, decodes or encodes. PyTorch follows when it is
    loaded."""
    if getattr(args, "threads", None) is None:
        return
    import cv2

    with usage_errors(parser):
        set_threads(args.threads)
    cv2.setNumThreads(threads())


class _StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment: while a progress bar is shown, the lines go
    above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


@contextmanager
def _log_on_stderr(args: argparse.Namespace) -> Iterator[None]:
    level = logging.DEBUG if args.verbose else logging.ERROR if args.quiet else logging.INFO
    logger = logging.getLogger("vidstyle")
    handler, before = _StandardErrorHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def build_parser() -> Parser:
    """The parser of the whole command line."""
    return make_parser(COMMANDS)


def _info(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from ..info import lines

    for line in lines():
        print(line)


COMMANDS: Mapping[str, Command] = {
    "render": render.run,
    "live": live.run,
    "studio": studio.run,
    "sheet": sheet.run,
    "mask": mask.run,
    "join": join.run,
    "train-features": train.run,
    "bench": bench.run,
    "obs": obs.run,
    "info": _info,
}

RENDER_FLAGS = ("-i", "--input", "-s", "--style", "-o", "--output")
"""Flags that ``vidstyle`` may be followed by without the command ``render``."""
