"""Instance discrimination (Dosovitskiy et al. 2014; Wu et al. 2018) trains the bundled network.

Every training image is a class of its own: the network classifies strongly augmented crops. This
needs neither labels nor ImageNet weights.
"""

import math
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .autograd.pooling import blur_pool2
from .errors import InputError
from .features.extractor import Features
from .features.network import SMALL, NetworkShape, convolution_of
from .io.frame import Frame, Image
from .io.tensor_file import read_tensors, write_tensors
from .metrics import QualityMetrics, colors_only, evaluate
from .ops.tensors import to_image, to_tensor
from .runtime.interrupts import check
from .settings import Settings, TrainConfig
from .stylizer.style import Style
from .stylizer.stylizer import Stylizer
from .training_images import augmented_crops

CHECKPOINT_SECONDS = 20.0
"""Time between two checkpoints."""

WARM_UP_STEPS = 200
"""Steps over which the learning rate rises to its maximum."""

LABEL_SMOOTHING = 0.05
"""Label smoothing of the cross entropy (Szegedy et al. 2016)."""

TRIAL_STEPS = 60
"""Optimiser steps of the stylisation of a held-out image."""


@dataclass(frozen=True)
class Progress:
    """State of the training after a step.

    Attributes:
        step, steps: number of this step, from 1, and of the last.
        loss: cross entropy of the step's crops.
        accuracy: fraction of these crops that were classified correctly, in [0, 1].
    """

    step: int
    steps: int
    loss: float
    accuracy: float


class _BlurPool2(nn.Module):
    def forward(self, activations: Tensor) -> Tensor:
        return blur_pool2(activations)


