"""Stream output: sends the frames in H.264 to an RTMP or RTSP server, or over UDP or TCP."""

import subprocess
from contextlib import suppress
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError, OutputError
from ..io.files import without_secrets
from ..runtime.own_process import module_command, module_environment
from .output_device import REPEAT_SECONDS, DeviceConnection, OutputDevice
from .stream_worker import COLOR, MUXERS, TIMEOUT_SECONDS


class StreamOutput(OutputDevice):
    """Sends a stream to an address, and reconnects when the receiver is back.

    Args:
        address: rtmp://, rtmps://, rtsp://, udp:// or tcp://.
        rate: expected number of frames per second.

    Raises:
        ValueError: the rate is out of range.
        OutputError: the address is not valid for a stream.
    """

    kind = "stream"
    repeat_seconds = REPEAT_SECONDS

    def __init__(self, address: str, rate: float) -> None:
        super().__init__(None, rate, COLOR)
        self._address = check_stream_address(address)
        self._process: StreamProcess | None = None

    def _connect(self, size: tuple[int, int]) -> DeviceConnection:
        self._process = StreamProcess(self._address, size, self._rate)
        self._process.wait_until_open()
        return self._process

    def _abort(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _describe_error(self, error: Exception) -> str:
        address = without_secrets(self._address)
        return f"{address}: {error}; check the address, and that a receiver listens there"


class StreamProcess:
    """The process that sends the stream, see ``stream_worker``.

    Args:
        address: as for ``StreamOutput``.
        size: (width, height) in px, both even.
        rate: expected number of frames per second.
    """

    def __init__(self, address: str, size: tuple[int, int], rate: float) -> None:
        self.device = without_secrets(address)
        command = module_command("vidstyle.live.stream_worker", *map(str, size), str(rate))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(  # type: ignore[call-overload]
            command, env=module_environment(), **pipes
        )
        with suppress(OSError):  # the process has ended already, which `wait_until_open` reports
            self._process.stdin.write(address.encode() + b"\n")
            self._process.stdin.flush()

    def wait_until_open(self) -> None:
        """Wait until the connection is established.

        Raises:
            DeviceError: the connection failed.
        """
        if self._process.stdout.readline().strip() != b"open":
            raise DeviceError(self._error_message())

    def _error_message(self) -> str:
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        self.close()
        return lines[-1] if lines else f"no answer within {TIMEOUT_SECONDS:g} s"

    def send(self, i420: NDArray[np.uint8]) -> None:
        """Send an image: (H * W * 3 / 2) bytes of I420.

        Raises:
            DeviceError: the connection is broken.
        """
        try:
            self._process.stdin.write(i420.data)
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise DeviceError(self._error_message()) from None

    def kill(self) -> None:
        """Kill the process. Thread-safe."""
        self._process.kill()

    def close(self) -> None:
        """End the stream. Kills the process if it does not end within a second."""
        with suppress(OSError, ValueError):
            self._process.stdin.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()


def check_stream_address(address: str) -> str:
    """Check an address of a stream, and return it.

    Raises:
        OutputError: the scheme is not supported, or host or port are missing.
    """
    parts = urlsplit(address)
    scheme = parts.scheme.lower()
    if scheme not in MUXERS:
        schemes = ", ".join(MUXERS)
        message = f"{without_secrets(address)} is not a valid address for a stream"
        raise OutputError(f"{message}: use {schemes}, or a file")
    try:
        complete = bool(parts.hostname) and (parts.port is not None or MUXERS[scheme] != "mpegts")
    except ValueError:  # the port is not a number
        complete = False
    if not complete:
        message = f"{without_secrets(address)} lacks a host or a port"
        raise OutputError(f"{message}: write it like {scheme}://192.168.0.5:9000")
    return address
