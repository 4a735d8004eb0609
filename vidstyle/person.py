"""Person segmentation: which pixels of a frame show people, steady in time.

The network is LRASPP on MobileNetV3 (Howard et al. 2019) from torchvision, or a segmentation or
matting model that the user gives as ``.tflite`` or ``.onnx``, which OpenCV runs. Its coarse map is
averaged over time where it hardly changes, and a guided filter (He et al. 2010) leads its edges to
those of the frame.
"""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from .errors import FeaturesError, InputError
from .features.pretrained import last_line, lraspp_weights, read_state_dict
from .io.files import check_readable
from .io.frame import Frame, to_8_bits
from .runtime.device import choose_device

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

STEADY_GAIN = 0.35
"""Weight of a new map in the average over time where it hardly changes."""

CHANGE = 0.1, 0.35
"""Change of the map at which the average begins to follow faster, and at which it takes the new
value: people who move leave no trail."""

FILTER_PX = 480
"""Long side in px at which edges are found."""

FILTER_RADIUS = 0.012
"""Radius of the guided filter, as a fraction of the long side: the map errs by about as much."""

FILTER_EPSILON = 2e-4
"""Variance of the frame's brightness, in [0, 1], below which the guided filter sees no edge."""

SURE = 0.25, 0.75
"""Values of the filtered map that become 0 and 1."""

WARNING_FRAMES = 25
"""Number of first frames without any person after which there is a warning."""

MIN_AREA = 0.002
"""Share of a frame that people take at least, or there are none."""


class _OpenCvModel:
    """A model that OpenCV runs: a ``PersonModel``.

    Raises:
        FeaturesError: it cannot be read, or is of another kind.
    """

    def __init__(self, path: Path) -> None:
        tflite = path.suffix.lower() == ".tflite"
        read = cv2.dnn.readNetFromTFLite if tflite else cv2.dnn.readNetFromONNX
        try:
            self._net = read(str(check_readable(path)))
        except cv2.error:
            raise FeaturesError(
                f"{path} cannot be read as a model: give a segmentation model as .tflite or .onnx",
                "person_model",
            ) from None
        except InputError as error:
            raise FeaturesError(str(error), "person_model") from None
        blank = np.zeros((64, 64, 3), np.uint8)
        for size in INPUT_SIZES:
            self._size = size
            if (found := self._run(blank)) is not None and found.shape == size[::-1]:
                return
        raise FeaturesError(
            f"{path} is no model of people: its output is no map of the size of its input "
            f"({', '.join(f'{width}x{height}' for width, height in INPUT_SIZES)} were tried)",
            "person_model",
        )

    def __call__(self, image: NDArray[np.uint8]) -> Map:
        """See ``PersonModel``."""
        found = self._run(image)
        if found is None:  # it worked with a blank image
            raise FeaturesError("the model of people failed: give another", "person_model")
        return found

    def _run(self, image: NDArray[np.uint8]) -> Map | None:
        """The map of an image; None if the network does not take inputs of this size."""
        try:
            self._net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, self._size))
            output = np.asarray(self._net.forward(), np.float32)
        except cv2.error:
            return None
        return person_channel(output)


def person_channel(output: NDArray[np.float32]) -> Map | None:
    """The map in the output of a network: probabilities or logits, of people or of two classes.

    Args:
        output: (1, C, H, W) or (1, H, W, C), C of 1 or 2; or (1, H, W).

    Returns:
        None for another shape.
    """
    if output.ndim == 3:
        output = output[:, None]
    if output.ndim != 4 or output.shape[0] != 1:
        return None
    channels = output[0] if output.shape[1] <= 2 else np.moveaxis(output[0], -1, 0)
    if len(channels) not in (1, 2):
        return None
    if channels.min() < 0 or channels.max() > 1:  # logits
        difference = channels[-1] - (channels[0] if len(channels) == 2 else 0)
        probability: Map = (1 / (1 + np.exp(-np.clip(difference, -30, 30)))).astype(np.float32)
        return probability
    return np.ascontiguousarray(channels[-1], np.float32)


