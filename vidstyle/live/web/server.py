"""The server of the control page: frames, state, commands, and uploads of style images."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import DeviceError, VidstyleError
from ...io.frame import Image
from ...io.images import jpeg
from ...web.access import Access, Guard
from ...web.address import server_url
from ...web.connection import Connection
from ...web.running import RunningServer
from ...web.uploads import UPLOAD_BYTES, UPLOAD_SECONDS, decode_upload, read_body
from ..browser_camera import BrowserCamera
from ..commands import parse_command, warn_old_name
from ..controls import MAX_STYLES
from .frames import FrameBroadcast

if TYPE_CHECKING:
    from ..session import Session
    from .browser_video import BrowserVideo

COMMAND_BYTES, COMMAND_SECONDS = 1 << 16, 10
"""Largest size in bytes of a command, and time limit in seconds for receiving it."""

MAX_UPLOADS = 4
"""Number of simultaneous uploads."""

MAX_STYLE_NAME_LENGTH = 40
"""Characters of an uploaded image's name that are kept."""

THUMBNAIL_PX = 160
"""Long side of the thumbnails in px."""

SHEETS = "page.css", "camera.css"
SCRIPTS = ("toasts.js", "page.js", "keys.js", "fullscreen.js", "presets.js", "camera.js")
FILES = {"": "index.html", **{name: name for name in (*SHEETS, *SCRIPTS)}}
"""Path without its slash -> file of the page."""

MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}

LINK_PATHS = ("/", "/frame.mjpg", "/frame.mjpeg", "/frame.jpg")
"""Paths that a link on another site may open in a tab."""

OLD_PATHS = {
    "/picture.mjpg": "/frame.mjpg",
    "/picture.mjpeg": "/frame.mjpeg",
    "/picture.jpg": "/frame.jpg",
    "/order": "/command",
}
"""Paths of version 0.1 -> present paths. They work until the next version."""


