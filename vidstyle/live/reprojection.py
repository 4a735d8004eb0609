"""Reprojection: the last stylised frame is warped along the optical flow to the camera's frame.

A stylised frame takes longer than the camera's frame interval. Reprojection (asynchronous time warp
in virtual reality, van Waveren 2016) shows every camera frame's motion all the same. The result is
only shown: no frame starts from it, so that its errors do not add up.
"""

from functools import lru_cache
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from ..io.frame import Frame, Image, fit, rgb_8_bits

FLOW_PX = 192
"""Long side in px at which the flow is computed, in a few milliseconds."""

UNKNOWN_LEVELS = 8.0, 24.0
"""Mean error of a window, in levels of 255, at which the camera's frame begins to replace the
warped one, and at which it is shown alone."""

COLOR_SAMPLES = 64, 48
"""(width, height) in px at which colours are compared."""

COLOR_RIDGE = 20.0
"""Regularisation of the colour map, in squared levels of 255."""

COLORS = 3
"""Channels of an image without alpha."""

STROKE_PX = 17
"""Window whose mean is no stroke."""

MIN_FLOW_PX = 48
"""Smallest side, to which narrow frames are stretched: DIS crashes on them."""

BLUR_PX = 9
"""Window, odd, over which errors are compared and the flow is smoothed."""

REST_MARGIN_LEVELS = 1.5
"""Decrease of the mean error of a window, in levels of 255, from which its pixels follow the flow:
the flow of flat regions and of noise is arbitrary."""

MAX_ERROR_LEVELS = 40.0
"""Mean error of the warped source above which the flow has failed, as after a cut."""


class Reprojection:
    """Warps one stylised frame to later frames of the camera.

    Where the flow does not follow, such as at a hand that moves fast or comes into view, the
    camera's frame itself is shown, in the colours and under the strokes of the stylised frame.

    Args:
        source: the frame as the camera gave it.
        stylized: the same frame stylised, of any size.
    """

    def __init__(self, source: Frame, stylized: Frame) -> None:
        self.source, self.stylized = source, stylized
        self._reduced = _reduced(source.image)
        self._look: _Look | None = None

    def at(self, frame: Frame) -> Image:
        """The stylised frame in the positions of another frame of the camera, (H, W, C)."""
        image = self.stylized.image
        if frame.time == self.source.time or frame.size != self.source.size:
            return image
        reduced = _reduced(frame.image)
        flow = _flow(reduced, self._reduced)
        warped = image if flow is None else _warped(image, flow)
        if image.dtype != np.uint8 or image.shape[2] != COLORS:
            return warped
        unknown = _unknown(reduced, self._reduced, flow)
        if unknown.any():
            if self._look is None:
                self._look = _Look.of(self.source.image, image)
            warped = _blended(self._look.applied_to(frame.image), warped, unknown)
        return warped if frame.mask is None else _masked(frame.image, frame.mask, warped)


