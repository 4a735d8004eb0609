"""The training of a task: AdamW and Muon with a cosine schedule, checkpoints, and resuming."""

import logging
import math
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..features.network import LAYOUT, Network
from ..io.tensor_file import read_tensors, write_tensors
from ..runtime.interrupts import check
from .config import TrainConfig
from .distillation import Distillation
from .instances import InstanceDiscrimination
from .muon import Muon, kernels
from .task import Task, seeded_weights

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 20.0
"""Time between two checkpoints."""

WARM_UP_STEPS = 200
"""Steps over which the learning rate rises to its maximum."""


@dataclass(frozen=True)
class Progress:
    """State of the training after a step.

    Attributes:
        step, steps: number of this step, from 1, and of the last.
        loss: of the step's crops.
        score: of these crops, in [0, 1]: see ``Task``.
    """

    step: int
    steps: int
    loss: float
    score: float


def make_task(config: TrainConfig, count: int, teacher: Network | None) -> Task:
    """The task of a training: distillation if there is a teacher, else instance discrimination.

    Args:
        config: its seed makes the random weights that the training starts from.
        count: number of training images.
        teacher: VGG-16 or None.
    """
    with seeded_weights(config.seed):
        return Distillation(teacher) if teacher else InstanceDiscrimination(count)


def train(
    task: Task,
    images: Tensor,
    config: TrainConfig,
    device: torch.device,
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoint: Path | None = None,
) -> dict[str, Tensor]:
    """Train the network with AdamW, and Muon if its rate is not 0, and a cosine schedule.

    Args:
        task: untrained; it is changed.
        images: (N, 3, S, S) uint8 RGB.
        config: of the training.
        device: of the training.
        report: called after every step.
        checkpoint: file in which the state is saved every ``CHECKPOINT_SECONDS`` and at an
            interrupt. If it exists, training resumes from it, to the same weights as without the
            interruption. Remove it once the weights are written.

    Returns:
        The weights of ``Network(task.shape)``, float32 on the CPU.

    Raises:
        InputError: the checkpoint belongs to another training, or is damaged.
        OutputError: the checkpoint cannot be written.
    """
    run = _TrainingRun(task, images, config, device)
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
        log.info("resumed after step %d, from %s", run.step, checkpoint)
    saved = time.monotonic()
    try:
        while run.step < config.steps:
            progress = run.advance()
            if checkpoint is not None and time.monotonic() - saved >= CHECKPOINT_SECONDS:
                run.save(checkpoint)
                saved = time.monotonic()
            report(progress)
            check()
    except KeyboardInterrupt:  # raised between two steps: the state is consistent
        if checkpoint is not None:
            run.save(checkpoint)
            log.error(
                "not finished: step %d is in %s; the same command resumes it", run.step, checkpoint
            )
        raise
    return {name: weight.cpu().contiguous() for name, weight in run.task.weights().items()}


class _TrainingRun:
    """State of a training: task, optimiser and step."""

    def __init__(
        self, task: Task, images: Tensor, config: TrainConfig, device: torch.device
    ) -> None:
        self.config, self.device, self.step = config, device, 0
        self.task = task.to(device).to(memory_format=LAYOUT)
        matrices = kernels(self.task) if config.muon_learning_rate else []
        rest = [x for x in self.task.parameters() if all(x is not y for y in matrices)]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "adam": torch.optim.AdamW(
                rest, lr=config.learning_rate, weight_decay=config.weight_decay
            )
        }
        if matrices:
            self.optimizers["muon"] = Muon(matrices, lr=config.muon_learning_rate)
        self.images = images.to(device)
        # A checkpoint must belong to the same training: crops depend on the seed and the images.
        digest = zlib.crc32(images.cpu().contiguous().numpy().data)
        self._described = {name: str(value) for name, value in asdict(config).items()}
        self._described["images"] = f"{len(images)} ({digest:08x})"
        self._described["task"] = task.identity()

    def advance(self) -> Progress:
        """One step of the optimiser."""
        config = self.config
        step = self.step + 1
        decay = 0.5 + 0.5 * math.cos(math.pi * step / config.steps)
        loss, score = self.task.loss(self.images, config, step)
        self.task.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * min(1.0, step / WARM_UP_STEPS) * decay
            optimizer.step()
        self.step = step
        return Progress(step, config.steps, loss.item(), score)

    def save(self, path: Path) -> None:
        """Write the state."""
        tensors = {f"model.{name}": value for name, value in self.task.state_dict().items()}
        for kind, optimizer in self.optimizers.items():
            for number, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{kind}.{number}.{name}": value for name, value in state.items()}
        tensors["step"] = torch.tensor(self.step)
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
        self.task.load_state_dict(_with_prefix("model.", tensors))
        for kind, optimizer in self.optimizers.items():
            state, saved = optimizer.state_dict(), _with_prefix(f"{kind}.", tensors)
            count = sum(len(group["params"]) for group in optimizer.param_groups)
            state["state"] = {n: _with_prefix(f"{n}.", saved) for n in range(count)}
            optimizer.load_state_dict(state)
        self.step = int(tensors["step"])


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names have a prefix, under names without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
