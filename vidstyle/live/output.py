"""The interface of what receives the frames of a live session besides the window."""

from typing import Any, Protocol

from ..io.frame import Image


class Output(Protocol):
    """Receives the frames of a session: the control page, a virtual camera, a stream.

    The session calls all methods on the main thread.
    """

    def open(self, session: Any) -> None:
        """Start, before the first frame.

        Args:
            session: the ``Session``; the output may send commands to it.
        """

    def show(self, image: Image) -> None:
        """Show (H, W, 3 or 4) RGB, which is not modified afterwards. Must not block."""

    def close(self) -> None:
        """Stop, after the last frame."""
