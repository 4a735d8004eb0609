"""The newest picture as JPEG for everyone who watches, as an endless stream or one by one."""

import asyncio
import math
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ...io.frame import Image
from ...io.images import jpeg

MOST_VIEWERS = 16
"""Number of viewers who may watch at once."""

WAIT_SECONDS = 0.5
"""Seconds for which a request for a new picture waits.

A browser opens six connections to a host at most, and its tabs share them.
"""

VIEWER_SECONDS = 3.0
"""Seconds for which a viewer who asks for pictures one by one counts after each answer."""

VIEWER_LETTERS = 40
"""Letters of a viewer's name that count."""

NUMBER_HEADER = "x-picture-number"

JPEG_START = b"\xff\xd8\xff\xe0"
"""Of a picture, and of the JFIF segment that comes first in all of OpenCV's."""


class FrameBroadcast:
    """Encodes each picture once for all viewers, and only while somebody watches.

    All but ``show`` and ``viewers`` runs on the server's event loop.
    """

    def __init__(self) -> None:
        self._image: Image | None = None  # the newest
        self._encoded_image: Image | None = None  # the one in _jpeg
        self._jpeg, self._number = b"", 0
        # Viewer -> moment from which it no longer counts. Replaced and never changed, since
        # another thread reads it.
        self._viewers: dict[object, float] = {}
        self._wanted, self._encoded = asyncio.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    @property
    def viewers(self) -> int:
        """Number of viewers who watch now."""
        now = time.monotonic()
        return sum(until > now for until in self._viewers.values())

    def show(self, image: Image) -> None:
        """Hand over (H, W, 3 or 4) RGB, on any thread. Never waits for a viewer."""
        self._image = image
        if self.viewers:
            self.call(self._wanted.set)

    def call(self, what: Callable[[], None]) -> None:
        """Have something done on the event loop; may be called on any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(what)

    def start(self) -> "asyncio.Task[None]":
        """Begin on the running event loop.

        Returns:
            The task that encodes, to be cancelled at the end.
        """
        self._loop = asyncio.get_running_loop()
        return self._loop.create_task(self._encode())

    async def _encode(self) -> None:
        """Encode the newest picture whenever there is one."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            image = self._image
            if image is not None and image is not self._encoded_image:
                self._jpeg = await asyncio.to_thread(jpeg, image)
                self._number, self._encoded_image = self._number + 1, image
                encoded, self._encoded = self._encoded, asyncio.Event()
                encoded.set()

    def close(self) -> None:
        """End all streams."""
        self._closing = True
        self._encoded.set()

    def enter(self, viewer: object, seconds: float = math.inf) -> None:
        """Count a viewer for so many seconds from now.

        Raises:
            HTTPException: as many viewers as may are watching.
        """
        now = time.monotonic()
        self.leave(viewer)
        watching = {each: until for each, until in self._viewers.items() if until > now}
        if len(watching) >= MOST_VIEWERS:
            words = f"{MOST_VIEWERS} viewers are watching already, which is the most there may be"
            raise HTTPException(503, words)
        self._viewers = {**watching, viewer: now + seconds}
        self._wanted.set()  # what is encoded may be from when somebody last watched

    def leave(self, viewer: object) -> None:
        """Count a viewer no longer."""
        self._viewers = {each: until for each, until in self._viewers.items() if each != viewer}

    async def newer(self, number: int) -> tuple[int, bytes] | None:
        """The newest picture with its number, as soon as it is not the one of this number.

        Returns:
            None when the page closes.
        """
        while self._number == number and not self._closing:
            await self._encoded.wait()
        return None if self._closing else (self._number, self._jpeg)

    def _outdated(self) -> int:
        """The number after which a new viewer's first picture comes."""
        newest = self._image is self._encoded_image and self._image is not None
        return self._number - 1 if newest else self._number

    async def all(self) -> AsyncGenerator[bytes, None]:
        """The newest picture whenever there is one, until the page closes.

        A slow viewer gets fewer.
        """
        number = self._outdated()
        while (found := await self.newer(number)) is not None:
            number, picture = found
            yield picture

    def parts(self, request: Request) -> Response:
        """MJPEG for browsers: a document of parts, each of which replaces the one before."""

        async def body() -> AsyncIterator[bytes]:
            yield b"--frame\r\n"
            async with aclosing(self.all()) as pictures:
                async for picture in pictures:
                    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
                    # Browsers show a part when they see that it has ended.
                    yield head + picture + b"\r\n--frame\r\n"

        return _Stream(self, body(), "multipart/x-mixed-replace; boundary=frame")

    def plain(self, request: Request) -> Response:
        """MJPEG for players and OBS: one JPEG after another."""

        async def body() -> AsyncIterator[bytes]:
            yield JPEG_START
            async with aclosing(self.all()) as pictures:
                async for picture in pictures:
                    # FFmpeg takes a picture when the next one begins.
                    yield picture.removeprefix(JPEG_START) + JPEG_START

        return _Stream(self, body(), "video/x-motion-jpeg")

    async def single(self, request: Request) -> Response:
        """One JPEG: the newest, or the next one where ``?after=`` gives the number of the newest.

        The answer has no content where there is none within ``WAIT_SECONDS``. ``?viewer=`` names
        the viewer, so that one who asks again and again is counted once.
        """
        named = request.query_params.get("viewer", "")[:VIEWER_LETTERS]
        viewer: object = named or object()
        after = request.query_params.get("after", "")
        number = int(after) if re.fullmatch("[0-9]{1,18}", after) else self._outdated()
        self.enter(viewer, WAIT_SECONDS + VIEWER_SECONDS)
        try:
            found = await asyncio.wait_for(self.newer(number), WAIT_SECONDS)
        except TimeoutError:
            found = None
        finally:
            if not named:
                self.leave(viewer)
        if found is None:
            return Response(status_code=204)
        return Response(found[1], media_type="image/jpeg", headers={NUMBER_HEADER: str(found[0])})


class _Stream(StreamingResponse):
    """A stream of pictures; who receives it counts as a viewer as long as it lasts."""

    def __init__(
        self, pictures: FrameBroadcast, body: AsyncIterator[bytes], media_type: str
    ) -> None:
        super().__init__(body, media_type=media_type)
        self._pictures = pictures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._pictures.enter(self)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._pictures.leave(self)
