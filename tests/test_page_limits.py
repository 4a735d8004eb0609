"""Limits of the control page: viewers, connections, uploads, timeouts."""

import asyncio
import socket
from contextlib import contextmanager
from itertools import cycle

import httpx
import numpy as np
import pytest
from conftest import SECONDS, until

from vidstyle.live.web.frames import MAX_VIEWERS

LIMITS = "vidstyle.web.connection"
FULL = b"there are 24 viewers already, which is the maximum: try again later"


@contextmanager
def connected(page_session, request=b""):
    """Open a connection and send these bytes."""
    host, port = page_session.page.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as found:
        found.settimeout(SECONDS)
        found.sendall(request.replace(b"HOST", f"{host}:{port}".encode()))
        yield found


def is_closed_by_server(connection):
    """Wait until the server closes the connection."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


def test_page_viewers_are_limited_when_many_connect(client, page_session, monkeypatch):
    monkeypatch.setattr("vidstyle.live.web.frames.VIEWER_SECONDS", 600)
    page_session.stylize_frame()

    async def request_frame(number):
        kind = ("frame.mjpg", "frame.mjpeg", f"frame.jpg?viewer={number}")[number % 3]
        async with many.stream("GET", kind) as answer:
            if answer.status_code == 503:
                refused.append(await answer.aread())
            else:
                # The reference keeps the connection open.
                received = answer.aiter_bytes()
                arrived.append(await anext(received))
                await asyncio.wait_for(all_answered.wait(), SECONDS)

    async def request_all():
        tasks = [asyncio.create_task(request_frame(number)) for number in range(60)]
        while len(refused) + len(arrived) < 60:
            await asyncio.sleep(0.01)
        assert client.get("/state").json()["viewers"] <= MAX_VIEWERS
        all_answered.set()
        await asyncio.gather(*tasks)

    async def connect_many():
        nonlocal many, all_answered
        all_answered = asyncio.Event()
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=page_session.page.url, timeout=SECONDS, limits=limits
        ) as many:
            await request_all()

    many = all_answered = None
    arrived, refused = [], []
    asyncio.run(connect_many())
    assert len(refused) == 60 - MAX_VIEWERS
    assert set(refused) == {FULL}


def test_page_viewers_are_counted_once_and_removed(client, page_session, monkeypatch):
    for name in ("VIEWER_SECONDS", "WAIT_SECONDS"):
        monkeypatch.setattr(f"vidstyle.live.web.frames.{name}", 0.02)
    page_session.stylize_frame()
    for number in range(3 * MAX_VIEWERS):
        assert client.get(f"/frame.jpg?viewer=one&after={number % 2}").status_code in (200, 204)
    until(lambda: client.get("/state").json()["viewers"] == 0)
    streams = [client.stream("GET", "/frame.mjpg") for _ in range(MAX_VIEWERS)]
    for stream in streams:
        stream.__enter__()
    refused = client.get("/frame.jpg?viewer=one")
    assert refused.status_code == 503 and refused.content == FULL
    streams[0].__exit__(None, None, None)
    until(lambda: client.get("/frame.jpg?viewer=one").status_code == 200)
    for stream in streams[1:]:
        stream.__exit__(None, None, None)


HALF_SENT = (
    b"",
    b"GET /state HT",
    b"GET /state HTTP/1.1\r\nHost: HOST\r\n",
    b"GET /state HTTP/1.1\r\nHost: HOST\r\n\r\nGET /st",
    b"POST /command HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100\r\n\r\n{",
    b"POST /styles HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100\r\n\r\n{",
    b"GET /state HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100\r\n\r\n{",
)


@pytest.mark.parametrize("request_bytes", HALF_SENT)
def test_connection_incomplete_request_times_out(page_session, monkeypatch, request_bytes):
    monkeypatch.setattr(f"{LIMITS}.REQUEST_SECONDS", 0.1)
    for name in ("COMMAND_SECONDS", "UPLOAD_SECONDS"):
        monkeypatch.setattr(f"vidstyle.live.web.server.{name}", 0.1)
    page_session.page._running._server.config.timeout_keep_alive = 0.1
    with connected(page_session, request_bytes) as connection:
        assert is_closed_by_server(connection)


def test_connection_viewer_that_does_not_read_times_out(client, page_session, monkeypatch):
    monkeypatch.setattr(f"{LIMITS}.READ_SECONDS", 0.2)
    noise = [
        np.random.default_rng(seed).integers(0, 256, (480, 640, 3), np.uint8) for seed in range(3)
    ]
    with connected(page_session) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        silent.sendall(b"GET /frame.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: client.get("/state").json()["viewers"] == 1)

        frames = cycle(noise)  # one at a time: the page sends the newest frame, and none twice

        def shown_until_nobody_watches():
            page_session.page.show(next(frames))
            return client.get("/state").json()["viewers"] == 0

        until(shown_until_nobody_watches)


def test_connection_count_is_limited(client, page_session, monkeypatch):
    monkeypatch.setattr(f"{LIMITS}.MAX_CONNECTIONS", 4)
    with (
        connected(page_session) as one,
        connected(page_session),
        connected(page_session),
        connected(page_session),
    ):
        with connected(page_session) as many:
            assert is_closed_by_server(many)
        one.sendall(b"GET /page.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert one.recv(100).startswith(b"HTTP/1.1 200")


def test_page_simultaneous_uploads_are_limited(client, page_session, monkeypatch):
    monkeypatch.setattr("vidstyle.live.web.server.MAX_UPLOADS", 1)
    with connected(
        page_session, b"POST /styles HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100\r\n\r\n{"
    ):
        until(lambda: page_session.page._uploads == 1)
        answer = client.post("/styles", content=b"x")
        assert answer.status_code == 503 and answer.text.startswith(
            "1 images are being uploaded already"
        )
    until(lambda: page_session.page._uploads == 0)
    assert client.post("/styles", content=b"x").status_code == 415
