"""Controls of a live session: the blend of styles, and the parameters that can be set."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..io.frame import Image, fit
from ..ops.tensors import resize, to_image
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from .camera import LiveSource
from .commands import PARAMETERS, check_parameters, check_weights, find_choice
from .pyramid_start import RESTYLE_LEVELS
from .rate_control import FrameRateController

STRENGTH_STEP, SCALE_FACTOR = 0.1, 1.25
"""Change of the strength, and factor of the style scale, per key press."""

MAX_STYLES = 64
"""Number of styles a session may have."""


class Controls:
    """Changes the style and the settings of a stylizer between frames.

    All methods run on the thread that stylizes, except ``thumbnail`` and reading ``styles``.
    ``styles`` is a list of (name, style), ``weights`` their blend weights: at first the first style
    alone. ``actions`` maps names to functions without arguments.

    Args:
        stylizer: has the first style.
        styles: (name, style), at least one. Equal names get numbers.
        source: the source that can be mirrored.
        rate_controller: limits the steps per frame.
        crossfade_seconds: duration of the crossfade between styles.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        styles: Sequence[tuple[str, Style]],
        source: LiveSource,
        rate_controller: FrameRateController,
        crossfade_seconds: float,
    ) -> None:
        self.styles: list[tuple[str, Style]] = []
        for name, style in styles:
            self.styles.append((self._unused(name), style))
        self.weights = [float(number == 0) for number in range(len(styles))]
        self.crossfade_seconds = crossfade_seconds
        self._stylizer, self._source = stylizer, source
        self._rate_controller = rate_controller
        self._temporal_weight = stylizer.settings.temporal_weight
        self._strength = stylizer.settings.strength
        self._bypass = False
        self._target_style = self._previous_style = styles[0][1]
        self._crossfade_start: float | None = None  # seconds of time.monotonic
        self._crossfade_duration = 0.0  # of the present crossfade, in seconds
        self.actions: Mapping[str, Callable[[], None]] = {
            "next": lambda: self._select_relative(1),
            "previous": lambda: self._select_relative(-1),
            "original_colors": self._toggle_original_colors,
            "mirror": self._toggle_mirror,
            "area": self._source.area.next,
            "faces": self._source.area.toggle_faces,
            "bypass": self._toggle_bypass,
            "stronger": lambda: self._change_strength(STRENGTH_STEP),
            "weaker": lambda: self._change_strength(-STRENGTH_STEP),
            "larger": lambda: self._multiply_style_scale(SCALE_FACTOR),
            "smaller": lambda: self._multiply_style_scale(1 / SCALE_FACTOR),
        }

    @property
    def names(self) -> list[str]:
        """Names of the styles."""
        return [name for name, _ in self.styles]

    @property
    def name(self) -> str:
        """Name of the style, or of the blend such as "25% ink + 75% dots"."""
        blended = [
            (weight, name)
            for weight, (name, _) in zip(self.weights, self.styles, strict=True)
            if weight
        ]
        if len(blended) == 1:
            return blended[0][1]
        total = sum(weight for weight, _ in blended)
        return " + ".join(f"{weight / total:.0%} {name}" for weight, name in blended)

    def state(self) -> dict[str, Any]:
        """Return styles, parameters and modes as JSON-compatible data."""
        settings = self._stylizer.settings
        return {
            "styles": [
                {"name": name, "weight": weight}
                for (name, _), weight in zip(self.styles, self.weights, strict=True)
            ],
            "settings": {
                "strength": self._strength,
                "style_scale": settings.style_scale,
                "temporal_weight": self._temporal_weight,
                "steps": self._rate_controller.max_steps,
                "crossfade_seconds": self.crossfade_seconds,
            },
            "original_colors": settings.original_colors,
            "mirror": self._source.mirror,
            "area": self._source.area.name,
            "faces": self._source.area.faces,
            "bypass": self._bypass,
        }

    def set(self, **parameters: Any) -> None:
        """Set parameters: any of those in ``commands.PARAMETERS``.

        ``steps`` is the largest number of steps per frame.

        Raises:
            ValueError: an unknown parameter, a value of the wrong type, or a value out of range.
        """
        check_parameters(parameters)
        self.crossfade_seconds = parameters.pop("crossfade_seconds", self.crossfade_seconds)
        self._rate_controller.max_steps = parameters.pop("steps", self._rate_controller.max_steps)
        self._temporal_weight = parameters.pop("temporal_weight", self._temporal_weight)
        self._strength = parameters.pop("strength", self._strength)
        self._replace_settings(**parameters, strength=0.0 if self._bypass else self._strength)
        if self._crossfade_start is None:
            self._replace_settings(temporal_weight=self._temporal_weight)

    def blend(self, weights: Sequence[float], seconds: float | None = None) -> None:
        """Start a crossfade to a blend of styles.

        Args:
            weights: one per style, not normalised.
            seconds: duration of the crossfade; None: ``crossfade_seconds``.

        Raises:
            ValueError: not one weight per style, a weight out of range, or all weights are 0.
        """
        checked = check_weights(weights, len(self.styles))
        blended = [
            (style, weight)
            for (_, style), weight in zip(self.styles, checked, strict=True)
            if weight
        ]
        if len(blended) == 1:
            self._target_style = blended[0][0]
        else:
            blended_styles, blended_weights = zip(*blended, strict=True)
            self._target_style = Style.blend(list(blended_styles), list(blended_weights))
        self.weights = checked
        self._previous_style, self._crossfade_start = self._stylizer.style, time.monotonic()
        self._crossfade_duration = self.crossfade_seconds if seconds is None else seconds
        self._stylizer.reset_learning_rate()
        size = self._source.format.size
        self._rate_controller.restart(self._stylizer, size, RESTYLE_LEVELS)
        # Temporal consistency with frames in the previous style would slow the crossfade down.
        self._replace_settings(temporal_weight=0.0)

    def select(self, chosen: str | int) -> None:
        """Crossfade to one style, given by its name, or by its number from 1.

        Raises:
            ValueError: there is no such style.
        """
        selected = find_choice("style", chosen, self.names)
        self.blend([float(number == selected) for number in range(len(self.styles))])

    def add_style(self, name: str, style: Style) -> None:
        """Add a style and crossfade to it. A number is appended to a name that exists already.

        Raises:
            ValueError: there are ``MAX_STYLES`` already.
        """
        if len(self.styles) >= MAX_STYLES:
            message = f"{name} was not added: there are {MAX_STYLES} styles already"
            raise ValueError(f"{message}: start vidstyle again with the styles you need")
        self.styles.append((self._unused(name), style))
        self.select(len(self.styles))

    def _unused(self, name: str) -> str:
        """The name, with a number where a style has it already: names are what users choose by."""
        names = self.names
        candidates = (name, *(f"{name} {number}" for number in range(2, len(names) + 3)))
        return next(candidate for candidate in candidates if candidate not in names)

    def thumbnail(self, number: int, long_side: int) -> Image:
        """The first image of a style, (H, W, 3) uint8, with ``long_side`` px. Thread-safe."""
        image = self.styles[number][1].images[0]
        return to_image(resize(image, fit((image.shape[-1], image.shape[-2]), long_side)))

    def advance_crossfade(self) -> None:
        """Set the style for the next frame from the time that has passed of a crossfade."""
        if self._crossfade_start is None:
            return
        elapsed = time.monotonic() - self._crossfade_start
        progress = elapsed / self._crossfade_duration if self._crossfade_duration else 1.0
        if progress < 1:
            styles, weights = [self._previous_style, self._target_style], [1 - progress, progress]
            self._stylizer.style = Style.blend(styles, weights)
            return
        self._crossfade_start = None
        self._stylizer.style = self._target_style
        self._stylizer.reset_learning_rate()
        self._replace_settings(temporal_weight=self._temporal_weight)

    def _replace_settings(self, **changes: Any) -> None:
        self._stylizer.settings = replace(self._stylizer.settings, **changes)

    def _select_relative(self, offset: int) -> None:
        """Crossfade to the style ``offset`` places after the one with the largest weight."""
        heaviest = max(range(len(self.weights)), key=self.weights.__getitem__)
        self.select((heaviest + offset) % len(self.styles) + 1)

    def _change_strength(self, change: float) -> None:
        lowest, highest = PARAMETERS["strength"]
        self.set(strength=min(highest, max(lowest, round(self._strength + change, 1))))

    def _multiply_style_scale(self, factor: float) -> None:
        lowest, highest = PARAMETERS["style_scale"]
        self.set(
            style_scale=min(highest, max(lowest, self._stylizer.settings.style_scale * factor))
        )

    def _toggle_original_colors(self) -> None:
        self._replace_settings(original_colors=not self._stylizer.settings.original_colors)

    def _toggle_mirror(self) -> None:
        self._source.mirror = not self._source.mirror
        self._stylizer.reset()

    def _toggle_bypass(self) -> None:
        self._bypass = not self._bypass
        self.set()
