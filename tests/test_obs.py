"""OBS, simulated: latency stamp, installation of the scripts, the source, the check."""

import asyncio
import base64
import json
import threading
import time
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import cv2
import msgpack
import numpy as np
import pytest
import websockets
from conftest import SECONDS
from obs_harness import obs_process

from vidstyle import DeviceError, cli
from vidstyle.live.latency_stamp import draw_stamp, read_stamp, stamp_age
from vidstyle.live.obs import (
    MEDIA_KIND,
    SCRIPT_KIND,
    check_setup,
    connect_source,
    media_settings,
)
from vidstyle.live.obs_client import ObsClient
from vidstyle.live.obs_install import SCRIPTS, install_scripts


def test_latency_stamp_round_trip():
    for image in (np.full((180, 320, 3), 130, np.uint8), np.full((60, 70, 4), 9000, np.uint16)):
        moment = 1_700_000_123.4567
        drawn = draw_stamp(image, moment)
        assert (
            read_stamp(image) is None
            and abs(stamp_age(read_stamp(drawn), moment + 0.25) - 0.25) < 2e-4
        )
        assert np.array_equal(drawn[20:], image[20:])
    assert read_stamp(np.zeros((4, 8, 3), np.uint8)) is None


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The settings of OBS in a temporary home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    obs_process.write_config(tmp_path, 1)
    return tmp_path / ".config/obs-studio"


