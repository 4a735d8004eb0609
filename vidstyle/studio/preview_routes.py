"""Requests for previews, contact sheets and estimates."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..errors import VidstyleError
from ..io.mask_file import MaskFile
from ..runtime.worker import Worker
from ..settings import Settings
from ..sheet import MAX_CELLS
from .bodies import read_json, seconds_in
from .choices import chosen_settings
from .contact_sheet import SheetRequest, paint_sheet
from .estimate import Speed, estimates, sheet_seconds
from .job_routes import event_text, part_in
from .jobs import JobQueue
from .library import Library
from .library_routes import LibraryRoutes
from .plan import edit_files
from .preview import Previewer, Show
from .preview_request import PreviewRequest

LAST_STAGES = ("end", "error")

MAX_WINDOW_LENGTH = 80
"""Characters of the name of a window that are kept."""


class PreviewRoutes:
    """Answers requests for previews, contact sheets and estimates.

    Args:
        previewer: paints.
        routes: find clips and styles.
        library: has their files.
        queue: has the jobs, which show the speed of this machine.
    """

    def __init__(
        self, previewer: Previewer, routes: LibraryRoutes, library: Library, queue: JobQueue
    ) -> None:
        self._previewer, self._routes = previewer, routes
        self._library, self._queue = library, queue

    def routes(self) -> list[Route]:
        """The routes of an application."""
        return [
            Route("/api/previews", self._preview, methods=["POST"]),
            Route("/api/sheets", self._sheet, methods=["POST"]),
            Route("/api/estimates", self._estimate, methods=["POST"]),
        ]

    async def _preview(self, request: Request) -> Response:
        body = await read_json(request)
        style, window = self._routes.style(body.get("style")), _window_in(body)
        wanted = self._wanted(body, self._library.style_path(style))
        paint = self._previewer.paint
        return _streamed(lambda show, stop: paint(wanted, show, stop, window))

    def _wanted(self, body: dict[str, Any], style: Path) -> PreviewRequest:
        """What a JSON body asks for, in a style.

        Raises:
            HTTPException: it is wrong.
        """
        clip = self._routes.clip(body.get("clip"))
        settings, edits = _settings_in(body), self._routes.edits(body, clip)
        files = edit_files(edits, self._library)
        return PreviewRequest(
            self._library.clip_path(clip),
            seconds_in(body, "time") or 0.0,
            style,
            settings,
            edits.keyframe_entries(files),
            tuple(each.entry(files) for each in edits.regions),
            None if edits.mask is None else MaskFile(files[edits.mask]),
            edits.faces,
        )

    async def _sheet(self, request: Request) -> Response:
        body = await read_json(request)
        styles = self._library.styles[:MAX_CELLS]
        files = [(style.id, self._library.style_path(style)) for style in styles]
        wanted, window = SheetRequest(self._wanted(body, files[0][1]), files), _window_in(body)
        previewer = self._previewer
        return _streamed(lambda show, stop: paint_sheet(previewer, wanted, show, stop, window))

    async def _estimate(self, request: Request) -> Response:
        body = await read_json(request)
        clip, part = self._routes.clip(body.get("clip")), part_in(body)
        done = [job for job in self._queue.jobs if job.state == "done"]
        speed = Speed(done, self._previewer.step_time)
        regions = len(self._routes.edits(body, clip).regions)
        changes = body.get("settings", {})
        try:
            features = await asyncio.to_thread(lambda: self._previewer.features)
            make = partial(estimates, clip, changes, part, features, speed, regions)
            found = await asyncio.to_thread(make)
            count = min(len(self._library.styles), MAX_CELLS)
            for preset, seconds in sheet_seconds(clip, changes, count, speed.preview).items():
                found[preset]["sheet_seconds"] = seconds
            return JSONResponse(found)
        except (ValueError, TypeError) as error:
            raise HTTPException(400, str(error)) from None
        except VidstyleError as error:
            raise HTTPException(500, str(error)) from None


def _settings_in(body: dict[str, Any]) -> Settings:
    """The settings of a JSON body.

    Raises:
        HTTPException: they are wrong.
    """
    try:
        return chosen_settings(body.get("preset"), body.get("settings", {}))
    except (ValueError, TypeError) as error:
        raise HTTPException(400, str(error)) from None


def _window_in(body: dict[str, Any]) -> str:
    """The window of a JSON body: any text."""
    return str(body.get("window", ""))[:MAX_WINDOW_LENGTH]


def _streamed(paint: Callable[[Show, Event], None]) -> Response:
    """The answer of a painting, which is done on a thread."""
    return StreamingResponse(_stages(paint), media_type="text/event-stream")


async def _stages(paint: Callable[[Show, Event], None]) -> AsyncIterator[str]:
    """The events of a painting, which ends when nobody listens any more."""
    loop, stop = asyncio.get_running_loop(), Event()
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def show(event: dict[str, Any]) -> None:
        if not stop.is_set() or event["stage"] in LAST_STAGES:
            loop.call_soon_threadsafe(events.put_nowait, event)

    def work(worker: Worker) -> None:
        try:
            paint(show, stop)
        finally:  # without effect after another last event
            show({"stage": "error", "message": "the preview ended early: try again"})

    Worker(work, "preview")
    try:
        while True:
            event = await events.get()
            yield event_text(event)
            if event["stage"] in LAST_STAGES:
                return
    finally:
        stop.set()
