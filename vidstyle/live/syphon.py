"""Syphon output: the frames as a texture for other programs on this machine. macOS only.

The only module that imports syphon-python. Written from the documentation and the source of
syphon-python, and not tried on macOS yet.
"""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..io.frame import Image
from .output_device import DeviceConnection, SharedOutput


def load_syphon() -> Any:
    """Return what is used of syphon-python.

    Raises:
        DeviceError: this is not macOS, or the package is missing.
    """
    if sys.platform != "darwin":
        raise DeviceError("Syphon exists on macOS only: use --spout on Windows, --ndi elsewhere")
    try:
        import syphon
        from syphon.utils.raw import copy_bytes_to_mtl_texture, create_mtl_texture
    except ImportError:
        message = "Syphon needs syphon-python"
        raise DeviceError(f"{message}: pip install 'vidstyle[syphon]'") from None
    return SimpleNamespace(
        Server=syphon.SyphonMetalServer,
        Directory=syphon.SyphonServerDirectory,
        create_texture=create_mtl_texture,
        copy_bytes=copy_bytes_to_mtl_texture,
    )


class SyphonOutput(SharedOutput):
    """Sends each new frame to the clients of a Syphon server.

    Args:
        name, rate: see ``SharedOutput``.

    Raises:
        DeviceError: this is not macOS, or the package is missing.
    """

    kind = "Syphon output"

    def __init__(self, name: str, rate: float) -> None:
        super().__init__(name, rate)
        self._library = load_syphon()
        # The system tells the run loop of the main thread, which calls ``show``, that a program
        # looks for servers. It need not run for longer than that takes.
        self._directory = self._library.Directory()
        self._directory.run_loop_interval = 0.0

    def show(self, image: Image) -> None:
        """Send (H, W, 3 or 4) RGB from now on, and answer programs that look for servers."""
        super().show(image)
        self._directory.update_run_loop()

    def _connect(self, size: tuple[int, int]) -> DeviceConnection:
        try:
            return SyphonConnection(self._library, self._name, size)
        except AttributeError:  # of None, which the system returns in place of a device
            raise DeviceError("Syphon needs Metal, which this machine lacks: use --ndi") from None


class SyphonConnection:
    """A Syphon server with the texture that it publishes.

    Args:
        library: as ``load_syphon`` returns it.
        name: of the server.
        size: (width, height) in px.
    """

    def __init__(self, library: Any, name: str, size: tuple[int, int]) -> None:
        self.device = name
        self._copy_bytes = library.copy_bytes
        self._server = library.Server(name)
        self._texture = library.create_texture(self._server.device, *size)

    def send(self, pixels: NDArray[np.uint8]) -> None:
        """Send an image: (H * W * 4) bytes of RGBA, the top row first."""
        self._copy_bytes(pixels.tobytes(), self._texture)
        # Clients of Syphon expect the bottom row first.
        self._server.publish_frame_texture(self._texture, is_flipped=True)

    def close(self) -> None:
        """Remove the server."""
        self._server.stop()
