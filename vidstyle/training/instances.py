"""Instance discrimination (Dosovitskiy et al. 2014; Wu et al. 2018): training without a teacher.

Every training image is a class of its own: the network classifies strongly augmented crops. This
needs neither labels nor the weights of another network.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..features.network import SMALL, NetworkShape
from .config import TrainConfig
from .images import augmented_crops
from .task import Task, seeded_generator
from .trunk import Trunk

LABEL_SMOOTHING = 0.05
"""Label smoothing of the cross entropy (Szegedy et al. 2016)."""


class InstanceDiscrimination(Task):
    """The network with a cosine classifier.

    Global average pooling gives one descriptor for each crop; each class has one prototype.

    Args:
        classes: number of training images.
        shape: of the network.
    """

    score_name = "of crops recognised"

    def __init__(self, classes: int, shape: NetworkShape = SMALL) -> None:
        super().__init__()
        self.shape = shape
        self.trunk = Trunk(shape)
        self.prototypes = nn.Parameter(torch.randn(classes, shape.channels[-1]))

    def forward(self, images: Tensor) -> Tensor:
        """Cosines of (B, 3, H, W) RGB in [0, 1] with all prototypes, (B, classes)."""
        activations = self.trunk(images)[self.shape.relu_layers[-1]]
        descriptors = F.normalize(activations.float().mean((2, 3)), dim=1)
        return descriptors @ F.normalize(self.prototypes, dim=1).T

    def loss(self, images: Tensor, config: TrainConfig, step: int) -> tuple[Tensor, float]:
        """Cross entropy, and the fraction of crops that are classified correctly."""
        generator = seeded_generator(config.seed, step)
        chosen = torch.randint(len(images), (config.batch,), generator=generator)
        chosen = chosen.to(images.device)
        cosines = self.predicted(augmented_crops(images[chosen], config.crop_px, generator))
        loss = F.cross_entropy(
            cosines.float() / config.temperature, chosen, label_smoothing=LABEL_SMOOTHING
        )
        return loss, (cosines.argmax(1) == chosen).float().mean().item()

    def weights(self) -> dict[str, Tensor]:
        """The weights of the trunk."""
        return self.trunk.folded()
