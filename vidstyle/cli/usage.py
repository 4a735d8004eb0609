"""What several commands do with their arguments: name wrong values, list the files of weights."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USAGE = 2
"""Exit code of a wrong call."""


@contextmanager
def usage_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """A wrong value on the command line ends like a wrong flag: one line, exit code 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        parser.exit(USAGE, f"vidstyle: {error}\n")


def weights_files(args: argparse.Namespace) -> list[str | Path]:
    """The files among the arguments that hold weights."""
    return [
        name
        for name in (args.features, args.weights, args.flow_weights)
        if name and Path(name).is_file()
    ]
