"""The parsers of all commands."""

import argparse
import difflib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .. import __version__
from . import bench_flags, join, live_flags, mask, obs, render_flags, sheet, studio, train
from .usage import USAGE

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


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong call in one line, and names the flag that was meant.

    ``commands`` are the parsers of all commands by name.
    """

    commands: Mapping[str, "Parser"] = {}

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and exit."""
        words = message.removeprefix("argument ")
        more = "" if words.endswith("?") else f"; {self.prog} --help lists the arguments"
        self.exit(USAGE, f"vidstyle: {words}{more}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but an unknown flag is reported before missing arguments are."""
        words = args or []
        if self not in self.commands.values():  # the whole command line: a command comes first
            words = words[:1]
        if not {"-h", "--help"} & set(words):
            flags = words[: words.index("--")] if "--" in words else words
            for word in flags:
                if word.startswith("--") and " " not in word and not self.has_flag(word):
                    self.refuse_flag(word)
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is no choice. Choices with an old name are not listed."""
        if action.choices is None or value in action.choices:
            return
        shown = [str(choice) for choice in action.choices]
        if isinstance(action.metavar, str) and action.metavar.startswith("{"):
            shown = action.metavar.strip("{}").split(",")
        nearest = difflib.get_close_matches(str(value), shown, n=1)
        hint = f": did you mean {nearest[0]}?" if nearest else ""
        named = action if action.option_strings else None
        raise argparse.ArgumentError(named, f"{value!r} is not one of {', '.join(shown)}{hint}")

    def has_flag(self, word: str) -> bool:
        """Whether a word, such as ``--size=640``, is a flag of this parser."""
        return word.partition("=")[0] in self._option_string_actions

    def refuse_flag(self, word: str) -> NoReturn:
        """Say that a flag is unknown, and name the nearest one, or the commands that have it."""
        flag = word.partition("=")[0]
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
        known = [name for action in shown for name in action.option_strings]
        owners = [name for name, other in self.commands.items() if other.has_flag(flag)]
        nearest = difflib.get_close_matches(flag, known, n=1)
        if owners:
            remedy = f"it is a flag of vidstyle {' and '.join(owners)}"
        elif nearest:
            remedy = f"did you mean {nearest[0]}?"
        else:
            remedy = f"{self.prog} --help lists its flags"
        self.exit(USAGE, f"vidstyle: {self.prog} has no flag {flag}: {remedy}\n")


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


def make_parser(commands: Mapping[str, Command]) -> Parser:
    """The parser of the whole command line.

    Args:
        commands: name of a command -> function that runs it.
    """
    parser = Parser(
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
    made = parser.commands = {}
    for name, run in commands.items():
        text = COMMAND_HELP[name]
        command = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(command=run, parser=command)
        command.commands = made
        made[name] = command
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