class _Lraspp:
    """torchvision's LRASPP: a ``PersonModel``.

    Raises:
        RuntimeError: the weights are of another network.
    """

    def __init__(self, weights: dict[str, torch.Tensor], device: torch.device) -> None:
        from torchvision.models.segmentation import lraspp_mobilenet_v3_large

        self._network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
        self._network.load_state_dict(weights)
        self._network.requires_grad_(False).eval().to(device)
        self._device = device
        self._mean, self._std = (
            torch.tensor(values, device=device)[:, None, None]
            for values in (IMAGENET_MEAN, IMAGENET_STD)
        )

    def __call__(self, image: NDArray[np.uint8]) -> Map:
        """See ``PersonModel``."""
        small = _reduced(image, LRASPP_PX)
        pixels = torch.from_numpy(small).to(self._device).permute(2, 0, 1).float() / 255
        with torch.no_grad():
            logits = self._network(((pixels - self._mean) / self._std)[None])["out"]
        found: Map = F.softmax(logits.float(), 1)[0, PERSON_CLASS].cpu().numpy()
        return found


@lru_cache(maxsize=2)
def load_person_model(path: Path | None = None) -> PersonModel:
    """A model that finds people.

    Args:
        path: ``.tflite`` or ``.onnx`` of a network that maps people, or torchvision's state dict of
            ``lraspp_mobilenet_v3_large``; None: that one is downloaded, once.

    Raises:
        FeaturesError: it cannot be read or downloaded, or is of another kind.
    """
    if path is not None and path.suffix.lower() in OPENCV_MODELS:
        return _OpenCvModel(path)
    state = lraspp_weights() if path is None else read_state_dict(path, "LRASPP")
    try:
        return _Lraspp(state, choose_device("auto"))
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
        label: name of the clip, for a warning.
        filter_px: long side in px at which edges are found.
    """

    def __init__(
        self, model: PersonModel, label: str = "the clip", filter_px: int = FILTER_PX
    ) -> None:
        self._model, self._label, self._filter_px = model, label, filter_px
        self._average: Map | None = None
        self._image: object = None
        self._mask = np.zeros((0, 0), np.uint8)
        self._empty = 0

    def mask_of(self, frame: Frame) -> NDArray[np.uint8]:
        """(H, W) uint8: 255 where the frame shows a person."""
        if self._image is not frame.image:  # several regions ask for the same frame
            self._mask, self._image = self._next(frame), frame.image
        return self._mask

    def _next(self, frame: Frame) -> NDArray[np.uint8]:
        image = np.ascontiguousarray(to_8_bits(frame.image)[..., :3])
        found = self._model(image)
        if self._average is not None and self._average.shape == found.shape:
            start, end = CHANGE
            change = np.clip((np.abs(found - self._average) - start) / (end - start), 0, 1)
            gain = STEADY_GAIN + (1 - STEADY_GAIN) * change
            found = (self._average + gain * (found - self._average)).astype(np.float32)
        self._average = found
        self._warn_without_people(found)
        small = _reduced(image, self._filter_px)
        size = small.shape[1], small.shape[0]
        coarse = np.asarray(cv2.resize(found, size, interpolation=cv2.INTER_LINEAR), np.float32)
        guide = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)
        radius = max(1, round(FILTER_RADIUS * max(size)))
        fine = guided_filter(guide, coarse, radius, FILTER_EPSILON)
        low, high = SURE
        levels = (255 * np.clip((fine - low) / (high - low), 0, 1)).round().astype(np.uint8)
        whole = cv2.resize(levels, frame.size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(whole, np.uint8)

    def _warn_without_people(self, found: Map) -> None:
        if self._empty < 0:
            return
        self._empty = -1 if (found > 0.5).mean() > MIN_AREA else self._empty + 1
        if self._empty == WARNING_FRAMES:
            self._empty = -1
            log.warning(
                "%s: no person is found in the first %d frames: draw a mask, or give another model "
                "with --person-model",
                self._label,
                WARNING_FRAMES,
            )


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
    """An image with a long side of at most so many px."""
    height, width = image.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    size: Sequence[int] = (max(8, round(width * scale)), max(8, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
