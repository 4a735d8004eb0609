"""Inputs of the speed benchmark: a style, clips whose camera moves, and L* of their frames."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..losses.base import StyleSize
from ..ops.tensors import to_tensor
from ..settings import PRESETS, Settings
from ..stylizer.sizes import settings_for
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from . import textbook
from .clips import Clip, View, camera_clip
from .textbook import TextbookLoss

log = logging.getLogger(__name__)

PAN_FRAMES = 24
"""Frames that the camera moves in one direction before it turns back."""


@dataclass(frozen=True)
class LbfgsReference:
    """300 iterations of L-BFGS on one frame.

    Args:
        milliseconds: that they took.
        loss: the objective of the result (L*).
        clamped_loss: the objective of the result clamped to [0, 1].
    """

    milliseconds: float
    loss: float
    clamped_loss: float


class Fixture:
    """A style with clips and references of any size, each made once.

    Args:
        style: with the features to measure.
        name: of these features, for labels.
        frames: number of frames of each clip.
    """

    def __init__(self, style: Style, name: str, frames: int = 16) -> None:
        self.style, self.features, self.name = style, style.features, name
        self._frames = frames
        self._clips: dict[tuple[int, int], Clip] = {}
        self._references: dict[tuple[int, int], LbfgsReference] = {}

    def stylizer(self, settings: Settings) -> Stylizer:
        """A new stylizer."""
        return Stylizer(self.features, self.style, settings)

    def clip(self, size: tuple[int, int]) -> Clip:
        """The clip of (width, height) px: a camera that pans there and back."""
        if size not in self._clips:
            step_px = size[0] / 160  # the same fraction of the width at every size

            def view(number: int) -> View:
                position = PAN_FRAMES - abs(number % (2 * PAN_FRAMES) - PAN_FRAMES)
                return View(step_px * position, step_px / 4 * position)

            self._clips[size] = camera_clip("pan", size, self._frames, view)
        return self._clips[size]

    def content(self, size: tuple[int, int], number: int = -1) -> Tensor:
        """Frame ``number`` of the clip, (1, 3, H, W) float in [0, 1]; -1: the last frame."""
        return to_tensor(self.clip(size).frames[number].image, self.features.device)

    def textbook_loss(self, settings: Settings, content: Tensor) -> TextbookLoss:
        """The objective of these settings, in float32, as textbook code."""
        layers: Mapping[str, float] = (
            self.features.fast_style_layers
            if settings.fast_style_layers
            else self.features.style_layers
        )
        own = self.stylizer(replace(settings, precision="fp32")).objective(content)
        grams = self.style.grams(StyleSize(max(content.shape[-2:])), layers)
        weights = (
            settings_for(settings, content).content_weight,
            settings.style_weight,
            settings.tv_weight,
            settings.orientation_weight,
            settings.patch_weight,
        )
        content_target, matcher = own.target("content"), own.target("patch")
        patch_layers = tuple(self.features.match_layers) if matcher else ()
        return TextbookLoss(
            own.features,
            content_target,
            grams,
            layers,
            weights,
            patch_layers,
            matcher,
            tensors=own.target("orientation") or {},
        )

    def standard_loss(self, size: tuple[int, int], number: int = -1) -> TextbookLoss:
        """The textbook objective of the standard preset for a frame of the clip."""
        return self.textbook_loss(PRESETS["standard"], self.content(size, number))

    def loss_of(self, size: tuple[int, int], image: Tensor, number: int = -1) -> float:
        """The standard objective of a stylised version of a frame of the clip, (1, 3, H, W)."""
        loss = self.standard_loss(size, number)
        with torch.no_grad():
            return loss(image.to(self.features.device)).item()

    def reference(self, size: tuple[int, int]) -> LbfgsReference:
        """L-BFGS on the last frame of the clip."""
        if size not in self._references:
            iterations = textbook.REFERENCE_ITERATIONS
            log.debug("%s: %d iterations of L-BFGS", size_text(size), iterations)
            loss = self.standard_loss(size)
            began = time.perf_counter()
            image = textbook.lbfgs(loss.with_fixed_matches, self.content(size))
            milliseconds = 1000 * (time.perf_counter() - began)
            self._references[size] = LbfgsReference(
                milliseconds, self.loss_of(size, image), self.loss_of(size, image.clamp(0, 1))
            )
        return self._references[size]


def preset_settings(
    size: tuple[int, int], preset: str, engine: str = "auto", precision: str = "auto"
) -> Settings:
    """A preset with the size of a clip as its working size."""
    return replace(PRESETS[preset], engine=engine, precision=precision, working_size=max(size))


def size_text(size: tuple[int, int]) -> str:
    """A size as in labels: ``320x180``."""
    return f"{size[0]}x{size[1]}"
