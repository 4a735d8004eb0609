"""Numbers of the training, with a teacher and without."""

from dataclasses import dataclass

from ..errors import SettingValueError


@dataclass(frozen=True)
class TrainConfig:
    """Training of the small feature network without a teacher; see ``DISTILLATION`` too.

    Args:
        steps: optimiser steps.
        batch: crops per step.
        picture_px: side in px of the square that is kept of each image in memory.
        crop_px: side in px of the crops.
        learning_rate: AdamW's.
        weight_decay: AdamW's.
        muon_learning_rate: Muon's, which trains the kernels of the convolutions; 0: AdamW trains
            all weights.
        temperature: of the softmax of instance discrimination.
        seed: random seed.

    Raises:
        ValueError: ``steps``, ``batch`` or ``seed`` is too small.
    """

    steps: int = 3000
    batch: int = 128
    picture_px: int = 192
    crop_px: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    muon_learning_rate: float = 0.0
    temperature: float = 1 / 16
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest in (("steps", 1), ("batch", 2), ("seed", 0)):
            value = getattr(self, name)
            if value < lowest:
                raise SettingValueError(f"{name} is {value}: it must be {lowest} or more", name)


DISTILLATION = TrainConfig(
    steps=7000,
    batch=4,
    picture_px=256,
    crop_px=160,
    learning_rate=0.01,
    weight_decay=0.0,
    muon_learning_rate=0.05,
)
"""Training with a teacher. The bundled weights were trained with these values."""
