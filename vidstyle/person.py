"""Person segmentation: which pixels of a frame show people, steady in time.

The network is LRASPP on MobileNetV3 (Howard et al. 2019) from torchvision, or a segmentation or
matting model that the user gives as ``.tflite`` or ``.onnx``, which OpenCV runs. A bilateral filter
over time (Tomasi & Manduchi 1998) keeps its coarse map steady, and a guided filter (He et al. 2010)
leads its edges to those of the frame.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from .errors import FeaturesError, InputError
from .features.pretrained import last_line, lraspp_weights, read_state_dict
from .flow.cuts import ThumbnailCuts
from .io.files import changed_ns, check_readable
from .io.frame import Frame, rgb_8_bits
from .runtime.openmp import one_thread

log = logging.getLogger(__name__)

Map = NDArray[np.float32]
"""(H, W) in [0, 1]: how surely each pixel shows a person."""

PersonModel = Callable[[NDArray[np.uint8]], Map]
"""``model(image)`` takes (H, W, 3) uint8 RGB, and gives a map of any size."""

OPENCV_MODELS = ".tflite", ".onnx"
"""Endings of models that OpenCV runs."""

INPUT_SIZES = (256, 256), (256, 144), (512, 512), (320, 320), (224, 224), (192, 192), (512, 288)
"""(width, height) in px that models of people are tried with: files do not always say theirs, and
the map of a model has the size of its input."""

PERSON_CLASS = 15
"""Number of people among the classes of Pascal VOC, on which torchvision's model was trained."""

LRASPP_PX = 384
"""Long side in px of its input: a twentieth of a second on two cores."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels of its input, in [0, 1]."""

MEMORY_FRAMES = 8
"""Number of earlier maps that are averaged with that of a frame."""

DECAY = 0.65
"""Weight of a map in that average relative to that of the next one."""

CHANGE = 0.1, 0.35
"""Difference to the present map at which an earlier one begins to count less, and at which it does
not count: people who move leave no trail."""

FILTER_PX = 480
"""Long side in px at which edges are found."""

FILTER_RADIUS = 0.012
"""Radius of the guided filter, as a fraction of the long side: the map errs by about as much."""

FILTER_EPSILON = 2e-4
"""Variance of the frame's brightness, in [0, 1], below which the guided filter sees no edge."""

SURE = 0.25, 0.75
"""Values of the filtered map that become 0 and 1."""

MIN_AREA = 0.002
"""Share of a frame that people take at least, or there are none."""

TOLERANCE = 0.05
"""How far outside of 0 to 1 probabilities may be."""


class _OpenCvModel:
    """A model that OpenCV runs: a ``PersonModel``.

    Raises:
        FeaturesError: it cannot be read, or is of another kind.
    """

    def __init__(self, path: Path) -> None:
        tflite = path.suffix.lower() == ".tflite"
        read = cv2.dnn.readNetFromTFLite if tflite else cv2.dnn.readNetFromONNX
        self._lock = Lock()
        try:
            self._net = read(str(check_readable(path)))
        except cv2.error:
            raise FeaturesError(
                f"{path} cannot be read as a model: give a segmentation model as .tflite or .onnx",
                "person_model",
            ) from None
        except InputError as error:
            raise FeaturesError(str(error), "person_model") from None
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        for size in INPUT_SIZES:
            self._size = size
            maps = [self._channels(image) for image in (noise, np.zeros_like(noise))]
            if all(each is not None and each.shape[1:] == size[::-1] for each in maps):
                self._logits = any(each is not None and has_logits(each) for each in maps)
                return
        raise FeaturesError(
            f"{path} is no model of people: its output is no map of the size of its input "
            f"({', '.join(f'{width}x{height}' for width, height in INPUT_SIZES)} were tried)",
            "person_model",
        )

    def __call__(self, image: NDArray[np.uint8]) -> Map:
        """See ``PersonModel``."""
        channels = self._channels(image)
        if channels is None:  # it worked when it was loaded
            raise FeaturesError("the model of people failed: give another", "person_model")
        return probabilities(channels, self._logits)

    def _channels(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """The output for an image; None if the network does not take inputs of this size."""
        try:
            with self._lock:  # a network holds its input
                self._net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, self._size))
                output = np.asarray(self._net.forward(), np.float32)
        except cv2.error:
            return None
        return person_channels(output)


