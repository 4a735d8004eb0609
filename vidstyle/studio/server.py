"""The server of the studio: its page, its library, its previews and its queue."""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from ..errors import DeviceError, OutputError
from ..io.locks import OutputLock
from ..web.access import Access, Guard
from ..web.address import server_url
from ..web.connection import PatientConnection
from ..web.running import RunningServer
from .choices import CHOICES, PRESET_NAMES
from .devices import Devices, device_names
from .job_routes import JobRoutes
from .jobs import JobQueue
from .library import Library
from .library_routes import LibraryRoutes
from .people import People
from .preview import Previewer
from .preview_routes import PreviewRoutes

LOCK_NAME = "studio"
"""The lock of the folder, which one server at a time may use."""

INDEX = "index.html"
MEDIA_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StudioOptions:
    """What a studio may do without.

    Args:
        parallel: number of renders at once on each device.
        allowed: additional host names of the page.
        person_model: finds people, see ``load_person_model``; None: torchvision's, where it is.
        certificate: for HTTPS; None: HTTP.
    """

    parallel: int = 1
    allowed: Collection[str] = ()
    person_model: Path | None = None
    certificate: ssl.SSLContext | None = None


class Studio:
    """The server, on a thread of its own, and the renders that it started.

    ``url`` is the page's URL, with its token if it requires one (see ``Access``).

    Args:
        server: a bound socket, see ``address.listen``; ``close`` closes it.
        folder: of clips, styles and jobs; is created where it does not exist.
        device: where clips are rendered: a name as for ``choose_device``, or several, separated by
            commas, on each of which renders run. Previews are painted on the first.
        options: see there.

    Raises:
        DeviceError, ValueError: there is no such device.
        FeaturesError: the model of people cannot be used.
        OutputError: the folder cannot be used, or another server uses it.
    """

    def __init__(
        self,
        server: socket.socket,
        folder: Path,
        device: str = "auto",
        options: StudioOptions | None = None,
    ) -> None:
        options = options or StudioOptions()
        devices, self._people = device_names(device), People(options.person_model)
        self._devices = Devices(devices, options.parallel)
        self._socket, self._previewer = server, Previewer(devices[0], self._people)
        self._lock = _locked(folder)
        try:
            self.library = Library(folder)
            self.queue = JobQueue(folder / "jobs", self.library, self._devices)
        except BaseException:
            self._lock.release()
            raise
        page = resources.files(__package__) / "page"
        names = [each.name for each in page.iterdir()] if page.is_dir() else []
        self._page = {
            "/" if name == INDEX else f"/{name}": page / name
            for name in names
            if name.rpartition(".")[2] in MEDIA_TYPES
        }
        self._access = Access(server.getsockname()[0], options.allowed, open_paths=self._page)
        scheme = "http" if options.certificate is None else "https"
        self.url = server_url(server, self._access.token, scheme)
        self._running = RunningServer(server, PatientConnection, "studio", options.certificate)
        self._closing = False

    def open(self) -> None:
        """Start the server, and go on with unfinished jobs.

        Raises:
            DeviceError: the server does not start.
        """
        app = Starlette(routes=self.routes(), lifespan=self._lifespan)
        if not self._running.start(Guard(app, self._access)):
            self.close()
            reason = self._running.error
            raise DeviceError(f"the studio does not start ({reason}): choose another --address")
        self.queue.start()

    def routes(self) -> list[Route]:
        """The routes of the application."""
        library = LibraryRoutes(self.library, self.queue, self._people)
        jobs = JobRoutes(self.queue, library, self.library, lambda: self._closing)
        previews = PreviewRoutes(self._previewer, library, self.library, self.queue)
        return [
            *(Route(path, self._file) for path in self._page),
            Route("/api/state", self._state),
            Route("/api/openapi.json", self._openapi),
            *library.routes(),
            *jobs.routes(),
            *previews.routes(),
        ]

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._running.started.set()
        yield

    def close(self) -> None:
        """End all connections and renders; the next server goes on with these."""
        self._closing = True
        self._previewer.stop()
        self._running.end()
        self.queue.close()
        self._running.join()
        self._previewer.join()
        self._socket.close()
        self._lock.release()

    async def _file(self, request: Request) -> Response:
        file = self._page[request.url.path]
        return Response(file.read_bytes(), media_type=MEDIA_TYPES[file.name.rpartition(".")[2]])

    async def _state(self, request: Request) -> Response:
        return JSONResponse(
            {
                "version": __version__,
                **self.library.public(),
                "presets": PRESET_NAMES,
                "settings": [choice.described(self._previewer.working_px) for choice in CHOICES],
                "people": {"available": not self._people.missing, "remedy": self._people.missing},
                "devices": self._devices.names,
                "jobs": self.queue.public(),
            }
        )

    async def _openapi(self, request: Request) -> Response:
        document = json.loads((resources.files(__package__) / "openapi.json").read_bytes())
        document["info"]["version"] = __version__
        return JSONResponse(document)


def _locked(folder: Path) -> OutputLock:
    """A lock on a folder, which is created where it does not exist.

    Raises:
        OutputError: another server uses it, or it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
        raise OutputError(
            f"{folder} cannot be created ({reason}): choose another with --folder"
        ) from None
    lock = OutputLock(folder / LOCK_NAME)
    try:
        lock.acquire()
    except OutputError:
        message = f"another vidstyle studio uses {folder}, or it cannot be written"
        raise OutputError(f"{message}: end that one, or choose another with --folder") from None
    return lock
