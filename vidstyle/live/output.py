"""The interface of what receives the frames of a live session besides the window."""

from typing import TYPE_CHECKING, Protocol

from ..io.frame import Image

if TYPE_CHECKING:
    from .session import Session


class Output(Protocol):
    """Receives the frames of a session: the control page, a virtual camera, a stream.

    The session calls all methods on the main thread.
    """

    def open(self, session: "Session") -> None:
        """Start, before the first frame. The output may send commands to the session."""

    def show(self, image: Image) -> None:
        """Show (H, W, 3 or 4) RGB, which is not modified afterwards. Must not block."""

    def close(self) -> None:
        """Stop, after the last frame."""
