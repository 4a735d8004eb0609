"""The command ``vidstyle sheet``."""

import argparse
import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..face_choices import KEEP, check_faces
from ..settings import PRESETS, Settings
from . import values
from .shared_flags import (
    add_basic_settings,
    add_expert_settings,
    add_faces,
    add_model_flags,
    add_preset_flag,
)
from .usage import base_settings, flag_of, settings_of, usage_errors

VARIABLE = (
    "content_weight",
    "style_weight",
    "patch_weight",
    "orientation_weight",
    "tv_weight",
    "style_scale",
    "strength",
    "original_colors",
    "initial_steps",
    "pyramid_levels",
    "fast_style_layers",
    "init",
    "learning_rate",
    "seed",
)
"""Settings that --vary takes: those that change a single image."""

MODEL_FLAGS = {
    "faces": KEEP,
    "face_model": None,
    "features": "bundled",
    "weights": None,
    "flow_weights": None,
    "device": "auto",
    "threads": None,
}
"""Flags of faces, models and device, and their defaults."""

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
    add_preset_flag(parser, None, "standard for clips, still for images")
    add_basic_settings(parser, PRESETS["still"])
    add_faces(add)
    add_expert_settings(parser, PRESETS["still"])
    add_model_flags(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Make a contact sheet."""
    from ..features.weights import load_features
    from ..io.files import check_writable
    from ..io.outputs import check_apart
    from ..progress import ProgressDisplay
    from ..sheet import SHEET_STEPS, make_sheet, read_frame, sheet_cells
    from ..sheet_output import check_ending, write_sheet
    from ..styles import check_not_swapped, find_style
    from ..stylizer.style import Style

    with usage_errors(parser):
        source, *given = args.names
        _check(args)
        check_not_swapped(source, given)
        styles = _named(given or _all_styles())
        paths = {name: find_style(word) for name, word in styles.items()}
        preset = base_settings(args, source)
        settings = settings_of(args, preset)
        cells = sheet_cells(list(paths), _variations(args.vary, settings, preset))
        output = check_writable(args.output or _default_output(source), args.overwrite)
        check_ending(output)
        check_apart([output], [source, *paths.values()])
        frame = read_frame(source, args.at, args.faces, args.face_model)
        features = load_features(args.features, args.device, args.weights)
        quick = replace(settings, initial_steps=args.initial_steps or SHEET_STEPS)
        made = {name: Style.from_images([path], features) for name, path in paths.items()}
        with ProgressDisplay("image", len(cells), args.quiet) as display:
            sheet = make_sheet(frame, cells, made, quick, features, display.show)
    commands = [_command(args, styles[cell.style], settings, cell.changes) for cell in cells]
    write_sheet(output, sheet, Path(source).name or source, commands)
    print(output)


def _check(args: argparse.Namespace) -> None:
    """Check the input and the flags.

    Raises:
        ValueError: a sheet cannot be made of them.
    """
    from ..io.files import PIPE

    source = args.names[0]
    if source == PIPE:
        raise ValueError("a sheet needs a file, not standard input: name a clip or an image")
    if Path(source).is_dir():
        raise ValueError(f"{source} is a folder: name one clip or one image in it")
    if args.compare:
        raise ValueError("--compare cannot be used here: the sheet shows the source anyway")
    check_faces(args.faces, args.face_model)


def _all_styles() -> Sequence[str]:
    from ..io.images import bundled_styles

    return list(bundled_styles())


def _named(given: Sequence[str]) -> dict[str, str]:
    """Caption of a style -> the style as given: its stem, or all of it where stems are alike."""
    words = list(dict.fromkeys(given))
    stems = [Path(word).stem for word in words]
    return {
        stem if stems.count(stem) == 1 else word: word
        for stem, word in zip(stems, words, strict=True)
    }


def _default_output(source: str) -> Path:
    from ..inputs import default_output

    return default_output(source, ["sheet"]).with_suffix(".jpg")


def _variations(given: Sequence[str], settings: Settings, preset: Settings) -> dict[str, list[Any]]:
    """Name of a setting -> the values of --vary.

    Args:
        given: values of --vary.
        settings: of the sheet.
        preset: these settings without the flags that were given.

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
        if setting in found:
            raise ValueError(f"--vary names {name} twice: give all its values at once")
        found[setting] = [_value(setting, value) for value in texts]
        for value in found[setting]:
            replace(settings, **{setting: value})
        if getattr(preset, setting) is True and False in found[setting]:
            raise ValueError(
                f"--vary {name}=no: the preset has it on, and no flag turns it off: choose another "
                "--preset"
            )
    return found


def _value(name: str, text: str) -> Any:
    """A value of a setting, of its type."""
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
        kind = "numbers" if isinstance(default, float) else "whole numbers"
        kind = "yes or no" if isinstance(default, bool) else kind
        raise ValueError(f"{text!r} is no value of {flag}: use {kind}") from None
    return value


def _command(
    args: argparse.Namespace, style: str, settings: Settings, changes: Mapping[str, Any]
) -> str:
    """The command line that renders the input as in a cell."""
    words = ["vidstyle", "render", args.names[0], style]
    if args.preset:
        words += ["--preset", args.preset]
    base = base_settings(args, args.names[0])
    for setting in fields(Settings):
        value = changes.get(setting.name, getattr(settings, setting.name))
        if setting.name in changes or value != getattr(base, setting.name):
            words += _flags(setting.name, value)
    for name, default in MODEL_FLAGS.items():
        value = getattr(args, name)
        if value != default:
            words += [flag_of(name), str(value)]
    return shlex.join(words)


def _flags(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag_of(name)] if value else []
    return [flag_of(name), ",".join(value) if isinstance(value, tuple) else str(value)]
