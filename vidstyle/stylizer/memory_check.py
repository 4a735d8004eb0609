"""Whether a painting has room in memory, asked before the system would kill the process for it."""

import math

import torch

from ..errors import DeviceError
from ..features.extractor import MIN_SIDE_PX
from ..runtime.device import free_memory

BYTES_PER_PIXEL = 2500
"""Peak memory per painted pixel, bundled features: 1.2 to 1.9 kB measured on a CPU from 640 to 1280 px, less on a GPU."""

OUTPUT_BYTES_PER_PIXEL = 200
"""The same per pixel of the output: 57 to 59 bytes measured up to 8192 px, and what x264 takes: 97 with three threads, 174 with
twelve."""


Sizes = tuple[tuple[int, int], tuple[int, int]]
"""(width, height) in px of the optimised picture, and of the output."""


def check_memory(device: torch.device, sizes: Sizes, before: Sizes | None = None) -> str:
    """Refuse sizes that do not fit into the free memory of the device.

    Args:
        sizes: of the frames to come.
        before: of the frames until now, whose memory is free again for those to come.

    Returns:
        The remedy, should memory run out all the same.

    Raises:
        DeviceError: it needs more than is free; says which size would fit.
    """
    paint, output = sizes
    painting, enlarged = _needed(sizes)
    free, needed = free_memory(device), painting + enlarged
    if free is not None and before is not None:
        free += sum(_needed(before))
    what, flag, side = f"painting {paint[0]}x{paint[1]} px", "working_size", max(paint)
    if enlarged > painting:
        what, flag, side = f"a picture of {output[0]}x{output[1]} px", "size", max(output)
    remedy = f"{what} does not fit on {device}; use a smaller {flag}"
    if free is not None and needed > free:
        # Both shrink with the picture, the painting with its own side alone: what fits is found on the larger of the two.
        room = free - min(painting, enlarged)
        fits = int(side * math.sqrt(max(0, room) / max(painting, enlarged))) // 8 * 8
        would = f": {flag}={fits} would fit" if fits >= MIN_SIDE_PX else ", and a smaller size"
        raise DeviceError(
            f"out of memory: {remedy}{would} (it needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free)",
            "working_size",
            "size",
        )
    return remedy


def _needed(sizes: Sizes) -> tuple[int, int]:
    """Bytes for optimising, and for the output."""
    (width, height), (output_width, output_height) = sizes
    return width * height * BYTES_PER_PIXEL, output_width * output_height * OUTPUT_BYTES_PER_PIXEL
