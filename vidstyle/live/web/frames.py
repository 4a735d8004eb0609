"""The newest frame as JPEG for all viewers: as a stream (MJPEG), or one image per request."""

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

MAX_VIEWERS = 24
"""Number of simultaneous viewers."""

WAIT_SECONDS = 0.5
"""Seconds for which a request waits for a new frame.

A browser opens six connections to a host at most, which all of its tabs share.
"""

VIEWER_SECONDS = 3.0
"""Seconds after an answer for which a viewer that requests single frames is counted."""

MAX_VIEWER_NAME_LENGTH = 40
"""Characters of a viewer's name that are used."""

NUMBER_HEADER, OLD_NUMBER_HEADER = "x-frame-number", "x-picture-number"
"""HTTP header with a frame's number; the second one is its name in version 0.1."""

JPEG_START = b"\xff\xd8\xff\xe0"
"""First bytes of each JPEG that OpenCV writes: SOI, and the marker of the JFIF segment."""


class FrameBroadcast:
    """Encodes each frame once for all viewers, and only if there are any.

    ``show``, ``viewers`` and ``call`` are thread-safe; everything else runs on the event loop of
    the server.
    """

    def __init__(self) -> None:
        self._image: Image | None = None  # the newest frame
        self._encoded_image: Image | None = None  # the frame in _jpeg
        self._jpeg, self._number = b"", 0
        # Viewer -> time.monotonic until which it counts. The dictionary is replaced, never
        # modified, since another thread reads it.
        self._viewers: dict[object, float] = {}
        self._new_frame, self._encoded = asyncio.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    @property
    def viewers(self) -> int:
        """Number of viewers at present."""
        now = time.monotonic()
        return sum(until > now for until in self._viewers.values())

    def show(self, image: Image) -> None:
        """Set the newest frame, (H, W, 3 or 4) RGB. Does not block."""
        self._image = image
        if self.viewers:
            self.call(self._new_frame.set)

    def call(self, function: Callable[[], None]) -> None:
        """Call a function on the event loop, unless the loop has ended."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(function)

    def start(self) -> "asyncio.Task[None]":
        """Start the encoder on the running event loop.

        Returns:
            The encoder's task, to be cancelled at the end.
        """
        self._loop = asyncio.get_running_loop()
        return self._loop.create_task(self._encode_frames())

    async def _encode_frames(self) -> None:
        while True:
            await self._new_frame.wait()
            self._new_frame.clear()
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

    def add_viewer(self, viewer: object, seconds: float = math.inf) -> None:
        """Count a viewer for so many seconds from now.

        Raises:
            HTTPException: there are ``MAX_VIEWERS`` already.
        """
        now = time.monotonic()
        self.remove_viewer(viewer)
        current = {each: until for each, until in self._viewers.items() if until > now}
        if len(current) >= MAX_VIEWERS:
            message = f"there are {MAX_VIEWERS} viewers already, which is the maximum"
            raise HTTPException(503, f"{message}: try again later")
        self._viewers = {**current, viewer: now + seconds}
        self._new_frame.set()  # the encoded frame may be from the time of the last viewer

    def remove_viewer(self, viewer: object) -> None:
        """Stop counting a viewer."""
        self._viewers = {each: until for each, until in self._viewers.items() if each != viewer}

    async def wait_for_frame(self, number: int) -> tuple[int, bytes] | None:
        """Wait until the newest frame has another number, and return (its number, JPEG).

        Returns:
            None when the page closes.
        """
        while self._number == number and not self._closing:
            await self._encoded.wait()
        return None if self._closing else (self._number, self._jpeg)

    def _number_before_first(self) -> int:
        """Return the number to wait after for the first frame of a new viewer."""
        up_to_date = self._image is self._encoded_image and self._image is not None
        return self._number - 1 if up_to_date else self._number

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield the newest frame as JPEG, until the page closes. A slow viewer misses frames."""
        number = self._number_before_first()
        while (found := await self.wait_for_frame(number)) is not None:
            number, data = found
            yield data

    def multipart_stream(self, request: Request) -> Response:
        """Return MJPEG for browsers: multipart/x-mixed-replace, each part replaces the last one."""

        async def body() -> AsyncIterator[bytes]:
            yield b"--frame\r\n"
            async with aclosing(self.frames()) as frames:
                async for data in frames:
                    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                    # Browsers display a part when they receive the boundary after it.
                    yield head + data + b"\r\n--frame\r\n"

        return _FrameStream(self, body(), "multipart/x-mixed-replace; boundary=frame")

    def jpeg_stream(self, request: Request) -> Response:
        """Return MJPEG for players and OBS: concatenated JPEG files."""

        async def body() -> AsyncIterator[bytes]:
            yield JPEG_START
            async with aclosing(self.frames()) as frames:
                async for data in frames:
                    # FFmpeg decodes a frame when it receives the first bytes of the next one.
                    yield data.removeprefix(JPEG_START) + JPEG_START

        return _FrameStream(self, body(), "video/x-motion-jpeg")

    async def single_frame(self, request: Request) -> Response:
        """Return the newest frame as JPEG, or with ``?after=N`` the next one after number N.

        The response has no content (204) if there is none within ``WAIT_SECONDS``. ``?viewer=NAME``
        identifies a viewer that sends many requests, which is counted once.
        """
        name = request.query_params.get("viewer", "")[:MAX_VIEWER_NAME_LENGTH]
        viewer: object = name or object()
        after = request.query_params.get("after", "")
        valid = re.fullmatch("[0-9]{1,18}", after)
        number = int(after) if valid else self._number_before_first()
        self.add_viewer(viewer, WAIT_SECONDS + VIEWER_SECONDS)
        try:
            found = await asyncio.wait_for(self.wait_for_frame(number), WAIT_SECONDS)
        except TimeoutError:
            found = None
        finally:
            if not name:
                self.remove_viewer(viewer)
        if found is None:
            return Response(status_code=204)
        headers = dict.fromkeys((NUMBER_HEADER, OLD_NUMBER_HEADER), str(found[0]))
        return Response(found[1], media_type="image/jpeg", headers=headers)


class _FrameStream(StreamingResponse):
    """A response with a stream of frames, whose client is counted as a viewer."""

    def __init__(
        self, broadcast: FrameBroadcast, body: AsyncIterator[bytes], media_type: str
    ) -> None:
        super().__init__(body, media_type=media_type)
        self._broadcast = broadcast

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._broadcast.add_viewer(self)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._broadcast.remove_viewer(self)
