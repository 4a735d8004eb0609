"""The command ``vidstyle sheet``."""

import argparse
import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..settings import PRESETS, Settings
from . import values
from .shared_flags import (
    add_basic_settings,
    add_expert_settings,
    add_model_flags,
    add_preset_flag,
)
from .usage import flag_of, settings_of, usage_errors

VARIABLE = (
    "content_weight",
    "style_weight",
    "patch_weight",
    "orientation_weight",
    "tv_weight",
    "style_scale",
    "strength",
    "original_colors",
    "working_size",
    "initial_steps",
    "pyramid_levels",
    "fast_style_layers",
    "init",
    "learning_rate",
    "seed",
)
"""Settings that --vary takes: those that change a single image."""

PIPE = "-"
"""The name of standard input."""

YES_NO = {"yes": True, "no": False}
"""Values of settings that are on or off."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser of the command."""
    parser.usage = "vidstyle sheet INPUT [STYLE ...] [--vary SETTING=VALUE,VALUE] [options]"
    add = parser.add_argument
    add(
        "names",
        nargs="+",
        metavar="NAME",
        help="a clip or an image, then image files or bundled styles (default: all bundled styles)",
    )
    add(
        "--vary",
        action="append",
        default=[],
        metavar="SETTING=VALUE,VALUE",
        help="a column for each value of a setting, e.g. content-weight=0.02,0.05,0.15; of several "
        "settings, for each combination",
    )
    add(
        "--at",
        type=values.time,
        metavar="TIME",
        help="time of the clip's frame, in seconds or [HH:]MM:SS (default: the middle)",
    )
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="image to write, or a page with sliders (.html) (default: INPUT_sheet.jpg)",
    )
    add("-y", dest="overwrite", action="store_true", help="replace an existing output")
    add_preset_flag(parser, None, "still")
    add_basic_settings(parser, PRESETS["still"])
    add_expert_settings(parser, PRESETS["still"])
    add_model_flags(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Make a contact sheet."""
    from ..features.weights import load_features
    from ..io.files import check_writable
    from ..io.outputs import check_apart
    from ..progress import ProgressDisplay
    from ..sheet import SHEET_STEPS, make_sheet, read_frame, sheet_cells
    from ..sheet_output import write_sheet
    from ..styles import check_not_swapped, find_style
    from ..stylizer.style import Style

    with usage_errors(parser):
        source, *names = args.names
        if source == PIPE:
            raise ValueError("a sheet needs a file, not standard input: name a clip or an image")
        check_not_swapped(source, names)
        paths = {Path(path).stem: path for path in map(find_style, names or _all_styles())}
        settings = settings_of(args, PRESETS[args.preset or "still"])
        cells = sheet_cells(list(paths), _variations(args.vary, settings))
        output = check_writable(args.output or _default_output(source), args.overwrite)
        check_apart([output], [source, *paths.values()])
        frame = read_frame(source, args.at)
        features = load_features(args.features, args.device, args.weights)
        styles = {name: Style.from_images([path], features) for name, path in paths.items()}
        quick = replace(settings, initial_steps=args.initial_steps or SHEET_STEPS)
        with ProgressDisplay("image", len(cells), args.quiet) as display:
            sheet = make_sheet(frame, cells, styles, quick, features, display.show)
    commands = [
        _command(source, names, paths[cell.style], settings, args.preset, cell.changes)
        for cell in cells
    ]
    write_sheet(output, sheet, Path(source).name, commands)
    print(output)


def _all_styles() -> Sequence[str]:
    from ..io.images import bundled_styles

    return list(bundled_styles())


def _default_output(source: str) -> Path:
    path = Path(source)
    return path.with_name(f"{path.stem}_sheet.jpg")


def _variations(given: Sequence[str], settings: Settings) -> dict[str, list[Any]]:
    """Name of a setting -> the values of --vary.

    Raises:
        ValueError: no such setting, no value, or a value out of range.
    """
    found: dict[str, list[Any]] = {}
    for text in given:
        name, equals, listed = text.partition("=")
        setting = name.strip().lstrip("-").replace("-", "_")
        if setting not in VARIABLE:
            nearest = difflib.get_close_matches(setting, VARIABLE, n=1)
            known = [nearest[0]] if nearest else VARIABLE
            words = ", ".join(each.replace("_", "-") for each in known)
            raise ValueError(f"--vary knows no setting {name!r}: use {words}")
        texts = [value.strip() for value in listed.split(",") if value.strip()]
        if not equals or not texts:
            raise ValueError(f"--vary {text} has no values: use {name}=VALUE,VALUE")
        found[setting] = [_value(setting, value, settings) for value in texts]
    return found


def _value(name: str, text: str, settings: Settings) -> Any:
    """A value of a setting, checked by ``Settings`` itself."""
    default = next(setting.default for setting in fields(Settings) if setting.name == name)
    flag = flag_of(name)[2:]
    try:
        if isinstance(default, bool):
            value: Any = YES_NO[text]
        elif isinstance(default, str):
            value = text
        else:
            value = float(text) if isinstance(default, float) else int(text)
    except (KeyError, ValueError):
        kind = "yes or no" if isinstance(default, bool) else "numbers"
        raise ValueError(f"{text!r} is no value of {flag}: use {kind}") from None
    replace(settings, **{name: value})
    return value


def _command(
    source: str,
    names: Sequence[str],
    style: Path,
    settings: Settings,
    preset: str | None,
    changes: Mapping[str, Any],
) -> str:
    """The command line that renders the input as in a cell."""
    named = next((name for name in names if Path(name).stem == Path(style).stem), Path(style).stem)
    words = ["vidstyle", "render", source, named]
    if preset:
        words += ["--preset", preset]
    base = PRESETS[preset or "still"]
    for setting in fields(Settings):
        value = changes.get(setting.name, getattr(settings, setting.name))
        if setting.name in changes or value != getattr(base, setting.name):
            words += _flags(setting.name, value)
    return shlex.join(words)


def _flags(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag_of(name)] if value else []
    if name == "compare":
        return ["--compare"]
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return [flag_of(name), text]
