"""The command line: parses flags, runs a command, turns errors and signals into exit codes."""

import argparse
import errno
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn, TextIO

from ..errors import VidstyleError
from ..runtime.interrupts import INTERRUPTED, handled
from ..runtime.limits import set_threads, threads
from . import bench, live, obs, render, train
from .flags import parser_of
from .usage import in_flags, usage_errors

log = logging.getLogger(__name__)

DONE, WORLD = 0, 1


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
    args = _parsed(parser, arguments)
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
    """Open the null device as standard input, output or error where the program was started without it.

    Otherwise the first files to be opened would take these places, and whatever a library prints
    would be written into them.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 (open as long as the process lives)


def _exit_code(error: BaseException, interrupted: bool) -> int | None:
    """Say in one line what ended a command, and return the exit code; None where a traceback is due."""
    if isinstance(error, VidstyleError):
        _say(in_flags(error))
    elif isinstance(error, ImportError) and "cannot open shared object" in str(error):
        remedy = "on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"
        _say(f"OpenCV lacks a library of the system ({error}); {remedy}")
    elif isinstance(error, BrokenPipeError):  # whoever read our output has gone
        _drop_output()
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _say(
            f"cannot write {error.filename or 'output'}: no space is left; free some, or choose another place"
        )
        _drop_output()
    elif not interrupted and not isinstance(error, KeyboardInterrupt):
        return None
    if interrupted or isinstance(
        error, KeyboardInterrupt
    ):  # after which any error may follow from it
        _say("interrupted")
        return INTERRUPTED
    return WORLD


def _say(words: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(f"vidstyle: {words}", file=sys.stderr)


def _drop_output() -> None:
    """Let what is still to be written to standard output go nowhere: Python writes it at its end."""
    if sys.stdout is sys.__stdout__ is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Names of inputs and styles may stand between flags, which argparse alone does not allow."""
    args, rest = parser.parse_known_args(arguments)
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(args, "names")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.names += rest
    return args


def _limit_threads(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """``--threads``, for everything that computes, decodes or encodes. PyTorch follows when it is loaded."""
    if getattr(args, "threads", None) is None:
        return
    import cv2

    with usage_errors(parser):
        set_threads(args.threads)
    cv2.setNumThreads(threads())


class _StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment: while a progress bar is shown, the lines go above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


@contextmanager
def _log_on_stderr(args: argparse.Namespace) -> Iterator[None]:
    level = logging.DEBUG if args.verbose else logging.ERROR if args.quiet else logging.INFO
    logger = logging.getLogger("vidstyle")
    handler = _StandardErrorHandler()
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    commands = {
        "render": render.run,
        "live": live.run,
        "train-features": train.run,
        "bench": bench.run,
        "obs": obs.run,
        "info": _info,
    }
    return parser_of(commands)


def _info(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from ..info import lines

    for line in lines():
        print(line)
