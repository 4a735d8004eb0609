"""Training of the head that finds faces: focal loss on crops of photographs.

The network below the head is the bundled one and is not changed.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..features.face_head import (
    CELL_PX,
    MAX_EYES_PX,
    MIN_EYES_PX,
    POINTS,
    FaceHead,
    bundled_network,
    eye_distance,
    face_activations,
)
from .face_photos import Face, Photo

CROP_PX = 160
"""Side of the crops."""

FACE_SHARE = 0.6
"""Share of crops that are centred near a face; the others are of photographs without faces."""

LEFT_OUT = 0.6, 1.5
"""Eye distances relative to ``MIN_EYES_PX`` and ``MAX_EYES_PX`` up to which faces of a neighbouring
level of the pyramid are left out of the loss."""

FOCUS = 2.0
"""Exponent of the focal loss (Lin et al. 2017)."""

FACE_WEIGHT = 4.0
"""Weight of the cells of a face in it."""

FIRST_LOGIT = -4.0
"""Logit of the score before the training."""

POINT_WEIGHT = 2.0
"""Weight of the error of points, in eye distances."""


class Targets(NamedTuple):
    """What the head is to say of each cell, of one crop or of a batch of N.

    Attributes:
        score: (N, H, W), 1 where a face is, else 0.
        weight: (N, H, W) in [0, 1], of the cell in the loss of scores.
        points: (N, 6, H, W), (x, y) of each point relative to the centre of the cell, in cells.
    """

    score: Tensor
    weight: Tensor
    points: Tensor


class Crops:
    """Random crops of photographs, with what the head is to say of them.

    Args:
        photos: to take them from.
        seed: of the random numbers.
    """

    def __init__(self, photos: Sequence[Photo], seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._faces = [(photo, face) for photo in photos for face in photo.faces if face.sure]
        self._others = [photo for photo in photos if not any(face.sure for face in photo.faces)]

    def batch(self, count: int) -> tuple[Tensor, Targets]:
        """Crops (N, 3, S, S) in [0, 1], and their targets."""
        with_face = round(FACE_SHARE * count)
        pairs = [self._crop(number < with_face) for number in range(count)]
        images = torch.stack([torch.from_numpy(image) for image, _ in pairs])
        targets = Targets(*map(torch.stack, zip(*(each for _, each in pairs), strict=True)))
        return images.permute(0, 3, 1, 2).float() / 255, targets

    def _crop(self, with_face: bool) -> tuple[NDArray[np.uint8], Targets]:
        random = self._random
        middle = np.full(2, CROP_PX / 2)
        if with_face:
            photo, face = self._faces[random.integers(len(self._faces))]
            wanted = math.exp(random.uniform(math.log(MIN_EYES_PX), math.log(MAX_EYES_PX)))
            scale, center = wanted / eye_distance(face.points), face.points.mean(0)
            middle = middle + random.uniform(-0.4, 0.4, 2) * CROP_PX
        else:
            photo = self._others[random.integers(len(self._others))]
            scale = math.exp(random.uniform(math.log(0.35), math.log(1.5)))
            center = np.array(photo.image.shape[1::-1]) * random.uniform(0.1, 0.9, 2)
        angle, mirrored = random.normal(0, 0.22), random.random() < 0.5
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1 if mirrored else 1, 1])
        shift = middle - turn @ center
        borders = [cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101]
        border = int(random.choice(borders)) if with_face else cv2.BORDER_REFLECT_101
        blurred = photo.image
        if scale < 0.7:  # against aliasing
            blurred = cv2.GaussianBlur(blurred, (0, 0), 0.5 / scale - 0.4).astype(np.uint8)
        matrix = np.column_stack([turn, shift])
        image = cv2.warpAffine(blurred, matrix, (CROP_PX, CROP_PX), borderMode=border)
        order = [1, 0, 2] if mirrored else [0, 1, 2]
        moved = [Face((each.points @ turn.T + shift)[order], each.sure) for each in photo.faces]
        return self._recoloured(image.astype(np.uint8)), cell_targets(moved)

    def _recoloured(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Other light, contrast, colours, noise, and the errors of compression."""
        random = self._random
        changed = image.astype(np.float32) / 255 * random.uniform(0.5, 1.4)
        mean = changed.mean()
        changed = np.clip((changed - mean) * random.uniform(0.5, 1.3) + mean, 0, 1)
        changed = changed ** random.uniform(0.7, 1.5)
        gray = changed.mean(2, keepdims=True)
        changed = gray + (changed - gray) * random.uniform(0, 1.5)
        changed = changed * random.uniform(0.8, 1.2, 3).astype(np.float32)
        if random.random() < 0.3:
            changed = cv2.GaussianBlur(changed, (0, 0), random.uniform(0.4, 1.2))
        if random.random() < 0.4:
            changed = changed + random.normal(0, random.uniform(0.005, 0.05), changed.shape)
        levels: NDArray[np.uint8] = (np.clip(changed, 0, 1) * 255).astype(np.uint8)
        if random.random() < 0.3:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.uniform(25, 80))]
            encoded = cv2.imencode(".jpg", levels, quality)[1]
            levels = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
        return levels