def person_channels(output: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The output of a network as (C, H, W), C of 1 (people) or 2 (all else, people).

    Args:
        output: (1, C, H, W), (1, H, W, C) or (1, H, W).

    Returns:
        None for another shape.
    """
    if output.ndim == 3:
        output = output[:, None]
    if output.ndim != 4 or output.shape[0] != 1:
        return None
    channels = output[0] if output.shape[1] <= 2 else np.moveaxis(output[0], -1, 0)
    return np.ascontiguousarray(channels) if len(channels) in (1, 2) else None


def has_logits(channels: NDArray[np.float32]) -> bool:
    """Whether an output of ``person_channels`` has values that are no probabilities."""
    return bool(channels.min() < -TOLERANCE or channels.max() > 1 + TOLERANCE)


def probabilities(channels: NDArray[np.float32], logits: bool) -> Map:
    """The map of an output of ``person_channels``."""
    if not logits:
        return np.asarray(np.clip(channels[-1], 0, 1), np.float32)
    difference = channels[-1] - (channels[0] if len(channels) == 2 else 0)
    probability: Map = (1 / (1 + np.exp(-np.clip(difference, -30, 30)))).astype(np.float32)
    return probability


class _Lraspp:
    """torchvision's LRASPP: a ``PersonModel``. It runs on the CPU, beside the optimiser.

    Raises:
        RuntimeError: the weights are of another network.
    """

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        from torchvision.models.segmentation import lraspp_mobilenet_v3_large

        self._network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
        self._network.load_state_dict(weights)
        self._network.requires_grad_(False).eval()
        self._mean, self._std = (
            torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD)
        )

    def __call__(self, image: NDArray[np.uint8]) -> Map:
        """See ``PersonModel``."""
        small = _reduced(image, LRASPP_PX)
        pixels = torch.from_numpy(small).permute(2, 0, 1).float() / 255
        with torch.no_grad(), one_thread():
            logits = self._network(((pixels - self._mean) / self._std)[None])["out"]
        found: Map = F.softmax(logits.float(), 1)[0, PERSON_CLASS].numpy()
        return found


def load_person_model(path: Path | None = None) -> PersonModel:
    """A model that finds people; the last ones stay in memory.

    Args:
        path: ``.tflite`` or ``.onnx`` of a network that maps people, or torchvision's state dict of
            ``lraspp_mobilenet_v3_large``; None: that one is downloaded, once.

    Raises:
        FeaturesError: it cannot be read or downloaded, or is of another kind.
    """
    return _load(path, changed_ns(path))


@lru_cache(maxsize=2)
def _load(path: Path | None, changed: int) -> PersonModel:
    """The model of a file that was changed at this time."""
    if path is not None and path.suffix.lower() in OPENCV_MODELS:
        return _OpenCvModel(path)
    state = lraspp_weights() if path is None else read_state_dict(path, "LRASPP")
    try:
        return _Lraspp(state)
    except RuntimeError as error:
        raise FeaturesError(
            f"{path or 'the cached LRASPP'} does not fit ({last_line(error)}): give torchvision's "
            "lraspp_mobilenet_v3_large, or a .tflite or .onnx model",
            "person_model",
        ) from None


class PersonMasks:
    """Masks of people of the frames of a clip, in order.

    Args:
        model: finds them.
        label: name of the clip, for a warning where no person is found; None: no warning.
        filter_px: long side in px at which edges are found.
    """

    memory_frames = MEMORY_FRAMES

    def __init__(
        self, model: PersonModel, label: str | None = None, filter_px: int = FILTER_PX
    ) -> None:
        self._model, self._label, self._filter_px = model, label, filter_px
        self._maps: deque[Map] = deque(maxlen=MEMORY_FRAMES)
        self._cuts = ThumbnailCuts()
        self._image: object = None
        self._mask = np.zeros((0, 0), np.uint8)
        self._frames, self._found = 0, False

    def mask_of(self, frame: Frame) -> NDArray[np.uint8]:
        """(H, W) uint8: 255 where the frame shows a person."""
        if self._image is not frame.image:  # several regions ask for the same frame
            self._mask, self._image = self._next(frame), frame.image
        return self._mask

    def close(self) -> None:
        """Warn if there was no person in any frame."""
        if self._frames and not self._found:
            self._frames = 0
            if self._label:
                log.warning(
                    "%s: no person was found in the frames: draw a mask, or give another model "
                    "with --person-model",
                    self._label,
                )

    def _next(self, frame: Frame) -> NDArray[np.uint8]:
        image = rgb_8_bits(frame.image)
        found = self._model(image)
        self._frames += 1
        self._found = self._found or bool((found > 0.5).mean() > MIN_AREA)
        self._forget_before_cut(image, found)
        steady = over_time(found, self._maps)
        self._maps.appendleft(found)
        small = _reduced(image, self._filter_px)
        size = small.shape[1], small.shape[0]
        coarse = np.asarray(cv2.resize(steady, size, interpolation=cv2.INTER_LINEAR), np.float32)
        guide = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)
        radius = max(1, round(FILTER_RADIUS * max(size)))
        fine = guided_filter(guide, coarse, radius, FILTER_EPSILON)
        low, high = SURE
        levels = (255 * np.clip((fine - low) / (high - low), 0, 1)).round().astype(np.uint8)
        whole = cv2.resize(levels, frame.size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(whole, np.uint8)

    def _forget_before_cut(self, image: NDArray[np.uint8], found: Map) -> None:
        """Drop the earlier maps where this frame begins a shot, or maps have another size."""
        resized = bool(self._maps) and self._maps[0].shape != found.shape
        if self._cuts.is_cut(image) or resized:
            self._maps.clear()


def over_time(found: Map, earlier: Iterable[Map]) -> Map:
    """Bilateral filter over time (Tomasi & Manduchi 1998): the mean of a map and of earlier ones
    where they hardly differ.

    Args:
        found: the present map.
        earlier: the newest one first, of the same size.
    """
    start, end = CHANGE
    total, weights, weight = found.copy(), np.ones_like(found), 1.0
    for each in earlier:
        weight *= DECAY
        alike = weight * np.clip((end - np.abs(each - found)) / (end - start), 0, 1)
        total += alike * each
        weights += alike
    mean: Map = total / weights
    return mean


def guided_filter(guide: Map, values: Map, radius_px: int, epsilon: float) -> Map:
    """Guided filter (He et al. 2010): smooth values with the edges of another image.

    Args:
        guide: (H, W), the image with edges.
        values: (H, W), to be filtered.
        radius_px: of the square windows.
        epsilon: variance of the guide that counts as an edge.
    """
    window = (2 * radius_px + 1,) * 2

    def mean(x: Map) -> Map:
        return np.asarray(cv2.blur(x, window), np.float32)

    mean_guide, mean_values = mean(guide), mean(values)
    variance = mean(np.square(guide)) - np.square(mean_guide)
    slope = (mean(guide * values) - mean_guide * mean_values) / (variance + np.float32(epsilon))
    offset = mean_values - slope * mean_guide
    return mean(slope) * guide + mean(offset)


def _reduced(image: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """An image with a long side of at most ``long_side`` px."""
    height, width = image.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    size: Sequence[int] = (max(8, round(width * scale)), max(8, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
