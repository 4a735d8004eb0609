"""Every setting that changes the picture or the speed, declared once: the API's ``Settings`` and the command line's flags."""

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import wraps
from types import MappingProxyType
from typing import Any

INITS = ("previous", "content", "noise")
OPTIMIZERS = ("adam", "lbfgs")
FLOWS = ("none", "dis", "raft")
COMPARISONS = ("no", "beside", "below")
ENGINES = ("auto", "eager", "compile", "graph")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
MAX_SIDE_PX = 16384


def _setting(default: Any, help: str, **limits: Any) -> Any:
    return field(default=default, metadata={"help": help, **limits})


RENAMED_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "match_weight": "patch_weight",
        "few_layers": "fast_style_layers",
        "first_steps": "initial_steps",
        "levels": "pyramid_levels",
        "paint_size": "working_size",
    }
)
"""Old name -> new name. Settings and flags of the old names work for one more version."""


def _accept_old_names(cls: type["Settings"]) -> type["Settings"]:
    """Let a settings class be made with the keywords of ``RENAMED_SETTINGS`` too."""
    init: Callable[..., None] = cls.__init__

    @wraps(init)
    def renaming_init(self: "Settings", *args: Any, **given: Any) -> None:
        for old in [name for name in given if name in RENAMED_SETTINGS]:
            new = RENAMED_SETTINGS[old]
            warnings.warn(f"{old} is now called {new}", DeprecationWarning, stacklevel=2)
            given[new] = given.pop(old)
        init(self, *args, **given)

    cls.__init__ = renaming_init  # type: ignore[method-assign]
    return cls


@_accept_old_names
@dataclass(frozen=True)
class Settings:
    """Everything one may want to turn. Immutable; make a changed copy with ``dataclasses.replace``.

    Weights are comparable at every size and with every network, since each loss is divided by its target's energy.

    Raises:
        ValueError: a value out of range, not finite, or not one of the choices.
        TypeError: a value of the wrong type.
    """

    content_weight: float = _setting(0.05, "how much of the content's shapes to keep", low=0)
    style_weight: float = _setting(1.0, "how much of the style's texture to take on", low=0)
    patch_weight: float = _setting(
        0.1, "how much each spot of the painting should look like one of the style's", low=0
    )
    tv_weight: float = _setting(0.6, "how much to smooth (total variation)", low=0)
    temporal_weight: float = _setting(
        5.0, "how much to stay with the painting before, where it can be followed", low=0
    )
    style_scale: float = _setting(
        1.0,
        "size of the style picture relative to the painting: larger, broader strokes",
        low=0.1,
        high=10,
    )
    content_layers: tuple[str, ...] = _setting(
        (), "layers whose maps carry the content, e.g. relu3_1 (default: the features' own)"
    )
    style_layers: tuple[str, ...] = _setting(
        (),
        "layers whose Gram matrices carry the style, e.g. relu1_1,relu2_1 (default: the features' own)",
    )
    fast_style_layers: bool = _setting(
        False, "look through fewer of the features' style layers: quicker, and a little rougher"
    )
    init: str = _setting(
        "previous",
        "where a frame starts: the previous stylised frame, its own content, or noise",
        choices=INITS,
    )
    optimizer: str = _setting("adam", "how pixels are updated", choices=OPTIMIZERS)
    learning_rate: float = _setting(
        0.06,
        "size of Adam's steps: how far one goes in grey at the finest scale, of pixels from 0 to 1",
        low=1e-6,
        high=1,
    )
    initial_steps: int = _setting(
        200,
        "iterations for a frame that starts from its content or noise, all levels together",
        low=1,
        high=100_000,
    )
    steps: int = _setting(
        4, "most iterations for a frame that starts from the previous one", low=1, high=100_000
    )
    flow: str = _setting(
        "dis",
        "how motion is followed: dis (quick), raft (better, wants a GPU), none",
        choices=FLOWS,
    )
    flow_scale: float = _setting(
        1.0,
        "size of the copies in which motion is looked for, relative to the painting (512 px at most)",
        low=0.1,
        high=10,
    )
    long_term: bool = _setting(
        False,
        "keep to the paintings of two and four frames ago too, where the last one is of no use",
    )
    pyramid_levels: int = _setting(
        5, "sizes a fresh frame is painted at, coarse to fine", low=1, high=6
    )
    size: int | None = _setting(
        None, "long side of the output in px (default: the source's)", low=32, high=MAX_SIDE_PX
    )
    working_size: int | None = _setting(
        None,
        "long side in px at which the painting is optimised (default: what the device does in reasonable time)",
        low=32,
        high=MAX_SIDE_PX,
    )
    strength: float = _setting(1.0, "blend of source (0) and painting (1)", low=0, high=1)
    original_colors: bool = _setting(
        False, "keep the source's colours, take only the painting's lightness"
    )
    compare: str = _setting(
        "no",
        "show the source beside the painting (above it, where a player turns the clip)",
        choices=COMPARISONS,
        flag="beside",
    )
    engine: str = _setting(
        "auto",
        "how steps are executed: eager, through a compiler, or as a recorded CUDA graph (auto: graph on CUDA, else eager)",
        choices=ENGINES,
    )
    precision: str = _setting(
        "auto",
        "of the convolutions; auto: bf16 where the hardware is quicker at it, else fp32",
        choices=PRECISIONS,
    )
    seed: int = _setting(0, "seed of the noise", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check(setting, getattr(self, setting.name))
        if self.optimizer == "lbfgs" and self.precision == "fp16":
            raise ValueError(
                "optimizer lbfgs does not go with precision fp16, in which its gradients underflow: use bf16"
            )
        if self.style_weight == 0 and self.content_weight == 0:
            raise ValueError(
                "content_weight and style_weight are both 0: nothing would steer the painting"
            )


def _check(setting: Field[Any], value: Any) -> None:
    name, limits = setting.name, setting.metadata
    if value is None and setting.default is None:
        return
    if "choices" in limits and value not in limits["choices"]:
        raise ValueError(f"{name} is {value!r}: choose one of {', '.join(limits['choices'])}")
    if isinstance(setting.default, bool):
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, not {value!r}")
    elif isinstance(setting.default, tuple):
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise TypeError(f"{name} must be a tuple of layer names, not {value!r}")
    elif "low" in limits:
        whole = not isinstance(setting.default, float)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise TypeError(f"{name} must be a {'whole ' if whole else ''}number, not {value!r}")
        if (
            not limits["low"] <= value <= limits.get("high", sys.float_info.max)
        ):  # NaN fails, and so does 10**400
            upper = f" to {limits['high']:g}" if "high" in limits else " or more"
            raise ValueError(f"{name} is {value}: it must be {limits['low']:g}{upper}")


PRESETS: Mapping[str, Settings] = MappingProxyType(
    {
        "live": Settings(
            content_weight=0.04,
            patch_weight=0,
            initial_steps=60,
            steps=2,
            fast_style_layers=True,
            flow_scale=0.5,
        ),
        "balanced": Settings(),
        "quality": Settings(initial_steps=400, steps=8, long_term=True),
        "still": Settings(initial_steps=300),
    }
)
"""Starting points. ``balanced`` is the default for clips, ``still`` for single pictures."""


@dataclass(frozen=True)
class TrainConfig:
    """How the small network of the features is trained. The defaults made the bundled weights.

    ``picture_px`` is the side of the square kept of each picture in memory, ``crop_px`` that of the crops.
    """

    steps: int = 3000
    batch: int = 128
    picture_px: int = 192
    crop_px: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    temperature: float = 1 / 16
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be {least} or more")
