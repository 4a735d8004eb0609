"""Channel layouts of sound, which PyAV 18 cannot always be asked for without harm."""

import ctypes
from typing import Any

import av

USUAL_LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "2.1",
    4: "quad",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
}
"""Channel layouts by their number of channels, where a file does not say which channels it has."""


def layout_of(owner: Any) -> Any:
    """The channel layout of a codec context or a frame of sound.

    A layout with an order of its own ("8 channels (FL+FR+...)", as some cameras' MOV files have) holds memory that belongs to
    its owner, and PyAV frees it a second time when the layout goes, which ends the process. Such a layout is never let go.
    """
    layout = owner.layout
    if has_own_order(layout):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return layout


def frames_of(packet: Any) -> list[Any]:
    """Decode a packet of sound.

    Raises:
        av.error.FFmpegError: it is damaged.
    """
    frames: list[Any] = packet.decode()
    for frame in frames:
        layout_of(frame)  # before the frame may go, and its layout with it
    return frames


def has_own_order(layout: Any) -> bool:
    """Whether channels come in another order than FFmpeg's."""
    return "(" in layout.name


def usual_layout(layout: Any) -> str:
    """The name of a layout; of the usual one where it says how many channels there are, and not which."""
    unnamed = layout.name.endswith("channels") or has_own_order(layout)
    return USUAL_LAYOUTS.get(layout.nb_channels, layout.name) if unnamed else str(layout.name)


def name_channels(copy: Any) -> None:
    """Name the channels of a stream that is copied: PCM in AVI and Matroska says how many it has, MP4 has to be told which."""
    context = copy.codec_context
    layout = layout_of(context)
    if not has_own_order(layout) and usual_layout(layout) != layout.name:
        context.layout = usual_layout(layout)


def set_common_order(context: Any) -> str:
    """Have a decoder, before its first packet, say FFmpeg's own order of channels, which is safe to ask for.

    Returns:
        The arguments of FFmpeg's filter channelmap that put the decoder's channels in that order; empty where they are.
    """
    layout = layout_of(context)
    if not has_own_order(layout):
        return ""
    given = [channel.name for channel in layout.channels]
    for name in (*USUAL_LAYOUTS.values(), "5.1(side)"):
        wanted = [channel.name for channel in av.AudioLayout(name).channels]
        if sorted(given) == sorted(wanted):
            context.layout = name
            return f"map={'|'.join(str(given.index(channel)) for channel in wanted)}:channel_layout={name}"
    context.layout = f"{layout.nb_channels} channels"
    return ""
