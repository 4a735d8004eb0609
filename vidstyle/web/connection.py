"""HTTP connections with timeouts, so that silent clients cannot exhaust the server."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0
"""Time limit in seconds for the head of a request."""

READ_SECONDS = 10.0
"""Seconds after which a client is disconnected that reads nothing of an answer."""

PATIENT_READ_SECONDS = 600.0
"""The same for players, which read nothing while they are paused and their buffer is full."""

MAX_CONNECTIONS = 128
"""Number of simultaneous connections; further ones are closed at once."""


class Connection(H11Protocol):
    """uvicorn's HTTP connection with timeouts for requests and for reading answers.

    uvicorn itself only closes connections that are idle after an answer.
    """

    _request_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first request."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._start_request_timer()

    def data_received(self, data: bytes) -> None:
        """Parse the data; unless it completes a request, start the timeout for the rest."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_request_timer()
        elif self._request_timer is None:
            self._start_request_timer()

    def pause_writing(self) -> None:
        """Start the timeout of a client that reads more slowly than frames are sent."""
        super().pause_writing()
        self._answer_timer = self.loop.call_later(self._read_seconds(), self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timeout: the client reads again."""
        super().resume_writing()
        self._stop_answer_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timeouts."""
        super().connection_lost(exc)
        self._stop_request_timer()
        self._stop_answer_timer()

    def _read_seconds(self) -> float:
        return READ_SECONDS

    def _start_request_timer(self) -> None:
        self._request_timer = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None


class PatientConnection(Connection):
    """The same for pages with players and downloads, which may rest for minutes."""

    def _read_seconds(self) -> float:
        return PATIENT_READ_SECONDS
