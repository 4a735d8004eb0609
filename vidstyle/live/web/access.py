"""Which requests the control page answers."""

import ipaddress
import secrets
import socket
from collections.abc import Collection
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .address import host_of, is_address

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

TOKEN_HEADER = "x-vidstyle-token"

OPEN_PATHS = ("/", "/page.css", "/page.js")
"""Paths answered without the token. They hold no secret; the script sends the token."""

LINK_PATHS = ("/", "/picture.mjpg", "/picture.mjpeg", "/picture.jpg")
"""Paths that a link on another site may lead to."""

DEFAULT_PORTS = {"http": 80, "https": 443}

CONTENT_POLICY = b"default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'"
HEADERS = (
    (b"content-security-policy", CONTENT_POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Access:
    """Decides who may use the control page, from where the server listens.

    Whoever is on this machine may use a page that listens on the loopback interface. In all other
    cases, and when more host names are allowed, requests need the token. A request carries it as
    ``?token=TOKEN``, as ``Authorization: Bearer TOKEN``, or as ``X-Vidstyle-Token: TOKEN``, which
    leaves ``Authorization`` to a proxy that asks for a password itself. There is no cookie, so no
    page of another site can make a browser send the token.

    Args:
        host: the IP address where the server listens.
        allowed: more host names the page is reached under, as ``check_host_name`` returns them.
    """

    def __init__(self, host: str, allowed: Collection[str] = ()) -> None:
        self._local = ipaddress.ip_address(host).is_loopback
        self._allowed = frozenset(allowed)
        own = socket.gethostname().lower()
        self._names = {*LOCAL_NAMES, *allowed} | (set() if self._local else {own, f"{own}.local"})
        self.token = "" if self._local and not allowed else secrets.token_urlsafe(16)

    def refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that is refused; None where it is let through."""
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not self._known(host_of(host)):
            words = f"this page is not at {host[:100]!a}: use the address that vidstyle printed"
            return PlainTextResponse(f"{words}, or start vidstyle with --allow-host NAME", 421)
        foreign = "origin" in headers and not self._same_origin(headers["origin"], host)
        site = headers.get("sec-fetch-site", "none")
        if foreign or (site not in ("none", "same-origin") and not _is_link(scope, headers)):
            return PlainTextResponse("pages of other sites may not use this page", 403)
        if not self.token or scope["path"] in OPEN_PATHS or self._knows_token(scope, headers):
            return None
        words = "this page needs its token: open the whole address that vidstyle printed"
        return PlainTextResponse(words, 401)

    def _known(self, host: str) -> bool:
        """Whether the page may be reached under this name.

        Other people's names may lead here too (DNS rebinding).
        """
        return host in self._names or (not self._local and is_address(host))

    def _same_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this origin is ours. With a proxy in front its scheme may be https."""
        parts = urlsplit(origin) if origin.startswith(("http://", "https://")) else urlsplit("")
        if host_of(parts.netloc) in self._allowed:
            return True
        default = DEFAULT_PORTS.get(parts.scheme)
        return default is not None and _split(parts.netloc, default) == _split(host, default)

    def _knows_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        given.append(headers.get(TOKEN_HEADER, ""))
        given.append(headers.get("authorization", "").removeprefix("Bearer "))
        # The time a comparison takes does not tell how much of a wrong token is right.
        return any(secrets.compare_digest(each.encode(), self.token.encode()) for each in given)


def _split(netloc: str, default_port: int) -> tuple[str, str]:
    return host_of(netloc), netloc.rpartition("]")[2].partition(":")[2] or str(default_port)


def _is_link(scope: Scope, headers: dict[str, str]) -> bool:
    """Whether the browser opens a link in a tab, where the page of another site cannot see it."""
    mode = headers.get("sec-fetch-mode", "navigate")
    target = headers.get("sec-fetch-dest", "document")
    in_a_tab = mode == "navigate" and target == "document"
    return in_a_tab and scope["method"] == "GET" and scope["path"] in LINK_PATHS


class Guard:
    """Lets requests through to an application, as ``Access`` decides, and protects the answers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await (self._access.refusal(scope) or self._app)(scope, receive, with_headers)
