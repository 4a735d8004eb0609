"""A frame of video."""

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3 or 4) RGB(A) in host memory."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a clip.

    Args:
        image: (H, W, 3 or 4) uint8 or uint16, RGB or RGBA, C-contiguous.
        time: timestamp in seconds, exact.
        duration: in seconds, exact; 0 where unknown.
        mask: (H, W) uint8, 255 where the frame is stylised, 0 where it stays as it is; None:
            everywhere.
        regions: (R, H, W) uint8, masks of the regions that have styles of their own, in the order
            of ``Stylizer.regions``; None: there are none.
        painted: (H, W, 4) uint8 RGBA, a painting that the stylised frame is held to, as closely as
            its alpha says, 0 where there is none; None: there is none.
        emphasis: (H, W) uint8, 255 where the content counts more, as on eyes; None: nowhere.
        source_time: seconds from the start of the file, where ``time`` counts from the start of a
            part of it; None: the same as ``time``.

    Raises:
        TypeError: the image is not a NumPy array of these dtypes.
        ValueError: the image has another shape.
    """

    image: Image
    time: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    mask: NDArray[np.uint8] | None = None
    source_time: Fraction | None = None
    regions: NDArray[np.uint8] | None = None
    painted: NDArray[np.uint8] | None = None
    emphasis: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.image, np.ndarray) or self.image.dtype not in (np.uint8, np.uint16):
            raise TypeError(
                "a frame's image must be a uint8 or uint16 array, "
                f"not {getattr(self.image, 'dtype', type(self.image))}"
            )
        if self.image.ndim != 3 or self.image.shape[2] not in (3, 4) or 0 in self.image.shape:
            raise ValueError(
                f"a frame's image must have the shape (H, W, 3 or 4), not {self.image.shape}"
            )
        for name, mask in (("mask", self.mask), ("emphasis", self.emphasis)):
            if mask is not None and (mask.dtype != np.uint8 or mask.shape != self.image.shape[:2]):
                raise ValueError(
                    f"a frame's {name} must be a uint8 array of the shape "
                    f"{self.image.shape[:2]}, not {mask.dtype} {mask.shape}"
                )
        if self.regions is not None and (
            self.regions.dtype != np.uint8 or self.regions.shape[1:] != self.image.shape[:2]
        ):
            raise ValueError(
                f"a frame's regions must be a uint8 array of the shape (R, H, W) with (H, W) = "
                f"{self.image.shape[:2]}, not {self.regions.dtype} {self.regions.shape}"
            )
        if self.painted is not None and (
            self.painted.dtype != np.uint8 or self.painted.shape != (*self.image.shape[:2], 4)
        ):
            raise ValueError(
                f"a frame's painting must be a uint8 array of the shape "
                f"{(*self.image.shape[:2], 4)}, not {self.painted.dtype} {self.painted.shape}"
            )

    def __repr__(self) -> str:
        """Size, type and time, without the pixels."""
        width, height = self.size
        kind = (
            f"{width}x{height} {self.image.dtype} {'RGBA' if self.image.shape[2] == 4 else 'RGB'}"
        )
        return f"Frame({kind}, time={self.time} s, duration={self.duration} s)"

    @property
    def clip_time(self) -> Fraction:
        """Seconds from the start of the file."""
        return self.time if self.source_time is None else self.source_time

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        height, width = self.image.shape[:2]
        return width, height


def to_8_bits(image: Image) -> NDArray[np.uint8]:
    """An image as uint8: the lower 8 of 16 bits are dropped."""
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)  # type: ignore[return-value]


def rgb_8_bits(image: Image) -> NDArray[np.uint8]:
    """An image as (H, W, 3) uint8, C-contiguous, without alpha."""
    return np.ascontiguousarray(to_8_bits(image)[..., :3])


def fit(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(width, height) scaled to a longer side of ``long_side``, at least 2 px per side."""
    scale = long_side / max(size)
    return max(2, round(size[0] * scale)), max(2, round(size[1] * scale))


def square_pixels(image: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """An image of pixels of ``aspect``, their width over their height, with square pixels."""
    height, width = image.shape[:2]
    shown = max(1, round(width * aspect))
    if shown == width or not 0.1 < aspect < 10:
        return image
    return cv2.resize(image, (shown, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
