"""A stream to another machine: what is shown, in H.264, to an RTMP or RTSP server, or in UDP packets."""

import subprocess
import sys
from contextlib import suppress
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError, OutputError
from ..io.files import without_secrets
from .output_device import DeviceConnection, OutputDevice
from .stream_worker import COLOR, CONTAINERS, PATIENCE_SECONDS


class StreamOutput(OutputDevice):
    """Sends a stream to an address, and again when whoever took it is back.

    Args:
        address: rtmp://, rtmps://, rtsp://, udp:// or tcp://.
        rate: pictures per second to be expected.

    Raises:
        ValueError: no such rate.
        OutputError: an address that streams cannot be sent to.
    """

    what = "stream"
    still_seconds = 0.2

    def __init__(self, address: str, rate: float) -> None:
        super().__init__(None, rate, COLOR)
        self._address = check_address(address)
        self._sender: StreamProcess | None = None

    def _open(self, size: tuple[int, int]) -> DeviceConnection:
        self._sender = StreamProcess(self._address, size, self._rate)
        self._sender.wait_until_open()
        return self._sender

    def _abort(self) -> None:
        if self._sender is not None:
            self._sender.kill()

    def _reason(self, error: Exception) -> str:
        return f"{without_secrets(self._address)}: {error}; see that the address is right and that it is listened to there"


class StreamProcess:
    """The process that sends, from here."""

    def __init__(self, address: str, size: tuple[int, int], rate: float) -> None:
        self.device = without_secrets(address)
        command = [sys.executable, "-m", "vidstyle.live.stream_worker", *map(str, size), str(rate)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
        with suppress(OSError):  # it is gone already, which ``wait_until_open`` finds
            self._process.stdin.write(address.encode() + b"\n")
            self._process.stdin.flush()

    def wait_until_open(self) -> None:
        """Wait until it is connected.

        Raises:
            DeviceError: it is not.
        """
        if self._process.stdout.readline().strip() != b"open":
            raise DeviceError(self._last_words())

    def _last_words(self) -> str:
        said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        self.close()
        return said[-1] if said else f"no answer within {PATIENCE_SECONDS:g} s"

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Send a picture.

        Raises:
            DeviceError: the connection is broken.
        """
        try:
            self._process.stdin.write(picture.data)
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise DeviceError(self._last_words()) from None

    def kill(self) -> None:
        """End it at once; may be called on any thread."""
        self._process.kill()

    def close(self) -> None:
        """End the stream."""
        with suppress(OSError, ValueError):
            self._process.stdin.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()


def check_address(address: str) -> str:
    """The address, if a stream can be sent to such a one.

    Raises:
        OutputError: it cannot.
    """
    parts = urlsplit(address)
    scheme = parts.scheme.lower()
    if scheme not in CONTAINERS:
        raise OutputError(
            f"{without_secrets(address)} is no address for a stream: use {', '.join(CONTAINERS)}, or a file"
        )
    try:
        whole = bool(parts.hostname) and (parts.port is not None or CONTAINERS[scheme] != "mpegts")
    except ValueError:  # a port that is none
        whole = False
    if not whole:
        raise OutputError(
            f"{without_secrets(address)} lacks a host or a port: write it like {scheme}://192.168.0.5:9000"
        )
    return address
