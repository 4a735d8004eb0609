"""Every setting that changes the image or the speed, declared once.

The Python API takes them as ``Settings`` or as keywords; the command line generates its flags from
them.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import wraps
from types import MappingProxyType
from typing import Any

from .errors import SettingTypeError, SettingValueError

INITS = ("previous", "content", "noise")
OPTIMIZERS = ("adam", "lbfgs")
FLOWS = ("none", "dis", "match", "raft")
COMPARISONS = ("no", "beside", "below")
FITS = ("fill", "pad", "fit")
"""How frames get the shape of an output of a given width and height: ``fill`` crops them, ``pad``
adds bars, ``fit`` makes them as large as fits and leaves their shape."""

ENGINES = ("auto", "eager", "compile", "graph")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
MAX_SIDE_PX = 16384


NEUTRAL_TEMPORAL = 0.5
"""Value of ``Settings.temporal`` at which ``temporal_weight`` counts as it is."""

LOCKED_GAIN = 8.0
"""Factor of ``temporal_weight`` where ``Settings.temporal`` is 1."""

BOIL_STRENGTH = 0.6
"""Least displacement of strokes, as a fraction of the largest, where ``Settings.boil`` is given."""


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

REMOVED_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "long_term": "the background plate gives uncovered ground its own stylisation back in "
        "every render"
    }
)
"""Name -> what does its work now. For one more version they are accepted, and change nothing."""


def _accept_old_names(cls: type["Settings"]) -> type["Settings"]:
    """Let a settings class be made with ``RENAMED_SETTINGS`` and ``REMOVED_SETTINGS`` too."""
    init: Callable[..., None] = cls.__init__

    @wraps(init)
    def renaming_init(self: "Settings", *args: Any, **given: Any) -> None:
        for old in [name for name in given if name in RENAMED_SETTINGS]:
            new = RENAMED_SETTINGS[old]
            warnings.warn(f"{old} is now called {new}", DeprecationWarning, stacklevel=2)
            given[new] = given.pop(old)
        for name in [name for name in given if name in REMOVED_SETTINGS]:
            reason = REMOVED_SETTINGS[name]
            warnings.warn(f"{name} is gone: {reason}", DeprecationWarning, stacklevel=2)
            del given[name]
        init(self, *args, **given)

    cls.__init__ = renaming_init  # type: ignore[method-assign]
    return cls


@_accept_old_names
@dataclass(frozen=True)
class Settings:
    """All settings of the stylisation. Immutable: ``dataclasses.replace`` makes a changed copy.

    The weights of content and style mean the same at every size and with every feature network,
    since these losses are divided by the energy of their targets.

    Raises:
        ValueError: a value out of range, not finite, or not one of the choices.
        TypeError: a value of the wrong type.
    """

    content_weight: float = _setting(
        0.03, "weight of the content loss: how much of the source's shapes to keep", low=0
    )
    style_weight: float = _setting(
        1.0, "weight of the style loss: how much of the style's texture to take on", low=0
    )
    patch_weight: float = _setting(
        0.05, "weight of patch matching: each patch resembles a patch of the style image", low=0
    )
    orientation_weight: float = _setting(
        0.3, "weight of stroke orientation: how closely strokes follow the source's edges", low=0
    )
    tv_weight: float = _setting(
        0.6, "weight of total variation: larger values smooth the image", low=0
    )
    temporal_weight: float = _setting(
        5.0,
        "weight of temporal consistency: how closely a frame keeps to the previous stylised frame, "
        "warped by optical flow",
        low=0,
    )
    temporal: float = _setting(
        NEUTRAL_TEMPORAL,
        "temporal consistency, from 0 (strokes change from drawing to drawing) to 1 (strokes stay "
        "on what they are on): it scales the weight of temporal consistency, and below 0.5 "
        "displaces strokes at random from drawing to drawing",
        low=0,
        high=1,
    )
    boil: float = _setting(
        0.0,
        "number of drawings per second, each with other strokes: 12 for animation on twos, 8 on "
        "threes (0: 12 where temporal is below 0.5, else none)",
        low=0,
        high=240,
    )
    painted_weight: float = _setting(
        50.0,
        "weight of painted keyframes: how closely frames keep to the paintings that are warped to "
        "them",
        low=0,
    )
    style_scale: float = _setting(
        1.0,
        "size of the style's strokes relative to those of 1.0: larger values give broader strokes",
        low=0.1,
        high=10,
    )
    content_layers: tuple[str, ...] = _setting(
        (), "layers of the content loss, e.g. relu3_1 (default: chosen by the feature network)"
    )
    style_layers: tuple[str, ...] = _setting(
        (),
        "layers of the style loss, e.g. relu2_1,relu3_1 (default: chosen by the feature network)",
    )
    fast_style_layers: bool = _setting(False, "use fewer style layers: faster, slightly coarser")
    init: str = _setting(
        "previous",
        "where the optimisation of a frame starts: the previous stylised frame, the frame's own "
        "content, or noise",
        choices=INITS,
    )
    optimizer: str = _setting("adam", "optimiser of the pixels", choices=OPTIMIZERS)
    learning_rate: float = _setting(
        0.06,
        "step size of Adam, for pixels in the range 0 to 1",
        low=1e-6,
        high=1,
    )
    initial_steps: int = _setting(
        200,
        "iterations for the first frame of a shot, on all pyramid levels together",
        low=1,
        high=100_000,
    )
    steps: int = _setting(
        4,
        "maximum number of iterations for each frame that starts from the previous one",
        low=1,
        high=100_000,
    )
    backward_steps: float = _setting(
        0.5,
        "mean iterations per frame of the backward pass, which stylises the next frames of a clip "
        "in reverse first: regions that come into view start from its images (0: no such pass)",
        low=0,
        high=1000,
    )
    flow: str = _setting(
        "match",
        "optical flow method: dis (fast), match (dis, and patch matching where motion is large), "
        "raft (more accurate, needs a GPU) or none",
        choices=FLOWS,
    )
    flow_scale: float = _setting(
        1.0,
        "resolution of the optical flow relative to the working size, or to 768 px if that is less",
        low=0.1,
        high=10,
    )
    pyramid_levels: int = _setting(
        5,
        "maximum number of pyramid levels of the first frame of a shot, coarse to fine; there are "
        "fewer where a level would have less than 20 iterations",
        low=1,
        high=6,
    )
    size: int | None = _setting(
        None, "long side of the output in px (default: the source's)", low=32, high=MAX_SIDE_PX
    )
    working_size: int | None = _setting(
        None,
        "long side in px at which frames are optimised before they are enlarged to the output size "
        "(default: 512 on a CPU, 1280 on a GPU)",
        low=32,
        high=MAX_SIDE_PX,
    )
    strength: float = _setting(
        1.0, "blend of the source (0) and the stylised frame (1)", low=0, high=1
    )
    original_colors: bool = _setting(
        False, "keep the source's colours and take only the lightness of the stylised frame"
    )
    compare: str = _setting(
        "no",
        "show the source next to the stylised frame (above it where players rotate the clip)",
        choices=COMPARISONS,
        flag="beside",
    )
    engine: str = _setting(
        "auto",
        "how optimisation steps are executed: eager, compile (torch.compile), graph (CUDA graph); "
        "auto: graph on CUDA, else eager",
        choices=ENGINES,
    )
    precision: str = _setting(
        "auto",
        "floating-point type of the convolutions; auto: bf16 where supported, else fp32",
        choices=PRECISIONS,
    )
    seed: int = _setting(0, "random seed of the noise", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check(setting, getattr(self, setting.name))
        if self.optimizer == "lbfgs" and self.precision == "fp16":
            raise SettingValueError(
                "optimizer='lbfgs' does not work with precision='fp16', in which its gradients "
                "underflow: use precision='bf16'",
                "optimizer",
                "precision",
            )
        if self.style_weight == 0 and self.content_weight == 0:
            raise SettingValueError(
                "content_weight and style_weight are both 0: set one of them above 0",
                "content_weight",
                "style_weight",
            )

    @property
    def effective_temporal_weight(self) -> float:
        """``temporal_weight``, scaled by ``temporal``."""
        if self.temporal <= NEUTRAL_TEMPORAL:
            return self.temporal_weight * self.temporal / NEUTRAL_TEMPORAL
        share = (self.temporal - NEUTRAL_TEMPORAL) / (1 - NEUTRAL_TEMPORAL)
        return self.temporal_weight * float(LOCKED_GAIN**share)

    @property
    def boil_strength(self) -> float:
        """How far strokes are displaced from drawing to drawing, from 0 to 1."""
        strength = max(0.0, 1 - self.temporal / NEUTRAL_TEMPORAL)
        return max(strength, BOIL_STRENGTH) if self.boil else strength


def _check(setting: Field[Any], value: Any) -> None:
    """Raise SettingValueError or SettingTypeError for a value out of the setting's limits."""
    name, limits = setting.name, setting.metadata
    if value is None and setting.default is None:
        return
    if "choices" in limits and value not in limits["choices"]:
        choices = ", ".join(limits["choices"])
        raise SettingValueError(f"{name} is {value!r}: choose one of {choices}", name)
    if isinstance(setting.default, bool):
        if not isinstance(value, bool):
            raise SettingTypeError(f"{name} must be True or False, not {value!r}", name)
    elif isinstance(setting.default, tuple):
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise SettingTypeError(f"{name} must be a tuple of layer names, not {value!r}", name)
    elif "low" in limits:
        integer = not isinstance(setting.default, float)
        if isinstance(value, bool) or not isinstance(value, int if integer else (int, float)):
            kind = "an integer" if integer else "a number"
            raise SettingTypeError(f"{name} must be {kind}, not {value!r}", name)
        # NaN fails this comparison, and integers too large for a float do not overflow in it.
        if not limits["low"] <= value <= limits.get("high", sys.float_info.max):
            upper = f" to {limits['high']:g}" if "high" in limits else " or more"
            raise SettingValueError(f"{name} is {value}: it must be {limits['low']:g}{upper}", name)