class Page:
    """The control page: an ``Output`` that runs a server on a thread of its own.

    ``url`` is the page's URL, with its token if it requires one (see ``Access``), and
    ``for_other_devices`` says whether others than this machine can open it.

    Args:
        server: a bound socket, see ``address.listen``; ``close`` closes it.
        allowed: additional host names of the page: of a proxy, a tunnel or a local network.
        camera: the source of the session, if the page gives it the camera of a browser.
        certificate: for HTTPS; None: HTTP.

    Raises:
        DeviceError: the optional dependencies of a browser's camera are missing.
    """

    def __init__(
        self,
        server: socket.socket,
        allowed: Collection[str] = (),
        camera: BrowserCamera | None = None,
        certificate: ssl.SSLContext | None = None,
    ) -> None:
        self._server_socket = server
        host = server.getsockname()[0]
        paths = [f"/{name}" for name in FILES]
        self._access = Access(host, allowed, open_paths=paths, link_paths=LINK_PATHS)
        scheme = "http" if certificate is None else "https"
        self.url = server_url(server, self._access.token, scheme)
        self.for_other_devices = not ipaddress.ip_address(host).is_loopback
        self._broadcast = FrameBroadcast()
        self._thumbnails: dict[str, bytes] = {}
        self._uploads, self._analysis = 0, asyncio.Lock()
        address = self.url if self.for_other_devices else ""
        self._video = None if camera is None else _browser_video(camera, address)
        self._running = RunningServer(server, Connection, "page", certificate)

    def open(self, session: "Session") -> None:
        """Start the server.

        Raises:
            DeviceError: the server does not start.
        """
        self._session = session
        if self._video is not None:
            self._video.open(session)
        app = Starlette(routes=self._routes(), lifespan=self._lifespan)
        if not self._running.start(OldPaths(Guard(app, self._access))):
            self.close()
            reason = self._running.error
            raise DeviceError(f"the control page does not start ({reason}): go without --web")

    def _routes(self) -> list[Route]:
        return [
            *(Route(f"/{name}", self._file) for name in FILES),
            Route("/frame.mjpg", self._broadcast.multipart_stream),
            Route("/frame.mjpeg", self._broadcast.jpeg_stream),
            Route("/frame.jpg", self._broadcast.single_frame),
            Route("/state", self._state),
            Route("/command", self._command, methods=["POST"]),
            Route("/styles", self._upload, methods=["POST"]),
            Route("/styles/{number:int}.jpg", self._thumbnail),
            *(self._video.routes() if self._video is not None else ()),
        ]

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        encoder = self._broadcast.start()
        self._running.started.set()
        yield
        encoder.cancel()
        if self._video is not None:
            await self._video.end()

    def show(self, image: Image) -> None:
        """Show (H, W, 3 or 4) RGB to all viewers. Does not block."""
        self._broadcast.show(image)
        if self._video is not None:
            self._video.show(image)

    def close(self) -> None:
        """End all connections and the server. Further calls have no effect."""
        if self._running.thread is not None:
            self._broadcast.call(self._broadcast.close)
        self._running.end()
        self._running.join()
        self._server_socket.close()

    async def _file(self, request: Request) -> Response:
        name = FILES[request.url.path[1:]]
        data = (resources.files(__package__) / "page" / name).read_bytes()
        return Response(data, media_type=MEDIA_TYPES[name.rpartition(".")[2]])

    async def _state(self, request: Request) -> Response:
        video = None if self._video is None else self._video.state()
        more = {"viewers": self._broadcast.viewers, "browser_camera": video}
        return JSONResponse({**self._session.status(), **more})

    async def _command(self, request: Request) -> Response:
        try:
            command = parse_command(await read_body(request, COMMAND_BYTES, COMMAND_SECONDS))
            self._session.command(command)
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        return Response(status_code=204)

    async def _upload(self, request: Request) -> Response:
        if self._uploads >= MAX_UPLOADS:
            message = f"{MAX_UPLOADS} images are being uploaded already: try again in a moment"
            raise HTTPException(503, message)
        self._uploads += 1
        try:
            data = await read_body(request, UPLOAD_BYTES, UPLOAD_SECONDS)
            async with self._analysis:  # one at a time, which limits the memory
                return await self._add_style(request.query_params.get("name", ""), data)
        finally:
            self._uploads -= 1

    async def _add_style(self, given_name: str, data: bytes) -> Response:
        if len(self._session.controls.styles) >= MAX_STYLES:
            message = f"there are {MAX_STYLES} styles already, which is the maximum"
            raise HTTPException(409, message)
        printable = "".join(letter for letter in given_name if letter.isprintable())
        name = printable[:MAX_STYLE_NAME_LENGTH].strip() or "image"
        notes = [f"{name} was added"]

        def warn(message: str, *values: object) -> None:
            notes.append(message % values)

        image = await decode_upload(data, name, warn)
        try:
            await asyncio.to_thread(self._session.add_style, name, image)
        except VidstyleError as error:
            raise HTTPException(415, str(error)) from None
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        self._session.messages.add("; ".join(notes))
        return Response(status_code=204)

    async def _thumbnail(self, request: Request) -> Response:
        styles, number = self._session.controls.styles, request.path_params["number"]
        if number >= len(styles):
            raise HTTPException(404, f"there is no style {number}: see /state for the styles")
        name, _ = styles[number]
        if name not in self._thumbnails:
            small = self._session.controls.thumbnail(number, THUMBNAIL_PX)
            self._thumbnails[name] = await asyncio.to_thread(jpeg, small)
        return Response(self._thumbnails[name], media_type="image/jpeg")


def _browser_video(camera: BrowserCamera, address: str) -> "BrowserVideo":
    """See ``BrowserVideo``, whose dependencies other sessions do not need."""
    from .browser_video import BrowserVideo

    return BrowserVideo(camera, address)


class OldPaths:
    """ASGI middleware that serves the paths of version 0.1, with a warning in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process a request."""
        if scope["type"] == "http" and scope["path"] in OLD_PATHS:
            path = OLD_PATHS[scope["path"]]
            warn_old_name(scope["path"], path)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)
