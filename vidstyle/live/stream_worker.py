"""The process that sends a stream: ``python -m vidstyle.live.stream_worker WIDTH HEIGHT RATE``.

It is a process because PyAV holds the GIL while FFmpeg connects: a server that does not answer
would stop the session. Its standard input is a line with the address, since the command line would
show the stream key in the list of processes, followed by images in I420. It writes ``open`` to
standard output when it is connected, and ends at the end of its input.
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

MUXERS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}
"""Scheme of the address -> FFmpeg's muxer."""

COLOR = ColorInfo(BT709, LIMITED, BT709, BT709)
"""Colours of the stream: what receivers assume of untagged streams; this stream is tagged as well.
"""

TIME_BASE = Fraction(1, 90000)
"""Unit of time stamps, in seconds."""

H264 = {"preset": "veryfast", "tune": "zerolatency", "crf": "21", "maxrate": "8M", "bufsize": "4M"}
"""Options of libx264: no B-frames and no lookahead, so that encoder and decoder add no delay."""

TIMEOUT_SECONDS = 10.0
"""Time limit in seconds for the receiver to answer, or to accept a frame."""


class Stream:
    """An encoder and its connection.

    Args:
        address: as for ``StreamOutput``.
        size: (width, height) in px, both even.
        rate: expected number of frames per second.

    Raises:
        av.error.FFmpegError, OSError: the connection fails; ``send`` raises them too.
    """

    def __init__(self, address: str, size: tuple[int, int], rate: float) -> None:
        muxer = MUXERS[urlsplit(address).scheme.lower()]
        self._size = size
        self._output: Any = av.open(address, "w", format=muxer, options=muxer_options(muxer))
        fraction = Fraction(rate).limit_denominator(1001)
        self._stream: Any = self._output.add_stream("libx264", rate=fraction)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {**H264, "g": str(max(1, round(rate)))}
        context = self._stream.codec_context
        context.time_base = TIME_BASE
        context.colorspace, context.color_range = COLOR.matrix, COLOR.range
        context.color_primaries, context.color_trc = COLOR.primaries, COLOR.transfer
        self._output.start_encoding()
        self._start_time, self._last_pts = time.monotonic(), -1

    def send(self, i420: bytes) -> None:
        """Send an image, (H * W * 3 / 2) bytes of I420, with the present time as its time stamp."""
        frame = from_i420(np.frombuffer(i420, np.uint8), self._size)
        elapsed = round((time.monotonic() - self._start_time) / TIME_BASE)
        self._last_pts = max(elapsed, self._last_pts + 1)
        frame.pts, frame.time_base = self._last_pts, TIME_BASE
        self._output.mux(self._stream.encode(frame))

    def close(self) -> None:
        """End the stream."""
        self._output.close()


def muxer_options(muxer: str) -> dict[str, str]:
    """Return options of a muxer with which each frame is sent, and can be decoded, at once."""
    if muxer == "mpegts":
        return {
            "flush_packets": "1",
            "mpegts_flags": "resend_headers",
            "pat_period": "0.2",
            "omit_video_pes_length": "0",
        }
    return {"flvflags": "no_duration_filesize"} if muxer == "flv" else {"rtsp_transport": "tcp"}


class Watchdog:
    """Context manager that ends the process after a time limit, even while FFmpeg holds the GIL.

    Args:
        seconds: the time limit.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._devnull = open(os.devnull, "w")  # noqa: PTH123, SIM115 (open until the process ends)

    def __enter__(self) -> None:
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._devnull)

    def __exit__(self, *error: object) -> None:
        faulthandler.cancel_dump_traceback_later()


def send_images(images: IO[bytes], address: str, size: tuple[int, int], rate: float) -> None:
    """Send images until the end of the input.

    Args:
        images: I420, one image after the other.
        address: as for ``StreamOutput``.
        size: (width, height) in px, both even.
        rate: expected number of frames per second.

    Raises:
        av.error.FFmpegError, OSError: the connection fails.
    """
    watchdog = Watchdog(TIMEOUT_SECONDS)
    with watchdog:
        stream = Stream(address, size, rate)
    print("open", flush=True)
    byte_count = size[0] * size[1] * 3 // 2
    while len(image := images.read(byte_count)) == byte_count:
        with watchdog:
            stream.send(image)
    with watchdog:
        stream.close()


def main() -> int:
    """Run the process."""
    width, height, rate = sys.argv[1:]
    address = sys.stdin.buffer.readline().decode().rstrip("\n")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process closes standard input
    try:
        send_images(sys.stdin.buffer, address, (int(width), int(height)), float(rate))
    except (av.error.FFmpegError, OSError) as error:
        # Without the text of FFmpeg, which may contain the stream key.
        print(error.strerror or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
