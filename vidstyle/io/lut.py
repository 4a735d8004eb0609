"""Colour lookup tables (LUTs) in files such as ``.cube``, through FFmpeg's filters lut3d (with
tetrahedral interpolation) and lut1d."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import av
import av.error
import numpy as np
from av.filter import Graph

from ..errors import InputError
from .files import check_readable
from .frame import Frame, Image

ENDINGS = ".cube", ".3dl", ".dat", ".m3d", ".csp"
"""Endings of files that FFmpeg reads."""

FILTERS = "lut3d", "lut1d"
"""FFmpeg's filters, for one table of all channels and for a table of each channel. Which one a file
is for stands in it; FFmpeg refuses the other one."""

FORMATS = {np.dtype(np.uint8): "rgb24", np.dtype(np.uint16): "rgb48le"}
"""dtype of a frame -> FFmpeg's name of its pixel format."""


class Lut:
    """Changes the colours of frames by a LUT, interpolated between its entries.

    Args:
        path: of the LUT.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = check_readable(path)
        if self._path.suffix.lower() not in ENDINGS:
            endings = ", ".join(ENDINGS)
            raise InputError(f"{path} is no LUT: give a file that ends in {endings}", "look")
        self._graph: tuple[object, Graph] | None = None
        for self._filter in FILTERS:
            try:
                self(Frame(np.zeros((2, 2, 3), np.uint8)))
            except av.error.FFmpegError:
                continue
            return
        raise InputError(
            f"{path} cannot be read as a LUT: export it as .cube, with one table, 1D or 3D", "look"
        )

    def __call__(self, frame: Frame) -> Frame:
        """The frame in other colours; its alpha stays."""
        image: Any = frame.image
        changed: Any = self._run(np.ascontiguousarray(image[..., :3]))
        if image.shape[2] == 4:
            changed = np.dstack([changed, image[..., 3]])
        return replace(frame, image=changed)

    def _run(self, image: Image) -> Image:
        graph = self._graph_for(image)
        given = av.VideoFrame.from_ndarray(image, format=FORMATS[image.dtype])
        given.pts = 0
        graph.push(given)
        pulled = cast(av.VideoFrame, graph.pull())
        made: Any = pulled.to_ndarray(format=FORMATS[image.dtype])
        return cast(Image, made)

    def _graph_for(self, image: Image) -> Graph:
        """The filters for images of this size and dtype, kept for the next image."""
        key = image.shape, image.dtype
        if self._graph is None or self._graph[0] != key:
            graph = Graph()
            height, width = image.shape[:2]
            source = graph.add(
                "buffer",
                f"video_size={width}x{height}:pix_fmt={FORMATS[image.dtype]}:time_base=1/1",
            )
            interpolation = {"interp": "tetrahedral"} if self._filter == "lut3d" else {}
            table = graph.add(self._filter, file=str(self._path), **interpolation)
            sink = graph.add("buffersink")
            source.link_to(table)
            table.link_to(sink)
            graph.configure()
            self._graph = key, graph
        return self._graph[1]


def on_second_half(lut: Callable[[Frame], Frame], axis: int, frame: Frame) -> Frame:
    """A frame whose second half, below (axis 0) or beside (axis 1) the first one, is in the colours
    of a LUT."""
    halves: list[Any] = np.split(frame.image, 2, axis)
    halves[1] = lut(replace(frame, image=halves[1])).image
    joined: Any = np.concatenate(halves, axis)
    return replace(frame, image=joined)
