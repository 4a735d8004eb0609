"""Access control of a page: host names, origins, and the token."""

import ipaddress
import secrets
import socket
from collections.abc import Collection
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .address import host_of, is_address

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

TOKEN_HEADER = "x-vidstyle-token"

LINK_PATHS = ("/",)
"""Paths that a link on another site may open in a tab."""

DEFAULT_PORTS = {"http": 80, "https": 443}

CONTENT_POLICY = (
    b"default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    b"frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", CONTENT_POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Access:
    """Decides which requests are accepted.

    A server on the loopback interface accepts requests from this machine. Any other server, and any
    with additional host names, requires a random token: as ``?token=TOKEN``, as ``Authorization:
    Bearer TOKEN``, or as ``X-Vidstyle-Token: TOKEN``, which leaves ``Authorization`` to a proxy
    that requires a password. The page sets no cookie, since browsers would send it for other sites
    too. ``token`` is "" if none is required.

    Args:
        host: IP address on which the server listens.
        allowed: additional host names of the page, as ``check_host_name`` returns them.
        open_paths: paths that need no token, since they contain no secret.
        link_paths: paths that a link on another site may open in a tab.
    """

    def __init__(
        self,
        host: str,
        allowed: Collection[str] = (),
        open_paths: Collection[str] = (),
        link_paths: Collection[str] = LINK_PATHS,
    ) -> None:
        self._open_paths, self._link_paths = frozenset(open_paths), frozenset(link_paths)
        self._local = ipaddress.ip_address(host).is_loopback
        self._allowed = frozenset(allowed)
        own = socket.gethostname().lower()
        self._names = {*LOCAL_NAMES, *allowed} | (set() if self._local else {own, f"{own}.local"})
        self.token = "" if self._local and not allowed else secrets.token_urlsafe(16)

    def refusal(self, scope: Scope) -> Response | None:
        """Return the response to a rejected request; None if the request is accepted."""
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not self._is_known_host(host_of(host)):
            message = f"{host[:100]!a} is not a host name of this page: use the URL that vidstyle"
            return PlainTextResponse(f"{message} printed, or add --allow-host NAME", 421)
        cross_origin = "origin" in headers and not self._same_origin(headers["origin"], host)
        site = headers.get("sec-fetch-site", "none")
        if cross_origin or (
            site not in ("none", "same-origin") and not self._is_link(scope, headers)
        ):
            return PlainTextResponse("cross-origin requests are rejected", 403)
        if not self.token or scope["path"] in self._open_paths or self._has_token(scope, headers):
            return None
        message = "this page requires a token: open the whole URL that vidstyle printed"
        return PlainTextResponse(message, 401)

    def _is_known_host(self, host: str) -> bool:
        """Whether a host name belongs to this page.

        Any other name may be an attacker's that resolves to this machine (DNS rebinding).
        """
        return host in self._names or (not self._local and is_address(host))

    def _same_origin(self, origin: str, host: str) -> bool:
        """Whether an origin is this page's. Behind a proxy its scheme may be https."""
        scheme, _, netloc = origin.partition("://")
        default = DEFAULT_PORTS.get(scheme)
        if default is None:
            return False
        return host_of(netloc) in self._allowed or _split(netloc, default) == _split(host, default)

    def _is_link(self, scope: Scope, headers: dict[str, str]) -> bool:
        """Whether the browser opens a link in a tab, which the site with the link cannot read."""
        mode = headers.get("sec-fetch-mode", "navigate")
        target = headers.get("sec-fetch-dest", "document")
        in_a_tab = mode == "navigate" and target == "document"
        return in_a_tab and scope["method"] == "GET" and scope["path"] in self._link_paths

    def _has_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        given.append(headers.get(TOKEN_HEADER, ""))
        given.append(headers.get("authorization", "").removeprefix("Bearer "))
        # In constant time, which reveals nothing about the token.
        token = self.token.encode()
        return any(secrets.compare_digest(each.encode(), token) for each in given)


def _split(netloc: str, default_port: int) -> tuple[str, str]:
    return host_of(netloc), netloc.rpartition("]")[2].partition(":")[2] or str(default_port)


class Guard:
    """ASGI middleware that rejects requests as ``Access`` decides, and adds security headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await (self._access.refusal(scope) or self._app)(scope, receive, with_headers)
