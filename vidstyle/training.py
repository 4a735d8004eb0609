"""Train the small network of the bundled features from any folder (or tar) of pictures.

The task is instance discrimination (Dosovitskiy et al. 2014; Wu et al. 2018): every picture is a
class of its own, and a strongly distorted crop of it must be told from crops of all the others. No
labels, no ImageNet weights.
"""

import logging
import math
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autograd.pooling import blur_pool2
from .errors import InputError
from .features.extractor import Features
from .features.network import SMALL, NetworkShape, convolution_of
from .io.files import check_readable
from .io.frame import Frame, Image
from .io.image_names import is_still
from .io.images import decode_image
from .io.tensor_file import read_tensors, write_tensors
from .metrics import QualityMetrics, colors_only, evaluate
from .ops.tensors import to_image, to_tensor
from .runtime.interrupts import check
from .settings import Settings, TrainConfig
from .stylizer.style import Style
from .stylizer.stylizer import Stylizer

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 20.0
WARM_UP_STEPS = 200
TRIAL_STEPS = 60


@dataclass(frozen=True)
class Progress:
    """One step: ``loss`` is the cross entropy, ``accuracy`` the share of its crops recognised."""

    step: int
    steps: int
    loss: float
    accuracy: float


def read_pictures(path: Path, side_px: int) -> Tensor:
    """Square centre crops of all pictures in a folder (searched through) or tar file, (N, 3, S, S)
    uint8 RGB.

    Files that are no pictures are passed over; pictures that cannot be read are too, and a warning
    counts them.

    Raises:
        InputError: nothing there, or fewer than four pictures.
    """
    pictures, unread = [], []
    for name, data in _pictures_data(path):
        check()
        try:
            picture = decode_image(data, name)
        except InputError as error:
            unread.append(str(error))
            continue
        if picture is None:
            continue
        height, width = picture.shape[:2]
        scale = side_px / min(height, width)
        size = (max(side_px, round(width * scale)), max(side_px, round(height * scale)))
        resized = cv2.resize(
            picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        top, left = (size[1] - side_px) // 2, (size[0] - side_px) // 2
        crop = resized[top : top + side_px, left : left + side_px]
        pictures.append(torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1))
    if unread:
        log.warning("%d pictures were passed over, the first since %s", len(unread), unread[0])
    if len(pictures) < 4:
        few = f"{path} holds {len(pictures)} readable pictures"
        raise InputError(
            f"{few}: training needs at least 4, two of them held out, and better 1,000"
        )
    return torch.stack(pictures)


def picture_files(folder: Path) -> list[Path]:
    """All pictures in a folder and its folders, by their names; none where it is no folder."""
    return (
        [file for file in sorted(folder.rglob("*")) if is_still(file) and file.is_file()]
        if folder.is_dir()
        else []
    )


