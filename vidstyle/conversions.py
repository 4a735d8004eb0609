"""Images of NumPy, PyTorch and Pillow to frames, and frames back to images of the same kind.

========== ============================ ========================== ==================
library    shape                        type                       values
========== ============================ ========================== ==================
NumPy      (H, W, 3) or (H, W, 4)       uint8, uint16              all
NumPy      (H, W, 3) or (H, W, 4)       float16, float32, float64  0 to 1
PyTorch    (C, H, W) or (1, C, H, W)    uint8                      all
PyTorch    (C, H, W) or (1, C, H, W)    any floating-point type    0 to 1
Pillow     RGB, RGBA; others become so
vidstyle   ``Frame``
========== ============================ ========================== ==================

C is 3 or 4, the colours are RGB or RGBA in sRGB. Floating-point images are rounded to 16 bits.
"""

import sys
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .io.frame import Frame

if TYPE_CHECKING:
    import torch

Restore = Callable[[Frame], Any]
"""Turns a frame into an image of one kind."""

KINDS = "a NumPy array, a PyTorch tensor, a PIL image or a vidstyle.Frame"

LEVELS_16_BIT = 65535


def to_frame(
    image: Any, name: str = "image", time: Fraction = Fraction(0)
) -> tuple[Frame, Restore]:
    """A frame with the pixels of an image, and a function that makes an image of that kind of a
    frame.

    Args:
        image: see the table above.
        name: of the argument, for error messages.
        time: of the frame, in seconds.

    Raises:
        TypeError: another kind of object, or another type of values.
        ValueError: another shape, or floating-point values outside of 0 to 1.
    """
    if isinstance(image, Frame):
        return image, lambda frame: frame
    if isinstance(image, np.ndarray):
        return _from_array(image, name, time)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        return _from_tensor(image, name, time)
    if is_pillow(image):
        return _from_pillow(image, time)
    raise TypeError(f"{name} must be {KINDS}, not {type(image).__name__}")


def to_mask(mask: Any, name: str = "mask") -> NDArray[np.uint8]:
    """A mask as (H, W) uint8 levels.

    Args:
        mask: (H, W), (H, W, 1) or (1, H, W) NumPy array or PyTorch tensor, bool, uint8 or floats
            from 0 to 1; or a PIL image, of which the luma counts, of floats from 0 to 1 too.
        name: of the argument, for error messages.

    Raises:
        TypeError: another kind of object, or another type of values.
        ValueError: another shape, or floating-point values outside of 0 to 1.
    """
    torch = sys.modules.get("torch")
    if is_pillow(mask):
        # Pillow would cut floats and integers of 32 bits to 0 to 255.
        mask = np.array(mask if mask.mode in ("F", "I") else _of_8_bits(mask).convert("L"))
    if torch is not None and isinstance(mask, torch.Tensor):
        mask = mask.detach().cpu()
        mask = (mask.float() if mask.is_floating_point() else mask).numpy()
    if not isinstance(mask, np.ndarray):
        raise TypeError(
            f"{name} must be an array, a PyTorch tensor or a PIL image, not {type(mask).__name__}"
        )
    plane = mask.squeeze() if mask.ndim > 2 else mask
    if plane.ndim != 2 or 0 in plane.shape:
        raise ValueError(f"{name} has the shape {mask.shape}: it must be (H, W)")
    if plane.dtype == np.uint8:
        return np.ascontiguousarray(plane)
    if plane.dtype == np.bool_:
        return plane.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(plane.dtype, np.floating):
        raise TypeError(
            f"{name} has the dtype {plane.dtype}: use bool, uint8, or floats from 0 to 1"
        )
    return np.asarray(_quantized(plane, name) >> 8, np.uint8)


def is_image(value: object) -> bool:
    """Whether a value is of one of the libraries' kinds, of whatever shape."""
    torch = sys.modules.get("torch")
    tensor = torch is not None and isinstance(value, torch.Tensor)
    return isinstance(value, (Frame, np.ndarray)) or tensor or is_pillow(value)


