"""A uvicorn server on a thread of its own."""

import socket
import ssl
from threading import Event

import uvicorn
from starlette.types import ASGIApp

from ..runtime.worker import Worker
from .connection import Connection

START_SECONDS = 10
"""Time limit in seconds for the server to start, and to end."""


class RunningServer:
    """Serves an application from ``start`` to ``end`` and ``join``.

    The lifespan of the application sets ``started``. ``thread`` is None before ``start``.

    Args:
        bound: a bound socket, see ``address.listen``; it stays open.
        connection: of each client.
        name: of the thread.
        certificate: for HTTPS; None: HTTP.
    """

    def __init__(
        self,
        bound: socket.socket,
        connection: type[Connection],
        name: str,
        certificate: ssl.SSLContext | None = None,
    ) -> None:
        self._socket, self._connection, self._name = bound, connection, name
        self._certificate = certificate
        self.started = Event()
        self.thread: Worker | None = None

    def start(self, app: ASGIApp) -> bool:
        """Start the server; False if it does not start in time."""
        config = uvicorn.Config(
            app,
            http=self._connection,
            log_config=None,
            log_level="critical",  # uvicorn logs malformed requests of clients
            access_log=False,
            lifespan="on",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = self._certificate
        self._server = server = uvicorn.Server(config)
        self._socket.listen()  # connections before the server is ready wait
        sockets = [self._socket]
        self.thread = Worker(lambda worker: server.run(sockets=sockets), self._name)
        return self.started.wait(START_SECONDS)

    @property
    def error(self) -> BaseException | None:
        """What ended the thread."""
        return self.thread.error if self.thread else None

    def end(self) -> None:
        """Ask the server to end."""
        if self.thread is not None:
            self._server.should_exit = True  # uvicorn polls it ten times per second

    def join(self) -> None:
        """Wait for its end."""
        if self.thread is not None:
            self.thread.join(START_SECONDS)
