"""Baseline: style transfer by plain textbook code (Gatys et al. 2016). It is never tuned.

The objective has the same terms, weights and layers as vidstyle's own, written plainly: one matrix
product per Gram matrix, float32, no image pyramid, and PyTorch's own optimisers. It uses the same
feature modules.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..features.extractor import Features
from ..losses.content import MIN_VARIANCE, ContentTarget
from ..losses.orientation import MIN_SQUARED_COHERENCE
from ..losses.patch_matching import NearestNeighborMatcher, PatchTarget
from ..losses.patches import patch_descriptors
from ..losses.style import MIN_RMS

REFERENCE_ITERATIONS = 300
"""L-BFGS iterations of the reference L*."""

REMATCH_ITERATIONS = 10
"""Iterations between two searches of nearest-neighbour patches; the matches are fixed meanwhile."""

ADAM_LR, ADAM_BETAS = 0.02, (0.9, 0.99)

Loss = Callable[[Tensor], Tensor]
"""An image, (1, 3, H, W) float in [0, 1] -> the scalar to minimise."""

LossFactory = Callable[[Tensor], Loss]
"""An image -> the ``Loss`` with the patch matches of that image, for ``REMATCH_ITERATIONS``."""


@dataclass(frozen=True, eq=False)
class TextbookLoss:
    """Weighted sum of content, style, total variation, orientation and patch matching losses. A
    ``Loss``.

    Args:
        features: in float32.
        content: layer -> target feature maps and weight per position.
        grams: layer -> target Gram matrix.
        layer_weights: style layer -> weight in the mean over style layers.
        weights: of content, style, total variation, orientation and patch matching.
        patch_layers: layers of patch descriptors.
        matcher: nearest-neighbour patch matching (Kolkin et al. 2022); None: no such term.
        matches: fixed patch matches; None: ``matcher`` searches them for each image.
        tensors: layer -> target structure tensor of the orientation loss.
    """

    features: Features
    content: Mapping[str, ContentTarget]
    grams: Mapping[str, Tensor]
    layer_weights: Mapping[str, float]
    weights: tuple[float, float, float, float, float]
    patch_layers: tuple[str, ...] = ()
    matcher: NearestNeighborMatcher | None = None
    matches: PatchTarget | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def with_fixed_matches(self, image: Tensor) -> "TextbookLoss":
        """The loss whose patch matches are those of this image. A ``LossFactory``."""
        if self.matcher is None:
            return self
        with torch.no_grad():
            maps = self.features(image, self.patch_layers)
            descriptors = patch_descriptors(maps, self.patch_layers, image)
            return replace(self, matches=self.matcher.assign(descriptors))

    def __call__(self, image: Tensor) -> Tensor:
        """The weighted sum, a scalar."""
        layers = {*self.content, *self.grams, *self.patch_layers, *self.tensors}
        maps = self.features(image, layers)
        none = image.new_zeros(())
        orientation = self._orientation(maps) if self.tensors else none
        patch = self._patch(maps, image, self.matcher) if self.matcher else none
        pixels = _total_variation(image)
        losses = self._content(maps), self._style(maps), pixels, orientation, patch
        return sum(
            (weight * loss for weight, loss in zip(self.weights, losses, strict=True)),
            image.new_zeros(()),
        )

    def _content(self, maps: Mapping[str, Tensor]) -> Tensor:
        losses = [
            ((maps[layer] - target.activations) ** 2 * target.weight_map).mean()
            / target.activations.var().clamp_min(MIN_VARIANCE)
            for layer, target in self.content.items()
        ]
        return sum(losses, torch.zeros_like(losses[0])) / len(self.content)

    def _style(self, maps: Mapping[str, Tensor]) -> Tensor:
        losses = [
            self.layer_weights[layer]
            * ((gram(maps[layer]) - target) ** 2).mean()
            / (target**2).mean().clamp_min(MIN_RMS**2)
            for layer, target in self.grams.items()
        ]
        total = sum(self.layer_weights[layer] for layer in self.grams)
        return sum(losses, torch.zeros_like(losses[0])) / total

    def _orientation(self, maps: Mapping[str, Tensor]) -> Tensor:
        losses = []
        for layer, target in self.tensors.items():
            found, wanted = maps[layer][:, :2], target[:, :2]
            lengths = [((x**2).sum(1) + MIN_SQUARED_COHERENCE) ** 0.5 for x in (found, wanted)]
            cosine = (found * wanted).sum(1) / (lengths[0] * lengths[1])
            losses.append(((wanted**2).sum(1) ** 0.5 * (1 - cosine)).mean())
        return sum(losses, torch.zeros_like(losses[0])) / len(losses)

    def _patch(
        self, maps: Mapping[str, Tensor], image: Tensor, matcher: NearestNeighborMatcher
    ) -> Tensor:
        descriptors = patch_descriptors(maps, self.patch_layers, image)
        units, mean, gains = self.matches or matcher.assign(descriptors.detach())
        return 1 - F.cosine_similarity((descriptors - mean) * gains, units, dim=1).mean()


def _total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of horizontal and of vertical neighbours."""
    across = ((image[..., :, 1:] - image[..., :, :-1]) ** 2).mean()
    return across + ((image[..., 1:, :] - image[..., :-1, :]) ** 2).mean()


def gram(maps: Tensor) -> Tensor:
    """Gram matrix (C, C) of feature maps (1, C, H, W), divided by the number of positions."""
    rows = maps[0].flatten(1)
    return rows @ rows.T / rows.shape[1]


def lbfgs(loss_factory: LossFactory, content: Tensor) -> Tensor:
    """Minimise by L-BFGS (``torch.optim.LBFGS``, strong Wolfe line search) from the content.

    It takes ``REFERENCE_ITERATIONS`` iterations, or 1.25 evaluations per iteration. There are no
    bounds: values may leave [0, 1]. The curvature history is kept when the patch matches change,
    and both tolerances are 0, so that nothing ends it early.

    Args:
        loss_factory: called once every ``REMATCH_ITERATIONS`` iterations.
        content: the initial image, (1, 3, H, W) float in [0, 1].

    Returns:
        The image, (1, 3, H, W).
    """
    image = content.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [image],
        max_iter=REMATCH_ITERATIONS,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )
    for _ in range(REFERENCE_ITERATIONS // REMATCH_ITERATIONS):
        loss = loss_factory(image.detach())

        def evaluate(loss: Loss = loss) -> Tensor:
            optimizer.zero_grad()
            total = loss(image)
            total.backward()  # type: ignore[no-untyped-call]
            return total

        optimizer.step(evaluate)  # type: ignore[no-untyped-call]
    return image.detach()


def adam(
    loss_factory: LossFactory, image: Tensor, steps: int, until: float = 0.0
) -> tuple[Tensor, int]:
    """Minimise by a new Adam (``torch.optim.Adam``), values clamped to [0, 1] after each step.

    Args:
        loss_factory: called once every ``REMATCH_ITERATIONS`` steps.
        image: the initial image, (1, 3, H, W) float in [0, 1].
        steps: the maximum.
        until: stop as soon as the loss is not larger than this; 0: take all steps.

    Returns:
        The image and the number of steps taken.
    """
    image = image.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([image], lr=ADAM_LR, betas=ADAM_BETAS)
    for step in range(steps):
        if step % REMATCH_ITERATIONS == 0:
            loss = loss_factory(image.detach())
        optimizer.zero_grad()
        total = loss(image)
        if until and total.item() <= until:
            return image.detach(), step
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
    return image.detach(), steps
