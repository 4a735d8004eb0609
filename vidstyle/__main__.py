"""The command ``vidstyle``, which is also ``python -m vidstyle``."""

import signal

if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while the command line is imported

from .cli import program

if __name__ == "__main__":
    program()
