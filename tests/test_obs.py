"""OBS: the shared picture, scripts put in place, the source made and put right, against a stand-in of OBS."""

import ast
import asyncio
import base64
import ctypes.util
import errno
import json
import os
import struct
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path

import cv2
import msgpack
import numpy as np
import pytest
import websockets
from conftest import scene
from obs_room import room

from vidstyle import DeviceError, OutputError, cli
from vidstyle.live.latency_stamp import age, clock_of, with_clock
from vidstyle.live.obs import (
    MEDIA_KIND,
    SCRIPT_KIND,
    SCRIPTS,
    Remote,
    check,
    connect,
    install,
    media_settings,
)
from vidstyle.live.shared_memory import (
    FILE_BYTES,
    HEAD_BYTES,
    SLOT_BYTES,
    SLOTS,
    SharedMemoryOutput,
    shared_file,
)


def shared(path):
    """(number, (H, W, 4) BGRA) of the newest picture, as the script reads it; (0, None) where there is none."""
    data = path.read_bytes()
    magic, version, slots, newest = struct.unpack_from("<4sIII", data)
    assert (magic, version, slots, len(data)) == (b"VST1", 1, SLOTS, FILE_BYTES)
    if newest == 0:
        return 0, None
    place = HEAD_BYTES + newest % SLOTS * SLOT_BYTES
    number, width, height = struct.unpack_from("<III", data, place)
    assert number == newest
    return newest, np.frombuffer(data, np.uint8, width * height * 4, place + HEAD_BYTES).reshape(
        height, width, 4
    )


def test_the_newest_picture_is_shared_in_exact_colours(tmp_path):
    path = tmp_path / "picture"
    picture = SharedMemoryOutput(path)
    picture.open(None)
    assert shared(path) == (0, None)
    for number in range(1, 6):
        image = scene(number / 10)
        picture.show(image)
        found, bgra = shared(path)
        assert (
            found == number
            and np.array_equal(bgra[..., 2::-1], image)
            and (bgra[..., 3] == 255).all()
        )
    picture.show(np.full((10, 20, 4), 40000, np.uint16))
    assert (shared(path)[1][..., :3] == 40000 >> 8).all()
    picture.show(np.zeros((3000, 1000, 3), np.uint8))
    assert shared(path)[1].shape == (1080, 360, 4)
    picture.close()
    picture.close()
    assert shared(path) == (0, None)


def killed(picture):
    """What the system does for a process that ends without a word."""
    picture._memory.close()
    picture._file.close()


def test_another_start_goes_on_in_the_same_file_and_rubbish_is_no_picture(tmp_path):
    path = tmp_path / "picture"
    first = SharedMemoryOutput(path)
    first.show(scene())
    file = path.stat().st_ino
    killed(first)
    again = SharedMemoryOutput(path)
    again.show(scene(1))
    assert shared(path)[0] == 2 and path.stat().st_ino == file
    killed(again)
    path.write_bytes(b"rubbish" * 100)
    SharedMemoryOutput(path)
    assert shared(path) == (0, None)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "picture").mkdir()
    with pytest.raises(OutputError, match="remove it, or go without --obs"):
        SharedMemoryOutput(tmp_path / "picture")
    assert shared_file().name == f"vidstyle-picture-{os.geteuid()}"