def cell_targets(faces: Sequence[Face]) -> Targets:
    """The targets of a crop with these faces, in px of the crop."""
    cells = CROP_PX // CELL_PX
    y, x = (np.mgrid[:cells, :cells] + 0.5) * CELL_PX
    score, weight = np.zeros((cells, cells), np.float32), np.ones((cells, cells), np.float32)
    points = np.zeros((2 * POINTS, cells, cells), np.float32)
    for face in faces:
        eyes, center = eye_distance(face.points), face.points.mean(0)
        away = np.hypot(x - center[0], y - center[1])
        if not face.sure or not MIN_EYES_PX * 0.9 < eyes < MAX_EYES_PX * 1.1:
            if MIN_EYES_PX * LEFT_OUT[0] < eyes < MAX_EYES_PX * LEFT_OUT[1]:
                weight[away < max(1.5 * eyes, CELL_PX)] = 0
            continue
        weight[away < 1.2 * eyes] = 0
        near = away < max(0.75 * CELL_PX, 0.4 * eyes)
        score[near] = weight[near] = 1
        cell = np.stack([x[near], y[near]] * POINTS)
        points[:, near] = (face.points.reshape(2 * POINTS, 1) - cell) / CELL_PX
    return Targets(*map(torch.from_numpy, (score, weight, points)))


def head_loss(output: Tensor, targets: Targets) -> Tensor:
    """The focal loss of scores and the smooth L1 loss of points, in eye distances."""
    score, weight, points = targets
    entropy = F.binary_cross_entropy_with_logits(output[:, 0], score, reduction="none")
    focal = (1 - torch.exp(-entropy)) ** FOCUS * entropy * weight
    focal = focal * (1 + (FACE_WEIGHT - 1) * score)
    across = points[:, 2:4] - points[:, :2]
    eyes = across.square().sum(1, keepdim=True).sqrt().clamp_min(1.0)
    error = F.smooth_l1_loss(output[:, 1:] / eyes, points / eyes, reduction="none", beta=0.1)
    count = score.sum().clamp_min(1)
    return (focal.sum() * FACE_WEIGHT + POINT_WEIGHT * (error.sum(1) * score).sum()) / count


def train_head(
    photos: Sequence[Photo],
    steps: int,
    seed: int = 0,
    batch: int = 16,
    learning_rate: float = 2e-3,
    report: Callable[[int, str], None] = lambda step, note: None,
) -> FaceHead:
    """Train a head with AdamW and a cosine schedule.

    Args:
        photos: some with faces and some without.
        steps, batch: of the optimiser, and its crops.
        seed: of weights and crops.
        learning_rate: the largest one.
        report: is called after each step.
    """
    torch.manual_seed(seed)
    network, head, crops = bundled_network(), FaceHead().train(), Crops(photos, seed)
    with torch.no_grad():  # most cells show no face
        list(head.parameters())[-1][0] = FIRST_LOGIT
    optimizer = torch.optim.AdamW(head.parameters(), learning_rate, weight_decay=1e-3)
    mean = 0.0
    for step in range(1, steps + 1):
        decay = 0.5 + 0.5 * math.cos(math.pi * step / steps)
        optimizer.param_groups[0]["lr"] = learning_rate * min(1.0, step / 100) * decay
        images, targets = crops.batch(batch)
        with torch.no_grad():
            activations = face_activations(network, images)
        loss = head_loss(head(activations), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        mean += (loss.item() - mean) / min(step, 50)
        report(step, f"loss {mean:.3f}")
    return head.eval()