RENAMED_PRESETS: Mapping[str, str] = MappingProxyType(
    {"live": "draft", "balanced": "standard", "quality": "final"}
)
"""Old name -> new name. Presets of the old names work for one more version."""


class Presets(Mapping[str, Settings]):
    """Name -> settings. Old names are found too, with a warning."""

    def __init__(self, presets: Mapping[str, Settings]) -> None:
        self._presets = dict(presets)

    def __getitem__(self, name: str) -> Settings:
        """The settings of a preset.

        Raises:
            KeyError: there is no preset of this name.
        """
        if name in RENAMED_PRESETS:
            new = RENAMED_PRESETS[name]
            warnings.warn(
                f"the preset {name} is now called {new}", DeprecationWarning, stacklevel=2
            )
            name = new
        return self._presets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._presets)

    def __len__(self) -> int:
        return len(self._presets)

    def __repr__(self) -> str:
        return f"Presets({', '.join(self._presets)})"


PRESETS = Presets(
    {
        "draft": Settings(
            patch_weight=0,
            initial_steps=60,
            steps=2,
            backward_steps=0,
            fast_style_layers=True,
            flow="dis",
            flow_scale=0.5,
        ),
        "standard": Settings(),
        "final": Settings(initial_steps=400, steps=8, backward_steps=1),
        "still": Settings(initial_steps=300),
    }
)
"""Named settings: ``draft`` (fast), ``standard`` (the default for clips), ``final`` (best quality)
and ``still`` (the default for single images)."""
