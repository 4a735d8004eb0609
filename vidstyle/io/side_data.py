"""Side data of decoded frames: rotation, HDR10 metadata, immersive video."""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from av.sidedata.sidedata import Type

from .stream_info import HDRMetadata

NAMED_PROFILE_CODECS = ("png", "apng")
"""Decoders that name colour profiles; PyAV 18 frees the name twice, which kills the process."""

IMMERSIVE_TYPES = {Type.SPHERICAL: "360-degree (spherical)", Type.STEREO3D: "3D (stereoscopic)"}
"""Side data of immersive video -> its common name. PyAV reads it but cannot write it."""

STEREO3D_2D = 0
"""FFmpeg's AV_STEREO3D_2D, the first field of side data of video that is not stereoscopic."""


def side_data_of(frame: Any, codec: str) -> Mapping[Any, Any]:
    """The side data of a decoded frame; empty where reading it would kill the process.

    Args:
        frame: decoded by PyAV.
        codec: FFmpeg's name of the decoder.
    """
    return {} if codec in NAMED_PROFILE_CODECS else frame.side_data


def unsupported_views(side_data: Mapping[Any, Any]) -> Iterator[str]:
    """Names of the immersive formats that no output can keep."""
    for kind, words in IMMERSIVE_TYPES.items():
        data = side_data.get(kind)
        if data is not None and not (
            kind == Type.STEREO3D and struct.unpack_from("<i", bytes(data))[0] == STEREO3D_2D
        ):
            yield words


def display_rotation(frame: Any, side_data: Mapping[Any, Any]) -> tuple[int, bool]:
    """(degrees counter-clockwise, whether mirrored before) of a frame's display matrix."""
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return frame.rotation, False
    a, b, _, c, d = struct.unpack_from("<5i", bytes(matrix))
    if a * d - b * c >= 0:
        return frame.rotation, False
    return round(-math.degrees(math.atan2(-b, -a))), True  # the rotation after mirroring


def hdr_metadata_of(side_data: Mapping[Any, Any]) -> HDRMetadata:
    """HDR10 metadata of a frame (AVMasteringDisplayMetadata, AVContentLightMetadata)."""
    light = HDRMetadata()
    display = side_data.get(Type.MASTERING_DISPLAY_METADATA)
    if display is not None:
        numbers = struct.unpack_from("<22i", bytes(display))
        ratios = [
            top / (bottom or 1) for top, bottom in zip(numbers[:20:2], numbers[1:20:2], strict=True)
        ]
        red, green, blue, white = (
            tuple(round(value * 50000) for value in ratios[i : i + 2]) for i in (0, 2, 4, 6)
        )
        least, most = ratios[8:]
        luminance = f"L({round(most * 10000)},{round(least * 10000)})"
        points = f"G{green}B{blue}R{red}WP{white}{luminance}".replace(" ", "")
        known, bright = numbers[20], numbers[21]
        light = replace(
            light,
            mastering=points if known and bright else "",
            peak_nits=min(max(most, 100), 10000) if bright else 1000,
        )
    content = side_data.get(Type.CONTENT_LIGHT_LEVEL)
    if content is not None:
        light = replace(light, content="{},{}".format(*struct.unpack_from("<2I", bytes(content))))
    return light
