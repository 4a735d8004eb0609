"""A canvas: frames of a given width and height, such as 1080 x 1920 for phones."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from .errors import InputError
from .io.frame import Frame
from .io.mapped_source import mapped
from .io.source import Source
from .io.stream_info import VideoInfo
from .settings import FITS, MAX_SIDE_PX

MIN_SIDE_PX = 32


@dataclass(frozen=True)
class Canvas:
    """The size of the output, and how frames of another shape get it.

    Args:
        size: (width, height) in px, as players show it.
        mode: one of ``settings.FITS``.

    Raises:
        TypeError: the size is no pair of integers.
        ValueError: a side out of range, or an unknown mode.
    """

    size: tuple[int, int]
    mode: str = "fill"

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not all(isinstance(side, int) for side in self.size):
            raise TypeError(f"the canvas is {self.size!r}: use a width and a height, in px")
        if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in self.size):
            raise ValueError(
                f"size is {self.size[0]}x{self.size[1]}: each side must be {MIN_SIDE_PX} to "
                f"{MAX_SIDE_PX} px"
            )
        if self.mode not in FITS:
            raise ValueError(f"fit is {self.mode!r}: use one of {', '.join(FITS)}")

    def check(self, source: VideoInfo) -> None:
        """Check that the frames of a source have square pixels.

        Raises:
            InputError: they have not.
        """
        if source.sample_aspect_ratio != 1:
            raise InputError(
                f"{source.label} has pixels that are not square, which --size WIDTHxHEIGHT cannot "
                "crop: give a long side, as in --size 1920, or convert it with ffmpeg -vf "
                "scale=iw*sar:ih,setsar=1",
                "size",
            )

    def rotated(self, degrees: int) -> "Canvas":
        """The canvas of frames that players rotate by this angle in degrees."""
        return replace(self, size=self.size[::-1]) if degrees % 180 else self

    def output_px(self, frame_size: tuple[int, int]) -> int:
        """Long side in px of a stylised frame, for ``Settings.size``.

        Args:
            frame_size: (width, height) in px of the frames, cropped where the canvas crops them.
        """
        scale = min(side / own for side, own in zip(self.size, frame_size, strict=True))
        return max(MIN_SIDE_PX, round(max(frame_size) * scale))

    def finished_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) in px of a frame after ``finished``, of a stylised one of this size."""
        return size if self.mode == "fit" else self.size

    def around(self, source: Source) -> Source:
        """A source whose frames are cropped for the canvas.

        Raises:
            InputError: see ``check``.
        """
        self.check(source.format)
        size = self.cropped_size(source.format.size)
        return source if size == source.format.size else mapped(source, self.cropped, size=size)

    def cropped_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) in px of a cropped frame."""
        if self.mode != "fill":
            return frame_size
        (width, height), (across, down) = frame_size, self.size
        return min(width, max(1, round(height * across / down))), min(
            height, max(1, round(width * down / across))
        )

    def cropped(self, frame: Frame) -> Frame:
        """A frame without what is cropped, the same on both sides, with its masks."""
        (width, height), (across, down) = frame.size, self.cropped_size(frame.size)
        left, top = (width - across) // 2, (height - down) // 2
        box = np.s_[top : top + down, left : left + across]

        def part(values: Any) -> Any:
            return None if values is None else np.ascontiguousarray(values[box])

        regions = frame.regions
        if regions is not None:
            regions = np.ascontiguousarray(regions[(slice(None), *box)])
        return replace(
            frame,
            image=part(frame.image),
            mask=part(frame.mask),
            painted=part(frame.painted),
            emphasis=part(frame.emphasis),
            regions=regions,
        )

    def finished(self, frame: Frame) -> Frame:
        """A stylised frame, made for ``output_px``, of exactly the canvas's size unless it fits.

        Bars are black, or transparent where the frame has alpha.
        """
        if self.mode == "fit" or frame.size == self.size:
            return frame
        width, height = self.size
        image: Any = frame.image
        if self.mode == "fill":  # rounding makes a difference of a pixel at most
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_CUBIC)
            return replace(frame, image=np.ascontiguousarray(image))
        across, down = min(width, frame.size[0]), min(height, frame.size[1])
        left, top = (width - across) // 2, (height - down) // 2
        canvas: Any = np.zeros((height, width, image.shape[2]), image.dtype)
        canvas[top : top + down, left : left + across] = image[:down, :across]
        return replace(frame, image=canvas)
