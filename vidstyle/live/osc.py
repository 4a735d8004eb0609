"""OSC control: commands of a live session from controllers and programs, over UDP.

The address names what changes, and its values say to what: ``/vidstyle/strength 0.5``,
``/vidstyle/style ink``, ``/vidstyle/snapshot``. The only module that imports python-osc.
"""

import logging
import socket
from typing import Any

from ..errors import DeviceError
from ..runtime.worker import Worker
from .commands import KEYS, OLD_ACTIONS, PARAMETERS, format_value

try:
    from pythonosc.osc_packet import OscPacket, ParseError
except ImportError:
    message = "OSC control needs python-osc"
    raise DeviceError(f"{message}: pip install 'vidstyle[osc]'") from None

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
"""Default host: this machine only."""

PREFIX = "/vidstyle/"
"""Start of every address."""

EXAMPLE = f"{PREFIX}strength 0.5"

VALUE_KEYS = tuple(key for key in KEYS if key not in ("do", "set", "blend"))
"""Keys of a command that take one value."""

PACKET_BYTES = 1 << 16
"""Largest size in bytes of a UDP packet."""

POLL_SECONDS = 0.2
"""Interval in seconds at which the thread checks whether the session ended."""

MAX_REPORTED = 100
"""Number of addresses whose errors are reported."""

PACKET_ERRORS = (ParseError, ValueError, LookupError, RecursionError)
"""Exceptions of python-osc about a packet that is no OSC."""


class OscInput:
    """Sends the commands of OSC messages to the session. An ``Output`` that ignores the frames.

    Messages of a bundle are carried out at once, whatever its time says. An error of a message is
    reported to the session's viewers, once per address. ``port`` is the number of the UDP port.

    Args:
        address: HOST:PORT or PORT; port 0 is any unused one.

    Raises:
        ValueError: the address is not valid.
        DeviceError: the system rejects the address.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
            example = f"use PORT or HOST:PORT, such as {HOST}:9000"
            raise ValueError(f"{address!r} is not a valid address for OSC: {example}")
        self._socket = _bind(host.strip("[]") or HOST, int(port))
        self._socket.settimeout(POLL_SECONDS)
        self.port: int = self._socket.getsockname()[1]
        self._reported: set[str] = set()
        self._thread: Worker | None = None

    def open(self, session: Any) -> None:
        """Start the thread that receives."""
        self._session = session
        log.info("OSC control on %s port %d", *self._socket.getsockname()[:2])
        self._thread = Worker(self._receive, "osc")

    def show(self, image: object) -> None:
        """Do nothing."""

    def close(self) -> None:
        """End the thread and release the port. Further calls have no effect."""
        if self._thread is not None:
            self._thread.stopped.set()
            self._thread.join()
        self._socket.close()

    def _receive(self, worker: Worker) -> None:
        while not worker.stopped.is_set():
            try:
                packet = self._socket.recv(PACKET_BYTES)
            except OSError:  # nothing came, or the system reports an error of a sender
                continue
            self._execute(packet)

    def _execute(self, packet: bytes) -> None:
        try:
            messages = [timed.message for timed in OscPacket(packet).messages]
        except PACKET_ERRORS:
            self._report("", f"a packet is not OSC: send messages such as {EXAMPLE}")
            return
        for message in messages:
            try:
                command = command_of(message.address, message.params)
                if command is not None:
                    self._check_action(command.get("do"))
                    self._session.command(command)
            except ValueError as error:
                self._report(message.address, f"{format_value(message.address)}: {error}")

    def _check_action(self, name: str | None) -> None:
        """Refuse an address that is neither an action nor anything else, in the words of OSC."""
        actions = self._session.actions
        if name is not None and name not in {*actions, *OLD_ACTIONS}:
            known = ", ".join([*PARAMETERS, "blend", *VALUE_KEYS, *actions])
            raise ValueError(f"there is no such address: after {PREFIX} use one of {known}")

    def _report(self, address: str, text: str) -> None:
        if address not in self._reported and len(self._reported) < MAX_REPORTED:
            self._reported.add(address)
            self._session.messages.add(f"OSC: {text}", error=True)


def command_of(address: str, values: list[Any]) -> dict[str, Any] | None:
    """Return the session's command of an OSC message, which is not checked yet.

    Args:
        address: ``/vidstyle/NAME``, where the name is a parameter, a key of a command that takes
            a value, ``blend``, or an action.
        values: the arguments. Senders have no integers, so that 3.0 counts as 3.

    Returns:
        None for an action with the value 0: a button of a controller was released.

    Raises:
        ValueError: another address, or not one value where one is needed.
    """
    if not address.startswith(PREFIX):
        raise ValueError(f"the address must start with {PREFIX}, such as {EXAMPLE}")
    name, given = address.removeprefix(PREFIX), [_to_json(value) for value in values]
    if name == "blend":
        return {"blend": given}
    if name not in PARAMETERS and name not in VALUE_KEYS:
        return None if given and not given[0] else {"do": name}
    if len(given) != 1:
        raise ValueError(f"send one value, not {len(given)}")
    return {"set": {name: given[0]}} if name in PARAMETERS else {name: given[0]}


def _to_json(value: object) -> object:
    """Return a value of a message as JSON would have it; a time or a blob becomes a text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if value is None or isinstance(value, (str, int, float, list)) else str(value)


def _bind(host: str, port: int) -> socket.socket:
    """Return a UDP socket on this host and port.

    Raises:
        DeviceError: the system rejects the address.
    """
    try:
        family, kind, protocol, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.bind(found)
        except OSError:
            made.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"OSC cannot be received on {host} port {port} ({reason})"
        raise DeviceError(f"{message}: choose another with --osc") from None
    return made
