"""``vidstyle obs``: scripts into OBS, the source into its scene, and whether all that works."""

import asyncio
import base64
import json
import logging
import os
import shutil
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import DeviceError, OutputError
from ..io.frame import Image
from ..io.images import decode_image
from .latency_stamp import age, clock_of
from .web.address import page_url

try:
    import simpleobsws
except ImportError:
    raise DeviceError("to talk to OBS simpleobsws is needed: pip install 'vidstyle[obs]'") from None

log = logging.getLogger(__name__)

SOURCE = "vidstyle"
SCRIPT_KIND, MEDIA_KIND = "vidstyle_picture", "ffmpeg_source"
SCRIPTS = ("vidstyle_source.lua", "vidstyle_panel.py")

SECONDS = 5.0
"""Patience with OBS, and with vidstyle."""

SEEN, SHOTS_SECONDS = 20, 6.0
"""So many pictures are looked at, and for so long at most."""


STREAMS = {
    "udp": ("mpegts", ""),
    "tcp": ("mpegts", "listen=1"),
    "rtmp": ("flv", "listen=1"),
    "rtsp": ("rtsp", "rtsp_flags=listen"),
}
"""How OBS's FFmpeg takes what ``vidstyle live -o`` sends: its input format, and what has it wait for a sender."""


def media_settings(page: str, address: str = "") -> dict[str, Any]:
    """Of a Media Source that shows the page's picture, or a stream: with OBS's own it would be a second behind, or more.

    Args:
        page: HOST:PORT of the control page, or its address as it is printed, with its token.
        address: of the stream, as this machine sees it; OBS waits for a sender where its host is 0.0.0.0.

    Raises:
        ValueError: no such kind of stream, or no such page.
    """
    scheme, _, rest = address.partition("://")
    if address and scheme not in STREAMS:
        raise ValueError(
            f"{address!r} is no stream OBS takes from vidstyle: use {', '.join(STREAMS)}, such as udp://0.0.0.0:9000"
        )
    form, listen = STREAMS[scheme] if address else ("mjpeg", "")
    # OBS waits for the time of each picture, and keeps the delay that anything once caused. So the page's, which carry no
    # times, are said to follow each other far sooner than they do: OBS is always late, and shows the newest at once.
    extra = listen * rest.startswith("0.0.0.0") if address else "framerate=1000"
    return {
        "is_local_file": False,
        "input": address or page_url(page, "picture.mjpeg"),
        "input_format": form,
        "buffering_mb": 0,
        "reconnect_delay_sec": 1,
        "restart_on_activate": True,
        "hw_decode": False,
        "ffmpeg_options": f"{extra} fflags=nobuffer analyzeduration=0 probesize=32".strip(),
    }


def config_folders() -> list[Path]:
    """Where OBS keeps its settings, of each OBS that is there."""
    home = Path.home()
    if sys.platform == "win32":
        found = [Path(os.environ.get("APPDATA", home)) / "obs-studio"]
    elif sys.platform == "darwin":
        found = [home / "Library/Application Support/obs-studio"]
    else:
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        found = [config / "obs-studio", home / ".var/app/com.obsproject.Studio/config/obs-studio"]
    return [folder for folder in found if folder.is_dir()]


def install() -> None:
    """Put the scripts where OBS finds them, and into its scene collections where OBS is not running.

    Raises:
        DeviceError: no OBS.
        OutputError: its folder cannot be written.
    """
    folders = config_folders()
    if not folders:
        raise DeviceError(
            "OBS has no settings here: install it (obsproject.com), start it once, then try again"
        )
    for folder in folders:
        scripts = folder / "vidstyle"
        try:
            scripts.mkdir(exist_ok=True)
            for name in SCRIPTS:
                (scripts / name).write_bytes(
                    (resources.files(__package__) / "obs_scripts" / name).read_bytes()
                )
            program = shutil.which("vidstyle") or str(Path(sys.executable).with_name("vidstyle"))
            (scripts / "vidstyle_panel.json").write_text(json.dumps({"program": program}))
            listed = (
                []
                if is_running()
                else [file for file in scenes_of(folder) if _list_scripts(file, scripts)]
            )
        except OSError as error:
            raise OutputError(
                f"cannot write into {folder} ({error.strerror}): check its permissions"
            ) from None
        log.info("scripts: %s", scripts)
        for file in listed:
            log.info("they are on in the scene collection %s from OBS's next start", file.stem)
        if not listed:
            log.info("switch them on in OBS: Tools, Scripts, +, then both files in that folder")


def scenes_of(folder: Path) -> list[Path]:
    """The scene collections of an OBS."""
    return sorted((folder / "basic/scenes").glob("*.json"))


