"""Requests for clips, styles and masks: uploads, frames, thumbnails, files."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ..errors import InputError, VidstyleError
from ..io.frame import rgb_8_bits
from ..io.images import jpeg, read_image
from ..io.mask_levels import Mask
from ..web.uploads import UPLOAD_BYTES, UPLOAD_SECONDS, decode_upload, read_body
from .bodies import disk_error, write_body
from .edits import MAX_SECONDS, Edits
from .frames import KEPT_PX, Recent, read_frame, read_mask, recent_frame, reduced
from .items import Clip, ClipMask, StyleImage, Upload
from .jobs import JobQueue
from .library import Library
from .people import People

log = logging.getLogger(__name__)

MAX_UPLOADS = 4
"""Number of simultaneous uploads."""

MAX_DECODERS = 2
"""Number of frames that are decoded at once."""

KEPT_IMAGES = 256
"""Number of encoded images that are kept."""

MIN_PX, MAX_PX = 16, 2048
"""Smallest and largest long side in px of a frame or a thumbnail."""

FRAME_PX, THUMBNAIL_PX = 1024, 160
"""Long sides in px where a request gives none."""

MAX_STYLES, MAX_MASKS = 500, 50
"""Maximum number of styles, with the bundled ones, and of masks of a clip."""


Item = TypeVar("Item", Clip, ClipMask, StyleImage)


class LibraryRoutes:
    """Answers requests for clips, styles and masks.

    Args:
        library: has them.
        queue: says which of them are in use.
        people: finds people.
    """

    def __init__(self, library: Library, queue: JobQueue, people: People) -> None:
        self._library, self._queue, self.people = library, queue, people
        self._images: Recent[bytes] = Recent(KEPT_IMAGES)
        self._uploads = 0
        self._decoders = asyncio.Semaphore(MAX_DECODERS)

    def routes(self) -> list[Route]:
        """The routes of an application."""
        return [
            Route("/api/clips", self._add_clip, methods=["POST"]),
            Route("/api/clips/{id}", self._remove_clip, methods=["DELETE"]),
            Route("/api/clips/{id}/frame.jpg", self._frame),
            Route("/api/clips/{id}/file", self._file),
            Route("/api/clips/{id}/person.png", self._person),
            Route("/api/clips/{id}/masks", self._add_mask, methods=["POST"]),
            Route("/api/masks/{id}.png", self._mask),
            Route("/api/masks/{id}", self._remove_mask, methods=["DELETE"]),
            Route("/api/styles", self._add_style, methods=["POST"]),
            Route("/api/styles/{id}.jpg", self._thumbnail),
            Route("/api/styles/{id}", self._remove_style, methods=["DELETE"]),
        ]

    async def _add_clip(self, request: Request) -> Response:
        return await self._add_file(request, self._library.begin_clip, self._library.finish_clip)

    async def _add_mask(self, request: Request) -> Response:
        clip = self.clip(request.path_params["id"])
        if sum(mask.clip == clip.id for mask in self._library.masks) >= MAX_MASKS:
            message = f"the clip has {MAX_MASKS} masks, which is the maximum: delete some"
            raise HTTPException(409, message)
        begin = partial(self._library.begin_mask, clip)
        seconds = _number(request, "time", 0.0, 0.0, MAX_SECONDS)
        finish = partial(self._library.finish_mask, clip, time=seconds)
        return await self._add_file(request, begin, finish)

    async def _add_file(
        self,
        request: Request,
        begin: Callable[[str], Upload],
        finish: Callable[[Upload], Clip | ClipMask],
    ) -> Response:
        """Write the body of a request to a file, and keep it."""
        try:
            with self._upload():
                upload = begin(request.query_params.get("name", ""))
                try:
                    await write_body(request, upload.path)
                except BaseException:
                    upload.drop()
                    raise
                added = await asyncio.to_thread(finish, upload)
        except InputError as error:
            raise HTTPException(415, str(error)) from None
        return JSONResponse(asdict(added), 201)

    @contextmanager
    def _upload(self) -> Iterator[None]:
        """Count an upload. HTTPException: there are too many, or the disk is full."""
        if self._uploads >= MAX_UPLOADS:
            message = f"{MAX_UPLOADS} files are being uploaded already: try again in a moment"
            raise HTTPException(503, message)
        self._uploads += 1
        try:
            yield
        except OSError as error:
            raise disk_error(error) from None
        finally:
            self._uploads -= 1

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
        seconds = _number(request, "time", 0.0, 0.0, MAX_SECONDS)
        px = int(_number(request, "px", FRAME_PX, MIN_PX, MAX_PX))

        def make() -> bytes:
            read = recent_frame if px <= KEPT_PX else read_frame
            frame = read(self._library.clip_path(clip), seconds)
            return jpeg(reduced(rgb_8_bits(frame.image), px))

        return await self.image((clip.id, round(seconds, 3), px), make)

    async def _remove_mask(self, request: Request) -> Response:
        mask = self.mask(request.path_params["id"])
        self._check_unused(mask.id, "mask")
        await asyncio.to_thread(self._library.remove_mask, mask)
        return Response(status_code=204)

    async def _mask(self, request: Request) -> Response:
        mask = self.mask(request.path_params["id"])
        clip = self.clip(mask.clip)
        seconds = _number(request, "time", 0.0, 0.0, MAX_SECONDS)
        px = int(_number(request, "px", FRAME_PX, MIN_PX, MAX_PX))

        def make() -> bytes:
            time = 0.0
            if mask.kind == "clip":  # its times count from the first frame, without earlier sound
                time = float(recent_frame(self._library.clip_path(clip), seconds).time)
            return png(reduced(read_mask(self._library.mask_path(mask), time), px))

        at = round(seconds, 3) if mask.kind == "clip" else 0
        return await self.image((mask.id, at, px), make, "image/png")

    async def _person(self, request: Request) -> Response:
        clip = self.clip(request.path_params["id"])
        seconds = _number(request, "time", 0.0, 0.0, MAX_SECONDS)
        px = int(_number(request, "px", FRAME_PX, MIN_PX, MAX_PX))
        self._check_people()

        def make() -> bytes:
            frame = recent_frame(self._library.clip_path(clip), seconds)
            return png(reduced(self.people.masks().mask_of(frame), px))

        return await self.image((clip.id, "person", round(seconds, 3), px), make, "image/png")

    def _check_people(self) -> None:
        if self.people.missing:
            raise HTTPException(409, self.people.missing)

    async def _file(self, request: Request) -> Response:
        return FileResponse(self._library.clip_path(self.clip(request.path_params["id"])))

    async def _add_style(self, request: Request) -> Response:
        if len(self._library.styles) >= MAX_STYLES:
            message = f"there are {MAX_STYLES} styles, which is the maximum: delete some"
            raise HTTPException(409, message)
        with self._upload():
            data = await read_body(request, UPLOAD_BYTES, UPLOAD_SECONDS)
            name = request.query_params.get("name", "")
            async with self._decoders:
                await decode_upload(data, "the file", log.debug)
            style = await asyncio.to_thread(self._library.add_style, name, data)
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

        return await self.image((style.id, px), make)

    async def image(
        self, key: Any, make: Callable[[], bytes], media_type: str = "image/jpeg"
    ) -> Response:
        """The answer with an image, which is kept by its key.

        Raises:
            HTTPException: it cannot be read or made.
        """
        try:
            async with self._decoders:
                data = await asyncio.to_thread(self._images.get, key, make)
        except VidstyleError as error:
            code = 415 if isinstance(error, InputError) else 500
            raise HTTPException(code, str(error)) from None
        return Response(data, media_type=media_type)

    def clip(self, id: Any) -> Clip:
        """The clip of an id.

        Raises:
            HTTPException: there is none.
        """
        return _found(self._library.clip, id, "clip")

    def style(self, id: Any) -> StyleImage:
        """The style of an id.

        Raises:
            HTTPException: there is none.
        """
        return _found(self._library.style, id, "style")

    def mask(self, id: Any) -> ClipMask:
        """The mask of an id.

        Raises:
            HTTPException: there is none.
        """
        return _found(self._library.mask, id, "mask")

    def edits(self, body: dict[str, Any], clip: Clip) -> Edits:
        """The edits of a JSON body, for a clip.

        Raises:
            HTTPException: they are wrong, do not belong to the clip, or need a model of people.
        """
        try:
            edits = Edits.of(body)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        if edits.finds_people:
            self._check_people()
        for style in map(self.style, edits.styles):
            if "," in style.name:  # it separates names in --at and --region
                message = f"{style.name} has a comma in its name: remove it, and add it again"
                raise HTTPException(400, message)
        if any(mask.clip != clip.id for mask in map(self.mask, edits.masks)):
            raise HTTPException(404, "a mask belongs to another clip: see /api/state for the masks")
        if edits.keyframes and clip.kind == "still":
            raise HTTPException(400, "a picture has no times: send no keyframes")
        if edits.keyframes and clip.seconds and edits.keyframes[-1].time > clip.seconds:
            message = f"a keyframe lies after the end of the clip at {clip.seconds:.2f} s: move it"
            raise HTTPException(400, message)
        return edits


def _found(find: Callable[[str], Item | None], id: Any, kind: str) -> Item:
    """What the library has of an id. HTTPException: nothing."""
    item = find(id) if isinstance(id, str) else None
    if item is None:
        raise HTTPException(404, f"there is no such {kind}: see /api/state for the {kind}s")
    return item


def thumbnail(path: Path) -> bytes:
    """The first frame of a clip or a picture as a small JPEG.

    Raises:
        InputError: it cannot be read.
    """
    return jpeg(reduced(rgb_8_bits(read_frame(path).image), THUMBNAIL_PX))


def png(levels: Mask) -> bytes:
    """A mask as PNG."""
    return cv2.imencode(".png", levels)[1].tobytes()


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
