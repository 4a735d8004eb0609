"""Requests of the browser whose camera is used: one at a time, and a QR code of the page."""

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Address
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...io.frame import Image
from ...web.qr import qr_svg
from ...web.uploads import read_body
from ..browser_camera import BrowserCamera
from .peer import Peer

if TYPE_CHECKING:
    from ..session import Session

OFFER_BYTES, OFFER_SECONDS = 1 << 16, 10
"""Largest size in bytes of an offer, and time limit in seconds for receiving it."""

MAX_BROWSER_NAME_LENGTH = 40
"""Characters of a browser's name that are used."""


HIDDEN_ADDRESS = re.compile(r"^(a=candidate:(?:\S+ ){4})\S+\.local ", re.MULTILINE)
"""A candidate (RFC 8839) of an offer with a name of mDNS in place of its address."""


def _with_address(offer: str, client: Address | None) -> str:
    """Return an offer (SDP) in which the browser's own address replaces names of mDNS.

    Browsers hide the addresses of their device behind such names. Many networks do not resolve
    them, and without any address of the browser the connection would fail.
    """
    if client is None:
        return offer
    host = client.host.partition("%")[0]  # without the zone of an IPv6 address
    return HIDDEN_ADDRESS.sub(rf"\g<1>{host} ", offer)


class BrowserVideo:
    """The connection to the browser whose camera is used.

    A browser that calls again replaces its own connection. Another browser replaces one whose
    camera has become silent. ``show`` is thread-safe; everything else runs on the event loop of the
    server.

    Args:
        camera: the source of the session.
        address: of the page, for other devices; "" if they cannot open it.
    """

    def __init__(self, camera: BrowserCamera, address: str = "") -> None:
        self._camera, self._address = camera, address
        self._peer: Peer | None = None
        self._session: Session | None = None
        self._negotiation = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """The requests that belong to it."""
        return [
            Route("/camera", self._connect, methods=["POST"]),
            Route("/qr.svg", self._qr_code),
        ]

    def open(self, session: "Session") -> None:
        """Take the session, whose latency the sound has too."""
        self._session = session

    def show(self, image: Image) -> None:
        """Send (H, W, 3 or 4) RGB to the browser. Does not block."""
        if self._peer is not None:
            self._peer.show(image)

    def state(self) -> dict[str, Any]:
        """What the page needs to know, as JSON-compatible data."""
        peer = self._peer
        width, height = self._camera.wanted_size
        return {
            "connected": peer is not None and not peer.waiting,
            "send_ms": round(1000 * peer.send_delay, 1) if peer is not None else 0.0,
            "width": width,
            "height": height,
            "fps": self._camera.wanted_rate,
            "address": self._address,
        }

    async def end(self) -> None:
        """End the connection."""
        peer, self._peer = self._peer, None
        if peer is not None:
            await peer.close()
        await asyncio.gather(*self._closing)

    async def _connect(self, request: Request) -> Response:
        """Answer an offer (SDP) of the browser ``?browser=NAME``."""
        browser = request.query_params.get("browser", "")[:MAX_BROWSER_NAME_LENGTH]
        offer = await read_body(request, OFFER_BYTES, OFFER_SECONDS)
        if self._negotiation.locked():
            raise HTTPException(503, "another camera is being connected: try again in a moment")
        async with self._negotiation:
            self._check_free(browser)
            await self.end()
            peer = self._peer = Peer(browser, self._camera, self._latency, self._drop)
            try:
                text = offer.decode(errors="replace")
                answer = await peer.answer(_with_address(text, request.client))
            except ValueError as error:
                await self.end()
                raise HTTPException(400, str(error)) from None
        return Response(answer, 201, media_type="application/sdp")

    def _check_free(self, browser: str) -> None:
        """Raise HTTPException if another browser's camera is in use."""
        peer = self._peer
        if peer is None or (browser and peer.browser == browser):
            return
        if peer.waiting or self._camera.status == "ok":
            message = "another camera is in use, and this page shows its painting"
            raise HTTPException(409, f"{message}: stop the camera there first")

    def _latency(self) -> float:
        return self._session.display.timings.latency() if self._session is not None else 0.0

    def _drop(self, peer: Peer) -> None:
        """Forget a connection that has ended."""
        if self._peer is peer:
            self._peer = None
        task = asyncio.ensure_future(peer.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _qr_code(self, request: Request) -> Response:
        if not self._address:
            raise HTTPException(404, "other devices cannot open this page: see --web")
        with suppress(ValueError):
            return Response(qr_svg(self._address), media_type="image/svg+xml")
        raise HTTPException(404, "the address is too long for a QR code")
