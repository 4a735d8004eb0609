"""Face detection by a head on the bundled network: one stage, on an image pyramid.

As in RetinaFace (Deng et al. 2020) each cell of a map has a score and the positions of the points
of a face relative to the cell. The cells are those of block 4 of the bundled network, whose weights
the head leaves as they are, so that a few hundred faces are enough to train it.
"""

from importlib import resources
from itertools import product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import FeaturesError, InputError
from ..io.tensor_file import read_tensors
from .network import DISTILLED, Network
from .weights import read_network

DATA = Path(str(resources.files("vidstyle") / "data"))

FORMAT, VERSION = "vidstyle-face-head", "1"

FINE_LAYER, COARSE_LAYER = "relu3_2", "relu4_2"
"""Layers that the head reads: squares of 2 x 2 of the fine one are channels of a coarse cell."""

CELL_PX = 8
"""Side in px of a cell."""

MIN_EYES_PX, MAX_EYES_PX = 8.0, 20.0
"""Distances in px of the eyes of faces that are found on one level of the pyramid."""

LEVELS = 1.0, 0.5, 0.25, 0.125
"""Sizes of the levels of the pyramid, relative to the finest one."""

MIN_LEVEL_PX = 32
"""Short side in px below which there is no level: faces would not fit."""

CHANNELS = 64
"""Channels of the head's hidden layers."""

POINTS = 3
"""Both eyes, from left to right in the image, and the middle of the mouth."""

APART = 0.8
"""Distance of two detections, in eye distances, below which they are of one face."""


class Detection(NamedTuple):
    """A face.

    Attributes:
        score: in [0, 1].
        points: (3, 2), (x, y) in px of the image.
    """

    score: float
    points: NDArray[np.float64]


class FaceHead(nn.Sequential):
    """The head: (N, C, H, W) of ``face_activations`` to (N, 7, H, W): the logit of the score, and
    (x, y) of each point relative to the centre of the cell, in cells."""

    def __init__(self) -> None:
        read = 4 * DISTILLED.channels_of(FINE_LAYER) + DISTILLED.channels_of(COARSE_LAYER)
        super().__init__(
            nn.BatchNorm2d(read, affine=False),
            nn.Dropout2d(0.1),
            nn.Conv2d(read, CHANNELS, 1),
            *(nn.BatchNorm2d(CHANNELS), nn.ReLU()),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            *(nn.BatchNorm2d(CHANNELS), nn.ReLU(), nn.Dropout2d(0.1)),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            *(nn.BatchNorm2d(CHANNELS), nn.ReLU()),
            nn.Conv2d(CHANNELS, 1 + 2 * POINTS, 1),
        )


def face_activations(network: Network, image: Tensor) -> Tensor:
    """What the head reads of (N, 3, H, W) RGB in [0, 1]: (N, C, H / 8, W / 8)."""
    maps = network(image, (FINE_LAYER, COARSE_LAYER))
    fine, coarse = maps[FINE_LAYER], maps[COARSE_LAYER]
    height, width = coarse.shape[-2:]
    padding = 0, 2 * width - fine.shape[-1], 0, 2 * height - fine.shape[-2]
    return torch.cat([F.pixel_unshuffle(F.pad(fine, padding), 2), coarse], 1)


class FaceDetector:
    """Finds the faces of an image.

    Args:
        network: the bundled one.
        head: trained on it, in evaluation mode.
        side_px: long side of the finest level of the pyramid. Smaller images are not enlarged.
    """

    def __init__(self, network: Network, head: FaceHead, side_px: int) -> None:
        self._network, self._head, self.side_px = network, head, side_px

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8], min_score: float) -> list[Detection]:
        """The faces of (H, W, 3) uint8 RGB, best first."""
        side = min(self.side_px, max(image.shape))
        found: list[Detection] = []
        for level in LEVELS:
            found += self._on_level(image, level * side, min_score)
        return distinct(found)

    def _on_level(self, image: NDArray[np.uint8], side: float, min_score: float) -> list[Detection]:
        """Local maxima of the score on one level. Neighbouring cells vote for the points."""
        height, width = image.shape[:2]
        scale = side / max(height, width)
        size = round(width * scale), round(height * scale)
        if min(size) < MIN_LEVEL_PX:
            return []
        small = torch.from_numpy(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        read = face_activations(self._network, small.permute(2, 0, 1)[None].float() / 255)
        output = self._head(read)[0].double().numpy()
        scores = 1 / (1 + np.exp(-output[0]))
        peaks = (scores >= min_score) & (scores >= cv2.dilate(scores, np.ones((3, 3))))
        back = np.array([width / size[0], height / size[1]])
        return [
            Detection(float(scores[cell]), _voted_points(scores, output[1:], cell) * back)
            for cell in zip(*np.nonzero(peaks), strict=True)
        ]


def _voted_points(
    scores: NDArray[np.float64], offsets: NDArray[np.float64], cell: tuple[int, int]
) -> NDArray[np.float64]:
    """The points of a face in px of the level: the mean of those of a cell and its neighbours,
    weighted by their scores."""
    (rows, columns), (row, column) = scores.shape, cell
    total, weight = np.zeros((POINTS, 2)), 0.0
    for y, x in product((row - 1, row, row + 1), (column - 1, column, column + 1)):
        if 0 <= y < rows and 0 <= x < columns:
            center = np.array([x, y]) + 0.5
            total += scores[y, x] * (offsets[:, y, x].reshape(POINTS, 2) + center)
            weight += scores[y, x]
    return total / weight * CELL_PX


def eye_distance(points: NDArray[np.floating]) -> float:
    """Distance of the eyes of (3, 2) points, in their unit."""
    return float(np.hypot(*(points[1] - points[0])))


def distinct(found: list[Detection]) -> list[Detection]:
    """One detection for each face, best first: non-maximum suppression by distance."""
    kept: list[Detection] = []
    for one in sorted(found, key=lambda each: -each.score):
        if all(not same_face(one.points, other.points) for other in kept):
            kept.append(one)
    return kept


def same_face(points: NDArray[np.floating], other: NDArray[np.floating]) -> bool:
    """Whether two sets of points in px are of one face."""
    apart = float(np.hypot(*(points.mean(0) - other.mean(0))))
    return apart < APART * max(eye_distance(points), eye_distance(other))


def read_face_head(path: Path) -> FaceHead:
    """The head in a file of ``vidstyle.training.train_faces``, in evaluation mode.

    Raises:
        FeaturesError: it cannot be read, or is no such file.
    """
    try:
        weights, metadata = read_tensors(path)
    except InputError as error:
        raise FeaturesError(str(error)) from None
    head = FaceHead()
    try:
        if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
            raise ValueError
        head.load_state_dict({name: weight.float() for name, weight in weights.items()}, False)
    except (RuntimeError, ValueError):
        raise FeaturesError(
            f"{path} is no head of faces of this version: train it again, or install vidstyle again"
        ) from None
    return head.eval().requires_grad_(False)


def bundled_network() -> Network:
    """The network that heads read."""
    return read_network(DATA / "small.safetensors").eval().requires_grad_(False)


def bundled_detector(side_px: int) -> FaceDetector:
    """The detector of the bundled weights.

    Raises:
        FeaturesError: they are damaged.
    """
    return FaceDetector(bundled_network(), read_face_head(DATA / "faces.safetensors"), side_px)
