"""Photographs with faces: their labels, by another detector, and the score of a new one on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..face_models import FaceModel
from ..features.face_head import MIN_EYES_PX, FaceDetector, eye_distance, same_face

VIEWS = (1.0, 1), (0.66, 3), (0.45, 4)
"""Sizes of the views relative to the photograph, and their number along each side."""

SURE_VIEWS = 4
"""Number of views that show a face; those that fewer views show are left out of the loss."""

MIN_LABEL_PX = 5.0
"""Eye distance in px of a photograph below which a face is left out of the loss."""


class Face(NamedTuple):
    """A face of a photograph.

    Attributes:
        points: (3, 2), (x, y) in px.
        sure: False: it is left out of the loss.
    """

    points: NDArray[np.float64]
    sure: bool


@dataclass(frozen=True)
class Photo:
    """A photograph, (H, W, 3) uint8 RGB, and its faces."""

    image: NDArray[np.uint8]
    faces: tuple[Face, ...]


def label(image: NDArray[np.uint8], teacher: FaceModel) -> Photo:
    """Let a detector find the faces of (H, W, 3) uint8 RGB."""
    groups: list[list[NDArray[np.float64]]] = []
    height, width = image.shape[:2]
    for share, count in VIEWS:
        size = int(width * share), int(height * share)
        for left in np.linspace(0, width - size[0], count).astype(int):
            for top in np.linspace(0, height - size[1], count).astype(int):
                view = np.ascontiguousarray(image[top : top + size[1], left : left + size[0]])
                for points in teacher(view):
                    _add(groups, points * np.array(size) + np.array([left, top]))
    faces = []
    for group in groups:
        points = np.median(group, 0)
        sure = len(group) >= SURE_VIEWS and eye_distance(points) >= MIN_LABEL_PX
        faces.append(Face(points, sure))
    return Photo(image, tuple(faces))


def _add(groups: list[list[NDArray[np.float64]]], points: NDArray[np.float64]) -> None:
    """Add a detection to those of the same face."""
    for group in groups:
        if same_face(np.mean(group, 0), points):
            group.append(points)
            return
    groups.append([points])


class Trial(NamedTuple):
    """A detector on photographs with labels.

    Attributes:
        faces: number of faces that are large enough to be found.
        found: of these.
        false: number of detections where no label is.
        error: median distance of a point from its label, in eye distances.
    """

    faces: int
    found: int
    false: int
    error: float


def trial(detector: FaceDetector, photos: Sequence[Photo], min_score: float) -> Trial:
    """Compare a detector with the labels. Faces that are not sure, or too small, do not count."""
    faces = found = false = 0
    errors: list[float] = []
    for photo in photos:
        scale = min(1.0, detector.side_px / max(photo.image.shape))
        large = [
            face
            for face in photo.faces
            if face.sure and eye_distance(face.points) * scale > MIN_EYES_PX
        ]
        faces += len(large)
        detections = [each.points for each in detector(photo.image, min_score)]
        for face in large:
            near = [points for points in detections if same_face(points, face.points)]
            found += bool(near)
            errors += [
                float(np.hypot(*(points - face.points).T).mean()) / eye_distance(face.points)
                for points in near[:1]
            ]
        false += sum(
            not any(same_face(points, face.points) for face in photo.faces) for points in detections
        )
    return Trial(faces, found, false, float(np.median(errors)) if errors else float("nan"))
