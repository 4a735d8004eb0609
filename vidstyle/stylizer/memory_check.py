"""Check that an image fits into memory before the system ends the process for it."""

import math

from ..errors import DeviceMemoryError
from ..features.extractor import MIN_SIDE_PX, Features
from ..features.network import VGG16
from ..runtime.device import free_memory

BYTES_PER_PIXEL = 2500
"""Peak memory per pixel of the working size with the bundled features: 1.2 to 1.9 kB measured on a
CPU from 640 to 1280 px, less on a GPU."""

VGG_BYTES_PER_PIXEL = 5000
"""The same with VGG-16: 3.0 to 3.2 kB measured on a CPU from 640 to 1024 px."""

OUTPUT_BYTES_PER_PIXEL = 200
"""Peak memory per pixel of the output: 57 to 59 bytes measured up to 8192 px, and x264's: 97 with
three threads, 174 with twelve."""

Sizes = tuple[tuple[int, int], tuple[int, int]]
"""(width, height) in px of the image that is optimised, and of the output."""


def required_bytes(features: Features, sizes: Sizes) -> tuple[int, int]:
    """Bytes for the optimisation, and for the output."""
    (width, height), (output_width, output_height) = sizes
    is_vgg = features.network.shape.channels == VGG16.channels
    per_pixel = VGG_BYTES_PER_PIXEL if is_vgg else BYTES_PER_PIXEL
    return width * height * per_pixel, output_width * output_height * OUTPUT_BYTES_PER_PIXEL


def check_memory(features: Features, sizes: Sizes, before: Sizes | None = None) -> str:
    """Refuse sizes that do not fit into the free memory of the features' device.

    Args:
        features: of the stylizer.
        sizes: of the frames to come.
        before: of the frames until now; their memory is free again for those to come.

    Returns:
        The remedy, should memory run out all the same.

    Raises:
        DeviceError: more memory is needed than is free; says which size would fit.
    """
    working, output = sizes
    working_bytes, output_bytes = required_bytes(features, sizes)
    device = features.device
    free, required = free_memory(device), working_bytes + output_bytes
    if free is not None and before is not None:
        free += sum(required_bytes(features, before))
    what, flag, side = f"an image of {working[0]}x{working[1]} px", "working_size", max(working)
    if output_bytes > working_bytes:
        what, flag, side = f"an output of {output[0]}x{output[1]} px", "size", max(output)
    remedy = f"{what} does not fit on {device}; use a smaller {flag}"
    if free is not None and required > free:
        # Both shrink with the output, but a smaller working size leaves the output as it is: the
        # size that fits is computed for the larger of the two.
        available = free - min(working_bytes, output_bytes)
        share = max(0, available) / max(working_bytes, output_bytes)
        fits = int(side * math.sqrt(share)) // 8 * 8
        would = f": {flag}={fits} would fit" if fits >= MIN_SIDE_PX else ", and a smaller size"
        raise DeviceMemoryError(
            f"out of memory: {remedy}{would} "
            f"(it needs about {required / 1e9:.1f} GB, {free / 1e9:.1f} GB are free)",
            "working_size",
            "size",
        )
    return remedy


class MemoryChecker:
    """``check_memory`` once for each size: memory that other programs take later ends no render.

    Args:
        features: of the stylizer.
    """

    def __init__(self, features: Features) -> None:
        self._features = features
        self._remedies: dict[Sizes, str] = {}
        self._before: Sizes | None = None

    def check(self, sizes: Sizes) -> str:
        """As ``check_memory``, for the sizes of the next frame."""
        if sizes not in self._remedies:
            self._remedies[sizes] = check_memory(self._features, sizes, self._before)
        self._before = sizes
        return self._remedies[sizes]
