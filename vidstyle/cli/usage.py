"""Arguments of several commands: wrong values are reported as flags, weights files listed."""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..settings import PRESETS, Settings

USAGE = 2
"""Exit code of a wrong call."""

SHORT_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "output": "-o",
        "overwrite": "-y",
        "start": "-ss",
        "stop": "-to",
        "rate": "-r",
        "codec": "-c:v",
        "crf": "-crf",
        "pipe": "-f",
    }
)
"""Argument of the Python API -> flag, where the flag is not the argument with ``--`` before it."""


def flag_of(name: str) -> str:
    """The flag of a setting or argument: ``working_size`` -> ``--working-size``."""
    return SHORT_FLAGS.get(name, "--" + name.replace("_", "-"))


def in_flags(error: BaseException) -> str:
    """The message of an error, with the settings that the error names spelled as flags.

    ``working_size=512`` becomes ``--working-size 512``, ``device='cpu'`` becomes ``--device cpu``,
    ``overwrite=True`` becomes ``-y``. A name without a value becomes its flag where the name cannot
    be an English word: at the start of the message, or with an underscore in it.
    """
    text = str(error)
    for name in getattr(error, "settings", ()):
        flag = flag_of(name)
        text = re.sub(rf"\b{name}=True\b", flag, text)
        text = re.sub(rf"\b{name}='([^']*)'", rf"{flag} \1", text)
        text = re.sub(rf"\b{name}=(?=\S)", f"{flag} ", text)
        text = re.sub(rf"^{name}(?= )", flag, text)
        if "_" in name:
            text = re.sub(rf"(?<![\w./-]){name}(?![\w./-])", flag, text)
    return text


@contextmanager
def usage_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """End the program after a wrong value as after a wrong flag: one line, exit code 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        parser.exit(USAGE, f"vidstyle: {in_flags(error)}\n")


def base_settings(args: argparse.Namespace, name: str) -> Settings:
    """The settings of ``--preset``, by default those of the kind of an input."""
    from ..io.image_names import is_numbered, is_still

    default = "still" if is_still(name) and not is_numbered(name) else "standard"
    return PRESETS[args.preset or default]


def settings_of(args: argparse.Namespace, base: Settings) -> Settings:
    """The settings of a preset, changed by the flags that were given."""
    given = {setting.name: getattr(args, setting.name) for setting in fields(Settings)}
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def weights_files(args: argparse.Namespace) -> list[str | Path]:
    """The arguments that are files of weights."""
    return [
        name
        for name in (args.features, args.weights, args.flow_weights)
        if name and Path(name).is_file()
    ]


def check_outputs(
    args: argparse.Namespace,
    outputs: Iterable[str | Path],
    inputs: Iterable[str | Path],
    overwrite: bool,
) -> None:
    """Check that outputs, the trace and the file of ``--json`` replace no input and no other of
    them, and that the file of ``--json`` can be written.

    Args:
        args: of the command.
        outputs: its other outputs.
        inputs: what it reads.
        overwrite: whether an existing file of ``--json`` may be replaced.

    Raises:
        OutputError: an output is an input, or the file cannot be written.
    """
    from ..io.files import PIPE, check_writable
    from ..io.outputs import check_apart

    reports = [name for name in (getattr(args, "trace", None), args.json) if name and name != PIPE]
    check_apart([*outputs, *reports], inputs)
    if args.json in reports:
        check_writable(args.json, overwrite)


@contextmanager
def events_written(name: str | None) -> Iterator[Any]:
    """A listener that writes JSON lines to a file, or to standard output; None where not wanted."""
    from ..io.files import PIPE
    from ..progress import EventWriter

    if name is None:
        yield None
    elif name == PIPE:
        yield EventWriter(sys.stdout)
    else:
        with Path(name).open("w", encoding="utf-8") as file:
            yield EventWriter(file)
