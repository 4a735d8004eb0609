"""The objective: a weighted sum of losses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..features.extractor import Features
from ..ops.color import toward_style_colors
from .base import FrameContext, Loss, Regions

TOTAL = "total"
"""Key of the weighted sum among the losses."""


class StyleContext(NamedTuple):
    """The targets and statistics of the style for the frames of one size.

    Args:
        color_statistics: (4, 4), see ``ops.color``; with regions (R, 4, 4).
        targets: of each loss, see ``Style.targets``; with regions one for each region.
        regions: parts of the frame with styles of their own; None: one style.
        painted: (1, 4, H, W), the painting of the frame; None: it has none.
        emphasis: (1, 1, H, W), where the content counts more; None: nowhere.
    """

    color_statistics: Tensor
    targets: tuple[Any, ...]
    regions: Regions | None = None
    painted: Tensor | None = None
    emphasis: Tensor | None = None


def prepare_targets(
    features: Features,
    losses: Iterable[Loss],
    style: StyleContext,
    content: Tensor,
    previous: tuple[Tensor, Tensor] | None = None,
) -> tuple[Any, ...]:
    """The target of each loss for one frame.

    Args:
        features: compute the activations of the content.
        losses: of the objective.
        style: of the frame.
        content: (1, 3, H, W) RGB in [0, 1].
        previous: ``previous`` and ``valid`` of ``FrameContext``.
    """
    losses, regions = tuple(losses), style.regions
    with torch.no_grad():
        matched = style_colored(content, style)
        activations = features(matched, {layer for x in losses for layer in x.content_layers})

        def target(loss: Loss, own: Any) -> Any:
            first = own if regions is None else own[0]
            before, valid = previous or (None, None)
            images = before, valid, style.painted, style.emphasis
            frame = FrameContext(features, matched, activations, first, *images)
            if regions is None:
                return loss.target(frame)
            return loss.region_target(frame, own, regions)

        return tuple(map(target, losses, style.targets))


def style_colored(content: Tensor, style: StyleContext) -> Tensor:
    """A frame, (1, 3, H, W), in colours nearer to the style's, region by region."""
    masks = None if style.regions is None else style.regions.masks
    return toward_style_colors(content, style.color_statistics, masks)


def first_image(content: Tensor, style: StyleContext) -> Tensor:
    """The start of a first frame: its content in colours nearer to the style's, under its painting.

    Args:
        content: (1, 3, H, W).
        style: of the frame, at its size.
    """
    return painted_over(style_colored(content, style), style.painted)


def painted_over(image: Tensor, painted: Tensor | None) -> Tensor:
    """An image, (1, 3, H, W), under a painting, (1, 4, H, W), which may be None."""
    return image if painted is None else torch.lerp(image, painted[:, :3], painted[:, 3:])


def fix_targets(
    features: Features, losses: Iterable[Loss], targets: Iterable[Any], image: Tensor
) -> tuple[Any, ...]:
    """The target of each loss for steps that start from an image, (1, 3, H, W)."""
    return tuple(
        target if target is None else loss.fix_target(target, image, features)
        for loss, target in zip(losses, targets, strict=True)
    )


@dataclass(frozen=True, eq=False)
class Objective:
    """The function of the pixels that is minimised; a pytree of its weights and targets.

    Args:
        features: compute the activations of the image.
        losses: the terms.
        weights: of each term: numbers, or scalar tensors.
        targets: of each term, pytrees of tensors.

    Raises:
        ValueError: two losses of one name, or a loss with the name of the sum.
    """

    features: Features
    losses: tuple[Loss, ...]
    weights: tuple[float | Tensor, ...]
    targets: tuple[Any, ...]

    def __post_init__(self) -> None:
        names = [loss.name for loss in self.losses]
        for name in names:
            if name == TOTAL or names.count(name) > 1:
                raise ValueError(f"{name!r} is not a unique name of a loss: choose another name")

    @classmethod
    def of(
        cls, features: Features, losses: Mapping[Loss, float], targets: Iterable[Any]
    ) -> "Objective":
        """The weighted losses whose target is not None."""
        terms = [
            (loss, weight, target)
            for (loss, weight), target in zip(losses.items(), targets, strict=True)
            if target is not None
        ]
        used, weights, found = zip(*terms, strict=True) if terms else ((), (), ())
        return cls(features, used, weights, found)

    @property
    def names(self) -> tuple[str, ...]:
        """Keys of the losses that a call returns."""
        return (TOTAL, *(loss.name for loss in self.losses))

    def target(self, name: str) -> Any:
        """The target of the loss of this name; None: there is no such loss."""
        found = (t for loss, t in zip(self.losses, self.targets, strict=True) if loss.name == name)
        return next(found, None)

    def reweighted(self, **factors: float) -> "Objective":
        """The same objective with some weights multiplied by a factor: ``content=0.5``."""
        weights = tuple(
            factors.get(loss.name, 1) * weight
            for loss, weight in zip(self.losses, self.weights, strict=True)
        )
        return replace(self, weights=weights)

    def with_fixed_targets(self, image: Tensor) -> "Objective":
        """The objective of the next steps, which start from this image: see ``Loss.fix_target``."""
        targets = fix_targets(self.features, self.losses, self.targets, image)
        same = all(new is old for new, old in zip(targets, self.targets, strict=True))
        return self if same else replace(self, targets=targets)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Losses of (1, 3, H, W) RGB in [0, 1], differentiable with respect to it.

        Returns:
            name -> scalar: ``total``, the weighted sum, then each loss without its weight.
        """
        activations = self.features(image, {layer for loss in self.losses for layer in loss.layers})
        values = [
            loss(image, activations, target)
            for loss, target in zip(self.losses, self.targets, strict=True)
        ]
        total = image.new_zeros(())
        for number, (weight, value) in enumerate(zip(self.weights, values, strict=True)):
            total = total + weight * value if number else weight * value
        return dict(zip(self.names, (total, *values), strict=True))


pytree.register_pytree_node(
    Objective,
    lambda objective: (
        [objective.weights, objective.targets],
        (objective.features, objective.losses),
    ),
    lambda children, context: Objective(*context, *children),
)