def _reduced(image: Image) -> NDArray[np.uint8]:
    """The frame in grey, (H, W) uint8, at the size for the flow."""
    grey = cv2.cvtColor(rgb_8_bits(image), cv2.COLOR_RGB2GRAY)
    width, height = fit((grey.shape[1], grey.shape[0]), min(FLOW_PX, max(grey.shape)))
    size = max(width, MIN_FLOW_PX), max(height, MIN_FLOW_PX)
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _flow(frame: NDArray[np.uint8], source: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Flow from a frame to its source, (H, W, 2) px, 0 where nothing moves; None if it failed."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = np.asarray(method.calc(frame, source, None), np.float32)  # type: ignore[call-overload]
    window = BLUR_PX, BLUR_PX
    at_rest = cv2.blur(cv2.absdiff(frame, source).astype(np.float32), window)
    moved = cv2.absdiff(frame, _warped(source[..., None], flow)[..., 0]).astype(np.float32)
    error = cv2.blur(moved, window)
    if min(error.mean(), at_rest.mean()) > MAX_ERROR_LEVELS:
        return None
    flow[error > at_rest - REST_MARGIN_LEVELS] = 0
    return np.asarray(cv2.blur(flow, window), np.float32)


def _warped(image: Image, flow: NDArray[np.float32]) -> Image:
    """An image, (H, W, C), backward warped by a flow of any size; borders repeat."""
    size = image.shape[1], image.shape[0]
    scale = np.array([size[0] / flow.shape[1], size[1] / flow.shape[0]], np.float32)
    positions = cv2.resize(flow * scale, size)
    cv2.add(positions, _pixel_positions(size), positions)
    # Positions in 1/32 px, which is quicker than floating point.
    x, y = cv2.split(positions)
    whole, parts = cv2.convertMaps(x, y, cv2.CV_16SC2)
    warped = cv2.remap(image, whole, parts, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # OpenCV drops a single channel.
    return cast("Image", warped).reshape(image.shape)


def _unknown(
    frame: NDArray[np.uint8], source: NDArray[np.uint8], flow: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Where a warped source does not show the frame, (H, W) from 0 to 1.

    Args:
        frame, source: (H, W), see ``_reduced``.
        flow: from the frame to the source; None: it failed everywhere.
    """
    if flow is None:
        return np.ones(frame.shape, np.float32)
    warped = _warped(source[..., None], flow)[..., 0]
    error = cv2.blur(cv2.absdiff(frame, warped).astype(np.float32), (BLUR_PX, BLUR_PX))
    low, high = UNKNOWN_LEVELS
    return np.asarray(((error - low) / (high - low)).clip(0, 1), np.float32)


class _Look(NamedTuple):
    """The colours and strokes of a stylised frame, for parts of frames that it does not show.

    Args:
        colors: (3, 4), an affine map of RGB in levels of 255.
        strokes: (H, W, 3) float32, the stylised frame's fine detail without that of its content.
    """

    colors: NDArray[np.float64]
    strokes: NDArray[np.float32]

    @classmethod
    def of(cls, source: Image, stylized: Image) -> "_Look":
        """The look of a frame, (H, W, 3 or 4), and its stylised version, (H, W, 3)."""
        colors = _fit_colors(source, stylized)
        size = stylized.shape[1], stylized.shape[0]
        content = cv2.transform(_resized(source, size), colors)
        detail = cv2.subtract(stylized, content, dtype=cv2.CV_32F)
        return cls(colors, np.asarray(detail - cv2.blur(detail, (STROKE_PX, STROKE_PX))))

    def applied_to(self, image: Image) -> Image:
        """An image of the camera in these colours, under these strokes."""
        size = self.strokes.shape[1], self.strokes.shape[0]
        colored = cv2.transform(_resized(image, size), self.colors)
        return cast("Image", cv2.add(colored, self.strokes, dtype=cv2.CV_8U))


def _fit_colors(source: Image, stylized: Image) -> NDArray[np.float64]:
    """The least-squares affine map, (3, 4), from a frame's colours to those of its stylised
    version."""
    inputs, targets = (
        _resized(image, COLOR_SAMPLES).reshape(-1, COLORS).astype(np.float64)
        for image in (source, stylized)
    )
    mean, target_mean = inputs.mean(0), targets.mean(0)
    inputs, targets = inputs - mean, targets - target_mean
    # The ridge keeps the map of a flat frame near to a change of the mean alone.
    ridge = COLOR_RIDGE * len(inputs) * np.eye(COLORS)
    matrix = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ targets + ridge).T
    return np.column_stack([matrix, target_mean - matrix @ mean])


def _masked(frame: Image, mask: NDArray[np.uint8], stylized: Image) -> Image:
    """The stylised image within a mask of the frame, and the frame itself elsewhere.

    What is not stylised, such as a person before a stylised background, need not lag behind.
    """
    source = _resized(frame, (stylized.shape[1], stylized.shape[0]))
    return _blended(stylized, source, mask.astype(np.float32) / np.float32(255))


def _resized(image: Image, size: tuple[int, int]) -> Image:
    """The colours of an image, (H, W, 3) uint8, in (width, height) px."""
    return cast("Image", cv2.resize(rgb_8_bits(image), size, interpolation=cv2.INTER_AREA))


def _blended(image: Image, other: Image, weight: NDArray[np.float32]) -> Image:
    """An image where the weight is 1, another where it is 0; the weight may have any size."""
    weight = np.asarray(cv2.resize(weight, (image.shape[1], image.shape[0])), np.float32)
    return cast("Image", cv2.blendLinear(image, other, weight, 1 - weight))


@lru_cache(4)
def _pixel_positions(size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W, 2): column and row of each pixel of an image of this (width, height)."""
    columns, rows = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in size))
    return np.stack([columns, rows], -1)
