"""The control page: the painting as it forms, and what steers it. The only module that knows Starlette and uvicorn."""

import asyncio
import ipaddress
import json
import re
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from http.cookies import CookieError, SimpleCookie
from importlib import resources
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from ..errors import DeviceError, InputError
from ..media.frame import Image
from ..media.pictures import decode_picture, jpeg
from ..stage import Stage

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError:
    raise DeviceError("the control page needs Starlette and uvicorn: pip install 'vidstyle[web]'") from None

if TYPE_CHECKING:
    from .session import Session

HOST, PORT = "127.0.0.1", 8765
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

MOST_VIEWERS, MOST_STYLES = 16, 64
ORDER_BYTES, UPLOAD_BYTES = 1 << 16, 20 << 20
UPLOAD_SECONDS = 60
UPLOAD_PX = 1 << 25
"""Most pixels of an uploaded picture, or a quarter of a JPEG's: they take 230 MB on their way to a style."""

NAME_LENGTH = 40

THUMBNAIL_PX = 160

SEND_BYTES = 1 << 17
"""That the system keeps for a viewer who does not read: a few pictures, so that a slow one is not far behind."""

JPEG_START = b"\xff\xd8\xff\xe0"
"""Of a picture, and of the JFIF segment that comes first in all of OpenCV's."""