def test_the_shared_picture_is_never_a_file_of_others(tmp_path, monkeypatch):
    path, mine = tmp_path / "picture", tmp_path / "mine"
    mine.write_bytes(b"precious")
    path.symlink_to(mine)
    with pytest.raises(
        OutputError, match=r"it is a symbolic link\): remove it, or go without --obs"
    ):
        SharedMemoryOutput(path)
    path.unlink()
    path.hardlink_to(mine)
    mine.chmod(0o600)
    with pytest.raises(OutputError, match="has another name: remove it"):
        SharedMemoryOutput(path)
    assert mine.read_bytes() == b"precious"
    mine.unlink()
    path.chmod(0o644)
    with pytest.raises(OutputError, match="open to other users"):
        SharedMemoryOutput(path)
    path.unlink()
    SharedMemoryOutput(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(
        OutputError, match="belongs to another user: have its owner or root remove it"
    ):
        SharedMemoryOutput(path)


def test_a_second_process_is_refused_the_shared_picture_until_the_first_has_ended(tmp_path):
    path = tmp_path / "picture"
    code = (
        "import sys, pathlib; from vidstyle.live.shared_memory import SharedMemoryOutput\n"
        "picture = SharedMemoryOutput(pathlib.Path(sys.argv[1])); print(1, flush=True); input()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with first:
        assert first.stdout.readline() == b"1\n"
        with pytest.raises(OutputError, match="another vidstyle gives its picture to OBS: stop it"):
            SharedMemoryOutput(path)
        first.kill()
    second = SharedMemoryOutput(path)
    with pytest.raises(OutputError, match="another vidstyle"):
        SharedMemoryOutput(path)
    second.close()
    SharedMemoryOutput(path).close()


def test_the_script_in_obs_opens_no_link(tmp_path):
    library = ctypes.util.find_library("luajit-5.1")
    if not library:
        pytest.skip("needs LuaJIT's library, which comes with OBS")
    lua = ctypes.CDLL(library)
    lua.luaL_newstate.restype, lua.lua_tolstring.restype = ctypes.c_void_p, ctypes.c_char_p
    script = (
        resources.files("vidstyle.live").joinpath("obs_scripts/vidstyle_source.lua").read_text()
    )
    script = script[: script.index("local function let_go")].replace("local obs = obslua", "")

    def opened(path):
        state = ctypes.c_void_p(lua.luaL_newstate())
        lua.luaL_openlibs(state)
        assert (
            lua.luaL_loadstring(
                state, f"{script}\nreturn tostring(mapped('{path}') ~= nil)".encode()
            )
            == 0
        )
        assert lua.lua_pcall(state, 0, 1, 0) == 0
        found = lua.lua_tolstring(state, -1, None) == b"true"
        lua.lua_close(state)
        return found

    path, link = tmp_path / "picture", tmp_path / "link"
    picture = SharedMemoryOutput(path)
    link.symlink_to(path)
    assert opened(path) and not opened(link)
    picture.close()


def test_a_shared_picture_without_room_is_refused(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="No space left on device"):
        SharedMemoryOutput(tmp_path / "picture")


def test_a_moment_drawn_into_a_picture_is_read_back():
    for image in (np.full((180, 320, 3), 130, np.uint8), np.full((60, 70, 4), 9000, np.uint16)):
        moment = 1_700_000_123.4567
        drawn = with_clock(image, moment)
        assert clock_of(image) is None and abs(age(clock_of(drawn), moment + 0.25) - 0.25) < 2e-4
        assert np.array_equal(drawn[20:], image[20:])
    assert clock_of(np.zeros((4, 8, 3), np.uint8)) is None


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with an OBS that was started once."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    room.furnish(tmp_path, 1)
    return tmp_path / ".config/obs-studio"


def test_scripts_are_put_where_obs_finds_them(home, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("vidstyle.live.obs.is_running", lambda: False)
    (home / "basic/scenes/broken.json").write_text("{")
    for _ in range(2):
        install()
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
    assert "on in the scene collection Untitled" in caplog.text


def test_scenes_are_left_alone_while_obs_runs(home, monkeypatch, caplog):
    caplog.set_level("INFO")
    before = (home / "basic/scenes/Untitled.json").read_text()
    monkeypatch.setattr("vidstyle.live.obs.is_running", lambda: True)
    install()
    assert (
        home / "basic/scenes/Untitled.json"
    ).read_text() == before and "Tools, Scripts, +" in caplog.text


def test_without_obs_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert cli.main(["obs", "install"]) == 1
    assert "install it (obsproject.com), start it once" in capsys.readouterr().err
    assert cli.main(["obs", "check", "--address", f"127.0.0.1:{room.free_port()}"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("vidstyle: no OBS answers at 127.0.0.1:") and err.count("\n") == 1


class StandIn:
    """As much of obs-websocket 5 as is needed, with a source that shows what vidstyle showed a while ago."""

    def __init__(self, kinds, inputs=(), behind=0.1):
        self.kinds, self.inputs, self.items, self.asked, self.behind = (
            kinds,
            dict(inputs),
            [],
            [],
            behind,
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
        if self.behind is not None:
            image = with_clock(image, round(time.time() * 20) / 20 - self.behind)
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
        port, begun, ended = room.free_port(), threading.Event(), threading.Event()

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
            assert begun.wait(20)
            with closing(Remote(f"127.0.0.1:{port}", "")) as remote:
                yield remote
        finally:
            ended.set()
            thread.join(20)


def test_the_source_is_made_and_put_right():
    obs = StandIn([MEDIA_KIND])
    with obs.running() as remote:
        assert connect(remote, "127.0.0.1:1") == MEDIA_KIND
        assert obs.inputs == {"vidstyle": MEDIA_KIND} and obs.items == ["vidstyle"]
        settings = next(given for request, given in obs.asked if request == "CreateInput")[
            "inputSettings"
        ]
        assert (
            settings == media_settings("127.0.0.1:1")
            and "framerate=1000" in settings["ffmpeg_options"]
        )
        obs.items.clear()  # somebody took it out of the scene
        connect(remote, "127.0.0.1:2")
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
            connect(remote, "127.0.0.1:1", SCRIPT_KIND)
        obs.kinds.append(SCRIPT_KIND)  # the script is on now
        assert connect(remote, "127.0.0.1:1") == SCRIPT_KIND and obs.inputs == {
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
def test_a_media_source_takes_a_stream_too(address, form, listens):
    obs = StandIn([MEDIA_KIND, SCRIPT_KIND])
    with obs.running() as remote:
        assert connect(remote, "127.0.0.1:1", MEDIA_KIND, address) == MEDIA_KIND
    settings = next(given for request, given in obs.asked if request == "CreateInput")[
        "inputSettings"
    ]
    assert (settings["input"], settings["input_format"]) == (address, form)
    assert settings["ffmpeg_options"] == f"{listens}fflags=nobuffer analyzeduration=0 probesize=32"


def test_what_is_no_stream_is_a_wrong_call(capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(["obs", "connect", "--media", "srt://0.0.0.0:9000"])
    assert leaving.value.code == 2 and "use udp, tcp, rtmp, rtsp" in capsys.readouterr().err


@pytest.fixture
def page(monkeypatch):
    """A vidstyle that answers, and what it was told."""
    told = []

    def ask(page, path, order=None):
        told.append((path, order))
        return {"fps": 20.0, "latency_ms": 50.0} if path == "state" else None

    monkeypatch.setattr("vidstyle.live.obs.ask_page", ask)
    return told


def test_a_check_measures_the_delay_and_says_what_to_enter(page, monkeypatch):
    monkeypatch.setattr("vidstyle.live.obs.SHOTS_SECONDS", 0.5)
    obs = StandIn([MEDIA_KIND], {"vidstyle": MEDIA_KIND})
    with obs.running() as remote:
        said = check(remote, "here")
    assert said[0] == "OBS 30.0, obs-websocket 5.3" and "20.0 frames per second" in said[1]
    offset = int(said[-1].split("Sync Offset of ")[1].split()[0])
    assert (
        50 + 70 <= offset <= 50 + 400
    )  # the stand-in is 100 ms behind, rounded to 25; a busy machine adds to that
    assert [order for path, order in page if path == "order"] == [
        {"do": "clock"}
    ] * 2  # on, and off again


def test_the_page_may_be_given_with_its_token():
    settings = media_settings("http://192.168.0.5:8765/?token=abc")
    assert settings["input"] == "http://192.168.0.5:8765/picture.mjpeg?token=abc"
    assert (
        media_settings("https://studio.example/tv/")["input"]
        == "https://studio.example/tv/picture.mjpeg"
    )
    for wrong in ("file:///etc/hostname", "", "http://"):
        with pytest.raises(ValueError, match="no control page: use HOST:PORT"):
            media_settings(wrong)


def test_a_check_names_what_is_missing(page, monkeypatch):
    monkeypatch.setattr("vidstyle.live.obs.SHOTS_SECONDS", 0.2)
    with (
        StandIn([MEDIA_KIND]).running() as remote,
        pytest.raises(DeviceError, match="`vidstyle obs connect` makes one"),
    ):
        check(remote, "here")
    standing = StandIn([MEDIA_KIND], {"vidstyle": MEDIA_KIND}, behind=None)
    with standing.running() as remote, pytest.raises(DeviceError, match="does not move"):
        check(remote, "here")
    monkeypatch.undo()
    with (
        standing.running() as remote,
        pytest.raises(DeviceError, match="start `vidstyle live --obs` first"),
    ):
        check(remote, f"127.0.0.1:{room.free_port()}")


def test_the_panel_needs_nothing_but_the_standard_library():
    panel = Path(__file__).parent.parent / "vidstyle/live/obs_scripts/vidstyle_panel.py"
    nodes = [
        node
        for node in ast.walk(ast.parse(panel.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"obspython"}
