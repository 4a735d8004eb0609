"""The command line: parses flags, runs a command, turns errors and signals into exit codes."""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, TextIO

from ..errors import VidstyleError
from ..limits import set_threads, threads
from . import bench, live, obs, render, train
from .flags import parser_of
from .usage import usage_errors

DONE, WORLD, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 an error of the world, 2 wrong usage, 130 interrupted."""
    parser = build_parser()
    args = _parsed(parser, arguments)
    with _log_on_stderr(args), _one_interrupt():
        try:
            _limit_threads(args, parser)
            args.command(args, parser)
        except VidstyleError as error:
            print(f"vidstyle: {error}", file=sys.stderr)
            return WORLD
        except KeyboardInterrupt:
            print("vidstyle: interrupted", file=sys.stderr)
            return INTERRUPTED
        except ImportError as error:
            if "cannot open shared object" not in str(error):
                raise
            remedy = "on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"
            print(f"vidstyle: OpenCV lacks a library of the system ({error}); {remedy}", file=sys.stderr)
            return WORLD
        except BrokenPipeError:  # whoever read our output has gone
            sys.stdout = None
            return WORLD
        return DONE


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


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """A killed command ends like an interrupted one; while it finishes its file, further interrupts are ignored."""
    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in signals}
    heard = [number for number in signals if before[number] != signal.SIG_IGN]  # nohup ignores SIGHUP, and so do we

    def interrupt(number: int, frame: object) -> NoReturn:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only that one may listen for signals
        yield
        return
    for number in heard:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in heard:
            if signal.getsignal(number) is interrupt:  # after an interrupt stay deaf: a late one would spoil the exit code
                signal.signal(number, before[number])


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
