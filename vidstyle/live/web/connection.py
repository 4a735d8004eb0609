"""Connections that are closed when the other side stays silent."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0
"""Seconds in which the whole head of a request must arrive."""

SILENT_SECONDS = 10.0
"""Seconds after which a viewer is let go who reads nothing of what is sent."""

MOST_CONNECTIONS = 128
"""Number of connections open at once; further ones are closed at once."""


class Connection(H11Protocol):
    """An HTTP connection of uvicorn's with limits of time.

    A request must arrive in time, and its answer must be read. uvicorn itself only closes
    connections that are idle after an answer.
    """

    _request_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection is open: wait for its first request, for a while."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; unless it completes a request, wait for the rest, for a while."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_request_timer()
        elif self._request_timer is None:
            self._await_request()

    def pause_writing(self) -> None:
        """The other side reads more slowly than pictures come: wait for it, for a while."""
        super().pause_writing()
        self._answer_timer = self.loop.call_later(SILENT_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The other side reads again."""
        super().resume_writing()
        self._stop_answer_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        super().connection_lost(exc)
        self._stop_request_timer()
        self._stop_answer_timer()

    def _await_request(self) -> None:
        self._request_timer = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
