"""Standard output as a video sink."""

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av.error

from ..errors import OutputError
from .audio import PIPE_OPTIONS, UnseekableFile
from .codecs import EncoderConfig, select_encoder
from .container import reason_of
from .encode import EncodedFile
from .frame import Frame
from .side_streams import SideStreams
from .sink_base import DEFAULT_ENCODING, Encoding, FileSink
from .stream_info import VideoInfo

IMAGE_RATE = Fraction(25)
"""Frame rate of a still image, and of a clip of unknown rate, as YUV4MPEG."""

YUV4MPEG_OPTIONS = {"flush_packets": "1", "strict": "-1"}
"""FFmpeg's options; ``strict`` allows pixel formats that only newer readers know."""


class PipeWriter(FileSink):
    """Writes Matroska, NUT or YUV4MPEG (video only) to standard output, each packet at once.

    Side streams are kept where the source is a file; a source that is a pipe cannot be read twice.
    YUV4MPEG has one frame rate: that of the source, or its average.

    Raises:
        OutputError: standard output is closed.
    """

    def __init__(self, source: VideoInfo, encoding: Encoding = DEFAULT_ENCODING) -> None:
        if sys.stdout is None:
            raise OutputError("standard output is closed: pipe it into a program, or name a file")
        kind = encoding.pipe
        if kind == "yuv4mpegpipe":
            # Its header has a frame rate, the inverse of the time base, and its frames no times.
            source = replace(source, time_base=1 / (source.rate or IMAGE_RATE))
            deep = source.bit_depth > 8
            encoder = EncoderConfig(
                "wrapped_avframe",
                "yuv444p10le" if deep else "yuv444p",
                {"strict": "-1"},
                odd_sizes=True,
            )
        else:
            encoder = select_encoder(encoding.codec, encoding.crf, "matroska", source)
            if encoder.name in ("libx264", "libx265"):  # readers must not wait for delayed frames
                quick = {"thread_type": "slice"} | (
                    {"tune": "zerolatency"} if encoding.codec is None else {}
                )
                encoder = EncoderConfig(
                    encoder.name,
                    encoder.pixels,
                    {**encoder.options, **quick},
                    odd_sizes=encoder.odd_sizes,
                )
        self._source, self._encoder, self._kind = source, encoder, kind
        self._sound = encoding.sound
        self._side_streams: SideStreams | None = None
        self._file: EncodedFile | None = None
        self._last_pts = -1

    def send(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            OutputError: it cannot be written.
            BrokenPipeError: the reader has closed the pipe.
        """
        try:
            if self._file is None:
                options = PIPE_OPTIONS.get(self._kind, YUV4MPEG_OPTIONS)
                self._file = EncodedFile(
                    UnseekableFile(sys.stdout.buffer),
                    self._kind,
                    self._encoder,
                    self._source,
                    options,
                )
                if (
                    self._source.path is not None
                    and not self._source.incomplete
                    and self._kind != "yuv4mpegpipe"
                ):
                    self._file.side_streams = self._side_streams = SideStreams(
                        self._source,
                        self._kind,
                        without=() if self._sound else ("audio",),
                        pipe=True,
                    )
                    self._side_streams.report("pipe")
            self._last_pts = max(round(frame.time / self._source.time_base), self._last_pts + 1)
            self._file.send(frame, self._last_pts)
        except BrokenPipeError:
            raise
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write to standard output ({reason_of(error)})") from None

    def close(self, complete: bool = True) -> Path | None:
        """Flush the encoder. Returns None, since there is no file."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except (av.error.FFmpegError, OSError) as error:
            if complete and not isinstance(error, BrokenPipeError):
                raise OutputError(f"cannot write to standard output ({reason_of(error)})") from None
        finally:
            if self._side_streams is not None:
                self._side_streams.close()
        return None