class Classifier(nn.Module):
    """The network with batch normalisation, and a cosine classifier.

    Global average pooling gives one descriptor for each crop; each class has one prototype.

    Args:
        shape: of the network.
        classes: number of training images.
    """

    def __init__(self, shape: NetworkShape, classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = 3
        for number, (channels, count) in enumerate(
            zip(shape.channels, shape.convolutions, strict=True)
        ):
            if number:
                blocks.append(_BlurPool2())
            for _ in range(count):
                convolution = nn.Conv2d(width, channels, 3, padding=1, bias=False)
                nn.init.kaiming_normal_(convolution.weight)
                blocks += [convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
                width = channels
        self.shape = shape
        self.blocks = nn.Sequential(*blocks)
        self.prototypes = nn.Parameter(torch.randn(classes, width))
        self.mean, self.std = shape.mean, shape.std

    def forward(self, images: Tensor) -> Tensor:
        """Cosines of (B, 3, H, W) RGB in [0, 1] with all prototypes, (B, classes)."""
        mean, std = (
            images.new_tensor(values)[None, :, None, None] for values in (self.mean, self.std)
        )
        activations = self.blocks((images - mean) / std)
        descriptors = F.normalize(activations.float().mean((2, 3)), dim=1)
        return descriptors @ F.normalize(self.prototypes, dim=1).T

    def folded(self) -> dict[str, Tensor]:
        """Weights of ``Network``: batch normalisation is folded into the convolutions."""
        weights: dict[str, Tensor] = {}
        layers = iter(self.shape.layers)
        for convolution, norm in zip(self.blocks, list(self.blocks)[1:], strict=False):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                name = convolution_of(next(layers))
                mean: Any = norm.running_mean
                variance: Any = norm.running_var
                weight, bias = fuse_conv_bn_weights(
                    convolution.weight, None, mean, variance, norm.eps, norm.weight, norm.bias
                )
                weights[f"{name}.weight"], weights[f"{name}.bias"] = weight.detach(), bias.detach()
        return weights


def train(
    images: Tensor,
    config: TrainConfig,
    device: torch.device,
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoint: Path | None = None,
) -> dict[str, Tensor]:
    """Train the network with AdamW and a cosine schedule.

    Args:
        images: (N, 3, S, S) uint8 RGB.
        config: of the training.
        device: of the training.
        report: called after every step.
        checkpoint: file in which the state is saved every ``CHECKPOINT_SECONDS`` and at an
            interrupt. If it exists, training resumes from it, to the same weights as without the
            interruption. It is removed at the end.

    Returns:
        The weights of ``Network(SMALL)``, float32 on the CPU.

    Raises:
        InputError: the checkpoint belongs to another training, or is damaged.
        OutputError: the checkpoint cannot be written.
    """
    run = _TrainingRun(images, config, device)
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    saved = time.monotonic()
    while run.step < config.steps:
        progress = run.advance()
        if checkpoint is not None and time.monotonic() - saved >= CHECKPOINT_SECONDS:
            run.save(checkpoint)
            saved = time.monotonic()
        report(progress)
        try:
            check()
        except KeyboardInterrupt:  # between two steps: the state is consistent
            if checkpoint is not None:
                run.save(checkpoint)
            raise
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return {name: weight.cpu().contiguous() for name, weight in run.classifier.folded().items()}


class _TrainingRun:
    """State of a training: network, optimiser, random generator and step."""

    def __init__(self, images: Tensor, config: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device, self.step = config, device, 0
        self.generator = torch.Generator().manual_seed(config.seed)
        self.classifier = (
            Classifier(SMALL, len(images)).to(device).to(memory_format=torch.channels_last)
        )
        self.optimizer = torch.optim.AdamW(
            self.classifier.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.images = images.to(device)
        # A checkpoint must belong to the same training: crops depend on the seed and the images.
        digest = zlib.crc32(images.cpu().contiguous().numpy().data)
        self._described = {name: str(value) for name, value in asdict(config).items()}
        self._described["images"] = f"{len(images)} ({digest:08x})"

    def advance(self) -> Progress:
        """One step of the optimiser."""
        config = self.config
        self.step += 1
        decay = 0.5 + 0.5 * math.cos(math.pi * self.step / config.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, self.step / WARM_UP_STEPS) * decay
        chosen = torch.randint(len(self.images), (config.batch,), generator=self.generator).to(
            self.device
        )
        crops = augmented_crops(self.images[chosen], config.crop_px, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16):
            cosines = self.classifier(crops.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(
            cosines.float() / config.temperature, chosen, label_smoothing=LABEL_SMOOTHING
        )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        accuracy = (cosines.argmax(1) == chosen).float().mean()
        return Progress(self.step, config.steps, loss.item(), accuracy.item())

    def save(self, path: Path) -> None:
        """Write the state."""
        tensors = {f"model.{name}": value for name, value in self.classifier.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        tensors |= {"generator": self.generator.get_state(), "step": torch.tensor(self.step)}
        write_tensors(path, tensors, self._described)

    def load(self, path: Path) -> None:
        """Read the state that ``save`` wrote."""
        try:
            tensors, metadata = read_tensors(path)
        except InputError as error:
            raise InputError(f"{error}; or delete it to train from the start") from None
        if other := [
            f"{name} {metadata.get(name)}, not {value}"
            for name, value in self._described.items()
            if metadata.get(name) != value
        ]:
            raise InputError(
                f"{path} was left by another training ({'; '.join(other)}): "
                "delete it to train from the start"
            )
        self.classifier.load_state_dict(_with_prefix("model.", tensors))
        state = self.optimizer.state_dict()
        adam = _with_prefix("adam.", tensors)
        state["state"] = {
            n: _with_prefix(f"{n}.", adam) for n in range(len(list(self.classifier.parameters())))
        }
        self.optimizer.load_state_dict(state)
        self.generator.set_state(tensors["generator"])
        self.step = int(tensors["step"])


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names have a prefix, under names without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


class Trial(NamedTuple):
    """Stylisation of one held-out image in the style of another.

    Attributes:
        stylized: metrics of the stylised image.
        control: metrics of the ``colors_only`` control.
        sheet: content, style and stylised image side by side, (S, 3 S, 3) uint8 RGB.
    """

    stylized: QualityMetrics
    control: QualityMetrics
    sheet: Image


def held_out_trial(features: Features, content: Tensor, style: Tensor) -> Trial:
    """Stylise an image that the features were not trained on.

    Args:
        features: on any device.
        content, style: (3, S, S) uint8 RGB.
    """
    content, style = content[None].float() / 255, style[None].float() / 255
    stylizer = Stylizer(
        features, Style((style,), (1.0,), features), Settings(initial_steps=TRIAL_STEPS)
    )
    stylized = to_tensor(stylizer(Frame(to_image(content))).image)
    control = evaluate(colors_only(content, style), content, style)
    return Trial(
        evaluate(stylized, content, style),
        control,
        to_image(torch.cat([content, style, stylized], 3)),
    )
