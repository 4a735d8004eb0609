"""Spout output: the frames as a texture for other programs on this machine. Windows only.

The only module that imports SpoutGL. Written from the documentation of SpoutGL and of the Spout
SDK, and not tried on Windows yet.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from .output_device import DeviceConnection, SharedOutput

GL_RGBA = 0x1908
"""Format of the image, a constant of OpenGL."""


def load_spout() -> Any:
    """Return the module SpoutGL.

    Raises:
        DeviceError: this is not Windows, or the package is missing.
    """
    if sys.platform != "win32":
        raise DeviceError("Spout exists on Windows only: use --syphon on macOS, --ndi elsewhere")
    try:
        import SpoutGL
    except ImportError:
        message = "Spout needs SpoutGL"
        raise DeviceError(f"{message}: pip install 'vidstyle[spout]'") from None
    return SpoutGL


class SpoutOutput(SharedOutput):
    """Sends each new frame to the receivers of a Spout sender.

    Args:
        name, rate: see ``SharedOutput``.

    Raises:
        DeviceError: this is not Windows, or the package is missing.
    """

    kind = "Spout output"

    def __init__(self, name: str, rate: float) -> None:
        super().__init__(name, rate)
        self._library = load_spout()

    def _connect(self, size: tuple[int, int]) -> DeviceConnection:
        return SpoutConnection(self._library, self._name, size)


class SpoutConnection:
    """A Spout sender, which belongs to the thread that makes it.

    Args:
        library: the module SpoutGL.
        name: of the sender.
        size: (width, height) in px.
    """

    def __init__(self, library: Any, name: str, size: tuple[int, int]) -> None:
        self.device, self._size = name, size
        self._sender = library.SpoutSender()
        self._sender.setSenderName(name)

    def send(self, pixels: NDArray[np.uint8]) -> None:
        """Send an image: (H * W * 4) bytes of RGBA, the top row first.

        Raises:
            DeviceError: Spout does not take it.
        """
        # Not inverted, as by default: the SDK expects the top row of an image first.
        if not self._sender.sendImage(pixels, *self._size, GL_RGBA, False, 0):
            raise DeviceError("Spout takes no image: update the driver of the graphics card")
        self._sender.setFrameSync(self.device)

    def close(self) -> None:
        """Remove the sender."""
        self._sender.releaseSender()