def test_install_scripts_lists_them_in_scenes(home, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("vidstyle.live.obs_install.is_running", lambda: False)
    (home / "basic/scenes/broken.json").write_text("{")
    for _ in range(2):
        install_scripts()
        for name in SCRIPTS:
            assert (home / "vidstyle" / name).read_text()
        scene = json.loads((home / "basic/scenes/Untitled.json").read_text())
        assert [Path(entry["path"]).name for entry in scene["modules"]["scripts-tool"]] == list(
            SCRIPTS
        )
        assert (
            scene["current_scene"] == "Scene"
            and (home / "basic/scenes/broken.json").read_text() == "{"
        )
    assert "program" in json.loads((home / "vidstyle/vidstyle_panel.json").read_text())
    assert "in the scene collection Untitled" in caplog.text


def test_install_scripts_keeps_scenes_while_obs_runs(home, monkeypatch, caplog):
    caplog.set_level("INFO")
    before = (home / "basic/scenes/Untitled.json").read_text()
    monkeypatch.setattr("vidstyle.live.obs_install.is_running", lambda: True)
    install_scripts()
    assert (
        home / "basic/scenes/Untitled.json"
    ).read_text() == before and "Tools, Scripts, +" in caplog.text


def test_obs_command_without_obs_names_remedy(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert cli.main(["obs", "install"]) == 1
    assert "install OBS (obsproject.com), start it once" in capsys.readouterr().err
    assert cli.main(["obs", "check", "--address", f"127.0.0.1:{obs_process.free_port()}"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("vidstyle: OBS does not answer at 127.0.0.1:") and err.count("\n") == 1


class SimulatedObs:
    """A simulated obs-websocket 5, whose source shows frames with a delay."""

    clock = staticmethod(time.time)

    def __init__(self, kinds, inputs=(), delay=0.1):
        self.kinds, self.inputs, self.items, self.asked, self.delay = (
            kinds,
            dict(inputs),
            [],
            [],
            delay,
        )

    def answer(self, request, given):
        self.asked.append((request, given))
        if request == "CreateInput":
            self.inputs[given["inputName"]] = given["inputKind"]
            self.items.append(given["inputName"])
        if request == "RemoveInput":
            del self.inputs[given["inputName"]]
        if request == "CreateSceneItem":
            self.items.append(given["sourceName"])
        return {
            "CreateInput": {"sceneItemId": 1},
            "CreateSceneItem": {"sceneItemId": 2},
            "GetVideoSettings": {"baseWidth": 1920, "baseHeight": 1080},
            "GetVersion": {"obsVersion": "30.0", "obsWebSocketVersion": "5.3"},
            "GetInputKindList": {"inputKinds": self.kinds},
            "GetCurrentProgramScene": {"currentProgramSceneName": "Scene"},
            "GetInputList": {
                "inputs": [
                    {"inputName": name, "inputKind": kind} for name, kind in self.inputs.items()
                ]
            },
            "GetSceneItemList": {"sceneItems": [{"sourceName": name} for name in self.items]},
            "GetSourceScreenshot": {"imageData": "data:image/png;base64," + self.shot()},
        }.get(request, {})

    def shot(self):
        image = np.full((180, 320, 3), 100, np.uint8)
        if self.delay is not None:
            image = draw_stamp(image, round(self.clock() * 20) / 20 - self.delay)
        return base64.b64encode(cv2.imencode(".png", image)[1]).decode()

    async def serve(self, socket):
        await socket.send(
            msgpack.packb({"op": 0, "d": {"rpcVersion": 1, "obsWebSocketVersion": "5.3"}})
        )
        await socket.recv()
        await socket.send(msgpack.packb({"op": 2, "d": {"negotiatedRpcVersion": 1}}))
        async for message in socket:
            asked = msgpack.unpackb(message)["d"]
            known = {"requestType": asked["requestType"], "requestId": asked["requestId"]}
            status = {"result": True, "code": 100}
            given = self.answer(asked["requestType"], asked.get("requestData") or {})
            await socket.send(
                msgpack.packb(
                    {"op": 7, "d": {**known, "requestStatus": status, "responseData": given}}
                )
            )

    @contextmanager
    def running(self):
        port, begun, ended = obs_process.free_port(), threading.Event(), threading.Event()

        async def main():
            async with websockets.serve(
                self.serve,
                "127.0.0.1",
                port,
                subprotocols=["obswebsocket.msgpack"],
                close_timeout=1,
            ):
                begun.set()
                while not ended.is_set():
                    await asyncio.sleep(0.01)

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        try:
            assert begun.wait(SECONDS)
            with closing(ObsClient(f"127.0.0.1:{port}", "")) as remote:
                yield remote
        finally:
            ended.set()
            thread.join(SECONDS)


def test_connect_source_creates_and_corrects():
    obs = SimulatedObs([MEDIA_KIND])
    with obs.running() as remote:
        assert connect_source(remote, "127.0.0.1:1") == MEDIA_KIND
        assert obs.inputs == {"vidstyle": MEDIA_KIND} and obs.items == ["vidstyle"]
        settings = next(given for request, given in obs.asked if request == "CreateInput")[
            "inputSettings"
        ]
        assert (
            settings == media_settings("127.0.0.1:1")
            and "framerate=1000" in settings["ffmpeg_options"]
        )
        obs.items.clear()  # the user removed it from the scene
        connect_source(remote, "127.0.0.1:2")
        assert obs.items == ["vidstyle"]
        fitted = [given for request, given in obs.asked if request == "SetSceneItemTransform"]
        assert [given["sceneItemId"] for given in fitted] == [1, 2] and fitted[0][
            "sceneItemTransform"
        ]["boundsWidth"] == 1920
        assert (
            "SetInputSettings",
            {"inputName": "vidstyle", "inputSettings": media_settings("127.0.0.1:2")},
        ) in obs.asked
        with pytest.raises(DeviceError, match="vidstyle obs install"):
            connect_source(remote, "127.0.0.1:1", SCRIPT_KIND)
        obs.kinds.append(SCRIPT_KIND)  # the script is loaded now
        assert connect_source(remote, "127.0.0.1:1") == SCRIPT_KIND and obs.inputs == {
            "vidstyle": SCRIPT_KIND
        }


@pytest.mark.parametrize(
    "address, form, listens",
    [
        ("udp://0.0.0.0:9000", "mpegts", ""),
        ("tcp://0.0.0.0:9000", "mpegts", "listen=1 "),
        ("rtmp://0.0.0.0:1935/live/x", "flv", "listen=1 "),
        ("rtmp://server/live/x", "flv", ""),
        ("rtsp://0.0.0.0:8554/x", "rtsp", "rtsp_flags=listen "),
    ],
)
def test_connect_source_with_stream(address, form, listens):
    obs = SimulatedObs([MEDIA_KIND, SCRIPT_KIND])
    with obs.running() as remote:
        assert connect_source(remote, "127.0.0.1:1", MEDIA_KIND, address) == MEDIA_KIND
    settings = next(given for request, given in obs.asked if request == "CreateInput")[
        "inputSettings"
    ]
    assert (settings["input"], settings["input_format"]) == (address, form)
    assert settings["ffmpeg_options"] == f"{listens}fflags=nobuffer analyzeduration=0 probesize=32"


def test_obs_connect_invalid_stream_is_usage_error(capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(["obs", "connect", "--media", "srt://0.0.0.0:9000"])
    assert leaving.value.code == 2 and "use udp, tcp, rtmp, rtsp" in capsys.readouterr().err


@pytest.fixture
def page(monkeypatch):
    """A simulated control page; returns its requests."""
    requests = []

    def ask(page, path, order=None):
        requests.append((path, order))
        return {"fps": 20.0, "latency_ms": 50.0} if path == "state" else None

    monkeypatch.setattr("vidstyle.live.obs.request_page", ask)
    return requests


def test_check_setup_measures_delay(page, monkeypatch):
    monkeypatch.setattr("vidstyle.live.obs.MEASURE_SECONDS", SECONDS)
    obs, ticks = SimulatedObs([MEDIA_KIND], {"vidstyle": MEDIA_KIND}), count()
    obs.clock = lambda: 1_700_000_000 + 0.005 * next(ticks)  # 15 ms for each screenshot
    monkeypatch.setattr("vidstyle.live.obs_client.time", SimpleNamespace(time=obs.clock))
    with obs.running() as remote:
        lines = check_setup(remote, "here")
    assert lines[0] == "OBS 30.0, obs-websocket 5.3" and "20.0 frames per second" in lines[1]
    offset = int(lines[-1].split("Sync Offset of ")[1].split()[0])
    assert 50 + 75 <= offset <= 50 + 90  # 100 ms, in steps of 50, seen within 15 ms
    assert [order for path, order in page if path == "command"] == [
        {"do": "latency_stamp"}
    ] * 2  # on and off


def test_media_settings_accepts_url_with_token():
    settings = media_settings("http://192.168.0.5:8765/?token=abc")
    assert settings["input"] == "http://192.168.0.5:8765/frame.mjpeg?token=abc"
    assert (
        media_settings("https://studio.example/tv/")["input"]
        == "https://studio.example/tv/frame.mjpeg"
    )
    for wrong in ("file:///etc/hostname", "", "http://"):
        with pytest.raises(ValueError, match="is not a valid control page: use HOST:PORT"):
            media_settings(wrong)


def test_check_setup_names_missing_part(page, monkeypatch):
    monkeypatch.setattr("vidstyle.live.obs.MEASURE_SECONDS", 0.2)
    with (
        SimulatedObs([MEDIA_KIND]).running() as remote,
        pytest.raises(DeviceError, match="`vidstyle obs connect` creates it"),
    ):
        check_setup(remote, "here")
    standing = SimulatedObs([MEDIA_KIND], {"vidstyle": MEDIA_KIND}, delay=None)
    with standing.running() as remote, pytest.raises(DeviceError, match="does not change"):
        check_setup(remote, "here")
    monkeypatch.undo()
    with (
        standing.running() as remote,
        pytest.raises(DeviceError, match="start `vidstyle live --obs` first"),
    ):
        check_setup(remote, f"127.0.0.1:{obs_process.free_port()}")
