"""Wrong values on the command line."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

USAGE = 2
"""Exit code of a wrong call."""


@contextmanager
def usage_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """A wrong value on the command line ends like a wrong flag: one line, exit code 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        parser.exit(USAGE, f"vidstyle: {error}\n")
