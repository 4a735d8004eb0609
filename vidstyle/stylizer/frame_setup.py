"""Before the first step of a frame: where it starts, and what it is led to."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..features.extractor import Features
from ..flow.motion import Motion
from ..losses.objective import SPATIAL_WEIGHTING, ContentTarget
from ..losses.patch_matching import NearestNeighborMatcher, PatchTarget, StylePatches
from ..ops.color import match_color_statistics
from .warm_start import StylizerState, WarmStart, warm_start


class StyleContext(NamedTuple):
    """What of a style a frame begins with.

    Args:
        colours: (4, 4), as ``color_statistics`` makes them.
        strokes: (1, 3, H, W), see ``warm_start``.
        spots: which those of the painting are led to; None: none.
    """

    colours: Tensor
    strokes: Tensor
    spots: StylePatches | None


class FrameSetup(NamedTuple):
    """Where a frame starts, what its content asks for per layer, and what its spots are led to."""

    start: WarmStart
    content: dict[str, ContentTarget]
    match: PatchTarget | None


def prepare_frame(
    features: Features,
    layers: Mapping[str, float],
    guide: StyleContext,
    memory: StylizerState,
    frame: Tensor,
    motion: Motion,
) -> FrameSetup:
    """All of it for a frame that starts from the one before. A function of tensors alone: nothing here waits for a GPU.

    Args:
        features: how to look.
        layers: content layer -> its weight.
        guide: of the style.
        memory, frame, motion: as in ``warm_start``.
    """
    start = warm_start(memory, frame, motion, guide.strokes)
    targets, matching = frame_targets(features, layers, guide, start.content)
    return FrameSetup(
        start, targets, matching.assign(start.picture, features) if matching else None
    )


def frame_targets(
    features: Features, layers: Mapping[str, float], guide: StyleContext, content: Tensor
) -> tuple[dict[str, ContentTarget], NearestNeighborMatcher | None]:
    """What a content, (1, 3, H, W) RGB in [0, 1], asks for in the style's colours, and what finds counterparts for its spots."""
    matched = tuple(features.match_layers) if guide.spots else ()
    shares = {
        layer: weight * len(layers) / sum(layers.values()) for layer, weight in layers.items()
    }
    with torch.no_grad():
        led = match_color_statistics(content, guide.colours)
        maps = features(led, {*layers, *matched})
        targets = {
            layer: ContentTarget.of(
                maps[layer], SPATIAL_WEIGHTING[features.layer_kind(layer)], share
            )
            for layer, share in shares.items()
        }
        return targets, NearestNeighborMatcher(
            guide.spots, matched, led, maps
        ) if guide.spots else None
