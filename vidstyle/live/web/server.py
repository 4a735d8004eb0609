"""The control page's server: the picture, the state, commands and pictures that become styles."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib import resources
from threading import Event
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ...errors import DeviceError, VidstyleError
from ...io.frame import Image
from ...io.images import decode_image, jpeg
from ...runtime.worker import Worker
from ..commands import parse_command
from ..controls import MOST_STYLES
from .access import Access, Guard
from .address import own_address
from .connection import Connection
from .frames import FrameBroadcast

if TYPE_CHECKING:
    from ..session import Session

COMMAND_BYTES, UPLOAD_BYTES = 1 << 16, 20 << 20
COMMAND_SECONDS, UPLOAD_SECONDS = 10, 60
"""Most bytes of a command and of an uploaded picture, and most seconds for it to arrive."""

UPLOAD_PX = 1 << 25
"""Most pixels of an uploaded picture, or a quarter of a JPEG's: they take 230 MB on their way to a style."""

MOST_UPLOADS = 4
"""Number of pictures that may be on their way at once."""

NAME_LETTERS = 40
"""Letters of an uploaded picture's name that are kept."""

THUMBNAIL_PX = 160
START_SECONDS = 10
FILES = {"": "index.html", "page.css": "page.css", "page.js": "page.js"}
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


class Page:
    """The control page's server, in a thread of its own. A ``Output`` of a live session.

    ``url`` is where the page is, with its token where it needs one: see ``Access``.

    Args:
        server: where to listen, a bound socket; it is closed with the page.
        allowed: more host names the page is reached under: those of a proxy, a tunnel or a home
            network.
    """

    def __init__(self, server: socket.socket, allowed: Collection[str] = ()) -> None:
        self._server_socket = server
        host, port = server.getsockname()[:2]
        self._access = Access(host, allowed)
        shown = own_address(server.family) if ipaddress.ip_address(host).is_unspecified else host
        query = f"?token={self._access.token}" if self._access.token else ""
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/{query}"
        self._pictures = FrameBroadcast()
        self._thumbnails: dict[str, bytes] = {}
        self._uploads, self._analysis = 0, asyncio.Lock()
        self._started = Event()
        self._thread: Worker | None = None

    def open(self, session: "Session") -> None:
        """Serve.

        Raises:
            DeviceError: the server does not start.
        """
        self._session = session
        routes = [Route(f"/{name}", self._file) for name in FILES]
        routes += [
            Route("/picture.mjpg", self._pictures.parts),
            Route("/picture.mjpeg", self._pictures.plain),
            Route("/picture.jpg", self._pictures.single),
            Route("/state", self._state),
            Route("/order", self._command, methods=["POST"]),
            Route("/styles", self._upload, methods=["POST"]),
            Route("/styles/{number:int}.jpg", self._thumbnail),
        ]
        app = Guard(Starlette(routes=routes, lifespan=self._alive), self._access)
        config = uvicorn.Config(
            app,
            http=Connection,
            log_config=None,
            log_level="critical",  # of what others send it would print lines of its own
            access_log=False,
            lifespan="on",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._server_socket.listen()  # a connection before the server is ready waits, and is not refused
        self._thread = Worker(lambda stage: self._server.run(sockets=[self._server_socket]), "page")
        if not self._started.wait(START_SECONDS):
            self.close()
            reason = self._thread.error
            raise DeviceError(f"the control page does not start ({reason}): go without --web")

    @asynccontextmanager
    async def _alive(self, app: Starlette) -> AsyncIterator[None]:
        encoder = self._pictures.start()
        self._started.set()
        yield
        encoder.cancel()

    def show(self, image: Image) -> None:
        """Show (H, W, 3 or 4) RGB to all viewers. Does not wait for anyone."""
        self._pictures.show(image)

    def close(self) -> None:
        """End all connections. Calling it twice does no harm."""
        if self._thread is not None:
            self._pictures.call(self._pictures.close)
            self._server.should_exit = True  # the server looks at it ten times a second
            self._thread.join(START_SECONDS)
        self._server_socket.close()

    async def _file(self, request: Request) -> Response:
        name = FILES[request.url.path[1:]]
        data = (resources.files(__package__) / "page" / name).read_bytes()
        return Response(data, media_type=KINDS[name.rpartition(".")[2]])

    async def _state(self, request: Request) -> Response:
        return JSONResponse({**self._session.status(), "viewers": self._pictures.viewers})

    async def _command(self, request: Request) -> Response:
        try:
            self._session.order(parse_command(await _body(request, COMMAND_BYTES, COMMAND_SECONDS)))
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        return Response(status_code=204)

    async def _upload(self, request: Request) -> Response:
        if self._uploads >= MOST_UPLOADS:
            words = f"{MOST_UPLOADS} pictures are being uploaded already: try again in a moment"
            raise HTTPException(503, words)
        self._uploads += 1
        try:
            data = await _body(request, UPLOAD_BYTES, UPLOAD_SECONDS)
            async with self._analysis:  # one by one: a large picture takes much memory
                return await self._add_style(request.query_params.get("name", ""), data)
        finally:
            self._uploads -= 1

    async def _add_style(self, given_name: str, data: bytes) -> Response:
        if len(self._session.steering.styles) >= MOST_STYLES:
            words = f"there are {MOST_STYLES} styles already, which is the most there may be"
            raise HTTPException(409, words)
        printable = "".join(letter for letter in given_name if letter.isprintable())
        name = printable[:NAME_LETTERS].strip() or "picture"
        try:
            limits = ("the picture", UPLOAD_PX)
            image = await asyncio.to_thread(decode_image, data, *limits, reduced=True)
            if image is None:
                words = "not a picture that can be read: use a PNG, JPEG, WebP, BMP or TIFF file"
                raise HTTPException(415, words)
            await asyncio.to_thread(self._session.add_style, name, image)
        except VidstyleError as error:
            raise HTTPException(415, str(error)) from None
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return Response(status_code=204)

    async def _thumbnail(self, request: Request) -> Response:
        styles, number = self._session.steering.styles, request.path_params["number"]
        if number >= len(styles):
            raise HTTPException(404, "there is no such style")
        name, _ = styles[number]
        if name not in self._thumbnails:
            small = self._session.steering.thumbnail(number, THUMBNAIL_PX)
            self._thumbnails[name] = await asyncio.to_thread(jpeg, small)
        return Response(self._thumbnails[name], media_type="image/jpeg")


async def _body(request: Request, limit: int, seconds: float) -> bytes:
    """The body of a request.

    Raises:
        HTTPException: it is longer than ``limit`` bytes, or does not arrive in time.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                data += part
                if len(data) > limit:
                    words = f"this is more than {limit >> 10} KiB, which is the most that is taken"
                    raise HTTPException(413, words)
    except TimeoutError:
        raise HTTPException(408, f"this took longer than {seconds} s to arrive") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection was closed before all had arrived") from None
    return bytes(data)
