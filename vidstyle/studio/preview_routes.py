"""Requests for previews and estimates."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from threading import Event
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..errors import VidstyleError
from ..runtime.worker import Worker
from .bodies import read_json, seconds_in
from .choices import chosen_settings
from .estimate import Speed, estimates
from .job_routes import event_text, part_in
from .jobs import JobQueue
from .library import Library
from .library_routes import LibraryRoutes
from .preview import Previewer, PreviewRequest

LAST_STAGES = ("end", "error")


class PreviewRoutes:
    """Answers requests for previews and estimates.

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
            Route("/api/estimates", self._estimate, methods=["POST"]),
        ]

    async def _preview(self, request: Request) -> Response:
        body = await read_json(request)
        clip, style = self._routes.clip(body.get("clip")), self._routes.style(body.get("style"))
        try:
            settings = chosen_settings(body.get("preset"), body.get("settings", {}))
        except (ValueError, TypeError) as error:
            raise HTTPException(400, str(error)) from None
        seconds = seconds_in(body, "time") or 0.0
        paths = self._library.clip_path(clip), self._library.style_path(style)
        wanted = PreviewRequest(paths[0], seconds, paths[1], settings)
        return StreamingResponse(self._stages(wanted), media_type="text/event-stream")

    async def _stages(self, wanted: PreviewRequest) -> AsyncIterator[str]:
        """The events of a preview, which ends when nobody listens any more."""
        loop, stop = asyncio.get_running_loop(), Event()
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def show(event: dict[str, Any]) -> None:
            if not stop.is_set() or event["stage"] in LAST_STAGES:
                loop.call_soon_threadsafe(events.put_nowait, event)

        def paint(worker: Worker) -> None:
            try:
                self._previewer.paint(wanted, show, stop)
            finally:  # without effect after another last event
                show({"stage": "error", "message": "the preview ended early: try again"})

        Worker(paint, "preview")
        try:
            while True:
                event = await events.get()
                yield event_text(event)
                if event["stage"] in LAST_STAGES:
                    return
        finally:
            stop.set()

    async def _estimate(self, request: Request) -> Response:
        body = await read_json(request)
        clip, part = self._routes.clip(body.get("clip")), part_in(body)
        done = [job for job in self._queue.jobs if job.state == "done"]
        speed = Speed(done, self._previewer.step_time)
        changes = body.get("settings", {})
        try:
            features = await asyncio.to_thread(lambda: self._previewer.features)
            make = partial(estimates, clip, changes, part, features, speed)
            return JSONResponse(await asyncio.to_thread(make))
        except (ValueError, TypeError) as error:
            raise HTTPException(400, str(error)) from None
        except VidstyleError as error:
            raise HTTPException(500, str(error)) from None
