"""Faces: where the content counts more, so that eyes and mouths stay those of the person.

A detector that the user gives finds points of each face: YuNet (Wu et al. 2023) through OpenCV's
``FaceDetectorYN``, or MediaPipe's full-range BlazeFace (Bazarevsky et al. 2019) through OpenCV's
network runner. Points are averaged over time, and stay for some frames where a face is not found.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import FeaturesError, InputError
from .io.files import changed_ns, check_readable
from .io.frame import Frame, rgb_8_bits

Points = NDArray[np.float32]
"""(3, 2): both eyes and the middle of the mouth, (x, y) relative to the sides of the image."""

FaceModel = Callable[[NDArray[np.uint8]], list[Points]]
"""``model(image)`` takes (H, W, 3) uint8 RGB, and gives the points of each face."""

MIN_SCORE = 0.6
"""Score from 0 to 1 of a face; below, it is none."""

YUNET_PX = 640
"""Long side in px of the input of YuNet: faces of a twentieth of it are found."""

BLAZEFACE_PX = 192
"""Side in px of the input of the full-range BlazeFace."""

BLAZEFACE_CELLS = 48
"""Number of its anchors along a side; there is one in each cell."""

OVERLAP = 0.3
"""Overlap of two detections, intersection over union, from which they are one face."""

MEAN_FRAMES = 4
"""Number of detections of a face whose points are averaged."""

SAME_FACE = 1.0
"""Largest distance between the mean points of one face in two frames, in eye distances."""

KEPT_FRAMES = 6
"""Number of frames for which a face stays that is not found: detectors miss single frames."""

EYE_SIZE, MOUTH_SIZE = (0.34, 0.24), (0.5, 0.28)
"""Half axes of the ellipses over an eye and the mouth, in eye distances."""

SOFTNESS = 0.12
"""Standard deviation of the blur of their edges, in eye distances."""


class _YuNet:
    """YuNet: a ``FaceModel``.

    Raises:
        FeaturesError: the file is no such model.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._lock = Lock()
            self._detector = cv2.FaceDetectorYN.create(str(path), "", (64, 64), MIN_SCORE)
            self._detector.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error:
            raise _not_a_model(path) from None

    def __call__(self, image: NDArray[np.uint8]) -> list[Points]:
        """See ``FaceModel``."""
        height, width = image.shape[:2]
        scale = min(1.0, YUNET_PX / max(height, width))
        size = max(32, round(width * scale)), max(32, round(height * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        with self._lock:  # a detector holds the size of its input
            self._detector.setInputSize(size)
            _, found = self._detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        faces: list[Points] = []
        for row in [] if found is None else found:
            eyes_nose_mouth = np.asarray(row[4:14], np.float32).reshape(5, 2) / size
            mouth = eyes_nose_mouth[3:].mean(0)
            faces.append(np.stack([*eyes_nose_mouth[:2], mouth]).astype(np.float32))
        return faces


class _BlazeFace:
    """MediaPipe's full-range BlazeFace: a ``FaceModel``.

    Raises:
        FeaturesError: the file is no such model.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._net = cv2.dnn.readNetFromTFLite(str(path))
            self._lock = Lock()
            names = self._output_names()
        except cv2.error:
            raise _not_a_model(path) from None
        if names is None:
            raise _not_a_model(path)
        self._names = names

    def _output_names(self) -> tuple[str, str] | None:
        """Names of the layers of scores and of positions; None for another network."""
        side, count = BLAZEFACE_PX, BLAZEFACE_CELLS**2
        self._net.setInput(cv2.dnn.blobFromImage(np.zeros((side, side, 3), np.uint8)))
        positions = self._net.getUnconnectedOutLayersNames()[-1]
        if self._net.forward(positions).shape != (1, count, 16):
            return None
        for name in reversed(self._net.getLayerNames()):
            try:
                if self._net.forward(name).shape == (1, count, 1):
                    return name, positions
            except cv2.error:  # a part of a layer, which has no output
                continue
        return None

    def __call__(self, image: NDArray[np.uint8]) -> list[Points]:
        """See ``FaceModel``."""
        height, width = image.shape[:2]
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = cv2.copyMakeBorder(
            image, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT
        )
        size = BLAZEFACE_PX, BLAZEFACE_PX
        small = cv2.resize(square, size, interpolation=cv2.INTER_AREA)
        with self._lock:  # a network holds its input
            self._net.setInput(cv2.dnn.blobFromImage(small, 1 / 127.5, size, (127.5,) * 3))
            scores, raw = (np.asarray(self._net.forward(name))[0] for name in self._names)
        offset = np.array([left, top])
        return [
            ((points * side - offset) / (width, height)).astype(np.float32)
            for points in decode_blazeface(scores, raw)
        ]


def decode_blazeface(
    scores: NDArray[np.float32], positions: NDArray[np.float32]
) -> list[NDArray[np.float64]]:
    """Points of the faces in the outputs of BlazeFace, after non-maximum suppression.

    Args:
        scores: (N, 1) logits, one for each anchor; anchors are the centres of cells, row by row.
        positions: (N, 16): centre, size, eyes, nose, mouth and ears, (x, y) relative to the anchor,
            in px of the input; the size is absolute.

    Returns:
        (3, 2) each, relative to the side of the input.
    """
    probability = 1 / (1 + np.exp(-np.clip(scores[:, 0], -30, 30).astype(np.float64)))
    likely = np.flatnonzero(probability > MIN_SCORE)
    y, x = np.mgrid[:BLAZEFACE_CELLS, :BLAZEFACE_CELLS]
    anchors = (np.stack([x, y], -1).reshape(-1, 1, 2) + 0.5) / BLAZEFACE_CELLS
    values = positions[likely].reshape(-1, 8, 2).astype(np.float64) / BLAZEFACE_PX
    values[:, [0, *range(2, 8)]] += anchors[likely]
    boxes = [[*(center - extent / 2), *extent] for center, extent in values[:, :2]]
    kept = cv2.dnn.NMSBoxes(boxes, probability[likely].tolist(), MIN_SCORE, OVERLAP)
    return [values[number, [2, 3, 5]] for number in kept]


def _not_a_model(path: Path) -> FeaturesError:
    return FeaturesError(
        f"{path} is no model of faces: give YuNet of OpenCV's model zoo (.onnx), or "
        "face_detection_full_range.tflite of MediaPipe",
        "face_model",
    )


def load_face_model(path: Path) -> FaceModel:
    """A model that finds faces; the last ones stay in memory.

    Args:
        path: YuNet (``face_detection_yunet_2023mar.onnx``), or MediaPipe's
            ``face_detection_full_range.tflite``.

    Raises:
        FeaturesError: it cannot be read, or is of another kind.
    """
    try:
        check_readable(path)
    except InputError as error:
        raise FeaturesError(str(error), "face_model") from None
    return _load(path, changed_ns(path))


@lru_cache(maxsize=2)
def _load(path: Path, changed: int) -> FaceModel:
    """The model of a file that was changed at this time."""
    return _BlazeFace(path) if path.suffix.lower() == ".tflite" else _YuNet(path)


class _Face(NamedTuple):
    """A face that was found: its points in the last frames, newest first, and the number of frames
    since."""

    history: tuple[Points, ...]
    age: int = 0

    @property
    def points(self) -> Points:
        """The mean of the last points."""
        mean: Points = np.mean(self.history, 0, dtype=np.float32)
        return mean


class FaceMasks:
    """Masks of eyes and mouths of the frames of a clip, in order.

    Args:
        model: finds faces.
    """

    memory_frames = MEAN_FRAMES + KEPT_FRAMES

    def __init__(self, model: FaceModel) -> None:
        self._model = model
        self._faces: list[_Face] = []

    def mask_of(self, frame: Frame) -> NDArray[np.uint8]:
        """(H, W) uint8: 255 on eyes and mouths, with soft edges."""
        found = self._model(rgb_8_bits(frame.image))
        self._faces = _tracked(self._faces, found, frame.size)
        return drawn([face.points for face in self._faces], frame.size)

    def close(self) -> None:
        """Nothing is open."""


def _tracked(faces: Sequence[_Face], found: Sequence[Points], size: tuple[int, int]) -> list[_Face]:
    """The faces after a frame: averaged with those found, kept for a while, or new."""
    left, tracked = list(found), []
    for face in faces:
        near = [points for points in left if _distance(points, face.points, size) < SAME_FACE]
        if near:
            nearest = min(near, key=lambda points: _distance(points, face.points, size))
            left = [points for points in left if points is not nearest]
            tracked.append(_Face((nearest, *face.history)[:MEAN_FRAMES]))
        elif face.age < KEPT_FRAMES:
            tracked.append(face._replace(age=face.age + 1))
    return [*tracked, *(_Face((points,)) for points in left)]


def _distance(points: Points, other: Points, size: tuple[int, int]) -> float:
    """Distance of two faces in eye distances of the second."""
    eyes = float(np.hypot(*((other[1] - other[0]) * size)))
    return float(np.hypot(*((points.mean(0) - other.mean(0)) * size))) / max(eyes, 1.0)


def drawn(faces: Sequence[Points], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask of faces: ellipses over eyes and mouths.

    Args:
        faces: points of each.
        size: (width, height) of the mask in px.
    """
    mask = np.zeros((size[1], size[0]), np.uint8)
    for face in faces:
        points = face * size
        across = points[1] - points[0]
        eyes = max(2.0, float(np.hypot(*across)))
        angle = float(np.degrees(np.arctan2(across[1], across[0])))
        one = np.zeros_like(mask)
        for point, axes in zip(points, (EYE_SIZE, EYE_SIZE, MOUTH_SIZE), strict=True):
            center = round(float(point[0])), round(float(point[1]))
            half = max(1, round(axes[0] * eyes)), max(1, round(axes[1] * eyes))
            cv2.ellipse(one, center, half, angle, 0, 360, 255, cv2.FILLED)
        mask = np.maximum(mask, cv2.GaussianBlur(one, (0, 0), max(0.5, SOFTNESS * eyes)))
    return mask.astype(np.uint8)
