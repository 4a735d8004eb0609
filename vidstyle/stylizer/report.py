"""The objective of a first frame in the log, for ``-v``."""

import logging

from torch import Tensor

from ..losses.objective import Objective
from ..settings import Settings
from .regions import style_size
from .style import Style

log = logging.getLogger(__name__)


def log_objective(objective: Objective, content: Tensor, style: Style, settings: Settings) -> None:
    """Log the shapes of images and targets, and the weighted losses, at level DEBUG.

    Args:
        objective: of the frame.
        content: (1, 3, H, W), the frame.
        style: of the objective.
        settings: of the stylizer.
    """
    if not log.isEnabledFor(logging.DEBUG):
        return
    size = style_size(settings, content.shape[-2:])
    log.debug("content image %s", _shape(content))
    for image in style.images:
        log.debug("style image %s", _shape(image))
    for _, resized in style.resized_images(size):
        log.debug("style image %s as analysed", _shape(resized))
    for layer, target in (objective.target("content") or {}).items():
        log.debug("content target %s: %s", layer, _shape(target.activations))
    style_layers = [x for loss in objective.losses if loss.name == "style" for x in loss.layers]
    for layer, matrix in style.grams(size, style_layers).items():
        log.debug("style target %s: Gram matrix %s", layer, _shape(matrix))
    for loss, weight in zip(objective.losses, objective.weights, strict=True):
        log.debug("loss: %g %s of %s", weight, loss.name, ", ".join(loss.layers) or "pixels")
    log.debug(
        "pixels %s updated by %s, starting from %s",
        _shape(content),
        settings.optimizer,
        settings.init,
    )


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape)
