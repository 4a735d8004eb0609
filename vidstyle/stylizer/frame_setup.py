"""The setup of a warm-started frame: where it starts, and the targets of its losses."""

from typing import Any, NamedTuple

from torch import Tensor

from ..features.extractor import Features
from ..flow.motion import Motion
from ..losses.base import Loss
from ..losses.objective import fix_targets, prepare_targets
from .state import StylizerState
from .warm_start import WarmStart, warm_start


class StyleContext(NamedTuple):
    """What a frame needs of the style.

    Args:
        color_statistics: (4, 4), see ``ops.color``.
        strokes: (1, 3, H, W), see ``warm_start``.
        targets: of each loss, see ``Style.targets``.
    """

    color_statistics: Tensor
    strokes: Tensor
    targets: tuple[Any, ...]


class FrameSetup(NamedTuple):
    """The setup of a frame: its start, and the target of each loss."""

    start: WarmStart
    targets: tuple[Any, ...]


def prepare_frame(
    features: Features,
    losses: tuple[Loss, ...],
    style: StyleContext,
    state: StylizerState,
    frame: Tensor,
    motion: Motion,
) -> FrameSetup:
    """The setup of a warm-started frame: a function of pytrees that can be recorded.

    Args:
        features: compute activations.
        losses: of the objective.
        style: prepared for the size of the frame.
        state, frame, motion: see ``warm_start``.
    """
    start = warm_start(state, frame, motion, style.strokes)
    previous = start.image, start.valid
    targets = prepare_targets(
        features, losses, style.targets, style.color_statistics, start.content, previous
    )
    return FrameSetup(start, fix_targets(features, losses, targets, start.image))
