"""Conversion between decoded YUV frames and RGB, in both directions."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .frame import Image
from .stream_info import BT601, BT709, FULL, HD_HEIGHT_PX, LIMITED, RGB, UNSPECIFIED, ColorInfo

SWSCALE_FLAGS = 4 | 262144 | 8192 | 16384
"""Bicubic, accurate rounding, full chroma interpolation of input and output."""

PACKED_FORMATS = {
    (np.uint8, 3): "rgb24",
    (np.uint8, 4): "rgba",
    (np.uint16, 3): "rgb48le",
    (np.uint16, 4): "rgba64le",
}
"""(dtype, channels) of a frame's image -> FFmpeg's pixel format."""


NO_TAGS = ColorInfo(UNSPECIFIED, 0, UNSPECIFIED, UNSPECIFIED)


def tags_of(context: Any) -> ColorInfo:
    """The colour tags of a decoder as they are: before its first frame, those of the container."""
    return ColorInfo(
        context.colorspace, context.color_range, context.color_primaries, context.color_trc
    )


def color_of(context: Any, container: ColorInfo = NO_TAGS) -> ColorInfo:
    """The colour tags of a decoder, else those of the container, with defaults where neither has
    any."""
    tags = tags_of(context)
    matrix = _known(tags.matrix, container.matrix)
    rgb = context.format is not None and context.format.is_rgb  # its range is not YUV's
    return ColorInfo(
        _known(matrix, default_matrix(context.height)),
        FULL if (tags.range or container.range) == FULL and not rgb else LIMITED,
        _known(tags.primaries, container.primaries),
        _known(tags.transfer, container.transfer),
    )


def _known(tag: int, otherwise: int) -> int:
    """A matrix, primaries or transfer, unless it is unspecified or 0: RGB, or reserved."""
    return otherwise if tag in (RGB, UNSPECIFIED) else tag


def default_matrix(lines: int) -> int:
    """The matrix of untagged clips, by the number of lines."""
    return BT709 if lines >= HD_HEIGHT_PX else BT601


def depth_of(frame: Any) -> int:
    """Bits per component."""
    return max((component.bits for component in frame.format.components), default=8)


def has_alpha(frame: Any) -> bool:
    """Whether a decoded frame has alpha."""
    return any(component.is_alpha for component in frame.format.components)


def to_rgb(
    frame: Any, size: tuple[int, int], color: ColorInfo, reformatter: VideoReformatter
) -> Image:
    """Convert a decoded frame to (H, W, 3), or 4 with alpha, uint8, or uint16 for more than 8 bits.

    A frame of another size than ``size`` is resampled.
    """
    if not frame.format.is_rgb:
        frame.colorspace = color.matrix  # swscale reads it from the frame
    depth = np.uint16 if depth_of(frame) > 8 else np.uint8
    rgb = reformatter.reformat(
        frame,
        width=size[0],
        height=size[1],
        format=PACKED_FORMATS[depth, 4 if has_alpha(frame) else 3],
        src_color_range=FULL if frame.format.is_rgb else color.range,
        dst_color_range=FULL,
        interpolation=SWSCALE_FLAGS,
    )
    return np.ascontiguousarray(rgb.to_ndarray(), depth)  # type: ignore[return-value]


def from_rgb(
    image: Image, format: str, color: ColorInfo, reformatter: VideoReformatter
) -> av.VideoFrame:
    """Convert an image to a frame for an encoder; alpha is dropped if its format has none."""
    target = av.VideoFormat(format)
    if image.shape[2] == 4 and not any(component.is_alpha for component in target.components):
        image = image[..., :3]
    packed: Any = np.ascontiguousarray(image)
    if 1 in packed.shape[:2]:  # PyAV reads strides that NumPy leaves undefined
        packed = packed.copy()
    kind = np.uint16 if image.dtype == np.uint16 else np.uint8
    # The frame shares the memory; reformatting copies it.
    frame = av.VideoFrame.from_numpy_buffer(packed, format=PACKED_FORMATS[kind, image.shape[2]])
    return reformatter.reformat(
        frame,
        format=format,
        src_color_range=FULL,
        dst_colorspace=None if target.is_rgb else color.matrix,
        dst_color_range=FULL if target.is_rgb else color.range,
        interpolation=SWSCALE_FLAGS,
    )


def from_i420(planes: NDArray[np.uint8], size: tuple[int, int]) -> av.VideoFrame:
    """(H * W * 3 / 2) bytes of Y, U and V planes as a frame for an encoder."""
    return av.VideoFrame.from_ndarray(planes.reshape(size[1] * 3 // 2, size[0]), format="yuv420p")
