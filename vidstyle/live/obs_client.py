"""A client of OBS through its websocket (obs-websocket 5), and where OBS keeps its settings."""

import asyncio
import base64
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import DeviceError
from ..io.frame import Image
from ..io.images import decode_image

try:
    import simpleobsws
except ImportError:
    raise DeviceError("OBS needs the package simpleobsws: pip install 'vidstyle[obs]'") from None

TIMEOUT_SECONDS = 5.0
"""Time limit in seconds for an answer of OBS."""


class RequestRejectedError(DeviceError):
    """OBS answered that a request failed."""


class ObsClient:
    """A connection to OBS. Only for the thread that created it.

    Args:
        address: HOST:PORT.
        password: None: the one in the settings of OBS on this machine.

    Raises:
        DeviceError: OBS does not answer, or rejects the password.
    """

    def __init__(self, address: str, password: str | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        known = known_password() if password is None else password
        parameters = simpleobsws.IdentificationParameters(eventSubscriptions=0)
        self._socket = simpleobsws.WebSocketClient(f"ws://{address}", known or "", parameters)
        try:
            self._run(self._connect())
        except (TimeoutError, OSError) as error:
            self.close()
            problem = f"OBS does not answer at {address} ({error or 'timeout'})"
            remedy = "start OBS, and enable the server in Tools, WebSocket Server Settings"
            raise DeviceError(f"{problem}: {remedy}") from None
        except BaseException:
            self.close()
            raise

    async def _connect(self) -> None:
        await self._socket.connect()
        if not await self._socket.wait_until_identified(timeout=int(TIMEOUT_SECONDS)):
            remedy = "give the one in OBS, Tools, WebSocket Server Settings, with --password"
            raise DeviceError(f"OBS rejects the password: {remedy}")

    def _run(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, TIMEOUT_SECONDS))

    def request(self, name: str, **data: Any) -> dict[str, Any]:
        """Send a request and return the answer's data.

        Args:
            name: such as "GetVersion", see the protocol of obs-websocket.
            data: the request's fields.

        Raises:
            RequestRejectedError: OBS answers that the request failed.
            DeviceError: OBS does not answer.
        """
        try:
            answer = self._run(self._socket.call(simpleobsws.Request(name, data or None)))
        except (
            TimeoutError,
            OSError,
            simpleobsws.MessageTimeout,
            simpleobsws.NotIdentifiedError,
        ) as error:
            message = f"OBS does not answer the request {name} ({error or 'timeout'})"
            raise DeviceError(f"{message}: restart OBS") from None
        if not answer.ok():
            reason = answer.requestStatus.comment or answer.requestStatus.code
            raise RequestRejectedError(f"OBS rejects the request {name} ({reason}): see its log")
        return answer.responseData or {}

    def screenshot(self, source: str) -> tuple[float, Image | None]:
        """Return a source as OBS renders it.

        Returns:
            (time in seconds of ``time.time``, (H, W, 3) uint8 RGB), or (time, None) if the source
            has no image.
        """
        start = time.time()
        try:
            answer = self.request("GetSourceScreenshot", sourceName=source, imageFormat="png")
        except RequestRejectedError:  # a source without a first image has no size
            return start, None
        encoded = answer["imageData"].split(",", 1)[1]
        return (start + time.time()) / 2, decode_image(base64.b64decode(encoded))

    def close(self) -> None:
        """Disconnect."""
        with suppress(Exception):
            self._run(self._socket.disconnect())
        self._loop.close()


def config_folders() -> list[Path]:
    """Return the folders with the settings of OBS: none, one, or one per installation."""
    home = Path.home()
    if sys.platform == "win32":
        candidates = [Path(os.environ.get("APPDATA", home)) / "obs-studio"]
    elif sys.platform == "darwin":
        candidates = [home / "Library/Application Support/obs-studio"]
    else:
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        flatpak = home / ".var/app/com.obsproject.Studio/config/obs-studio"
        candidates = [config / "obs-studio", flatpak]
    return [folder for folder in candidates if folder.is_dir()]


def known_password() -> str | None:
    """Return the websocket's password from the settings of OBS on this machine.

    Returns:
        "" if no password is required; None if the settings are not found.
    """
    for folder in config_folders():
        with suppress(OSError, ValueError):
            file = folder / "plugin_config/obs-websocket/config.json"
            settings = json.loads(file.read_text())
            required = settings.get("auth_required")
            return str(settings.get("server_password", "")) if required else ""
    return None
