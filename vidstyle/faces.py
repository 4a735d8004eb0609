"""Faces: where the content counts more, so that eyes and mouths stay those of the person.

A model finds the points of each face in some frames per second. A face that it does not find stays
for some frames: detectors miss single ones.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import floor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .face_models import FaceModel, Points, load_face_model
from .features.face_head import eye_distance
from .flow.cuts import ThumbnailCuts
from .io.frame import Frame, rgb_8_bits

LOOKS_PER_SECOND = 12
"""How often faces are looked for, per second of the clip: in each frame it would take a third of
the time of a draft."""

WINDOW_FRAMES = 12
"""Number of frames for which a face stays that is not found."""

MIN_DETECTIONS = 2
"""Number of detections in these frames of a face that stays: a single one may be an error."""

SAME_FACE = 1.0
"""Largest distance between the mean points of one face in two looks, in eye distances."""

EYE_SIZE, MOUTH_SIZE = (0.34, 0.24), (0.5, 0.28)
"""Half axes of the ellipses over an eye and the mouth, in eye distances."""

SOFTNESS = 0.12
"""Standard deviation of the blur of their edges, in eye distances."""

FACE_SIZE, FACE_EMPHASIS = (0.95, 1.15), 0.3
"""The same of an ellipse over the face, and its value on small faces: without it a swirl of strokes
forms around an eye."""

REACH = 1.3
"""How far these ellipses and their blur reach beyond the points at most, in eye distances."""

SMALL_EYES = 0.045
"""Eye distance relative to the long side of a frame up to which the mask is 1. It falls for larger
faces, which strokes hide less, and which would look like parts of a photograph."""

EYES_EXPONENT, FACE_EXPONENT = 1.0, 2.3
"""Exponents of that fall, of eyes and mouth and of the rest of the face."""

MIN_EMPHASIS = 0.2
"""Least value of the mask at eyes and mouth, and of that of the face relative to a small one's."""


class FaceMasks:
    """Masks of eyes and mouths of the frames of a clip, in order.

    A mask depends on the frame and the ``memory_frames`` before it alone.

    Args:
        model: finds faces.
        window: instead of ``WINDOW_FRAMES``, where only some frames are seen.
    """

    def __init__(self, model: FaceModel, window: int = WINDOW_FRAMES) -> None:
        self._model, self._cuts = model, ThumbnailCuts()
        # The first frame is always looked at: it has left the window when its turn would matter.
        self.memory_frames = window + 1
        self._looks: deque[list[Points] | None] = deque(maxlen=window)
        self._time: Fraction | None = None

    def mask_of(self, frame: Frame) -> NDArray[np.uint8]:
        """(H, W) uint8: up to 255 on eyes and mouths, with soft edges."""
        image = rgb_8_bits(frame.image)
        due = self._is_due(frame.time)
        if self._cuts.is_cut(image):
            self._looks.clear()
            due = True
        self._looks.appendleft(self._model(image) if due else None)
        looks = [found for found in self._looks if found is not None]
        return drawn(steady_faces(looks, frame.size), frame.size)

    def _is_due(self, time: Fraction) -> bool:
        """Whether faces are looked for at a time in seconds: it lies in another interval than the
        last frame's. Frames that all have the same time are looked at one by one."""
        before, self._time = self._time, time
        if before is None or time <= before:
            return True
        return floor(time * LOOKS_PER_SECOND) != floor(before * LOOKS_PER_SECOND)

    def applied(self, frame: Frame) -> Frame:
        """The frame with this mask as its emphasis; without a face, it has none."""
        mask = self.mask_of(frame)
        return replace(frame, emphasis=mask if mask.any() else None)

    def close(self) -> None:
        """Nothing is open."""


def steady_faces(looks: Iterable[Sequence[Points]], size: tuple[int, int]) -> list[Points]:
    """The points of each face where it was found last.

    Args:
        looks: the faces that were found, the newest look first. Those of older looks count if they
            were found ``MIN_DETECTIONS`` times.
        size: (width, height) of the frames in px.
    """
    faces: list[list[Points]] = []
    newest = 0
    for age, found in enumerate(looks):
        left = list(found)
        for face in faces:
            near = min(left, key=lambda points: _distance(points, face[-1], size), default=None)
            if near is not None and _distance(near, face[-1], size) < SAME_FACE:
                left = [points for points in left if points is not near]
                face.append(near)
        faces += [[points] for points in left]
        newest = newest if age else len(faces)
    return [
        face[0]
        for number, face in enumerate(faces)
        if number < newest or len(face) >= MIN_DETECTIONS
    ]


def frame_with_faces(frame: Frame, model: Path | None = None) -> Frame:
    """A single frame with emphasis on eyes and mouths.

    Args:
        model: see ``load_face_model``.

    Raises:
        FeaturesError: see ``load_face_model``.
    """
    return FaceMasks(load_face_model(model, still=True)).applied(frame)


def _distance(points: Points, other: Points, size: tuple[int, int]) -> float:
    """Distance of two faces in eye distances of the second."""
    eyes = eye_distance(other * size)
    return float(np.hypot(*((points.mean(0) - other.mean(0)) * size))) / max(eyes, 1.0)


def drawn(faces: Sequence[Points], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask of faces: ellipses over eyes and mouths, fainter over faces, and on large faces.

    Args:
        faces: points of each.
        size: (width, height) of the mask in px.
    """
    mask = np.zeros((size[1], size[0]), np.uint8)
    for face in faces:
        points = face * size
        eyes = max(2.0, eye_distance(points))
        # A blur of the whole frame would take longer than to find the face.
        margin = REACH * eyes + 2
        left, top = np.maximum(points.min(0) - margin, 0).astype(int)
        right, bottom = np.maximum(points.max(0) + margin, 0).astype(int)
        part = mask[top:bottom, left:right]
        if part.size:
            np.maximum(part, _ellipses(points - (left, top), eyes, part.shape, max(size)), out=part)
    return mask


def _ellipses(
    points: NDArray[np.floating], eyes: float, shape: tuple[int, ...], long_side: int
) -> NDArray[np.uint8]:
    """The mask of one face in a part of the frame.

    Args:
        points: (3, 2), in px of the part.
        eyes: their distance in px.
        shape: (height, width) of the part.
        long_side: of the frame.
    """
    across = points[1] - points[0]
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    share = min(1.0, SMALL_EYES * long_side / eyes)
    of_eyes, of_face = (
        255 * max(MIN_EMPHASIS, share**exponent) for exponent in (EYES_EXPONENT, FACE_EXPONENT)
    )
    mask = np.zeros(shape, np.uint8)
    ellipses = [(points.mean(0), FACE_SIZE, FACE_EMPHASIS * of_face)]
    sizes = EYE_SIZE, EYE_SIZE, MOUTH_SIZE
    ellipses += [(point, size, of_eyes) for point, size in zip(points, sizes, strict=True)]
    for point, size, value in ellipses:
        center = round(float(point[0])), round(float(point[1]))
        half = max(1, round(size[0] * eyes)), max(1, round(size[1] * eyes))
        cv2.ellipse(mask, center, half, angle, 0, 360, round(value), cv2.FILLED)
    return cv2.GaussianBlur(mask, (0, 0), max(0.5, SOFTNESS * eyes)).astype(np.uint8)
