"""Feature distillation (Romero et al. 2015, FitNets; Wang et al. 2020, for style transfer).

The network learns to predict the activations of a teacher, VGG-16, at some layers. The teacher's
activations are reduced to their principal components: distances of activations and of Gram
matrices in these coordinates are distances in the teacher's own space, at a fraction of the
channels. Each block of the network has a head, a 1 x 1 convolution, that predicts one layer.

Gram matrices are not part of the loss: their gradients are noisy, and with them the network learns
a third as much of the teacher.

No weight of the teacher is part of the result: the network starts from random weights.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..features.network import DISTILLED, Network, NetworkShape, convolution_of
from ..runtime.interrupts import check
from .config import TrainConfig
from .images import augmented_crops, with_texture
from .task import Task, seeded_generator

ROUND_STEPS = 192
"""Steps for which a set of crops and their teacher activations is used."""

ROUND_EPOCHS = 8
"""How often such a set is used: the teacher is four times as expensive as a step."""

BASIS_CROPS = 48
"""Number of crops that the principal components are computed from."""

CROP_SCALES = (0.35, 1.0)
"""Smallest and largest side of a crop relative to the training image. Smaller crops are blurred."""

MIN_VARIANCE = 2.0
"""Added to what the error of a crop is divided by, relative to the mean over crops. Without a
division crops with much texture would be the whole loss; without this term flat crops would be."""

MIN_STD = 0.1
"""Floor of a channel's standard deviation relative to the mean over channels: a channel that is
nearly constant over the images is not amplified without bound."""

EPSILON = 1e-6
"""Floor of a divisor."""

MARGIN = 1 / 16
"""Share of a crop's side, at each border, that is left out of the loss: the teacher pads with
zeros."""


class Basis(NamedTuple):
    """Principal components of a layer of the teacher.

    Args:
        components: (K, C), scaled so that the coordinates have a mean square of 1.
        variance: mean over coordinates of their variance, a scalar.
    """

    components: Tensor
    variance: Tensor

    @classmethod
    def of(cls, activations: Tensor, count: int) -> "Basis":
        """The ``count`` strongest components of (B, C, H, W), not centred: Gram matrices are not
        centred either."""
        rows = activations.transpose(0, 1).flatten(1).float()
        moments = rows @ rows.T / rows.shape[1]
        components = torch.linalg.eigh(moments).eigenvectors.flip(1)[:, :count].T
        # The sign of an eigenvector is arbitrary: fix it, so that a training is repeatable.
        components = components * components.sum(1, keepdim=True).sign()
        coordinates = components @ rows
        scale = coordinates.square().mean().sqrt()
        variance = (coordinates / scale).var(1).mean()
        return cls((components / scale).contiguous(), variance)

    def __call__(self, activations: Tensor) -> Tensor:
        """Coordinates (B, K, H, W) of activations (B, C, H, W)."""
        return F.conv2d(activations, self.components[:, :, None, None])


class Distillation(Task):
    """The network with heads, and its teacher.

    Args:
        teacher: with its layers down to the deepest taught one.
        shape: of the network; its heads name the taught layers.
    """

    score_name = "of the teacher's variance explained"

    def __init__(self, teacher: Network, shape: NetworkShape = DISTILLED) -> None:
        super().__init__()
        self.shape = shape
        self.network = Network(shape)
        for name, weight in self.network.named_parameters():
            # Heads predict 0 at first: random predictions would have to be unlearnt.
            if name.endswith("weight") and not name.startswith("head"):
                nn.init.kaiming_normal_(weight)
            else:
                nn.init.zeros_(weight)
        # Held in a tuple, so that its weights are neither trained nor saved.
        self._teacher = (teacher,)
        self._bases: dict[str, Basis] = {}
        self._round = -1
        self._crops: Tensor = torch.empty(0)
        self._taught: dict[str, Tensor] = {}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The predicted coordinates of (B, 3, H, W) RGB in [0, 1]: head -> (B, K, H', W')."""
        found: dict[str, Tensor] = self.network(images, [name for name, _ in self.shape.heads])
        return found

    def loss(self, images: Tensor, config: TrainConfig, step: int) -> tuple[Tensor, float]:
        """Mean over layers of the relative errors of the activations, and the share of the variance
        of the teacher's components that is predicted."""
        number, place = divmod(step - 1, ROUND_STEPS)
        if not self._bases:
            crops = self._draw(images, config, BASIS_CROPS, -1)
            self._bases = self._make_bases(crops, step)
            if step == 1:
                normalise_layers(self.network, crops)
        if number != self._round:
            count = config.batch * ROUND_STEPS // ROUND_EPOCHS
            self._crops = self._draw(images, config, count, number)
            self._taught = self._teach(self._crops, step)
            self._round = number
        batches = ROUND_STEPS // ROUND_EPOCHS
        epoch, batch = divmod(place, batches)
        order = torch.randperm(
            len(self._crops), generator=seeded_generator(config.seed, 2, number, epoch)
        )
        chosen = order[batch * config.batch : (batch + 1) * config.batch].to(images.device)
        predicted = self.predicted(self._crops[chosen])
        errors, explained = [], []
        for name, basis in self._bases.items():
            found, taught = (_inner(x) for x in (predicted[name], self._taught[name][chosen]))
            error, variance = (found - taught).square().mean((1, 2, 3)), taught.var((2, 3)).mean(1)
            errors.append((error / (variance + MIN_VARIANCE * basis.variance)).mean())
            explained.append(1 - (error.sum() / variance.sum()).item())
        return torch.stack(errors).mean(), max(0.0, sum(explained) / len(explained))

    def weights(self) -> dict[str, Tensor]:
        """The weights of the network."""
        return {name: x.detach() for name, x in self.network.named_parameters()}

    def identity(self) -> str:
        """The teacher too."""
        total = sum(x.double().sum().item() for x in self._teacher[0].parameters())
        return f"Distillation of a teacher whose weights add up to {total:.6g}"

    def _draw(self, images: Tensor, config: TrainConfig, count: int, number: int) -> Tensor:
        """Crops for the round of a number; -1: those for the principal components."""
        generator = seeded_generator(config.seed, 1, number + 1)
        chosen = torch.randint(len(images), (count,), generator=generator).to(images.device)
        crops = augmented_crops(images[chosen], config.crop_px, generator, CROP_SCALES)
        return with_texture(crops, generator).clamp(0, 1)

    def _make_bases(self, crops: Tensor, step: int) -> dict[str, Basis]:
        parts = list(self._activations(crops, step))
        return {
            name: Basis.of(torch.cat([part[name] for part in parts]), count)
            for name, count in self.shape.heads
        }

    def _teach(self, crops: Tensor, step: int) -> dict[str, Tensor]:
        parts = [
            {name: basis(found[name]) for name, basis in self._bases.items()}
            for found in self._activations(crops, step)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in self._bases}

    def _activations(self, crops: Tensor, step: int) -> Iterator[dict[str, Tensor]]:
        """Head -> the activations of the teacher that it predicts, of each crop, before a step."""
        names = {name.removeprefix("vgg."): name for name, _ in self.shape.heads}
        for number, crop in enumerate(torch.split(crops, 1), 1):  # less memory, and as fast
            check()
            with torch.no_grad():
                found = self._teacher[0](crop, names)
            yield {name: found[layer] for layer, name in names.items()}
            self.watch(step - 1, f"teacher: crop {number}/{len(crops)}")


def _inner(maps: Tensor) -> Tensor:
    """Maps without their borders."""
    height, width = maps.shape[-2:]
    top, left = max(1, round(height * MARGIN)), max(1, round(width * MARGIN))
    return maps[..., top : height - top, left : width - left].float()


def normalise_layers(network: Network, images: Tensor) -> None:
    """Scale weights layer by layer (LSUV, Mishkin & Matas 2016), so that training starts well.

    Each convolution's responses to some images get mean 0 and variance 1 in every channel.

    Args:
        network: changed in place.
        images: (B, 3, H, W) RGB in [0, 1].
    """
    for layer in network.layers:
        convolution: Any = network.get_submodule(convolution_of(layer))
        responses: list[Tensor] = []
        hook = convolution.register_forward_hook(
            lambda module, given, found, responses=responses: responses.append(found.clone())
        )
        with torch.no_grad():
            for image in torch.split(images, 1):
                network(image, [layer])
            hook.remove()
            rows = torch.cat(responses).transpose(0, 1).flatten(1)
            std = rows.std(1)
            std = std.clamp_min(max(MIN_STD * std.mean().item(), EPSILON))
            convolution.weight /= std[:, None, None, None]
            convolution.bias -= rows.mean(1)
            convolution.bias /= std
