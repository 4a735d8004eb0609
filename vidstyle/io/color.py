"""Between decoded pictures and RGB: the only place where YUV is converted, both ways."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .frame import Image
from .stream_info import BT601, BT709, FULL, HD_LINES, LIMITED, RGB, UNSPECIFIED, ColorInfo

ACCURATE = (
    4 | 262144 | 8192 | 16384
)  # swscale: bicubic, accurate rounding, full chroma interpolation in and out

PACKED = {
    (np.uint8, 3): "rgb24",
    (np.uint8, 4): "rgba",
    (np.uint16, 3): "rgb48le",
    (np.uint16, 4): "rgba64le",
}
"""FFmpeg's names of the ways in which a ``Frame`` may hold its picture."""


def color_of(context: Any) -> ColorInfo:
    """What a decoder says of its pictures' colours, and a guess at what it does not say."""
    tagged = context.colorspace not in (RGB, UNSPECIFIED)
    rgb = (
        context.format is not None and context.format.is_rgb
    )  # its range says nothing of the YUV it may become
    return ColorInfo(
        context.colorspace if tagged else guessed_matrix(context.height),
        FULL if context.color_range == FULL and not rgb else LIMITED,
        context.color_primaries,
        context.color_trc,
    )


def guessed_matrix(lines: int) -> int:
    """The matrix of clips that are not tagged with any."""
    return BT709 if lines >= HD_LINES else BT601


def depth_of(frame: Any) -> int:
    """Bits per component."""
    return max((component.bits for component in frame.format.components), default=8)


def has_alpha(frame: Any) -> bool:
    """Whether a decoded picture carries alpha."""
    return any(component.is_alpha for component in frame.format.components)


def to_rgb(
    frame: Any, size: tuple[int, int], color: ColorInfo, reformatter: VideoReformatter
) -> Image:
    """(H, W, 3), or 4 with alpha, uint8, or uint16 where there are more bits; resampled where it is not of ``size``."""
    if not frame.format.is_rgb:
        frame.colorspace = color.matrix  # swscale asks the frame
    depth = np.uint16 if depth_of(frame) > 8 else np.uint8
    rgb = reformatter.reformat(
        frame,
        width=size[0],
        height=size[1],
        format=PACKED[depth, 4 if has_alpha(frame) else 3],
        src_color_range=FULL if frame.format.is_rgb else color.range,
        dst_color_range=FULL,
        interpolation=ACCURATE,
    )
    return np.ascontiguousarray(rgb.to_ndarray(), depth)  # type: ignore[return-value]


def from_rgb(
    image: Image, format: str, color: ColorInfo, reformatter: VideoReformatter
) -> av.VideoFrame:
    """A picture for the encoder, of the pixel format named. Alpha is dropped where that has none."""
    target = av.VideoFormat(format)
    if image.shape[2] == 4 and not any(component.is_alpha for component in target.components):
        image = image[..., :3]
    packed: Any = np.ascontiguousarray(image)
    if (
        1 in packed.shape[:2]
    ):  # strides of a side of one mean nothing to NumPy, but PyAV looks at them
        packed = packed.copy()
    kind = np.uint16 if image.dtype == np.uint16 else np.uint8
    # It shares the memory. No encoder of ours takes these formats, so what it gets is a copy.
    frame = av.VideoFrame.from_numpy_buffer(packed, format=PACKED[kind, image.shape[2]])
    return reformatter.reformat(
        frame,
        format=format,
        src_color_range=FULL,
        dst_colorspace=None if target.is_rgb else color.matrix,
        dst_color_range=FULL if target.is_rgb else color.range,
        interpolation=ACCURATE,
    )


def from_i420(picture: NDArray[np.uint8], size: tuple[int, int]) -> av.VideoFrame:
    """(H * W * 3 / 2) bytes of Y, U and V planes as a picture for an encoder."""
    return av.VideoFrame.from_ndarray(picture.reshape(size[1] * 3 // 2, size[0]), format="yuv420p")
