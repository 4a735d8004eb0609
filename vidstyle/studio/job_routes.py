"""Requests for jobs: adding, pausing, ordering, watching, and the files they make."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .bodies import disk_error, read_json, seconds_in
from .choices import chosen_settings
from .job import Job
from .jobs import JobError, JobQueue
from .library import Library
from .library_routes import LibraryRoutes, thumbnail
from .plan import Plan

EVENT_SECONDS = 0.5
"""Shortest time in seconds between two events."""

COMMENT_SECONDS = 15.0
"""After so many seconds without an event a comment shows that the server is there."""

MAX_JOBS = 1000
"""Number of jobs that are kept."""


class JobRoutes:
    """Answers requests for jobs.

    Args:
        queue: has the jobs.
        routes: find clips, styles and masks.
        library: has them; its changes are events too.
        closing: whether the server is about to end, which ends streams of events.
    """

    def __init__(
        self,
        queue: JobQueue,
        routes: LibraryRoutes,
        library: Library,
        closing: Callable[[], bool],
    ) -> None:
        self._queue, self._library, self._closing = queue, library, closing
        self._routes, self._text = routes, (-1, "")
        self._commands: Mapping[str, Callable[[Job], None]] = {
            "pause": queue.pause,
            "resume": queue.resume,
            "cancel": queue.cancel,
        }

    def routes(self) -> list[Route]:
        """The routes of an application."""
        return [
            Route("/api/jobs", self._add, methods=["POST"]),
            Route("/api/masks/{id}/carry", self._carry, methods=["POST"]),
            Route("/api/jobs/{id}", self._remove, methods=["DELETE"]),
            Route("/api/jobs/{id}/move", self._move, methods=["POST"]),
            Route("/api/jobs/{id}/output", self._output),
            Route("/api/jobs/{id}/frame.jpg", self._frame),
            Route("/api/jobs/{id}/{command}", self._command, methods=["POST"]),
            Route("/api/events", self._events),
        ]

    async def _add(self, request: Request) -> Response:
        body = await read_json(request)
        clip, style = self._routes.clip(body.get("clip")), self._routes.style(body.get("style"))
        preset, changes = body.get("preset"), body.get("settings", {})
        part, edits = part_in(body), self._routes.edits(body, clip)
        try:
            chosen_settings(preset, changes)
        except (ValueError, TypeError) as error:
            raise HTTPException(400, str(error)) from None
        plan = Plan(clip, style, str(preset), changes, part, edits, self._routes.people.model)
        return await self._added(lambda: self._queue.add(plan))

    async def _carry(self, request: Request) -> Response:
        mask = self._routes.mask(request.path_params["id"])
        clip = self._routes.clip(mask.clip)
        if mask.kind == "clip" or clip.kind == "still":
            raise HTTPException(409, "only a still mask of a clip can follow its motion")
        return await self._added(lambda: self._queue.carry(clip, mask))

    async def _added(self, add: Callable[[], Job]) -> Response:
        """Add a job, and answer with it."""
        if len(self._queue.jobs) >= MAX_JOBS:
            raise HTTPException(409, f"there are {MAX_JOBS} jobs: delete some first")
        try:
            job = await asyncio.to_thread(add)
        except OSError as error:
            raise disk_error(error) from None
        return JSONResponse(job.public(), 201)

    async def _command(self, request: Request) -> Response:
        job, name = self._job(request), request.path_params["command"]
        if name not in self._commands:
            raise HTTPException(404, f"there is no command {name[:40]!r}: see /api/openapi.json")
        await self._do(lambda: self._commands[name](job))
        return JSONResponse(job.public())

    async def _move(self, request: Request) -> Response:
        job, before = self._job(request), (await read_json(request)).get("before")
        other = None if before is None else self._queue.get(str(before))
        if before is not None and other is None:
            raise HTTPException(404, "there is no job to move it before: see /api/state")
        if other is not job:
            await self._do(lambda: self._queue.move(job, other))
        return Response(status_code=204)

    async def _remove(self, request: Request) -> Response:
        job = self._job(request)
        await self._do(lambda: self._queue.remove(job))
        return Response(status_code=204)

    async def _do(self, command: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(command)
        except JobError as error:
            raise HTTPException(409, str(error)) from None

    def _rendered(self, request: Request) -> Path:
        """The output of a job."""
        job = self._job(request)
        path = self._queue.output(job)
        if job.state != "done" or not path.is_file():
            raise HTTPException(404, "the job has no output: wait until it is done")
        return path

    async def _frame(self, request: Request) -> Response:
        path = self._rendered(request)
        make = partial(thumbnail, path)
        return await self._routes.image(path, make)

    async def _output(self, request: Request) -> Response:
        path = self._rendered(request)
        download = request.query_params.get("download", "") not in ("", "0")
        kind = "attachment" if download else "inline"
        return FileResponse(path, filename=path.name, content_disposition_type=kind)

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._changes(), media_type="text/event-stream")

    async def _changes(self) -> AsyncIterator[str]:
        jobs, items, sent = -1, -1, time.monotonic()
        while not self._closing():
            changed: list[str] = []
            if self._library.version != items:
                items = self._library.version
                changed.append(_members(self._library.public()))
            if self._queue.version != jobs:
                jobs, text = self._jobs_text()
                changed.append(text)
            if changed:
                sent = time.monotonic()
                yield f"data: {{{', '.join(changed)}}}\n\n"
            elif time.monotonic() - sent > COMMENT_SECONDS:
                sent = time.monotonic()
                yield ": still here\n\n"
            await asyncio.sleep(EVENT_SECONDS)

    def _jobs_text(self) -> tuple[int, str]:
        """The version of the queue, and its jobs as a member of an event, made once for all who
        watch."""
        version = self._queue.version
        if self._text[0] != version:
            self._text = version, _members({"jobs": self._queue.public()})
        return self._text

    def _job(self, request: Request) -> Job:
        job = self._queue.get(request.path_params["id"])
        if job is None:
            raise HTTPException(404, "there is no such job: see /api/state for the jobs")
        return job


def part_in(body: dict[str, object]) -> tuple[float | None, float | None]:
    """The part of the clip in a JSON body: start and end in seconds.

    Raises:
        HTTPException: they are no times, or the part is empty.
    """
    start, end = seconds_in(body, "start"), seconds_in(body, "end")
    if end is not None and end <= (start or 0.0):
        raise HTTPException(400, "the part is empty: end must be later than start")
    return start, end


def _members(values: Mapping[str, object]) -> str:
    """The members of a JSON object, without its braces."""
    return json.dumps(values)[1:-1]


def event_text(event: Mapping[str, object]) -> str:
    """An event of a ``text/event-stream``."""
    return f"data: {json.dumps(event)}\n\n"
