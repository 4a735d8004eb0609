"""What decoded frames say beside their pixels: how they are turned, how bright they are, how they are to be looked at."""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from av.sidedata.sidedata import Type

from .stream_info import HDRMetadata

NAMED_PROFILE_CODECS = ("png", "apng")
"""Decoders that give a colour profile its name: PyAV 18 frees such a name twice, which ends the process."""

VIEWS = {Type.SPHERICAL: "360-degree (spherical)", Type.STEREO3D: "3D (stereoscopic)"}
"""Side data that tells players of special pictures what to do with them, and what people call it. PyAV can read them, and
cannot write them."""

MONO = 0
"""FFmpeg's AV_STEREO3D_2D, which begins the side data of pictures that are not stereoscopic."""


def side_data_of(frame: Any, codec: str) -> Mapping[Any, Any]:
    """What a decoded frame carries beside its picture; nothing where reading it would end the process.

    Args:
        frame: as PyAV gives it.
        codec: FFmpeg's name of its decoder.
    """
    return {} if codec in NAMED_PROFILE_CODECS else frame.side_data


def lost_views(side_data: Mapping[Any, Any]) -> Iterator[str]:
    """Names of what the side data of a decoded frame says of its view and no output can keep."""
    for kind, words in VIEWS.items():
        data = side_data.get(kind)
        if data is not None and not (
            kind == Type.STEREO3D and struct.unpack_from("<i", bytes(data))[0] == MONO
        ):
            yield words


def turned(frame: Any, side_data: Mapping[Any, Any]) -> tuple[int, bool]:
    """(degrees counter-clockwise, whether mirrored before) of a decoded frame's display matrix."""
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return frame.rotation, False
    a, b, _, c, d = struct.unpack_from("<5i", bytes(matrix))
    if a * d - b * c >= 0:
        return frame.rotation, False
    return round(
        -math.degrees(math.atan2(-b, -a))
    ), True  # what is left when the picture has been mirrored


def light_of(side_data: Mapping[Any, Any]) -> HDRMetadata:
    """HDR10's metadata in the side data of a decoded frame (FFmpeg's AVMasteringDisplayMetadata and AVContentLightMetadata)."""
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
        points = f"G{green}B{blue}R{red}WP{white}L({round(most * 10000)},{round(least * 10000)})".replace(
            " ", ""
        )
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
