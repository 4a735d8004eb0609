"""NDI output: the frames as a source in the network, for OBS, vMix, Resolume and others.

The only module that imports cyndilib, whose wheels contain the NDI runtime. The runtime is
proprietary; NDI is a registered trademark of Vizrt NDI AB.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from .output_device import DeviceConnection, SharedOutput

try:
    from cyndilib.sender import Sender
    from cyndilib.video_frame import VideoSendFrame
    from cyndilib.wrapper.ndi_structs import FourCC
except ImportError:
    message = "NDI needs cyndilib"
    raise DeviceError(f"{message}: pip install 'vidstyle[ndi]'") from None


class NdiOutput(SharedOutput):
    """Sends each new frame to the receivers of an NDI source.

    The runtime converts the colours, by the rules of NDI for each size. Receivers show the name
    after that of this machine.
    """

    kind = "NDI output"

    def _connect(self, size: tuple[int, int]) -> DeviceConnection:
        return NdiConnection(self._name, size, self._rate)


class NdiConnection:
    """An NDI source.

    Args:
        name: of the source.
        size: (width, height) in px.
        rate: frames per second that receivers are told.

    Raises:
        DeviceError: the runtime does not start.
    """

    def __init__(self, name: str, size: tuple[int, int], rate: float) -> None:
        self.device = name
        frame = VideoSendFrame()
        frame.set_resolution(*size)
        frame.set_fourcc(FourCC.RGBX)
        frame.set_frame_rate(Fraction(rate).limit_denominator(1001))
        self._sender = Sender(name, clock_video=False)  # frames are sent when they come
        self._sender.set_video_frame(frame)
        try:
            self._sender.open()
        except MemoryError:  # cyndilib's error for every failure of the runtime
            remedy = "close programs that use NDI, or go without --ndi"
            raise DeviceError(f"the NDI runtime does not start: {remedy}") from None

    def send(self, pixels: NDArray[np.uint8]) -> None:
        """Send an image: (H * W * 4) bytes of RGBA, whose alpha is ignored."""
        self._sender.write_video(pixels)

    def close(self) -> None:
        """Remove the source."""
        self._sender.close()
