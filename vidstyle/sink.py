"""Where frames go: video files and still pictures."""

import logging
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from .container import reason_of
from .errors import OutputError
from .files import check_parts, check_writable, part_folder, part_name, remove_segments
from .frame import Frame
from .mux import CONTAINERS, check_sound, join
from .pictures import PICTURE_ENDINGS, is_picture, write_picture
from .source import ACCURATE, FULL, Format, Source

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes frames in order of time. A context manager: left through an exception, it keeps what it has as a part."""

    def send(self, frame: Frame) -> None:
        """Take one frame; may wait."""

    def close(self, complete: bool = True) -> Path | None:
        """Finish. ``complete`` says whether all frames came. Returns the file that is there now, if any."""

    def __enter__(self) -> "Sink": ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@dataclass(frozen=True)
class Encoding:
    """How a file is written.

    Args:
        crf: constant rate factor, lower is better; None: the codec's usual (18 for H.264, 28 for VP9).
        sound: whether the source's sound is copied.
        comment: a note for the file's metadata.
    """

    crf: int | None = None
    sound: bool = True
    comment: str = ""

    def __post_init__(self) -> None:
        if self.crf is not None and not 0 <= self.crf <= 63:
            raise ValueError(f"crf is {self.crf}: it must be 0 (best) to 63")


def open_sink(
    path: str | Path, source: Source, overwrite: bool = False, encoding: Encoding = Encoding()
) -> "VideoWriter | StillWriter":
    """A file to write to, its kind chosen by the ending of its name. Nothing is written until the first frame.

    Args:
        path: the file; it appears when it is whole.
        source: where the frames come from, for colours, times and sound.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: it cannot be written, exists, is the source itself, or cannot hold the source's sound.
    """
    path = check_writable(path, overwrite)
    origin = source.format.path
    for name in (path, part_name(path)):
        if origin is not None and os.path.realpath(name) == os.path.realpath(origin):
            raise OutputError(f"{name} is the input itself: choose another name for the output")
    if path.suffix.lower() not in (*CONTAINERS, *PICTURE_ENDINGS):
        endings = " ".join((*CONTAINERS, *PICTURE_ENDINGS))
        raise OutputError(f"{path} has an ending that is not known here: use one of {endings}")
    check_parts(path, overwrite)
    if is_picture(path):
        return StillWriter(path, encoding.comment)
    return VideoWriter(path, source.format, encoding)


class StillWriter:
    """A picture file, for exactly one frame."""

    def __init__(self, path: Path, comment: str = "") -> None:
        self._path, self._comment = path, comment
        self._part = part_name(path)
        self._sent = False

    def __enter__(self) -> "StillWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(complete=kind is None)

    def send(self, frame: Frame) -> None:
        """Write the picture.

        Raises:
            ValueError: a second frame.
            OutputError: it cannot be written.
        """
        if self._sent:
            raise ValueError(f"{self._path} is a picture and holds one frame: write a clip to a video file")
        self._sent = True
        write_picture(self._part, frame.image, self._comment)

    def close(self, complete: bool = True) -> Path | None:
        """Give the file its name; a picture that is not complete is removed."""
        if not self._sent:
            return None
        if complete and self._part.exists():
            self._part.replace(self._path)
        self._part.unlink(missing_ok=True)
        return self._path if complete else None


class VideoWriter:
    """A video file: pictures are encoded into a segment, and joined with the source's sound at the end.

    Times are the frames' own, exact wherever the container allows it (Matroska and WebM count in milliseconds).
    Colours are converted with the source's matrix and range and tagged so. Sides are made even by leaving out one
    row or column. While it is not whole the file is called ``NAME.part.EXT``, beside a folder ``NAME.part``.
    """

    def __init__(self, path: Path, source: Format, encoding: Encoding = Encoding()) -> None:
        if encoding.sound:
            check_sound(source, path)
        self._path, self._source, self._encoding = path, source, encoding
        self._part = part_name(path)
        self._folder = part_folder(path)
        self._segment = self._folder / "000000.mp4"
        self._reformatter = VideoReformatter()
        self._container: Any = None
        self._stream: Any = None
        self._size: tuple[int, int] | None = None
        self._last_pts = -1
        self._durations: dict[int, int] = {}
        self._end = Fraction(0)
        self._closed = False

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(complete=kind is None)

    def send(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            ValueError: a frame of another size than the first.
            OutputError: it cannot be written.
        """
        try:
            if self._container is None:
                self._open(frame)
            self._encode(frame)
        except (av.error.FFmpegError, OSError) as error:
            remedy = "free some space or choose another place"
            raise OutputError(f"cannot write {self._path} ({reason_of(error)}): {remedy}") from None

    def _open(self, frame: Frame) -> None:
        self._size = frame.size
        width, height = (side - side % 2 for side in frame.size)
        remove_segments(self._folder)  # of a run that was killed
        self._folder.mkdir()
        # Fragments make what is there playable even after a kill; closed normally it becomes an ordinary MP4.
        options = {"movflags": "hybrid_fragmented+frag_keyframe+delay_moov"}
        self._container = av.open(f"file:{self._segment}", "w", options=options)
        rate = self._source.rate or Fraction(25)
        vp9 = CONTAINERS[self._path.suffix.lower()] == "webm"
        crf = self._encoding.crf if self._encoding.crf is not None else 28 if vp9 else 18
        quality = {"b": "0", "cpu-used": "4", "row-mt": "1"} if vp9 else {"preset": "medium"}
        stream = self._container.add_stream("libvpx-vp9" if vp9 else "libx264", rate=rate, options={"crf": str(crf), **quality})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context, color = stream.codec_context, self._source.color
        context.time_base = stream.time_base = self._source.time_base
        context.sample_aspect_ratio = self._source.sample_aspect_ratio
        context.colorspace, context.color_range = color.matrix, color.range
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        if self._source.rotation:
            stream.set_display_rotation(self._source.rotation)
        self._stream = stream

    def _encode(self, frame: Frame) -> None:
        if frame.size != self._size:
            raise ValueError(f"a frame of {frame.size} px in a clip of {self._size} px: a clip has one size")
        color, base = self._source.color, self._source.time_base
        height, width = (side - side % 2 for side in frame.image.shape[:2])
        image: Any = np.ascontiguousarray(frame.image[:height, :width, :3])
        yuv = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(image, format="rgb24" if image.dtype == np.uint8 else "rgb48le"),
            format="yuv420p",
            src_color_range=FULL,
            dst_colorspace=color.matrix,
            dst_color_range=color.range,
            interpolation=ACCURATE,
        )
        self._last_pts = yuv.pts = max(round(frame.time / base), self._last_pts + 1)
        yuv.time_base = base
        self._durations[yuv.pts] = round(frame.duration / base)
        self._write(yuv)
        self._end = frame.time + frame.duration

    def _write(self, yuv: "av.VideoFrame | None") -> None:
        for packet in self._stream.encode(yuv):
            packet.duration = self._durations.pop(packet.pts, 0)  # encoders forget how long frames last
            self._container.mux(packet)

    def close(self, complete: bool = True) -> Path | None:
        """Finish the file. What is not complete stays as a playable ``NAME.part.EXT``, sound up to its last frame.

        Returns:
            The file that is there now; None where no frame came.

        Raises:
            OutputError: it cannot be written; the pictures stay in the folder ``NAME.part``.
        """
        if self._closed:
            return None
        self._closed = True
        if self._last_pts < 0:  # not one frame was encoded
            if self._container is not None:
                self._container.close()
                remove_segments(self._folder)
            return None
        try:
            self._write(None)
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(
                f"cannot finish {self._path} ({reason_of(error)}): free some space; the pictures so far are in {self._segment}"
            ) from None
        end = None if complete else self._end
        try:
            join([self._segment], self._source, self._part, end, self._encoding.sound, self._encoding.comment)
        except BaseException:
            log.error("%s could not be finished: its pictures, without sound, are in %s", self._path, self._segment)
            raise
        remove_segments(self._folder)
        if complete:
            self._part.replace(self._path)
        return self._path if complete else self._part
