"""A frame of video, and the only place where pictures turn into tensors and back."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Image = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3 or 4) RGB(A) in host memory."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a clip.

    Args:
        image: (H, W, 3 or 4) uint8 or uint16, RGB or RGBA, C-contiguous.
        time: when it is shown, exact seconds on the clip's own clock.
        duration: for how long, exact seconds; 0 where the source does not say.

    Raises:
        TypeError: not an array of these dtypes.
        ValueError: not of this shape.
    """

    image: Image
    time: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if not isinstance(self.image, np.ndarray) or self.image.dtype not in (np.uint8, np.uint16):
            raise TypeError(
                f"a frame's image must be a uint8 or uint16 array, not {getattr(self.image, 'dtype', type(self.image))}"
            )
        if self.image.ndim != 3 or self.image.shape[2] not in (3, 4) or 0 in self.image.shape:
            raise ValueError(f"a frame's image must have the shape (H, W, 3 or 4), not {self.image.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        height, width = self.image.shape[:2]
        return width, height


def to_tensor(image: Image, device: torch.device | None = None) -> Tensor:
    """(H, W, 3 or 4) uint8 or uint16 -> (1, 3, H, W) float32 in [0, 1]. Alpha is dropped."""
    return _channels(image[..., :3], device)


def alpha_of(image: Image, device: torch.device | None = None) -> Tensor | None:
    """(1, 1, H, W) float32 in [0, 1]; None where there is no alpha."""
    return _channels(image[..., 3:], device) if image.shape[2] == 4 else None


def _channels(image: Image, device: torch.device | None) -> Tensor:
    peak = np.iinfo(image.dtype).max
    levels = np.ascontiguousarray(image)
    if levels.dtype == np.uint16:
        levels = levels.astype(np.float32)  # torch's uint16 lacks most operations
    return torch.from_numpy(levels).to(device).permute(2, 0, 1)[None].float().contiguous() / peak


def to_8_bits(image: Image) -> NDArray[np.uint8]:
    """The same picture as uint8, for looking at: 16 bits lose their lower half."""
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)  # type: ignore[return-value]


def to_image(picture: Tensor, deep: bool = False) -> Image:
    """(1, C, H, W) float in [0, 1] -> (H, W, C) uint8, or uint16 where ``deep``, rounded to nearest."""
    levels = (picture.detach()[0].clamp(0, 1) * (65535 if deep else 255)).round()
    levels = levels.to(torch.int32 if deep else torch.uint8).permute(1, 2, 0).contiguous().cpu()
    return levels.numpy().astype(np.uint16) if deep else levels.numpy()


def fit(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(width, height) scaled so that the longer side is ``long_side``; no side falls below 2 px."""
    scale = long_side / max(size)
    return max(2, round(size[0] * scale)), max(2, round(size[1] * scale))


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample (1, C, H, W) to (width, height), bicubic, low-passed when shrinking; values stay within [0, 1]."""
    width, height = size
    if tuple(picture.shape[-2:]) == (height, width):
        return picture
    return F.interpolate(picture, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def keep_colours(painting: Tensor, source: Tensor) -> Tensor:
    """The painting's lightness with the source's colours, both (1, 3, H, W) in [0, 1].

    Rec. 709 luma of the painting joined with the source's colour differences (Gatys et al. 2016, "Preserving color
    in neural artistic style transfer", luminance-only transfer).
    """
    weights = painting.new_tensor([0.2126, 0.7152, 0.0722])[None, :, None, None]
    luma, source_luma = (painting * weights).sum(1, keepdim=True), (source * weights).sum(1, keepdim=True)
    return (source + luma - source_luma).clamp(0, 1)