def is_pillow(value: object) -> bool:
    """Whether a value is an image of Pillow, which is not imported for the question."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def _from_array(image: NDArray[Any], name: str, time: Fraction) -> tuple[Frame, Restore]:
    _check_array_shape(image.shape, name)
    if image.dtype in (np.uint8, np.uint16):
        return Frame(np.ascontiguousarray(image), time), lambda frame: frame.image
    if not np.issubdtype(image.dtype, np.floating):
        raise TypeError(
            f"{name} has the dtype {image.dtype}: use uint8, uint16, or floats from 0 to 1"
        )
    dtype = image.dtype
    return Frame(_quantized(image, name), time), lambda frame: _unit_range(frame).astype(dtype)


def _check_array_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) == 3 and shape[2] in (3, 4):
        return
    remedy = "it must be (H, W, 3) or (H, W, 4)"
    if len(shape) == 3 and shape[0] in (3, 4):
        remedy = f"channels come last in NumPy: use {name}.transpose(1, 2, 0)"
    elif len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        remedy = f"a greyscale image needs three channels: use numpy.dstack([{name}] * 3)"
    elif len(shape) == 4:
        remedy = "give one image at a time, or all of them to vidstyle.stylize_video"
    raise ValueError(f"{name} has the shape {shape}: {remedy}")


def _from_tensor(image: "torch.Tensor", name: str, time: Fraction) -> tuple[Frame, Restore]:
    import torch

    shape = tuple(image.shape)
    single = image[0] if image.ndim == 4 and shape[0] == 1 else image
    if single.ndim != 3 or single.shape[0] not in (3, 4):
        remedy = "it must be (C, H, W) or (1, C, H, W) with 3 or 4 channels"
        if image.ndim == 3 and shape[2] in (3, 4):
            remedy = f"channels come first in PyTorch: use {name}.permute(2, 0, 1)"
        elif image.ndim == 4:
            remedy = "give one image at a time, or all of them to vidstyle.stylize_video"
        raise ValueError(f"{name} has the shape {shape}: {remedy}")
    array = single.detach().permute(1, 2, 0).cpu()
    dtype, device, batched = image.dtype, image.device, image.ndim == 4
    if dtype == torch.uint8:
        frame = Frame(np.ascontiguousarray(array.numpy()), time)
    elif dtype.is_floating_point:
        frame = Frame(_quantized(array.to(torch.float64).numpy(), name), time)
    else:
        raise TypeError(f"{name} has the dtype {dtype}: use torch.uint8, or floats from 0 to 1")

    def restore(frame: Frame) -> torch.Tensor:
        values = frame.image if dtype == torch.uint8 else _unit_range(frame)
        tensor = torch.from_numpy(values).permute(2, 0, 1).contiguous().to(device, dtype)
        return tensor[None] if batched else tensor

    return frame, restore


def _from_pillow(image: Any, time: Fraction) -> tuple[Frame, Restore]:
    from PIL import Image

    mode = "RGBA" if image.has_transparency_data else "RGB"
    pixels = np.array(_of_8_bits(image).convert(mode))
    return Frame(pixels, time), lambda frame: Image.fromarray(frame.image)


def _of_8_bits(image: Any) -> Any:
    """A PIL image, with the high bytes of one of 16 bits: Pillow would convert those above 255 to
    white."""
    from PIL import Image

    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _quantized(values: NDArray[Any], name: str) -> NDArray[np.uint16]:
    """Floats from 0 to 1 as 16-bit levels."""
    lowest, highest = float(values.min(initial=0)), float(values.max(initial=0))
    if not (lowest >= 0 and highest <= 1):  # NaN fails too
        remedy = "divide it by 255" if 1 < highest <= 255 and lowest >= 0 else "clip or scale it"
        raise ValueError(
            f"{name} has floating-point values from {lowest:g} to {highest:g}, and they must lie "
            f"within 0 to 1: {remedy}"
        )
    levels = np.round(values.astype(np.float64) * LEVELS_16_BIT).astype(np.uint16)
    return np.ascontiguousarray(levels)


def _unit_range(frame: Frame) -> NDArray[np.float64]:
    """The levels of a frame as floats from 0 to 1."""
    return frame.image / np.iinfo(frame.image.dtype).max
