"""The parsers of all commands."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from .. import __version__
from . import bench_flags, join, live_flags, mask, obs, render_flags, sheet, studio, train

Command = Callable[[argparse.Namespace, argparse.ArgumentParser], None]

SHELLS = ("bash", "zsh", "tcsh")
"""Shells that shtab completes."""

EPILOG = """The command render may be left out: vidstyle clip.mp4 painting.jpg
Help of a command: vidstyle COMMAND --help"""

COMMAND_HELP: Mapping[str, str] = {
    "render": "stylise a clip or an image",
    "live": "stylise a camera in real time",
    "studio": "open a page to choose, preview and render clips, and queue renders",
    "sheet": "show one frame in several styles and settings, to choose by eye",
    "mask": "carry a mask that is drawn on one frame along the motion of a clip",
    "join": "join ranges of frames that were stylised apart",
    "train-features": "train a feature network on a folder or tar file of images",
    "bench": "measure speed, temporal consistency and style quality on this machine",
    "obs": "set up OBS: install vidstyle's scripts, connect its source, check them",
    "info": "show versions, devices, cameras, codecs and weights",
}

ADD_FLAGS: Mapping[str, Callable[[argparse.ArgumentParser], None]] = {
    "render": render_flags.add_flags,
    "live": live_flags.add_flags,
    "studio": studio.add_flags,
    "sheet": sheet.add_flags,
    "mask": mask.add_flags,
    "join": join.add_flags,
    "train-features": train.add_flags,
    "bench": bench_flags.add_flags,
    "obs": obs.add_flags,
}


class PrintCompletion(argparse.Action):
    """Print a script that completes commands, flags and their choices in a shell, and exit."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Print it."""
        try:
            import shtab
        except ImportError:
            parser.error("completion needs shtab: pip install 'vidstyle[completion]'")
        print(shtab.complete(parser, values))
        parser.exit()


def make_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser of the whole command line.

    Args:
        commands: name of a command -> function that runs it.
    """
    parser = argparse.ArgumentParser(
        "vidstyle",
        description="Neural style transfer for video and webcam: turn video into moving paintings.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"vidstyle {__version__}")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        help="print a completion script for this shell, see shtab's documentation",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run in commands.items():
        text = COMMAND_HELP[name]
        command = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(command=run)
        if name in ADD_FLAGS:
            ADD_FLAGS[name](command)
        _add_volume(command)
    return parser


def _add_volume(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("messages").add_mutually_exclusive_group()
    group.add_argument(
        "-v", "--verbose", action="store_true", help="show the stages and the shapes of tensors"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="show errors only")