def _pictures_data(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file that is named like a picture."""
    if path.is_dir():
        for file in picture_files(path):
            yield str(file), file.read_bytes()
        return
    try:
        with tarfile.open(check_readable(path)) as archive:
            for member in archive:
                stream = (
                    archive.extractfile(member)
                    if is_still(member.name) and member.isfile()
                    else None
                )
                if stream is not None:
                    yield member.name, stream.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(
            f"{path} is neither a folder nor a tar file of pictures ({error}): name one"
        ) from None


class _Halving(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return blur_pool2(maps)


class Classifier(nn.Module):
    """The network with batch normalisation, global average pooling, and one unit-length prototype
    per picture."""

    def __init__(self, shape: NetworkShape, classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = 3
        for number, (channels, count) in enumerate(
            zip(shape.channels, shape.convolutions, strict=True)
        ):
            if number:
                blocks.append(_Halving())
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
        """(B, 3, H, W) RGB in [0, 1] -> (B, classes) cosines."""
        mean, std = (
            images.new_tensor(values)[None, :, None, None] for values in (self.mean, self.std)
        )
        maps = self.blocks((images - mean) / std)
        return F.normalize(maps.float().mean((2, 3)), dim=1) @ F.normalize(self.prototypes, dim=1).T

    def folded(self) -> dict[str, Tensor]:
        """Weights for ``Network``, the batch normalisation folded into the convolutions."""
        weights: dict[str, Tensor] = {}
        layers = iter(self.shape.layers)
        for convolution, norm in zip(self.blocks, list(self.blocks)[1:], strict=False):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                name = convolution_of(next(layers))
                mean, variance = norm.running_mean, norm.running_var
                if mean is None or variance is None:
                    raise TypeError(
                        "batch normalisation without running statistics cannot be folded"
                    )
                scale = norm.weight / (variance + norm.eps).sqrt()
                weights[f"{name}.weight"] = (
                    convolution.weight * scale[:, None, None, None]
                ).detach()
                weights[f"{name}.bias"] = (norm.bias - mean * scale).detach()
        return weights


def distorted_crops(pictures: Tensor, crop_px: int, generator: torch.Generator) -> Tensor:
    """One random crop of each picture: scaled, turned, stretched, flipped, recoloured.

    Args:
        pictures: (B, 3, S, S) uint8 RGB.
        generator: on the CPU, so that all devices see the same crops.

    Returns:
        (B, 3, crop_px, crop_px) float32, about [0, 1].
    """
    count, device = len(pictures), pictures.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator) * (high - low) + low

    def normal(spread: float, *shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator) * spread

    scale, angle, stretch = uniform(0.2, 0.9), normal(0.25), torch.exp(normal(0.12))
    flip = torch.where(uniform(0, 1) < 0.5, 1.0, -1.0)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = scale * angle.cos() * flip * stretch, -scale * angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = scale * angle.sin() * flip, scale * angle.cos() / stretch
    matrix[:, :, 2] = uniform(-1, 1, 2) * (1 - scale)[:, None]
    contrast, saturation = uniform(0.6, 1.4, 1, 1, 1), uniform(0.5, 1.4, 1, 1, 1)
    saturation = torch.where(uniform(0, 1, 1, 1, 1) < 0.15, 0.0, saturation)  # some crops turn grey
    tint = normal(0.08, 3, 1, 1)

    grid = F.affine_grid(matrix.to(device), [count, 3, crop_px, crop_px], align_corners=False)
    crops = F.grid_sample(
        pictures.float() / 255, grid, padding_mode="reflection", align_corners=False
    )
    grey = crops.mean(1, keepdim=True)
    crops = grey + (crops - grey) * saturation.to(device)
    return (crops - 0.5) * contrast.to(device) + 0.5 + tint.to(device)


def train(
    pictures: Tensor,
    recipe: TrainConfig,
    device: torch.device,
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoint: Path | None = None,
) -> dict[str, Tensor]:
    """Train and return the weights for ``Network(SMALL)``, float32 on the CPU.

    Args:
        pictures: (N, 3, S, S) uint8 RGB.
        report: called after every step.
        checkpoint: a file in which the state is kept, every ``CHECKPOINT_SECONDS``. If it is there,
            training goes on from it, to the same weights as without the break. It is kept after an
            interrupt of the command too, and removed at the end.

    Raises:
        InputError: the checkpoint is of another training, or damaged.
        OutputError: the checkpoint cannot be written.
    """
    run = _Run(pictures, recipe, device)
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    saved = time.monotonic()
    while run.step < recipe.steps:
        progress = run.advance()
        if checkpoint is not None and time.monotonic() - saved >= CHECKPOINT_SECONDS:
            run.save(checkpoint)
            saved = time.monotonic()
        report(progress)
        try:
            check()
        except KeyboardInterrupt:  # between two steps, so that the state is whole
            if checkpoint is not None:
                run.save(checkpoint)
            raise
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return {name: weight.cpu().contiguous() for name, weight in run.classifier.folded().items()}


class _Run:
    """All that changes while training."""

    def __init__(self, pictures: Tensor, recipe: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.step = recipe, device, 0
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.classifier = (
            Classifier(SMALL, len(pictures)).to(device).to(memory_format=torch.channels_last)
        )
        self.optimiser = torch.optim.AdamW(
            self.classifier.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.pictures = pictures.to(device)
        # What a checkpoint must agree on: a seed's stream of crops is only the same for the same
        # pictures.
        digest = zlib.crc32(pictures.cpu().contiguous().numpy().data)
        self._described = {name: str(value) for name, value in asdict(recipe).items()}
        self._described["pictures"] = f"{len(pictures)} ({digest:08x})"

    def advance(self) -> Progress:
        """One step of the optimiser."""
        recipe = self.recipe
        self.step += 1
        decay = 0.5 + 0.5 * math.cos(math.pi * self.step / recipe.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, self.step / WARM_UP_STEPS) * decay
        chosen = torch.randint(len(self.pictures), (recipe.batch,), generator=self.generator).to(
            self.device
        )
        crops = distorted_crops(self.pictures[chosen], recipe.crop_px, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16):
            cosines = self.classifier(crops.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(cosines.float() / recipe.temperature, chosen, label_smoothing=0.05)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        accuracy = (cosines.argmax(1) == chosen).float().mean()
        return Progress(self.step, recipe.steps, loss.item(), accuracy.item())

    def save(self, path: Path) -> None:
        """Write everything that the rest of the training depends on."""
        tensors = {f"model.{name}": value for name, value in self.classifier.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        tensors |= {"generator": self.generator.get_state(), "step": torch.tensor(self.step)}
        write_tensors(path, tensors, self._described)

    def load(self, path: Path) -> None:
        """Go on from what ``save`` wrote."""
        try:
            tensors, had = read_tensors(path)
        except InputError as error:
            raise InputError(f"{error}; or delete it to train from the start") from None
        if other := [
            f"{name} {had.get(name)}, not {value}"
            for name, value in self._described.items()
            if had.get(name) != value
        ]:
            raise InputError(
                f"{path} is from another training ({'; '.join(other)}): "
                "delete it to train from the start"
            )
        self.classifier.load_state_dict(_under("model.", tensors))
        state = self.optimiser.state_dict()
        adam = _under("adam.", tensors)
        state["state"] = {
            n: _under(f"{n}.", adam) for n in range(len(list(self.classifier.parameters())))
        }
        self.optimiser.load_state_dict(state)
        self.generator.set_state(tensors["generator"])
        self.step = int(tensors["step"])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


class Trial(NamedTuple):
    """How features paint a picture like another: figures, those of the control, and content, style,
    painting in a row."""

    painted: QualityMetrics
    control: QualityMetrics
    sheet: Image


def held_out_trial(features: Features, content: Tensor, style: Tensor) -> Trial:
    """Try features on (3, S, S) uint8 RGB pictures they were not trained on."""
    content, style = content[None].float() / 255, style[None].float() / 255
    stylizer = Stylizer(
        features, Style((style,), (1.0,), features), Settings(initial_steps=TRIAL_STEPS)
    )
    painting = to_tensor(stylizer(Frame(to_image(content))).image)
    control = evaluate(colors_only(content, style), content, style)
    return Trial(
        evaluate(painting, content, style),
        control,
        to_image(torch.cat([content, style, painting], 3)),
    )