START_SECONDS = 10
COOKIE = "vidstyle"
FILES = {"": "index.html", "page.css": "page.css", "page.js": "page.js"}
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
HEADERS = (
    (b"content-security-policy", b"default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


def listen(address: str = "") -> socket.socket:
    """A socket on HOST:PORT; either may be left out.

    Raises:
        ValueError: no such address can be meant.
        DeviceError: it cannot be had.
    """
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]*?))(?::?(\d+))?", address)
    if not match or int(match[3] or 0) > 65535:
        raise ValueError(f"{address!r} is no address for the control page: use HOST:PORT, such as {HOST}:{PORT}")
    host, port = match[1] or match[2] or HOST, int(match[3] or PORT)
    try:
        family, kind, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.socket(family, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        try:
            server.bind(found)
        except OSError:
            server.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise DeviceError(f"the control page cannot listen on {host} port {port} ({reason}): choose another with --web") from None
    return server


class Page:
    """The page's server, in a thread of its own. A ``Screen`` of a live session.

    On the loopback interface whoever is on this machine may steer. Elsewhere only who knows the token in ``url``, a new one
    each time. Requests that another site's page makes are refused, and so are names that only claim to be this machine.

    Args:
        server: where to listen, a bound socket; it is closed with the page.
    """

    def __init__(self, server: socket.socket) -> None:
        self._server_socket = server
        host, port = server.getsockname()[:2]
        self._local = ipaddress.ip_address(host).is_loopback
        self._token = "" if self._local else secrets.token_urlsafe(16)
        shown = own_address(server.family) if ipaddress.ip_address(host).is_unspecified else host
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/" + (f"?token={self._token}" if self._token else "")
        self._image: Image | None = None
        self._jpeg, self._number, self._viewers = b"", 0, 0
        self._thumbnails: dict[str, bytes] = {}
        self._started, self._closing = Event(), False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Stage | None = None

    def open(self, session: "Session") -> None:
        """Serve.

        Raises:
            DeviceError: the server does not start.
        """
        self._session = session
        routes = [Route(f"/{name}", self._file) for name in FILES]
        routes += [
            Route("/picture.mjpg", self._parts),
            Route("/picture.mjpeg", self._plain),
            Route("/state", self._state),
            Route("/order", self._order, methods=["POST"]),
            Route("/styles", self._upload, methods=["POST"]),
            Route("/styles/{number:int}.jpg", self._thumbnail),
        ]
        app = _Guard(Starlette(routes=routes, lifespan=self._alive), self._local, self._token)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="on", ws="none", server_header=False, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = Stage(lambda stage: self._server.run(sockets=[self._server_socket]), "page")
        if not self._started.wait(START_SECONDS):
            self.close()
            raise DeviceError(f"the control page does not start ({self._thread.error}): go without --web")

    @asynccontextmanager
    async def _alive(self, app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        self._new, self._encoded = asyncio.Event(), asyncio.Event()
        encoder = asyncio.create_task(self._encode())
        self._started.set()
        yield
        encoder.cancel()

    def show(self, image: Image) -> None:
        """Show (H, W, 3 or 4) RGB to whoever looks. Does not wait for anyone."""
        self._image = image
        if self._viewers:
            self._call(self._new.set)

    def close(self) -> None:
        """Let everyone go. Calling it twice does no harm."""

        def end() -> None:
            self._closing = True
            self._encoded.set()
            self._server.should_exit = True

        if self._thread is not None:
            self._call(end)
            self._thread.join()
        self._server_socket.close()

    def _call(self, what: Callable[[], None]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(what)

    async def _encode(self) -> None:
        """The newest picture as JPEG, once for all who look; those that came meanwhile are passed over."""
        while True:
            await self._new.wait()
            self._new.clear()
            if self._image is not None:
                self._jpeg = await asyncio.to_thread(jpeg, self._image)
                self._number += 1
                encoded, self._encoded = self._encoded, asyncio.Event()
                encoded.set()

    async def _file(self, request: Request) -> Response:
        name = FILES[request.url.path[1:]]
        data = (resources.files(__package__) / "page" / name).read_bytes()
        return Response(data, media_type=KINDS[name.rpartition(".")[2]])

    async def _parts(self, request: Request) -> Response:
        """For browsers: a document of parts, each of which replaces the one before."""

        async def body() -> AsyncIterator[bytes]:
            yield b"--frame\r\n"
            async with aclosing(self._pictures()) as pictures:
                async for picture in pictures:
                    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
                    yield head + picture + b"\r\n--frame\r\n"  # browsers show a part when they see that it has ended

        return self._stream(body(), "multipart/x-mixed-replace; boundary=frame")

    async def _plain(self, request: Request) -> Response:
        """For OBS: one JPEG after another."""

        async def body() -> AsyncIterator[bytes]:
            yield JPEG_START
            async with aclosing(self._pictures()) as pictures:
                async for picture in pictures:
                    yield picture.removeprefix(JPEG_START) + JPEG_START  # FFmpeg takes a picture when the next one begins

        return self._stream(body(), "video/x-motion-jpeg")

    def _stream(self, body: AsyncIterator[bytes], media_type: str) -> Response:
        if self._viewers >= MOST_VIEWERS:
            raise HTTPException(503, f"{MOST_VIEWERS} already look on")
        return StreamingResponse(body, media_type=media_type)

    async def _pictures(self) -> AsyncGenerator[bytes, None]:
        """The newest picture as JPEG whenever there is one; who is slow to take them gets fewer."""
        self._viewers += 1
        seen = self._number
        self._new.set()  # what there is may be from when the last one looked
        try:
            while True:
                while self._number == seen and not self._closing:
                    await self._encoded.wait()
                if self._closing:
                    return
                seen = self._number
                yield self._jpeg
        finally:
            self._viewers -= 1

    async def _state(self, request: Request) -> Response:
        return JSONResponse({**self._session.state, "viewers": self._viewers})

    async def _order(self, request: Request) -> Response:
        try:
            given = json.loads(await _body(request, ORDER_BYTES))
            if not isinstance(given, dict):
                raise TypeError("an order is an object")
            self._session.order(given)
        except (ValueError, TypeError, RecursionError) as error:
            return PlainTextResponse(str(error)[:500], 400)
        return Response(status_code=204)

    async def _upload(self, request: Request) -> Response:
        if len(self._session.steering.styles) >= MOST_STYLES:
            raise HTTPException(409, f"there are {MOST_STYLES} styles already")
        data = await _body(request, UPLOAD_BYTES)
        try:
            image = await asyncio.to_thread(decode_picture, data, "the picture", UPLOAD_PX, reduced=True)
        except InputError as error:
            raise HTTPException(415, str(error)) from None
        if image is None:
            raise HTTPException(415, "not a picture that can be read: use a PNG, JPEG, WebP, BMP or TIFF file")
        given = request.query_params.get("name", "")
        name = "".join(letter for letter in given if letter.isprintable())[:NAME_LENGTH].strip() or "picture"
        await asyncio.to_thread(self._session.add_style, name, image)
        return Response(status_code=204)

    async def _thumbnail(self, request: Request) -> Response:
        styles, number = self._session.steering.styles, request.path_params["number"]
        if number >= len(styles):
            raise HTTPException(404, "there is no such style")
        name, _ = styles[number]
        if name not in self._thumbnails:
            self._thumbnails[name] = await asyncio.to_thread(jpeg, self._session.steering.thumbnail(number, THUMBNAIL_PX))
        return Response(self._thumbnails[name], media_type="image/jpeg")


class _Guard:
    """Lets through what comes from this page, or from no page at all, and from who knows the token."""

    def __init__(self, app: ASGIApp, local: bool, token: str) -> None:
        self._app, self._local, self._token = app, local, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = self._answer(scope, headers)
        await (answer or self._app)(scope, receive, with_headers)

    def _answer(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        """What to say instead of what was asked for; None: let it through."""
        host = headers.get("host", "")
        if not self._known(host):
            return PlainTextResponse(f"this page is not at {host[:100]!r}: use the address that vidstyle printed", 421)
        entering = scope["path"] == "/" and scope["method"] == "GET"
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return PlainTextResponse("another site's page may not steer this one", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not entering:
            return PlainTextResponse("another site's page may not look at this one", 403)
        return self._ask_token(scope, headers, entering) if self._token else None

    def _ask_token(self, scope: Scope, headers: dict[str, str], entering: bool) -> Response | None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if entering and self._right(given):
            cookie = f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            return RedirectResponse("/", 303, {"set-cookie": cookie})
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._right(bearer) or self._right(_cookie(headers.get("cookie", ""))):
            return None
        return PlainTextResponse("this page asks for the token in the address that vidstyle printed", 401)

    def _right(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _known(self, host: str) -> bool:
        """Whether it is this machine that was meant. A name of someone else's may lead here all the same (DNS rebinding)."""
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            if self._local:
                return name in LOCAL_NAMES
            if name in (*LOCAL_NAMES, socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"):
                return True
            ipaddress.ip_address(name)
            return True
        return False


def _cookie(header: str) -> str:
    with suppress(CookieError):
        found = SimpleCookie(header).get(COOKIE)
        return found.value if found else ""
    return ""


async def _body(request: Request, limit: int) -> bytes:
    """All of a request's body, if it is no longer than that and comes in time."""
    data = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for part in request.stream():
                data += part
                if len(data) > limit:
                    raise HTTPException(413, f"more than {limit >> 10} KiB")
    except TimeoutError:
        raise HTTPException(408, f"it took longer than {UPLOAD_SECONDS} s") from None
    return bytes(data)


def own_address(family: int) -> str:
    """Of this machine in its network, as far as it knows; nothing is sent."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(("2001:db8::1", 9) if family == socket.AF_INET6 else ("192.0.2.1", 9))  # for documentation (RFC 5737)
        return str(probe.getsockname()[0])
    return socket.gethostname()
