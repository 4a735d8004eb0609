"""``Stream``: a stylizer for frames that arrive one at a time."""

from collections.abc import Iterator
from typing import Any

from .api_masks import ImageMasks
from .conversions import to_frame
from .flow.clip_motion import with_motion
from .flow.methods import FlowMethod
from .io.frame import Frame
from .runtime.closing import Closing
from .styles import to_style
from .stylizer.style import Style
from .stylizer.stylizer import Stylizer


class Stream(Closing):
    """Stylises frames one at a time and computes the optical flow between them itself.

    A cut is detected and the shot after it starts with a first frame. Without frames to look ahead
    at, a flash counts as a cut.

    Args:
        stylizer: does the work.
        flow: optical flow method; None: cuts are detected, motion is not.
        masks: of the frames; None: those of each ``Frame``.
    """

    def __init__(
        self, stylizer: Stylizer, flow: FlowMethod | None, masks: ImageMasks | None = None
    ) -> None:
        self._stylizer, self._flow = stylizer, flow
        self._masks = masks or ImageMasks()
        self._closed = False
        self._frame: Frame | None = None
        self.reset()

    def __call__(self, image: Any) -> Any:
        """Stylise the next frame.

        Args:
            image: as for ``stylize``; the size may change.

        Returns:
            An image of the same kind.

        Raises:
            TypeError, ValueError: an image of another kind or shape, or a stream that is closed.
            DeviceError: out of memory.
        """
        if self._closed:
            raise ValueError("the stream is closed: open another one with vidstyle.stream")
        frame, restore = to_frame(image)
        self._frame = self._masks.applied(frame)
        frame, motion = next(self._pairs)
        return restore(self._stylizer(frame, motion))

    @property
    def style(self) -> Style:
        """The style from the next frame on. Anything that ``stylize`` takes may be assigned."""
        return self._stylizer.style

    @style.setter
    def style(self, style: Any) -> None:
        self._stylizer.style = to_style(style, self._stylizer.features)
        self._stylizer.reset_learning_rate()

    @property
    def stylizer(self) -> Stylizer:
        """The stylizer that does the work."""
        return self._stylizer

    def reset(self) -> None:
        """Forget all frames: the next one is optimised from scratch."""
        self._stylizer.reset()
        self._frame = None
        self._pairs = with_motion(self._frames(), self._flow, look_ahead=0, size_px=self._flow_px)

    def _frames(self) -> Iterator[Frame]:
        """The frame of each call, when the motion of that frame is asked for."""
        while self._frame is not None:
            yield self._frame

    def _flow_px(self) -> int:
        return self._stylizer.flow_px(self._frame.size if self._frame else (1, 1))

    def close(self) -> None:
        """Free the memory of the frames. May be called twice."""
        self._closed = True
        self.reset()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"Stream({self._stylizer!r}, {state})"
