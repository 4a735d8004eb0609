"""The losses in use, with their weights."""

from ..features.extractor import Features
from ..settings import Settings
from .base import Loss
from .content import ContentLoss
from .orientation import FAST_ORIENTATION_LAYERS, ORIENTATION_LAYERS, OrientationLoss
from .painted import PaintedLoss
from .patch_matching import PatchMatchingLoss
from .style import StyleLoss
from .temporal import TemporalLoss
from .total_variation import TotalVariationLoss


def default_losses(features: Features, settings: Settings) -> dict[Loss, float]:
    """The weighted losses of these settings. One more loss is one more line.

    Args:
        features: name the layers that the settings leave open.
        settings: weights and layers.
    """
    usual = features.fast_style_layers if settings.fast_style_layers else features.style_layers
    style = tuple((layer, usual.get(layer, 1.0)) for layer in settings.style_layers or usual)
    content = dict.fromkeys(settings.content_layers, 1.0) or features.content_layers
    losses: dict[Loss, float] = {
        ContentLoss(tuple(content.items())): settings.content_weight,
        StyleLoss(tuple(dict(style).items())): settings.style_weight,
        TotalVariationLoss(): settings.tv_weight,
        TemporalLoss(): settings.effective_temporal_weight,
        PaintedLoss(): settings.painted_weight,
    }
    if settings.patch_weight and features.match_layers:
        losses[PatchMatchingLoss(tuple(features.match_layers))] = settings.patch_weight
    if settings.orientation_weight and features.bank:
        fast = settings.fast_style_layers
        tensors = FAST_ORIENTATION_LAYERS if fast else ORIENTATION_LAYERS
        losses[OrientationLoss(tensors)] = settings.orientation_weight
    return losses
