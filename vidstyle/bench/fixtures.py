"""What the speed bench measures: one set of features on a clip whose camera moves, and what 300 iterations of L-BFGS reach."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..ops.tensors import to_tensor
from ..settings import PRESETS, Settings
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from . import textbook
from .clips import Clip, View, camera_clip
from .textbook import TextbookLoss

log = logging.getLogger(__name__)

TURN = 24
"""Frames after which the camera goes back."""


@dataclass(frozen=True)
class Lbfgs:
    """What 300 iterations of L-BFGS took, and reached: as it is, and once clipped to what can be shown."""

    milliseconds: float
    free: float
    shown: float


class Fixture:
    """What is made of it is made once.

    Args:
        style: what to paint like, seen through the features to be measured.
        name: of these features.
        frames: of its clips.
    """

    def __init__(self, style: Style, name: str, frames: int = 16) -> None:
        self.style, self.features, self.name = style, style.features, name
        self._frames = frames
        self._clips: dict[tuple[int, int], Clip] = {}
        self._lbfgs: dict[tuple[int, int], Lbfgs] = {}

    def stylizer(self, settings: Settings) -> Stylizer:
        """A new one."""
        return Stylizer(self.features, self.style, settings)

    def clip(self, size: tuple[int, int]) -> Clip:
        """Of (width, height) px."""
        if size not in self._clips:
            step = size[0] / 160  # the same share of the picture at every size

            def view(number: int) -> View:
                """There and back: a long clip shall not leave the world."""
                there = TURN - abs(number % (2 * TURN) - TURN)
                return View(step * there, step / 4 * there)

            self._clips[size] = camera_clip("pan", size, self._frames, view)
        return self._clips[size]

    def content(self, size: tuple[int, int], number: int = -1) -> Tensor:
        """A frame of the clip."""
        return to_tensor(self.clip(size).frames[number].image, self.features.device)

    def textbook_loss(self, settings: Settings, content: Tensor) -> TextbookLoss:
        """The objective of these settings, as textbooks have it."""
        layers: Mapping[str, float] = (
            self.features.fast_style_layers
            if settings.fast_style_layers
            else self.features.style_layers
        )
        ours = self.stylizer(replace(settings, precision="fp32")).objective(content)
        grams = self.style.grams(max(content.shape[-2:]), layers)
        weights = (
            settings.content_weight,
            settings.style_weight,
            settings.tv_weight,
            settings.patch_weight,
        )
        return TextbookLoss(ours.features, ours.content, grams, layers, weights, ours.matching)

    def standard_loss(self, size: tuple[int, int], number: int = -1) -> TextbookLoss:
        """That of ``standard``, of a frame of the clip."""
        return self.textbook_loss(PRESETS["standard"], self.content(size, number))

    def reached(self, size: tuple[int, int], picture: Tensor, number: int = -1) -> float:
        """The standard loss of a painting of a frame."""
        loss = self.standard_loss(size, number)
        with torch.no_grad():
            return loss(picture.to(self.features.device)).item()

    def reference(self, size: tuple[int, int]) -> Lbfgs:
        """Of the last frame."""
        if size not in self._lbfgs:
            log.debug("%s: %d iterations of L-BFGS", by(size), textbook.REFERENCE_ITERATIONS)
            loss = self.standard_loss(size)
            began = time.perf_counter()
            picture = textbook.lbfgs(loss.with_fixed_matches, self.content(size))
            milliseconds = 1000 * (time.perf_counter() - began)
            self._lbfgs[size] = Lbfgs(
                milliseconds, self.reached(size, picture), self.reached(size, picture.clamp(0, 1))
            )
        return self._lbfgs[size]


def preset_at(
    size: tuple[int, int], preset: str, engine: str = "auto", precision: str = "auto"
) -> Settings:
    """A preset that paints at a clip's own size."""
    return replace(PRESETS[preset], engine=engine, precision=precision, working_size=max(size))


def by(size: tuple[int, int]) -> str:
    """``320x180``"""
    return f"{size[0]}x{size[1]}"
