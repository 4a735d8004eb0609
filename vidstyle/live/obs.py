"""``vidstyle obs``: creates the source in OBS, checks the connection, and measures the delay."""

import http.client
import json
import statistics
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from ..errors import DeviceError
from ..io.frame import Image
from ..web.address import page_url
from .latency_stamp import read_stamp, stamp_age
from .obs_client import ObsClient

SOURCE = "vidstyle"
"""Name of the source in OBS."""

SCRIPT_KIND, MEDIA_KIND = "vidstyle_picture", "ffmpeg_source"
"""Input kinds of OBS: the script's source, and the Media Source."""

TIMEOUT_SECONDS = 5.0
"""Time limit in seconds for an answer of the control page."""

STAMP_COUNT, MIN_STAMP_COUNT = 20, 3
"""Number of different time stamps that the delay is measured from, at most and at least."""

MEASURE_SECONDS = 6.0
"""Time limit in seconds for the measurement."""

REMOVE_SECONDS = 0.5
"""Seconds after which OBS has released a source that was removed."""

STREAM_INPUTS = {
    "udp": ("mpegts", ""),
    "tcp": ("mpegts", "listen=1"),
    "rtmp": ("flv", "listen=1"),
    "rtsp": ("rtsp", "rtsp_flags=listen"),
}
"""Scheme of a stream -> (FFmpeg's input format, option with which OBS waits for a sender)."""


def media_settings(page: str, address: str = "") -> dict[str, Any]:
    """Return settings with which a Media Source shows the page's frames, or a stream, at once.

    With the default settings of OBS it is delayed by a second or more.

    Args:
        page: HOST:PORT of the control page, or its URL with its token.
        address: of a stream, as seen from OBS; if its host is 0.0.0.0, OBS waits for a sender.

    Raises:
        ValueError: the page or the address is not valid.
    """
    scheme, _, rest = address.partition("://")
    if address and scheme not in STREAM_INPUTS:
        schemes = ", ".join(STREAM_INPUTS)
        message = f"{address!r} is not a stream that OBS can receive from vidstyle"
        raise ValueError(f"{message}: use {schemes}, such as udp://0.0.0.0:9000")
    input_format, listen = STREAM_INPUTS[scheme] if address else ("mjpeg", "")
    # OBS shows each frame at its time stamp, and keeps any delay. The page's frames have no time
    # stamps: at a nominal 1000 fps each frame is late, and OBS shows the newest at once.
    option = listen * rest.startswith("0.0.0.0") if address else "framerate=1000"
    return {
        "is_local_file": False,
        "input": address or page_url(page, "frame.mjpeg"),
        "input_format": input_format,
        "buffering_mb": 0,
        "reconnect_delay_sec": 1,
        "restart_on_activate": True,
        "hw_decode": False,
        "ffmpeg_options": f"{option} fflags=nobuffer analyzeduration=0 probesize=32".strip(),
    }


def connect_source(obs: ObsClient, page: str, kind: str | None = None, address: str = "") -> str:
    """Create the source in the current scene, or correct its settings.

    Args:
        obs: the OBS.
        page: as for ``media_settings``.
        kind: input kind; None: the script's if it is loaded, else a Media Source.
        address: of a stream for a Media Source; "": the source reads the page.

    Returns:
        The input kind.

    Raises:
        DeviceError: OBS rejects a request.
    """
    kinds = obs.request("GetInputKindList")["inputKinds"]
    chosen = kind or (SCRIPT_KIND if SCRIPT_KIND in kinds else MEDIA_KIND)
    if chosen not in kinds:
        remedy = "run `vidstyle obs install`, then restart OBS"
        raise DeviceError(f"the vidstyle script is not loaded in OBS: {remedy}")
    settings = media_settings(page, address) if chosen == MEDIA_KIND else {}
    scene = obs.request("GetCurrentProgramScene")["currentProgramSceneName"]
    inputs = _input_kinds(obs)
    if SOURCE in inputs and inputs[SOURCE] != chosen:
        obs.request("RemoveInput", inputName=SOURCE)
        time.sleep(REMOVE_SECONDS)
        del inputs[SOURCE]
    if SOURCE not in inputs:
        item = obs.request(
            "CreateInput",
            sceneName=scene,
            inputName=SOURCE,
            inputKind=chosen,
            inputSettings=settings,
        )
        _fit_to_scene(obs, scene, item["sceneItemId"])
        return chosen
    if settings:
        obs.request("SetInputSettings", inputName=SOURCE, inputSettings=settings)
    items = obs.request("GetSceneItemList", sceneName=scene)["sceneItems"]
    if SOURCE not in [item["sourceName"] for item in items]:
        item = obs.request("CreateSceneItem", sceneName=scene, sourceName=SOURCE)
        _fit_to_scene(obs, scene, item["sceneItemId"])
    return chosen


