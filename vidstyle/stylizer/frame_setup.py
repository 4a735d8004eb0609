"""The setup of a warm-started frame: where it starts, and the targets of its losses."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from ..features.extractor import Features
from ..flow.motion import Motion
from ..losses.base import Loss
from ..losses.objective import fix_targets, prepare_targets
from ..settings import Settings
from .state import StylizerState
from .style import Style
from .warm_start import WarmStart, warm_start


class StyleContext(NamedTuple):
    """The targets and statistics of the style for the frames of one size.

    Args:
        color_statistics: (4, 4), see ``ops.color``.
        targets: of each loss, see ``Style.targets``.
    """

    color_statistics: Tensor
    targets: tuple[Any, ...]


def style_context(
    style: Style, settings: Settings, losses: Mapping[Loss, float], content: Tensor
) -> StyleContext:
    """The ``StyleContext`` of frames of the size of ``content``; cached by the style."""
    size_px = style_px(settings, content)
    return StyleContext(style.color_statistics(), style.targets(losses, size_px))


def style_px(settings: Settings, content: Tensor) -> int:
    """Long side in px at which the style images are analysed."""
    return round(max(content.shape[-2:]) * settings.style_scale)


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
    previous = start.frame.image, start.valid
    targets = prepare_targets(
        features, losses, style.targets, style.color_statistics, start.frame.content, previous
    )
    return FrameSetup(start, fix_targets(features, losses, targets, start.frame.image))
