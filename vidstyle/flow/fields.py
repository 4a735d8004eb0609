"""Flow fields as arrays: warping, comparison of frames, and the forward-backward check.

All functions use NumPy and OpenCV, which release Python's global lock and start no threads for
images of this size: several motions are estimated at the same time.
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..io.frame import Image, fit, rgb_8_bits

Pixels = NDArray[np.uint8]
"""(H, W, 3), code values of 0 to 255."""

Flow = NDArray[np.float32]
"""(H, W, 2): displacement of each pixel to its position in the other frame, (dx, dy) in px."""

Map = NDArray[np.float32]
"""(H, W)."""

Mask = NDArray[np.bool_]
"""(H, W)."""

MAX_FLOW_SIDE_PX = 768
"""Largest long side at which flow is computed, unless a setting asks for more. Flow is enlarged to
the size of the frames; at 1024 px it takes nearly twice as long and is hardly better."""

MIN_FLOW_SIDE_PX = 16
"""Smallest side, to which narrower frames are stretched: DIS refuses sides below 12 px."""

CHANNEL_MEAN = np.full((1, 3), 1 / 3, np.float32)
"""Matrix for ``cv2.transform``, which averages channels several times as fast as NumPy."""

PATCH_SIDE_PX = 9
"""Window over which warp errors are averaged, odd: as small as noise allows."""

EQUAL_ERROR_RATIO = 1.1
"""Two flows explain a patch equally well up to this ratio of their errors, plus a margin."""

CONTRAST_WINDOW_PX = 9
"""Window in which the contrast of a texture is measured, odd."""

BORDER_TOLERANCE_PX = 0.5
"""How far outside the image a position may be: pixels at the border must tolerate small errors."""


@lru_cache(maxsize=4)
def pixel_grid(width: int, height: int) -> Flow:
    """Column and row of each pixel, (H, W, 2). The array is shared and must not be changed."""
    return np.dstack(
        np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    )


def remap(image: NDArray[Any], flow: Flow) -> NDArray[Any]:
    """Backward warping: the value of each pixel at its displaced position, bilinear.

    Borders repeat. ``image`` is (H, W, C) of any dtype that OpenCV supports.
    """
    height, width = flow.shape[:2]
    positions = pixel_grid(width, height) + flow
    warped: NDArray[Any] = cv2.remap(  # type: ignore[call-overload]
        image, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return warped


def inside_image(flow: Flow) -> Mask:
    """True where the displaced position is inside the image, within ``BORDER_TOLERANCE_PX``."""
    height, width = flow.shape[:2]
    x, y = cv2.split(pixel_grid(width, height) + flow)
    low = -BORDER_TOLERANCE_PX
    inside: Mask = (x > low) & (x < width + low) & (y > low) & (y < height + low)
    return inside


def squared_magnitude(flow: Flow) -> Map:
    """Squared length of each displacement, px^2."""
    return cv2.transform(cv2.multiply(flow, flow), np.ones((1, 2), np.float32))  # type: ignore[return-value]


def select(mask: Mask, flow: Flow, other: Flow) -> Flow:
    """``flow`` where the mask is True, ``other`` elsewhere, like ``np.where``."""
    return cv2.copyTo(np.ascontiguousarray(flow), mask.view(np.uint8), other.copy())  # type: ignore[return-value]


def median_filter(flow: Flow, side_px: int) -> Flow:
    """Median of each component over a square window: outliers go, motion boundaries stay."""
    return cv2.merge([cv2.medianBlur(component, side_px) for component in cv2.split(flow)])  # type: ignore[return-value]


def warp_error(frame: Pixels, earlier: Pixels, flow: Flow | None = None) -> Map:
    """Absolute difference of a frame and the warped earlier frame, averaged over channels.

    Args:
        frame, earlier: (H, W, 3) uint8.
        flow: from ``frame`` to ``earlier``; None: zero.

    Returns:
        (H, W) float32, in code values of 0 to 255.
    """
    difference = cv2.absdiff(frame, earlier if flow is None else remap(earlier, flow))
    return cv2.transform(difference.astype(np.float32), CHANNEL_MEAN)  # type: ignore[return-value]


def texture_error(frame: Pixels, earlier: Pixels, flow: Flow) -> Map:
    """How much the texture of a frame differs from that of the warped earlier frame.

    As ``warp_error``, but averaged over a window, without the mean difference of the window:
    changes of light do not count.
    """
    difference = cv2.subtract(frame, remap(earlier, flow), dtype=cv2.CV_32F)
    gray = cv2.transform(difference, CHANNEL_MEAN)
    return box_filter(cv2.absdiff(gray, box_filter(gray, PATCH_SIDE_PX)), PATCH_SIDE_PX)  # type: ignore[arg-type]


def box_filter(values: Map, side_px: int) -> Map:
    """Mean over a square window around each pixel, (H, W) or (H, W, C)."""
    return cv2.blur(values, (side_px, side_px))  # type: ignore[return-value]


def explains_equally(simple: Map, error: Map, side_px: int, margin_levels: float | Map) -> Mask:
    """True where the warp error of a simpler flow is not clearly larger than that of another."""
    limit = EQUAL_ERROR_RATIO * box_filter(error, side_px) + margin_levels
    equal: Mask = box_filter(simple, side_px) < limit
    return equal


def local_contrast(frame: Pixels) -> Map:
    """Mean absolute deviation from the local mean, averaged over channels, (H, W) code values."""
    window = (CONTRAST_WINDOW_PX, CONTRAST_WINDOW_PX)
    deviation = cv2.absdiff(frame, cv2.blur(frame, window)).astype(np.float32)
    return box_filter(cv2.transform(deviation, CHANNEL_MEAN), CONTRAST_WINDOW_PX)  # type: ignore[arg-type]


def forward_backward_check(flow: Flow, reverse: Flow) -> Mask:
    """Forward-backward consistency check (Sundaram et al. 2010).

    Args:
        flow: w, from this frame to the earlier one.
        reverse: from the earlier frame to this one; v is its value at the displaced position.

    Returns:
        (H, W); False where ``|w + v|^2 >= 0.01 (|w|^2 + |v|^2) + 0.5``, and where the displaced
        position is outside the image.
    """
    back = remap(reverse, flow)
    limit = 0.01 * (squared_magnitude(flow) + squared_magnitude(back)) + 0.5
    return (squared_magnitude(flow + back) < limit) & inside_image(flow)


def flow_input(image: Image, max_side_px: int = MAX_FLOW_SIDE_PX) -> Pixels:
    """The copy of a frame from which flow is computed.

    Args:
        image: (H, W, 3 or 4) uint8 or uint16.
        max_side_px: limit of the long side.

    Returns:
        (H, W, 3) uint8, sides of ``MIN_FLOW_SIDE_PX`` to ``max_side_px``.
    """
    height, width = image.shape[:2]
    across, down = fit((width, height), min(max_side_px, max(width, height)))
    return area_resize(image, (max(across, MIN_FLOW_SIDE_PX), max(down, MIN_FLOW_SIDE_PX)))


def area_resize(image: Image, size: tuple[int, int]) -> Pixels:
    """Resize by area averaging (``cv2.INTER_AREA``).

    Args:
        image: (H, W, 3 or 4) uint8 or uint16; alpha is ignored.
        size: (width, height) in px.

    Returns:
        (H, W, 3) uint8.
    """
    pixels: Pixels = rgb_8_bits(image)
    height, width = pixels.shape[:2]
    # Steps of two are several times as fast as one step.
    while width >= 2 * size[0] and height >= 2 * size[1] and not (width % 2 or height % 2):
        height, width = height // 2, width // 2
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
