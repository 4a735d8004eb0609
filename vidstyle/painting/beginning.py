"""Before the first step of a frame: where it starts, and what it is led to."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .colours import led_to
from .features import Features
from .flow import Motion
from .losses import COUNTING, ContentTarget
from .matching import Matching, MatchTarget, Spots
from .warmstart import Memory, Start, start_from


class Guide(NamedTuple):
    """What of a style a frame begins with.

    Args:
        colours: (4, 4), as ``colours_of`` makes them.
        strokes: (1, 3, H, W), see ``start_from``.
        spots: which those of the painting are led to; None: none.
    """

    colours: Tensor
    strokes: Tensor
    spots: Spots | None


class Beginning(NamedTuple):
    """Where a frame starts, what its content asks for per layer, and what its spots are led to."""

    start: Start
    content: dict[str, ContentTarget]
    match: MatchTarget | None


def begin(
    features: Features, layers: Mapping[str, float], guide: Guide, memory: Memory, frame: Tensor, motion: Motion
) -> Beginning:
    """All of it for a frame that starts from the one before. A function of tensors alone: nothing here waits for a GPU.

    Args:
        features: how to look.
        layers: content layer -> its weight.
        guide: of the style.
        memory, frame, motion: as in ``start_from``.
    """
    start = start_from(memory, frame, motion, guide.strokes)
    targets, matching = aims(features, layers, guide, start.content)
    return Beginning(start, targets, matching.target_of(start.picture, features) if matching else None)


def aims(
    features: Features, layers: Mapping[str, float], guide: Guide, content: Tensor
) -> tuple[dict[str, ContentTarget], Matching | None]:
    """What a content, (1, 3, H, W) RGB in [0, 1], asks for in the style's colours, and what finds counterparts for its spots."""
    matched = tuple(features.match_layers) if guide.spots else ()
    shares = {layer: weight * len(layers) / sum(layers.values()) for layer, weight in layers.items()}
    with torch.no_grad():
        led = led_to(content, guide.colours)
        maps = features(led, {*layers, *matched})
        targets = {layer: ContentTarget.of(maps[layer], COUNTING[features.sees(layer)], share) for layer, share in shares.items()}
        return targets, Matching(guide.spots, matched, led, maps) if guide.spots else None
