"""Standard output as a place for clips."""

import sys
from pathlib import Path

import av.error

from ..errors import OutputError
from .audio import PIPE_OPTIONS, ForwardOnly
from .codecs import EncoderConfig, select_encoder
from .container import reason_of
from .encode import EncodedFile
from .frame import Frame
from .side_streams import SideStreams
from .sink_base import DEFAULT_ENCODING, Encoding, FileSink
from .stream_info import VideoInfo

YUV4MPEG_OPTIONS = {"flush_packets": "1", "strict": "-1"}
"""FFmpeg's options, for pixel formats that only newer readers know."""


class PipeWriter(FileSink):
    """Standard output: Matroska, NUT, or YUV4MPEG (which holds pictures only), each packet written as soon as it is there.

    Sound goes with the pictures where the source is a file. What comes through a pipe itself has none that could be looked up.
    """

    def __init__(self, source: VideoInfo, encoding: Encoding = DEFAULT_ENCODING) -> None:
        if sys.stdout is None:
            raise OutputError("standard output is closed: pipe it into a program, or name a file")
        kind = encoding.pipe
        if kind == "yuv4mpegpipe":
            deep = source.bit_depth > 8
            coder = EncoderConfig(
                "wrapped_avframe", "yuv444p10le" if deep else "yuv444p", {"strict": "-1"}, odd=True
            )
        else:
            coder = select_encoder(encoding.codec, encoding.crf, "matroska", source)
            if coder.name in (
                "libx264",
                "libx265",
            ):  # whoever reads along is not to wait for frames that are held back
                quick = {"thread_type": "slice"} | (
                    {"tune": "zerolatency"} if encoding.codec is None else {}
                )
                coder = EncoderConfig(
                    coder.name, coder.pixels, {**coder.options, **quick}, odd=coder.odd
                )
        self._source, self._coder, self._kind = source, coder, kind
        self._sound = encoding.sound
        self._beside: SideStreams | None = None
        self._file: EncodedFile | None = None
        self._last_pts = -1

    def send(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            OutputError: it cannot be written.
            BrokenPipeError: whoever read it has gone.
        """
        try:
            if self._file is None:
                options = PIPE_OPTIONS.get(self._kind, YUV4MPEG_OPTIONS)
                self._file = EncodedFile(
                    ForwardOnly(sys.stdout.buffer), self._kind, self._coder, self._source, options
                )
                if (
                    self._source.path is not None
                    and not self._source.incomplete
                    and self._kind != "yuv4mpegpipe"
                ):
                    self._file.beside = self._beside = SideStreams(
                        self._source,
                        self._kind,
                        without=() if self._sound else ("audio",),
                        pipe=True,
                    )
                    self._beside.report("pipe")
            self._last_pts = max(round(frame.time / self._source.time_base), self._last_pts + 1)
            self._file.send(frame, self._last_pts)
        except BrokenPipeError:
            raise
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write to standard output ({reason_of(error)})") from None

    def close(self, complete: bool = True) -> Path | None:
        """Write what the encoder holds back. There is no file."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except (av.error.FFmpegError, OSError) as error:
            if complete and not isinstance(error, BrokenPipeError):
                raise OutputError(f"cannot write to standard output ({reason_of(error)})") from None
        finally:
            if self._beside is not None:
                self._beside.close()
        return None