def _input_kinds(obs: ObsClient) -> dict[str, str]:
    """Return the inputs of OBS, name -> kind."""
    return {each["inputName"]: each["inputKind"] for each in obs.request("GetInputList")["inputs"]}


def _fit_to_scene(obs: ObsClient, scene: str, item: int) -> None:
    """Scale a new scene item to the canvas, keeping its aspect ratio.

    An existing item keeps its place, since the user may have moved it.
    """
    video = obs.request("GetVideoSettings")
    transform = {
        "boundsType": "OBS_BOUNDS_SCALE_INNER",
        "boundsWidth": video["baseWidth"],
        "boundsHeight": video["baseHeight"],
        "boundsAlignment": 0,
    }
    obs.request(
        "SetSceneItemTransform", sceneName=scene, sceneItemId=item, sceneItemTransform=transform
    )


def request_page(page: str, path: str, command: dict[str, Any] | None = None) -> Any:
    """Send a request to the control page and return its JSON answer.

    Args:
        page: as for ``media_settings``.
        path: such as "state".
        command: sent as JSON with POST; None: GET.

    Raises:
        DeviceError: the page does not answer.
    """
    data = None if command is None else json.dumps(command).encode()
    try:
        with urllib.request.urlopen(page_url(page, path), data, timeout=TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read() or b"null")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        message = f"vidstyle does not answer at {page} ({reason})"
        raise DeviceError(f"{message}: start `vidstyle live --obs` first") from None


def measure_delay(obs: ObsClient, page: str) -> float:
    """Return the median time in seconds from when vidstyle shows a frame to when OBS renders it.

    A time stamp is drawn into the frames during the measurement.

    Raises:
        DeviceError: the source has no image, or its image does not change.
    """
    if obs.screenshot(SOURCE)[1] is None:
        remedy = "run `vidstyle obs connect`, with `vidstyle live --obs` running"
        raise DeviceError(f"the source {SOURCE} shows nothing in OBS: {remedy}")
    toggle = {"do": "latency_stamp"}
    request_page(page, "command", toggle)
    # A frame stays until the next one: its delay ends when its stamp is seen for the first time.
    first_seen: dict[float, float] = {}
    try:
        time.sleep(0.5)
        for moment, image in _screenshots(obs):
            stamp = read_stamp(image)
            if stamp is not None:
                first_seen.setdefault(stamp, moment)
            if len(first_seen) == STAMP_COUNT:
                break
    finally:
        request_page(page, "command", toggle)
    if len(first_seen) < MIN_STAMP_COUNT:
        remedy = "`vidstyle obs connect` corrects its settings"
        raise DeviceError(f"the image of {SOURCE} in OBS does not change: {remedy}")
    seen = list(first_seen.items())[1:]  # the first one may have been there for a while
    return statistics.median(stamp_age(stamp, moment) for stamp, moment in seen)


def _screenshots(obs: ObsClient) -> Iterator[tuple[float, Image]]:
    end = time.monotonic() + MEASURE_SECONDS
    while time.monotonic() < end:
        moment, image = obs.screenshot(SOURCE)
        if image is not None:
            yield moment, image


def check_setup(obs: ObsClient, page: str) -> list[str]:
    """Check OBS, the control page and the source, and measure the delay.

    Returns:
        One line per result; the last one is the Sync Offset for the microphone in OBS.

    Raises:
        DeviceError: the first problem, with its remedy.
    """
    version = obs.request("GetVersion")
    lines = [f"OBS {version['obsVersion']}, obs-websocket {version['obsWebSocketVersion']}"]
    state = request_page(page, "state")
    if "fps" not in state:
        raise DeviceError("vidstyle is still loading: wait a moment, then try again")
    fps, latency_ms = state["fps"], state["latency_ms"]
    lines.append(f"vidstyle at {page}: {fps:.1f} frames per second, latency {latency_ms:.0f} ms")
    kinds = _input_kinds(obs)
    if SOURCE not in kinds:
        remedy = "`vidstyle obs connect` creates it"
        raise DeviceError(f"OBS has no source called {SOURCE}: {remedy}")
    delay_ms = 1000 * measure_delay(obs, page)
    lines.append(f"source {SOURCE} ({kinds[SOURCE]}): delay {delay_ms:.0f} ms")
    offset_ms = round(delay_ms + latency_ms)
    setting = f"give the microphone a Sync Offset of {offset_ms} ms"
    lines.append(f"audio: {setting} in Advanced Audio Properties of OBS")
    return lines