def _list_scripts(file: Path, scripts: Path) -> bool:
    """Add the scripts to a scene collection; whether they are listed there now. What cannot be read is left as it is."""
    try:
        scene = json.loads(file.read_text())
        listed = scene.setdefault("modules", {}).setdefault("scripts-tool", [])
        known = {entry["path"] for entry in listed}
    except (ValueError, AttributeError, KeyError, TypeError):
        return False
    listed += [
        {"path": str(scripts / name), "settings": {}}
        for name in SCRIPTS
        if str(scripts / name) not in known
    ]
    part = file.with_suffix(".json.vidstyle")
    part.write_text(json.dumps(scene, indent=4))
    part.replace(file)
    return True


def is_running() -> bool:
    """Whether an OBS runs here, as far as the system tells: it would write its scenes over ours."""
    if not sys.platform.startswith("linux"):
        return True
    for file in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if file.read_text().strip() == "obs":
                return True
    return False


class RefusedError(DeviceError):
    """OBS says no."""


class Remote:
    """OBS through its websocket (obs-websocket 5).

    Args:
        address: HOST:PORT.
        password: None: as OBS's own settings on this machine say.

    Raises:
        DeviceError: no OBS answers there, or not to that password.
    """

    def __init__(self, address: str, password: str | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        known = known_password() if password is None else password
        parameters = simpleobsws.IdentificationParameters(eventSubscriptions=0)
        self._socket = simpleobsws.WebSocketClient(f"ws://{address}", known or "", parameters)
        try:
            self._wait(self._connect(), SECONDS)
        except (TimeoutError, OSError) as error:
            self.close()
            remedy = "start OBS, and tick Enable WebSocket server in its Tools, WebSocket Server Settings"
            raise DeviceError(
                f"no OBS answers at {address} ({error or 'it took too long'}): {remedy}"
            ) from None
        except BaseException:
            self.close()
            raise

    async def _connect(self) -> None:
        await self._socket.connect()
        if not await self._socket.wait_until_identified(timeout=int(SECONDS)):
            raise DeviceError(
                "OBS refuses the password: give the one in its Tools, WebSocket Server Settings, with --password"
            )

    def _wait(self, what: Any, seconds: float) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(what, seconds))

    def ask(self, request: str, **given: Any) -> dict[str, Any]:
        """One request's answer.

        Raises:
            DeviceError: OBS says no, or nothing.
        """
        try:
            answer = self._wait(
                self._socket.call(simpleobsws.Request(request, given or None)), SECONDS
            )
        except (
            TimeoutError,
            OSError,
            simpleobsws.MessageTimeout,
            simpleobsws.NotIdentifiedError,
        ) as error:
            raise DeviceError(
                f"OBS does not answer to {request} ({error}): start it again"
            ) from None
        if not answer.ok():
            raise RefusedError(
                f"OBS refuses {request} ({answer.requestStatus.comment or answer.requestStatus.code}): see its log"
            )
        return answer.responseData or {}

    def shot(self, source: str = SOURCE) -> tuple[float, Image | None]:
        """(moment, (H, W, 3) picture) of a source as OBS renders it; None where it shows nothing."""
        began = time.time()
        try:
            data = self.ask("GetSourceScreenshot", sourceName=source, imageFormat="png")[
                "imageData"
            ]
        except RefusedError:  # a source that never had a picture has no size, and cannot be drawn
            return began, None
        return (began + time.time()) / 2, decode_image(base64.b64decode(data.split(",", 1)[1]))

    def close(self) -> None:
        """Say good-bye."""
        with suppress(Exception):
            self._wait(self._socket.disconnect(), SECONDS)
        self._loop.close()


def known_password() -> str | None:
    """The websocket's password, from OBS's own settings on this machine."""
    for folder in config_folders():
        with suppress(OSError, ValueError):
            known = json.loads((folder / "plugin_config/obs-websocket/config.json").read_text())
            return str(known.get("server_password", "")) if known.get("auth_required") else ""
    return None


