"""Flags that several commands share. Those of the stylisation are generated from ``Settings``."""

import argparse
from collections.abc import Callable, Container, Mapping
from dataclasses import Field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..face_choices import FACES_CHOICES, KEEP
from ..settings import PRESETS, REMOVED_SETTINGS, RENAMED_PRESETS, RENAMED_SETTINGS, Settings
from . import values

BASIC_SETTINGS = ("size", "strength", "style_scale", "original_colors", "compare")
"""Settings whose flags are listed with the other basic options."""

SETTING_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "losses and layers": (
            "content_weight",
            "style_weight",
            "patch_weight",
            "orientation_weight",
            "tv_weight",
            "content_layers",
            "style_layers",
            "fast_style_layers",
        ),
        "temporal consistency and optical flow": (
            "temporal_weight",
            "temporal",
            "boil",
            "painted_weight",
            "backward_steps",
            "flow",
            "flow_scale",
        ),
        "optimisation": (
            "working_size",
            "steps",
            "initial_steps",
            "pyramid_levels",
            "init",
            "optimizer",
            "learning_rate",
            "engine",
            "precision",
            "seed",
        ),
    }
)
"""Title of a group of expert flags -> its settings."""


class PresetAction(argparse.Action):
    """The name of a preset. An old name is replaced, and ``renamed`` lists a warning."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.metavar = "{" + ",".join(PRESETS) + "}"
        self.choices = (*PRESETS, *RENAMED_PRESETS)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Set the preset."""
        new = RENAMED_PRESETS.get(values, values)
        if new != values:
            _note_renamed(namespace, f"the preset {values} is now called {new}")
        setattr(namespace, self.dest, new)


class RenamedFlag(argparse.Action):
    """The old name of a flag, hidden from the help; ``renamed`` lists a warning."""

    def __init__(self, *args: Any, new_flag: str, **given: Any) -> None:
        super().__init__(*args, **given)
        self.help = argparse.SUPPRESS
        self._new_flag = new_flag

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Set the value under the new name."""
        _note_renamed(namespace, f"{option_string} is now called {self._new_flag}")
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


class RemovedFlag(argparse.Action):
    """A flag of ``REMOVED_SETTINGS``, hidden from the help; ``renamed`` lists a warning."""

    def __init__(self, option_strings: list[str], dest: str, reason: str) -> None:
        hidden = argparse.SUPPRESS
        super().__init__(option_strings, dest, nargs=0, default=hidden, help=hidden)
        self._reason = reason

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Set nothing."""
        _note_renamed(namespace, f"{option_string} is gone: {self._reason}")


def _note_renamed(namespace: argparse.Namespace, warning: str) -> None:
    """Add to the warnings about old names, which are logged before the command runs."""
    namespace.renamed = [*getattr(namespace, "renamed", []), warning]


def add_preset_flag(parser: argparse.ArgumentParser, default: str | None, text: str) -> None:
    """Add ``--preset``; ``text`` says what the default is."""
    parser.add_argument(
        "--preset",
        action=PresetAction,
        default=default,
        help="draft (fast), standard, final (best quality) or still (for images): where the other "
        f"settings start from (default: {text})",
    )


def add_basic_settings(
    parser: argparse.ArgumentParser, defaults: Settings, without: Container[str] = ()
) -> None:
    """Add the flags of ``BASIC_SETTINGS``, without some."""
    for name in BASIC_SETTINGS:
        if name not in without:
            _add_setting(parser, _field(name), getattr(defaults, name), None)


def add_expert_settings(
    parser: argparse.ArgumentParser,
    defaults: Settings,
    default_texts: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add the flags of ``SETTING_GROUPS``, each group under its title, and the removed flags.

    Args:
        parser: to add them to.
        defaults: settings whose values the help shows.
        default_texts: name of a setting -> text that the help shows instead of its value.
    """
    for title, names in SETTING_GROUPS.items():
        group = parser.add_argument_group(title)
        for name in names:
            _add_setting(group, _field(name), getattr(defaults, name), default_texts.get(name))
    for name, reason in REMOVED_SETTINGS.items():
        parser.add_argument("--" + name.replace("_", "-"), action=RemovedFlag, reason=reason)


def _field(name: str) -> Field[Any]:
    return next(setting for setting in fields(Settings) if setting.name == name)


def _add_setting(
    group: "argparse._ActionsContainer", setting: Field[Any], value: Any, default_text: str | None
) -> None:
    """Add the flag of a setting, and the hidden flag of its old name."""
    flag, limits = "--" + setting.name.replace("_", "-"), setting.metadata
    text = limits["help"]
    if isinstance(setting.default, bool):
        shown = text + " (default: on)" * value
        group.add_argument(flag, action="store_const", const=True, help=shown)
    elif isinstance(setting.default, tuple):
        group.add_argument(flag, type=values.names, metavar="LAYER,LAYER", help=text)
    elif "flag" in limits:
        group.add_argument(flag, action="store_const", const=limits["flag"], help=text)
    elif "choices" in limits:
        shown = f"{text} (default: {value})"
        group.add_argument(flag, choices=limits["choices"], help=shown)
    else:
        kind = float if isinstance(setting.default, float) else int
        default = default_text or ("" if value is None else f"{value:g}")
        shown = f"{text} (default: {default})" if default else text
        metavar = "X" if kind is float else "N"
        group.add_argument(flag, type=kind, metavar=metavar, help=shown)
    old_names = {new: old for old, new in RENAMED_SETTINGS.items()}
    if setting.name in old_names:
        group.add_argument(
            "--" + old_names[setting.name].replace("_", "-"),
            dest=setting.name,
            action=RenamedFlag,
            new_flag=flag,
            nargs=0 if isinstance(setting.default, bool) else None,
            type=float if isinstance(setting.default, float) else int,
        )


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the feature network, weights and device."""
    group = parser.add_argument_group("models and device")
    group.add_argument(
        "--features",
        default="bundled",
        metavar="NAME",
        help="bundled, vgg16, vgg19, or a file of train-features (default: bundled)",
    )
    group.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="torchvision's state dict of the VGG, where it cannot be downloaded",
    )
    group.add_argument(
        "--flow-weights",
        type=Path,
        metavar="FILE",
        help="torchvision's raft_large state dict, where it cannot be downloaded",
    )
    add_device_flags(group)


def add_faces(add: Callable[..., object]) -> None:
    """Add the flags of faces."""
    add(
        "--faces",
        choices=FACES_CHOICES,
        default=KEEP,
        help="keep: eyes and mouths keep more of the content; paint: they are stylised like all "
        "else (default: keep)",
    )
    add(
        "--face-model",
        type=Path,
        metavar="FILE",
        help="find faces with YuNet of OpenCV's model zoo (.onnx), or MediaPipe's "
        "face_detection_full_range.tflite (default: the bundled model)",
    )


def add_device_flags(group: "argparse._ActionsContainer") -> None:
    """Add ``--device`` and ``--threads``."""
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda:N or mps (default: auto)"
    )
    group.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="number of CPU threads (default: one for each core that this process may use)",
    )


def add_allowed_hosts(add: Callable[..., object]) -> None:
    """Add the flag of host names that a page answers to."""
    add(
        "--allow-host",
        dest="allowed_hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="answer to this host name too, for a proxy, a tunnel or a home network; the page then "
        "needs its token everywhere (may be given more than once)",
    )
