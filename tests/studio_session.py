"""A studio with an HTTP client, for tests."""

from contextlib import contextmanager

import httpx

from vidstyle.studio.server import Studio
from vidstyle.web.address import listen

SECONDS = 60
"""Time limit in seconds for an answer, and for a render in another process."""


@contextmanager
def open_studio(folder, address="127.0.0.1:0", **options):
    studio = Studio(listen(address, "--address"), folder, **options)
    try:
        studio.open()
        yield studio
    finally:
        studio.close()


@contextmanager
def client_of(studio, **options):
    with httpx.Client(base_url=studio.url.partition("?")[0], timeout=SECONDS, **options) as client:
        yield client


def upload(client, data, name, kind="clips"):
    return client.post(f"/api/{kind}", params={"name": name}, content=data)
