"""Requests for clips and styles: uploads, frames, thumbnails, files."""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ..errors import InputError
from ..io.frame import rgb_8_bits
from ..io.images import jpeg, read_image
from ..web.uploads import UPLOAD_BYTES, UPLOAD_SECONDS, decode_upload, read_body
from .bodies import disk_error, write_body
from .frames import ImageCache, read_frame, reduced
from .jobs import JobQueue
from .library import Clip, Library, StyleImage

log = logging.getLogger(__name__)

MAX_UPLOADS = 4
"""Number of simultaneous uploads."""

MAX_DECODERS = 2
"""Number of frames that are decoded at once."""

MIN_PX, MAX_PX = 16, 2048
"""Smallest and largest long side in px of a frame or a thumbnail."""

FRAME_PX, THUMBNAIL_PX = 1024, 160
"""Long sides in px where a request gives none."""

MAX_STYLES = 500
"""Number of styles that may be uploaded."""


class LibraryRoutes:
    """Answers requests for clips and styles.

    Args:
        library: has them.
        queue: says which of them are in use.
    """

    def __init__(self, library: Library, queue: JobQueue) -> None:
        self._library, self._queue = library, queue
        self._images, self._uploads = ImageCache(), 0
        self._decoders = asyncio.Semaphore(MAX_DECODERS)

    def routes(self) -> list[Route]:
        """The routes of an application."""
        return [
            Route("/api/clips", self._add_clip, methods=["POST"]),
            Route("/api/clips/{id}", self._remove_clip, methods=["DELETE"]),
            Route("/api/clips/{id}/frame.jpg", self._frame),
            Route("/api/clips/{id}/file", self._file),
            Route("/api/styles", self._add_style, methods=["POST"]),
            Route("/api/styles/{id}.jpg", self._thumbnail),
            Route("/api/styles/{id}", self._remove_style, methods=["DELETE"]),
        ]

    async def _add_clip(self, request: Request) -> Response:
        self._begin_upload()
        try:
            upload = self._library.begin_clip(request.query_params.get("name", ""))
            try:
                await write_body(request, upload.path)
            except BaseException:
                self._library.drop(upload)
                raise
            clip = await asyncio.to_thread(self._library.finish_clip, upload)
        except InputError as error:
            raise HTTPException(415, str(error)) from None
        except OSError as error:
            raise disk_error(error) from None
        finally:
            self._uploads -= 1
        return JSONResponse(asdict(clip), 201)

    def _begin_upload(self) -> None:
        if self._uploads >= MAX_UPLOADS:
            message = f"{MAX_UPLOADS} files are being uploaded already: try again in a moment"
            raise HTTPException(503, message)
        self._uploads += 1

    async def _remove_clip(self, request: Request) -> Response:
        clip = self.clip(request.path_params["id"])
        self._check_unused(clip.id, "clip")
        await asyncio.to_thread(self._library.remove_clip, clip.id)
        return Response(status_code=204)

    def _check_unused(self, id: str, kind: str) -> None:
        if self._queue.uses(id):
            message = f"a job that is not finished uses this {kind}: cancel the job first"
            raise HTTPException(409, message)

    async def _frame(self, request: Request) -> Response:
        clip = self.clip(request.path_params["id"])
        seconds = _number(request, "time", 0.0, 0.0, 1e7)
        px = int(_number(request, "px", FRAME_PX, MIN_PX, MAX_PX))

        def make() -> bytes:
            frame = read_frame(self._library.clip_path(clip), seconds)
            return jpeg(reduced(rgb_8_bits(frame.image), px))

        return await self._image((clip.id, round(seconds, 3), px), make)

    async def _file(self, request: Request) -> Response:
        return FileResponse(self._library.clip_path(self.clip(request.path_params["id"])))

    async def _add_style(self, request: Request) -> Response:
        if len(self._library.styles) >= MAX_STYLES:
            message = f"there are {MAX_STYLES} styles, which is the maximum: delete some"
            raise HTTPException(409, message)
        self._begin_upload()
        try:
            data = await read_body(request, UPLOAD_BYTES, UPLOAD_SECONDS)
            name = request.query_params.get("name", "")
            async with self._decoders:
                await decode_upload(data, "the file", log.debug)
            style = await asyncio.to_thread(self._library.add_style, name, data)
        except OSError as error:
            raise disk_error(error) from None
        finally:
            self._uploads -= 1
        return JSONResponse(asdict(style), 201)

    async def _remove_style(self, request: Request) -> Response:
        style = self.style(request.path_params["id"])
        if style.bundled:
            raise HTTPException(409, f"{style.name} belongs to vidstyle: it cannot be deleted")
        self._check_unused(style.id, "style")
        await asyncio.to_thread(self._library.remove_style, style.id)
        return Response(status_code=204)

    async def _thumbnail(self, request: Request) -> Response:
        style = self.style(request.path_params["id"])
        px = int(_number(request, "px", THUMBNAIL_PX, MIN_PX, MAX_PX))

        def make() -> bytes:
            image = read_image(self._library.style_path(style), reduced=True, warn=log.debug)
            return jpeg(reduced(rgb_8_bits(image), px))

        return await self._image((style.id, px), make)

    async def _image(self, key: Any, make: Callable[[], bytes]) -> Response:
        try:
            async with self._decoders:
                data = await asyncio.to_thread(self._images.get, key, make)
        except InputError as error:
            raise HTTPException(415, str(error)) from None
        return Response(data, media_type="image/jpeg")

    def clip(self, id: Any) -> Clip:
        """The clip of an id.

        Raises:
            HTTPException: there is none.
        """
        clip = self._library.clip(id) if isinstance(id, str) else None
        if clip is None:
            raise HTTPException(404, "there is no such clip: see /api/state for the clips")
        return clip

    def style(self, id: Any) -> StyleImage:
        """The style of an id.

        Raises:
            HTTPException: there is none.
        """
        style = self._library.style(id) if isinstance(id, str) else None
        if style is None:
            raise HTTPException(404, "there is no such style: see /api/state for the styles")
        return style


def _number(request: Request, name: str, otherwise: float, low: float, high: float) -> float:
    """A number of the query, within limits.

    Raises:
        HTTPException: it is no number.
    """
    try:
        value = float(request.query_params.get(name, otherwise))
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise HTTPException(400, f"{name} is no number: use e.g. {name}={otherwise:g}")
    return min(max(value, low), high)
