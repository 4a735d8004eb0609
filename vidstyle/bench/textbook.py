"""Style transfer as textbooks have it, to compare with. It is never tuned, neither up nor down.

The objective is the same to the last term, but written plainly: one product per Gram matrix, float32, no coarse levels, and
PyTorch's own optimisers. The features are looked at through the same modules.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..features.extractor import Features
from ..losses.objective import ENERGY_FLOOR, ContentTarget
from ..losses.patch_matching import NearestNeighborMatcher, PatchTarget, patch_descriptors

REFERENCE_ITERATIONS = 300
REMATCH = 10
"""Iterations after which spots are compared with the style's anew."""

ADAM_RATE, ADAM_BETAS = 0.02, (0.9, 0.99)

Loss = Callable[[Tensor], Tensor]
"""A picture, (1, 3, H, W) in [0, 1] -> the scalar to minimise."""

Settling = Callable[[Tensor], Loss]
"""A picture -> the ``Loss`` of the next ``REMATCH`` iterations, which each of its spots is led by to one of the style's."""


@dataclass(frozen=True, eq=False)
class TextbookLoss:
    """Content, style, total variation and likeness of spots of a picture. A ``Loss``.

    Args:
        features: in float32.
        content: layer -> what to come close to, and how much each place counts.
        grams: layer -> Gram matrix to come close to.
        layer_weights: of each style layer in their mean.
        weights: of content, style, total variation and likeness of spots.
        matching: finds what spots are to be like; None: nothing.
        match: what they are to be like; None: what ``matching`` finds for the very picture.
    """

    features: Features
    content: Mapping[str, ContentTarget]
    grams: Mapping[str, Tensor]
    layer_weights: Mapping[str, float]
    weights: tuple[float, float, float, float]
    matching: NearestNeighborMatcher | None = None
    match: PatchTarget | None = None

    def with_fixed_matches(self, picture: Tensor) -> "TextbookLoss":
        """The same, each spot led to what this picture's is most like."""
        if self.matching is None:
            return self
        return replace(self, match=self.matching.assign(picture, self.features))

    def __call__(self, picture: Tensor) -> Tensor:
        """The weighted sum."""
        matched = self.matching.layers if self.matching else ()
        maps = self.features(picture, {*self.content, *self.grams, *matched})
        content = sum(
            ((maps[layer] - target.maps) ** 2 * target.counts).mean()
            / target.maps.var().clamp_min(ENERGY_FLOOR)
            for layer, target in self.content.items()
        )
        style = sum(
            self.layer_weights[layer]
            * ((gram(maps[layer]) - target) ** 2).mean()
            / (target**2).mean().clamp_min(ENERGY_FLOOR**2)
            for layer, target in self.grams.items()
        )
        variation = ((picture[..., :, 1:] - picture[..., :, :-1]) ** 2).mean()
        variation = variation + ((picture[..., 1:, :] - picture[..., :-1, :]) ** 2).mean()
        total = sum(self.layer_weights[layer] for layer in self.grams)
        match = (
            self._match(maps, picture, self.matching) if self.matching else picture.new_zeros(())
        )
        sums = content / len(self.content), style / total, variation, match
        return sum(
            (weight * loss for weight, loss in zip(self.weights, sums, strict=True)),
            picture.new_zeros(()),
        )

    def _match(
        self, maps: Mapping[str, Tensor], picture: Tensor, matching: NearestNeighborMatcher
    ) -> Tensor:
        seen = patch_descriptors(maps, matching.layers, picture)
        units, middle, gains = self.match or matching.target(seen.detach())
        return 1 - F.cosine_similarity((seen - middle) * gains, units, dim=1).mean()


def gram(maps: Tensor) -> Tensor:
    """The Gram matrix as ``losses.gram`` has it."""
    rows = maps[0].flatten(1)
    return rows @ rows.T / rows.shape[1]


def lbfgs(settling: Settling, content: Tensor) -> Tensor:
    """300 iterations of L-BFGS with a line search (strong Wolfe) from the content, or 375 evaluations, as PyTorch has it.

    It knows no bounds: pixels leave [0, 1]. Its memory lasts through changes of the loss, and no tolerance ends it early.
    """
    picture = content.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        [picture],
        max_iter=REMATCH,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )
    for _ in range(REFERENCE_ITERATIONS // REMATCH):
        loss = settling(picture.detach())

        def evaluate(loss: Loss = loss) -> Tensor:
            optimiser.zero_grad()
            total = loss(picture)
            total.backward()  # type: ignore[no-untyped-call]
            return total

        optimiser.step(evaluate)  # type: ignore[no-untyped-call]
    return picture.detach()


def adam(settling: Settling, picture: Tensor, steps: int, until: float = 0.0) -> tuple[Tensor, int]:
    """A new Adam from the picture of the frame before, pixels kept within [0, 1].

    Args:
        steps: at most so many.
        until: stop when the loss is no larger.

    Returns:
        The picture, and the steps taken.
    """
    picture = picture.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([picture], lr=ADAM_RATE, betas=ADAM_BETAS)
    for step in range(steps):
        if step % REMATCH == 0:
            loss = settling(picture.detach())
        optimiser.zero_grad()
        total = loss(picture)
        if until and total.item() <= until:
            return picture.detach(), step
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            picture.clamp_(0, 1)
    return picture.detach(), steps
