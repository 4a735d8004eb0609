"""What may be turned while a live session runs: the styles and their mixture, and some of the settings."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..io.frame import Image, fit
from ..ops.tensors import resize, to_image
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from .camera import LiveSource
from .commands import check_settings, check_weights
from .rate_control import FrameRateController

STEP, FACTOR = 0.1, 1.25
"""By how much a key changes the strength, and the style scale."""

MOST_STYLES = 64
"""Number of styles a session may have."""


class Controls:
    """Turns a stylizer's style and settings, on the thread that paints.

    ``styles`` are (name, style), ``weights`` their shares in what is painted: one of them at first.

    Args:
        stylizer: starts with the first style.
        styles: which may be painted like.
        source: may be mirrored.
        pace: how many steps there may be.
        fade_seconds: how long one style turns into the next.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        styles: Sequence[tuple[str, Style]],
        source: LiveSource,
        pace: FrameRateController,
        fade_seconds: float,
    ) -> None:
        self.styles = list(styles)
        self.weights = [float(number == 0) for number in range(len(styles))]
        self.fade_seconds = fade_seconds
        self._stylizer, self._source, self._pace = stylizer, source, pace
        self._steadiness, self._strength = (
            stylizer.settings.temporal_weight,
            stylizer.settings.strength,
        )
        self._bypassed = False
        self._wanted = self._before = styles[0][1]
        self._faded: float | None = None
        self.actions: Mapping[str, Callable[[], None]] = {
            "next": lambda: self._switch(1),
            "previous": lambda: self._switch(-1),
            "original_colors": lambda: self._set(
                original_colors=not stylizer.settings.original_colors
            ),
            "mirror": self._mirror,
            "bypass": self._bypass,
            "stronger": lambda: self.turn(strength=min(1.0, round(self._strength + STEP, 1))),
            "weaker": lambda: self.turn(strength=max(0.0, round(self._strength - STEP, 1))),
            "larger": lambda: self.turn(
                style_scale=min(10.0, stylizer.settings.style_scale * FACTOR)
            ),
            "smaller": lambda: self.turn(
                style_scale=max(0.1, stylizer.settings.style_scale / FACTOR)
            ),
        }

    @property
    def name(self) -> str:
        """Of the style, or of the mixture."""
        parts = [
            (weight, name)
            for weight, (name, _) in zip(self.weights, self.styles, strict=True)
            if weight
        ]
        total = sum(weight for weight, _ in parts)
        return (
            parts[0][1]
            if len(parts) == 1
            else " + ".join(f"{weight / total:.0%} {name}" for weight, name in parts)
        )

    def state(self) -> dict[str, Any]:
        """All of it, as plain data."""
        settings = self._stylizer.settings
        return {
            "styles": [
                {"name": name, "weight": weight}
                for (name, _), weight in zip(self.styles, self.weights, strict=True)
            ],
            "settings": {
                "strength": self._strength,
                "style_scale": settings.style_scale,
                "temporal_weight": self._steadiness,
                "steps": self._pace.most_steps,
                "fade_seconds": self.fade_seconds,
            },
            "original_colors": settings.original_colors,
            "mirror": self._source.mirror,
            "bypass": self._bypassed,
        }

    def turn(self, **given: Any) -> None:
        """Turn strength, style_scale, temporal_weight, steps (the most a frame gets), fade_seconds.

        Raises:
            ValueError: out of range, of the wrong type, or not one of these.
        """
        check_settings(given)
        self.fade_seconds = given.pop("fade_seconds", self.fade_seconds)
        self._pace.most_steps = given.pop("steps", self._pace.most_steps)
        self._steadiness = given.pop("temporal_weight", self._steadiness)
        self._strength = given.pop("strength", self._strength)
        self._set(**given, strength=0.0 if self._bypassed else self._strength)
        if self._faded is None:
            self._set(temporal_weight=self._steadiness)

    def mix(self, weights: Sequence[float]) -> None:
        """Paint like several styles at once, in these shares, to be reached within ``fade_seconds``.

        Raises:
            ValueError: not one weight per style, a weight out of range, or all 0.
        """
        checked = check_weights(weights, len(self.styles))
        chosen = [
            (style, weight)
            for (_, style), weight in zip(self.styles, checked, strict=True)
            if weight
        ]
        alone = chosen[0][0] if len(chosen) == 1 else None
        self._wanted = alone or Style.blend(
            [style for style, _ in chosen], [weight for _, weight in chosen]
        )
        self.weights = checked
        self._before, self._faded = self._stylizer.style, time.monotonic()
        self._stylizer.reset_learning_rate()
        self._set(
            temporal_weight=0.0
        )  # the painting before is no example while one style turns into the next

    def add(self, name: str, style: Style) -> None:
        """One more style, and switch to it. A name that is taken gets a number.

        Raises:
            ValueError: there are ``MOST_STYLES`` already.
        """
        if len(self.styles) >= MOST_STYLES:
            raise ValueError(f"{name} was not added: there are {MOST_STYLES} styles already")
        names = [name for name, _ in self.styles]
        free = next(
            each
            for each in (name, *(f"{name} {number}" for number in range(2, len(names) + 3)))
            if each not in names
        )
        self.styles.append((free, style))
        self.mix([0.0] * len(names) + [1.0])

    def thumbnail(self, number: int, long_side: int) -> Image:
        """A style's first picture, small."""
        picture = self.styles[number][1].pictures[0]
        return to_image(resize(picture, fit((picture.shape[-1], picture.shape[-2]), long_side)))

    def fade(self) -> None:
        """After a frame: let one style turn into the next, a little."""
        if self._faded is None:
            return
        share = (time.monotonic() - self._faded) / self.fade_seconds if self.fade_seconds else 1.0
        if share < 1:
            self._stylizer.style = Style.blend([self._before, self._wanted], [1 - share, share])
            return
        self._faded = None
        self._stylizer.style = self._wanted
        self._stylizer.reset_learning_rate()
        self._set(temporal_weight=self._steadiness)

    def _set(self, **changed: Any) -> None:
        self._stylizer.settings = replace(self._stylizer.settings, **changed)

    def _switch(self, by: int) -> None:
        heaviest = max(range(len(self.weights)), key=self.weights.__getitem__)
        chosen = (heaviest + by) % len(self.styles)
        self.mix([float(number == chosen) for number in range(len(self.styles))])

    def _mirror(self) -> None:
        self._source.mirror = not self._source.mirror
        self._stylizer.reset()

    def _bypass(self) -> None:
        self._bypassed = not self._bypassed
        self.turn()