def connect(obs: Remote, page: str, kind: str | None = None, address: str = "") -> str:
    """Create the source in the scene that is on, or put it right; returns its kind.

    Args:
        obs: the OBS.
        page: HOST:PORT of vidstyle's control page.
        kind: of the source; None: the script's where it is on, else a Media Source.
        address: of a stream for the Media Source; empty: it reads the page.

    Raises:
        DeviceError: OBS refuses.
    """
    kinds = obs.ask("GetInputKindList")["inputKinds"]
    chosen = kind or (SCRIPT_KIND if SCRIPT_KIND in kinds else MEDIA_KIND)
    if chosen not in kinds:
        raise DeviceError(
            "OBS does not know the script's source: `vidstyle obs install`, then start OBS again"
        )
    settings = media_settings(page, address) if chosen == MEDIA_KIND else {}
    scene = obs.ask("GetCurrentProgramScene")["currentProgramSceneName"]
    there = {each["inputName"]: each["inputKind"] for each in obs.ask("GetInputList")["inputs"]}
    if SOURCE in there and there[SOURCE] != chosen:
        obs.ask("RemoveInput", inputName=SOURCE)
        time.sleep(0.5)  # OBS lets go of it a little later
        del there[SOURCE]
    if SOURCE not in there:
        made = obs.ask(
            "CreateInput",
            sceneName=scene,
            inputName=SOURCE,
            inputKind=chosen,
            inputSettings=settings,
        )
        _fill_scene(obs, scene, made["sceneItemId"])
        return chosen
    if settings:
        obs.ask("SetInputSettings", inputName=SOURCE, inputSettings=settings)
    items = [
        item["sourceName"] for item in obs.ask("GetSceneItemList", sceneName=scene)["sceneItems"]
    ]
    if SOURCE not in items:
        made = obs.ask("CreateSceneItem", sceneName=scene, sourceName=SOURCE)
        _fill_scene(obs, scene, made["sceneItemId"])
    return chosen


def _fill_scene(obs: Remote, scene: str, item: int) -> None:
    """As large as the scene, in its own shape. Only when it is new: later somebody may have moved it."""
    screen = obs.ask("GetVideoSettings")
    bounds = {"boundsWidth": screen["baseWidth"], "boundsHeight": screen["baseHeight"]}
    transform = {"boundsType": "OBS_BOUNDS_SCALE_INNER", **bounds, "boundsAlignment": 0}
    obs.ask(
        "SetSceneItemTransform", sceneName=scene, sceneItemId=item, sceneItemTransform=transform
    )


def ask_page(page: str, path: str, order: dict[str, Any] | None = None) -> Any:
    """What vidstyle's control page answers.

    Raises:
        DeviceError: it does not.
    """
    data = None if order is None else json.dumps(order).encode()
    try:
        with urllib.request.urlopen(page_url(page, path), data, timeout=SECONDS) as answer:
            return json.loads(answer.read() or b"null")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DeviceError(
            f"vidstyle does not answer at {page} ({reason}): start `vidstyle live --obs` first"
        ) from None


def delay(obs: Remote, page: str) -> float:
    """Seconds from when vidstyle shows a picture to when OBS renders it, median. A clock is drawn into the picture meanwhile.

    Raises:
        DeviceError: no picture, or one that does not move.
    """
    if obs.shot()[1] is None:
        raise DeviceError(
            f"the source {SOURCE} shows nothing in OBS: `vidstyle obs connect`, with `vidstyle live --obs` running"
        )
    ask_page(page, "order", {"do": "clock"})
    try:
        time.sleep(0.5)
        first: dict[
            float, float
        ] = {}  # a picture stays until the next: what counts is when it was first seen
        for moment, picture in _shots(obs):
            clock = clock_of(picture)
            if clock is not None:
                first.setdefault(clock, moment)
            if len(first) == SEEN:
                break
    finally:
        ask_page(page, "order", {"do": "clock"})
    if len(first) < 3:
        raise DeviceError(
            f"the picture of {SOURCE} in OBS does not move: `vidstyle obs connect` puts its settings right"
        )
    return statistics.median(age(clock, moment) for clock, moment in list(first.items())[1:])


def _shots(obs: Remote) -> Iterator[tuple[float, Image]]:
    end = time.monotonic() + SHOTS_SECONDS
    while time.monotonic() < end:
        moment, picture = obs.shot()
        if picture is not None:
            yield moment, picture


def check(obs: Remote, page: str) -> list[str]:
    """What is there, one line each; the last one says what to enter in OBS.

    Raises:
        DeviceError: what is missing first, with its remedy.
    """
    version = obs.ask("GetVersion")
    lines = [f"OBS {version['obsVersion']}, obs-websocket {version['obsWebSocketVersion']}"]
    state = ask_page(page, "state")
    if "fps" not in state:
        raise DeviceError("vidstyle does not paint yet: wait a moment, then try again")
    lines.append(
        f"vidstyle at {page}: {state['fps']:.1f} frames per second, {state['latency_ms']:.0f} ms behind its camera"
    )
    kinds = {each["inputName"]: each["inputKind"] for each in obs.ask("GetInputList")["inputs"]}
    if SOURCE not in kinds:
        raise DeviceError(f"OBS has no source called {SOURCE}: `vidstyle obs connect` makes one")
    took = delay(obs, page)
    lines.append(
        f"source {SOURCE} ({kinds[SOURCE]}): pictures arrive {1000 * took:.0f} ms after they are painted"
    )
    offset = round(1000 * took + state["latency_ms"])
    lines.append(
        f"audio: in OBS's Advanced Audio Properties give the microphone a Sync Offset of {offset} ms"
    )
    return lines
