"""The process that sends a stream: ``python -m vidstyle.live.stream_worker WIDTH HEIGHT RATE`` < address and pictures.

A process of its own, because PyAV holds Python's lock while FFmpeg connects: a server that does not answer would stop the show.
It takes a line with the address on standard input, where no list of processes shows the stream's key, and pictures of I420 after
it. It says ``open`` on standard output once it is connected, and ends with its input.
"""

import faulthandler
import os
import signal
import sys
import time
from fractions import Fraction
from typing import IO, Any
from urllib.parse import urlsplit

import av
import av.error
import numpy as np

from ..io.color import from_i420
from ..io.stream_info import BT709, LIMITED, ColorInfo

CONTAINERS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}
"""By the address's scheme, FFmpeg's names of what goes there."""

COLOR = ColorInfo(BT709, LIMITED, BT709, BT709)
"""What programs take a stream for that says nothing of its colours; this one does say so as well."""

TIME_BASE = Fraction(1, 90000)

H264 = {"preset": "veryfast", "tune": "zerolatency", "crf": "21", "maxrate": "8M", "bufsize": "4M"}
"""No picture waits for a later one, neither here nor where it is shown."""

PATIENCE_SECONDS = 10.0
"""How long the other side may take to answer, or to take a picture."""


class Stream:
    """One connection.

    Raises:
        av.error.FFmpegError, OSError: it cannot be had, or breaks; so does ``send``.
    """

    def __init__(self, address: str, size: tuple[int, int], rate: float) -> None:
        container = CONTAINERS[urlsplit(address).scheme.lower()]
        self._size = size
        self._output: Any = av.open(address, "w", format=container, options=options_of(container))
        self._stream: Any = self._output.add_stream(
            "libx264", rate=Fraction(rate).limit_denominator(1001)
        )
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {**H264, "g": str(max(1, round(rate)))}
        context = self._stream.codec_context
        context.time_base = TIME_BASE
        context.colorspace, context.color_range = COLOR.matrix, COLOR.range
        context.color_primaries, context.color_trc = COLOR.primaries, COLOR.transfer
        self._output.start_encoding()
        self._began, self._last = time.monotonic(), -1

    def send(self, picture: bytes) -> None:
        """Send a picture, (H * W * 3 / 2) bytes of I420, as of this moment."""
        frame = from_i420(np.frombuffer(picture, np.uint8), self._size)
        self._last = max(round((time.monotonic() - self._began) / TIME_BASE), self._last + 1)
        frame.pts, frame.time_base = self._last, TIME_BASE
        self._output.mux(self._stream.encode(frame))

    def close(self) -> None:
        """End the stream."""
        self._output.close()


def options_of(container: str) -> dict[str, str]:
    """Of the muxer: each picture leaves at once, and can be told from the next before that comes."""
    if container == "mpegts":
        return {
            "flush_packets": "1",
            "mpegts_flags": "resend_headers",
            "pat_period": "0.2",
            "omit_video_pes_length": "0",
        }
    return {"flvflags": "no_duration_filesize"} if container == "flv" else {"rtsp_transport": "tcp"}


class Patience:
    """Ends this process when what is within takes too long, even while FFmpeg holds Python's lock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._nowhere = open(os.devnull, "w")  # noqa: PTH123, SIM115 (open as long as the process lives)

    def __enter__(self) -> None:
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._nowhere)

    def __exit__(self, *given: object) -> None:
        faulthandler.cancel_dump_traceback_later()


def send_all(pictures: IO[bytes], address: str, size: tuple[int, int], rate: float) -> None:
    """Send what comes until nothing more does.

    Raises:
        av.error.FFmpegError, OSError: the stream cannot be had, or breaks.
    """
    patience = Patience(PATIENCE_SECONDS)
    with patience:
        stream = Stream(address, size, rate)
    print("open", flush=True)
    count = size[0] * size[1] * 3 // 2
    while len(picture := pictures.read(count)) == count:
        with patience:
            stream.send(picture)
    with patience:
        stream.close()


def main() -> int:
    """The process."""
    width, height, rate = sys.argv[1:]
    address = sys.stdin.buffer.readline().decode().rstrip("\n")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it closes its input
    try:
        send_all(sys.stdin.buffer, address, (int(width), int(height)), float(rate))
    except (av.error.FFmpegError, OSError) as error:
        print(
            error.strerror or type(error).__name__, file=sys.stderr
        )  # FFmpeg's own words may hold a key
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
