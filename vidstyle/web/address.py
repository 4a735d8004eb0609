"""Addresses of a page's server: its socket, its URLs, and host names."""

import ipaddress
import re
import socket
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

from ..errors import DeviceError

HOST, PORT = "127.0.0.1", 8765

SEND_BYTES = 1 << 17
"""Size in bytes of the send buffer: a few frames, so that a slow viewer's delay is limited."""


def listen(address: str = "", flag: str = "--web") -> socket.socket:
    """Return a socket that is bound to an address, but does not listen yet.

    Args:
        address: HOST:PORT, HOST or PORT; the defaults of the parts are ``HOST`` and ``PORT``.
        flag: of the command line that chooses another address, for messages.

    Raises:
        ValueError: the address is not valid.
        DeviceError: the system rejects the address.
    """
    full = f":{address}" if address.isdecimal() else address
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]*))(?::(\d+))?", full)
    if not match or int(match[3] or 0) > 65535:
        example = f"use HOST:PORT, such as {HOST}:{PORT}"
        raise ValueError(f"{address!r} is not a valid address for the page: {example}")
    host, port = match[1] or match[2] or HOST, int(match[3] or PORT)
    try:
        options = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}
        family, kind, protocol, _, found = socket.getaddrinfo(host, port, **options)[0]
        # asyncio sets TCP_NODELAY only on sockets with an explicit protocol; without it each answer
        # takes 40 ms.
        server = socket.socket(family, kind, protocol)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        try:
            server.bind(found)
        except OSError:
            server.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"the page cannot listen on {host} port {port} ({reason})"
        raise DeviceError(f"{message}: choose another with {flag}") from None
    return server


def server_url(server: socket.socket, token: str = "", scheme: str = "http") -> str:
    """Return the URL of the page that a bound socket serves, with the page's token if it has
    one."""
    host, port = server.getsockname()[:2]
    shown = own_address(server.family) if ipaddress.ip_address(host).is_unspecified else host
    query = f"?token={token}" if token else ""
    return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}/{query}"


def page_url(page: str, path: str) -> str:
    """Return the URL of a path on a control page, with the page's token.

    Args:
        page: HOST:PORT, or the URL that vidstyle printed.
        path: such as "state".

    Raises:
        ValueError: ``page`` is neither.
    """
    parts = urlsplit(page if "://" in page else f"http://{page}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        remedy = "use HOST:PORT, or the URL that vidstyle printed"
        raise ValueError(f"{page!r} is not a valid control page: {remedy}")
    full_path = f"{parts.path.rstrip('/')}/{path}"
    return urlunsplit((parts.scheme, parts.netloc, full_path, parts.query, ""))


def own_address(family: int) -> str:
    """Return this machine's IP address in its network, or its name. Sends nothing."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        # Addresses for documentation (RFC 5737, RFC 3849): the route to them is the default one.
        probe.connect(("2001:db8::1", 9) if family == socket.AF_INET6 else ("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def host_of(netloc: str) -> str:
    """Return the host of HOST or HOST:PORT as browsers send it.

    Returns:
        The host in lower case, without brackets; "" if ``netloc`` is malformed.
    """
    pattern = r"(?:\[([0-9a-f:.]+)\]|([^\s\[\]:/@?#\\]+))(?::\d*)?"
    match = re.fullmatch(pattern, netloc.lower(), re.ASCII)
    return (match[1] or match[2].rstrip(".")) if match else ""


def is_address(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


def check_host_name(name: str) -> str:
    """Return a host name as browsers send it: lower case, international names in Punycode.

    Raises:
        ValueError: it is not a host name or IP address.
    """
    plain = name.strip().strip("[]").rstrip(".").lower()
    if is_address(plain):
        return plain
    with suppress(UnicodeError):
        plain = plain.encode("idna").decode()
        label = "[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
        if re.fullmatch(rf"{label}(\.{label})*", plain):
            return plain
    remedy = "give it without scheme and port, such as studio.example.org"
    raise ValueError(f"--allow-host {name!r} is not a valid host name: {remedy}")
