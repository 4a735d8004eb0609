"""The setup of a warm-started frame: where it starts, and the targets of its losses."""

from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from ..features.extractor import Features
from ..flow.motion import Motion
from ..losses.base import Loss
from ..losses.objective import StyleContext, fix_targets, painted_over, prepare_targets
from .state import StylizerState
from .warm_start import WarmStart, warm_start


class FrameInput(NamedTuple):
    """A frame, its motion and its proposal: see ``warm_start``."""

    content: Tensor
    motion: Motion
    proposal: Tensor | None


class FrameSetup(NamedTuple):
    """The setup of a frame: its start, and the target of each loss."""

    start: WarmStart
    targets: tuple[Any, ...]


def prepare_frame(
    features: Features,
    losses: tuple[Loss, ...],
    style: StyleContext,
    state: StylizerState,
    frame: FrameInput,
) -> FrameSetup:
    """The setup of a warm-started frame: a function of pytrees that can be recorded.

    Args:
        features: compute activations.
        losses: of the objective.
        style: prepared for the size of the frame.
        state: of the previous frame.
        frame: to be stylised.
    """
    start = warm_start(state, frame.content, frame.motion, frame.proposal)
    image = painted_over(start.frame.image, style.painted)
    start = replace(start, frame=replace(start.frame, image=image))
    previous = start.frame.image, start.valid
    targets = prepare_targets(features, losses, style, start.frame.content, previous)
    return FrameSetup(start, fix_targets(features, losses, targets, start.frame.image))
