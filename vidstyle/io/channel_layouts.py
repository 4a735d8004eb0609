"""Audio channel layouts, with workarounds for PyAV 18."""

import ctypes
from typing import Any

import av

DEFAULT_LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "2.1",
    4: "quad",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
}
"""Number of channels -> layout, where a file does not say which channels it has."""


def channel_layout(owner: Any) -> Any:
    """The channel layout of an audio codec context or frame.

    A layout with a custom order ("8 channels (FL+FR+...)", as in MOV files of some cameras) shares
    its memory with its owner, and PyAV frees it twice, which kills the process. A reference to such
    a layout is kept for ever.
    """
    layout = owner.layout
    if has_custom_order(layout):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return layout


def decode_audio(packet: Any) -> list[Any]:
    """Decode an audio packet.

    Raises:
        av.error.FFmpegError: the packet is damaged.
    """
    frames: list[Any] = packet.decode()
    for frame in frames:
        channel_layout(frame)  # before the frame and its layout are freed
    return frames


def has_custom_order(layout: Any) -> bool:
    """Whether the channels have another order than FFmpeg's native one."""
    return "(" in layout.name


def default_layout(layout: Any) -> str:
    """The name of a layout; the default one where the layout only gives a number of channels."""
    unnamed = layout.name.endswith("channels") or has_custom_order(layout)
    return DEFAULT_LAYOUTS.get(layout.nb_channels, layout.name) if unnamed else str(layout.name)


def set_default_layout(copy: Any) -> None:
    """Name the channels of a copied stream: PCM in AVI and Matroska gives their number only, MP4
    needs names."""
    context = copy.codec_context
    layout = channel_layout(context)
    if not has_custom_order(layout) and default_layout(layout) != layout.name:
        context.layout = default_layout(layout)


def use_native_order(context: Any) -> str:
    """Make a decoder use FFmpeg's native channel order, which PyAV reads safely. Call it before
    decoding.

    Returns:
        Arguments of FFmpeg's filter channelmap that restore the order; empty where none is needed.
    """
    layout = channel_layout(context)
    if not has_custom_order(layout):
        return ""
    given = [channel.name for channel in layout.channels]
    for name in (*DEFAULT_LAYOUTS.values(), "5.1(side)"):
        wanted = [channel.name for channel in av.AudioLayout(name).channels]
        if sorted(given) == sorted(wanted):
            context.layout = name
            order = "|".join(str(given.index(channel)) for channel in wanted)
            return f"map={order}:channel_layout={name}"
    context.layout = f"{layout.nb_channels} channels"
    return ""
