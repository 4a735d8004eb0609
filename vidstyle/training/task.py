"""The interface of a training task: what a feature network is trained to do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..features.network import NetworkShape
from ..runtime.device import choose_precision
from .config import TrainConfig


class Task(nn.Module):
    """A network with a loss of a batch of crops. A subclass overrides the three methods.

    The loss of a step is a function of the weights, the images and the number of the step alone, so
    that a training resumes to the same weights.

    ``watch`` is called with the number of finished steps, and with what the next step is busy with,
    where it takes long.
    """

    shape: NetworkShape
    score_name: str
    """What the second result of ``loss`` is the fraction of, for the progress display."""

    def __init__(self) -> None:
        super().__init__()
        self.watch: Callable[[int, str], None] = lambda step, text: None

    def predicted(self, images: Tensor) -> Any:
        """The result of ``forward`` in the fastest precision of the device.

        Only the network may run in half precision, not the loss: the principal components of the
        teacher need float32.
        """
        precision = choose_precision("auto", images.device)
        with torch.autocast(images.device.type, precision, enabled=precision != torch.float32):
            return self(images)

    def loss(self, images: Tensor, config: TrainConfig, step: int) -> tuple[Tensor, float]:
        """The loss of a batch, and a score in [0, 1].

        Args:
            images: (N, 3, S, S) uint8 RGB: all training images.
            config: of the training.
            step: number of this step, from 1.
        """
        raise NotImplementedError

    def weights(self) -> dict[str, Tensor]:
        """The trained weights of ``Network(shape)``, float32."""
        raise NotImplementedError

    def identity(self) -> str:
        """What a checkpoint must have in common with the task, besides images and config."""
        return type(self).__name__


def seeded_generator(*seeds: int) -> torch.Generator:
    """A generator on the CPU, seeded by several numbers below 2^31."""
    state = 0
    for seed in seeds:
        state = (state * 0x9E3779B1 + seed) % (1 << 63)
    return torch.Generator().manual_seed(state)


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Random weights made within are those of a seed; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
