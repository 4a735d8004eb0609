"""Models that find faces: the bundled head, or a file that the user names.

A file is YuNet (Wu et al. 2023) through OpenCV's ``FaceDetectorYN``, or MediaPipe's full-range
BlazeFace (Bazarevsky et al. 2019) through OpenCV's network runner.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import FeaturesError, InputError
from .features.face_head import FaceDetector, bundled_detector
from .io.files import changed_ns, check_readable
from .runtime.openmp import one_thread

Points = NDArray[np.float32]
"""(3, 2): both eyes and the middle of the mouth, (x, y) relative to the sides of the image."""

FaceModel = Callable[[NDArray[np.uint8]], list[Points]]
"""``model(image)`` takes (H, W, 3) uint8 RGB, and gives the points of each face."""

MIN_SCORE = 0.6
"""Score from 0 to 1 of a face; below, it is none."""

HEAD_MIN_SCORE = 0.7
"""The same of the bundled head, which then found 31 of 32 faces of 250 photographs that it was not
trained on, and two where there is none."""

CLIP_PX, STILL_PX = 384, 640
"""Long side in px at which the bundled head looks for faces in clips, and in still images, where
time does not matter. Eyes that are closer than a fiftieth of it are not found."""

YUNET_PX = 640
"""Long side in px of the input of YuNet: faces of a twentieth of it are found."""

BLAZEFACE_PX = 192
"""Side in px of the input of the full-range BlazeFace."""

BLAZEFACE_CELLS = 48
"""Number of its anchors along a side; there is one in each cell."""

OVERLAP = 0.3
"""Overlap of two detections, intersection over union, from which they are one face."""


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


class _Bundled:
    """The bundled head: a ``FaceModel``."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector

    def __call__(self, image: NDArray[np.uint8]) -> list[Points]:
        """See ``FaceModel``."""
        size = image.shape[1], image.shape[0]
        with one_thread():
            found = self._detector(image, HEAD_MIN_SCORE)
        return [(each.points / size).astype(np.float32) for each in found]


def load_face_model(path: Path | None = None, still: bool = False) -> FaceModel:
    """A model that finds faces; the last ones stay in memory.

    Args:
        path: YuNet (``face_detection_yunet_2023mar.onnx``), or MediaPipe's
            ``face_detection_full_range.tflite``; None: the bundled head.
        still: for a single image, which may take longer.

    Raises:
        FeaturesError: it cannot be read, or is of another kind.
    """
    if path is None:
        return _load_bundled(STILL_PX if still else CLIP_PX)
    try:
        check_readable(path)
    except InputError as error:
        raise FeaturesError(str(error), "face_model") from None
    return _load(path, changed_ns(path))


@lru_cache(maxsize=2)
def _load_bundled(side_px: int) -> FaceModel:
    return _Bundled(bundled_detector(side_px))


@lru_cache(maxsize=2)
def _load(path: Path, changed: int) -> FaceModel:
    """The model of a file that was changed at this time."""
    return _BlazeFace(path) if path.suffix.lower() == ".tflite" else _YuNet(path)
