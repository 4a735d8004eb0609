"""The camera of a browser by WebRTC; aiortc stands in for the browser."""

import asyncio
import re
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from conftest import SECONDS, until
from page_session import QUICK

from vidstyle import Stylizer
from vidstyle.io.container import codec_threads
from vidstyle.live import browser_camera
from vidstyle.live.browser_camera import BrowserCamera
from vidstyle.live.loop import live
from vidstyle.live.session import Session
from vidstyle.live.startup import LiveOptions
from vidstyle.live.web.server import Page
from vidstyle.web.address import listen

pytest.importorskip("aiortc")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from webrtc_client import Client

SIZE = 160, 90


def red_and_blue(size=SIZE):
    """The left half red, the right half blue."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[:, : size[0] // 2, 0], image[:, size[0] // 2 :, 2] = 220, 220
    return image


def shows_red_and_blue(image):
    height, width = image.shape[:2]
    left, right = image[height // 2, width // 4].astype(int), image[height // 2, 3 * width // 4]
    return left[0] > 150 > 90 > left[2] and right[2] > 150 > 90 > right[0]


@pytest.fixture
def loopback(monkeypatch):
    """WebRTC within this machine, also where it has no network."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **wanted: ["127.0.0.1"])


@pytest.fixture
def running(loopback, features, style, tmp_path, monkeypatch):
    """A live session with the camera of a browser, which shows the camera as it is."""
    monkeypatch.chdir(tmp_path)
    before = codec_threads.open
    camera, page = BrowserCamera(SIZE), None
    page = Page(listen("127.0.0.1:0"), camera=camera)
    stylizer, styles = Stylizer(features, style, QUICK), [("stripes", style)]
    session = Session(LiveOptions(), camera, stylizer, styles, outputs=[page])
    session.command({"do": "bypass"})
    thread = threading.Thread(target=live, args=(session, camera, stylizer))
    thread.start()
    try:
        yield SimpleNamespace(session=session, camera=camera, page=page)
    finally:
        session.command({"do": "quit"})
        thread.join()
    assert codec_threads.open <= before
    assert not [each for each in threading.enumerate() if "decoder" in each.name]


@pytest.fixture
def make_client(running):
    made = []

    def make(draw=lambda seconds: red_and_blue(), **options):
        made.append(Client(running.page.url, draw, 15, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


def shown_image(client, what=shows_red_and_blue):
    until(lambda: client.image() is not None and what(client.image()))
    return client.image()


def test_session_takes_the_camera_of_a_browser_and_sends_the_painting(running, make_client):
    client = make_client(play=lambda seconds: 1.0)
    assert running.camera.status == "lost"
    status, answer = client.connect()
    assert status == 201
    assert shown_image(client).shape == (90, 160, 3)
    assert running.camera.status == "ok" and running.session.status()["camera"] == "ok"
    first = re.search(r"m=video \d+ \S+ (\d+)", answer)[1]
    assert f"a=rtpmap:{first} H264/90000" in answer and "VP8/90000" in answer
    until(
        lambda: any(
            np.abs(sound.to_ndarray().astype(int)).max() > 5000 for _, sound in client.sounds
        )
    )
    state = httpx.get(f"{running.page.url}state", timeout=SECONDS).json()["browser_camera"]
    assert state.pop("send_ms") > 0
    assert state == {"connected": True, "width": 160, "height": 90, "fps": 30.0, "address": ""}


def test_browser_that_hides_its_addresses_is_connected(running, make_client):
    client = make_client()
    post, hidden = client.post, []

    def post_hidden(offer):
        hidden.append(re.sub(rb"(a=candidate:(?:\S+ ){4})\S+", rb"\g<1>hidden.local", offer))
        return post(hidden[0])

    client.post = post_hidden
    assert client.connect()[0] == 201 and b"hidden.local" in hidden[0]
    shown_image(client)


def test_session_survives_hanging_up_and_takes_the_next_camera(running, make_client):
    client = make_client()
    client.connect()
    shown_image(client)
    client.hang_up()
    until(lambda: running.camera.status == "lost")
    other = make_client(name="laptop")
    assert other.connect()[0] == 201
    shown_image(other)


def test_session_refuses_a_second_camera_until_the_first_is_silent(
    running, make_client, monkeypatch
):
    client, other = make_client(), make_client(name="laptop")
    client.connect()
    shown_image(client)
    status, text = other.connect()
    assert status == 409 and "another camera is in use" in text
    assert client.connect()[0] == 201  # the same browser, after its page was loaded again
    shown_image(client)
    client.silent = True
    monkeypatch.setattr(browser_camera, "SILENT_SECONDS", 0.2)
    until(lambda: running.camera.status == "silent")
    assert other.connect()[0] == 201
    shown_image(other)


def test_session_goes_on_when_a_phone_is_rotated(running, make_client):
    upright = []
    client = make_client(lambda seconds: red_and_blue((90, 160) if upright else SIZE))
    client.connect()
    assert shown_image(client).shape == (90, 160, 3)
    upright.append(True)
    image = shown_image(client, lambda image: image.shape[0] > image.shape[1])
    assert image.shape == (160, 90, 3)
    until(lambda: shows_red_and_blue(client.image()))
    assert running.camera.format.size == (90, 160)


def test_session_without_microphone_gets_no_line_of_sound(running, make_client):
    client = make_client()
    status, answer = client.connect()
    assert status == 201 and "m=audio" not in answer


def test_camera_requests_are_checked(running, make_client):
    client = make_client()
    for offer, status, words in (
        (b"nonsense", 400, "the offer is not valid"),
        (b"", 400, "the offer"),
        (b"v=0\r\n" * 20_000, 413, "exceeds the limit"),
    ):
        assert client.post(offer)[0] == status and words in client.post(offer)[1]
    address = f"{running.page.url}camera"
    evil = {"Origin": "http://evil.example"}
    foreign = httpx.post(address, content=b"", headers=evil, timeout=SECONDS)
    assert foreign.status_code == 403
    assert httpx.get(address, timeout=SECONDS).status_code == 405
    code = httpx.get(f"{running.page.url}qr.svg", timeout=SECONDS)
    assert code.status_code == 404  # a page for this machine only


def test_camera_that_never_connects_gives_way(running, make_client, monkeypatch):
    monkeypatch.setattr("vidstyle.live.web.peer.CONNECT_SECONDS", 0.2)
    sound_only = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    client, other = make_client(), make_client(name="laptop")
    assert client.post(sound_only.encode())[0] == 400

    async def offer():
        import aiortc

        connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        connection.addTransceiver("video")
        await connection.setLocalDescription(await connection.createOffer())
        sdp = connection.localDescription.sdp
        await connection.close()
        return sdp

    assert client.post(client.run(offer()).encode())[0] == 201
    until(lambda: running.page._video._peer is None)
    monkeypatch.setattr("vidstyle.live.web.peer.CONNECT_SECONDS", SECONDS)
    assert other.connect()[0] == 201
    shown_image(other)


def test_page_on_other_addresses_wants_its_token_and_gives_its_address():
    page = Page(listen("0.0.0.0:0"), camera=BrowserCamera())
    assert page._access._open_paths >= {"/", "/camera.js", "/camera.css"}
    assert "/camera" not in page._access._open_paths and page.for_other_devices
    assert page._video.state()["address"] == page.url and "token=" in page.url
    page.close()


def test_qr_code_holds_the_address():
    import cv2

    from vidstyle.web.qr import qr_svg, qr_text

    address = "https://192.168.0.7:8443/?token=abcdefghijklmnopqrstuv"
    halves = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    lines = qr_text(address).splitlines()
    rows = [[halves[each][half] for each in line] for line in lines for half in (0, 1)]
    image = np.kron(np.array(rows, np.uint8) * 255, np.ones((8, 8), np.uint8))
    assert cv2.QRCodeDetector().detectAndDecode(image)[0] == address
    assert qr_svg(address).startswith(b"<?xml")


def packet(number, timestamp, data, marker=0):
    from aiortc.rtp import RtpPacket

    made = RtpPacket(sequence_number=number, timestamp=timestamp, marker=marker)
    made._data = data
    return made


def test_prompt_buffer_completes_an_image_with_its_last_packet():
    from vidstyle.live.web.peer import PromptBuffer

    buffer = PromptBuffer(16, is_video=True)

    def add(*given):
        frame = buffer.add(packet(*given))[1]
        return frame and (frame.timestamp, frame.data)

    assert add(1, 100, b"a") is None
    assert add(2, 100, b"b", 1) == (100, b"ab")
    assert add(3, 100, b"") is None  # padding
    assert add(4, 200, b"c", 1) == (200, b"c")
    assert add(6, 300, b"e", 1) is None  # packet 5 is late
    assert add(5, 300, b"d") == (300, b"de")
    assert add(7, 400, b"f") is None  # without its marker an image ends where the next begins
    assert add(8, 500, b"g") == (400, b"f")


def test_peer_replaces_the_buffers_of_this_aiortc():
    from vidstyle.live.web.peer import Peer, PromptBuffer, replace_buffer

    async def buffer():
        peer = Peer("phone", BrowserCamera(), lambda: 0.0, lambda peer: None)
        [transceiver] = peer._connection.getTransceivers()
        await peer.close()
        return transceiver.receiver._RTCRtpReceiver__jitter_buffer

    made = asyncio.run(buffer())
    assert isinstance(made, PromptBuffer)
    replace_buffer(object(), made)  # another aiortc is left as it is


def test_sound_is_as_late_as_the_painting(monkeypatch):
    from vidstyle.live.web import peer

    waited = []

    async def play():
        track = peer.SoundTrack(lambda: 30.0)
        real = asyncio.sleep

        async def sleep(seconds):
            waited.append(seconds)
            await real(0)

        now = time.monotonic()
        monkeypatch.setattr(peer.asyncio, "sleep", sleep)
        monkeypatch.setattr(peer, "time", SimpleNamespace(monotonic=lambda: now))
        track.put("a", now - 10)
        track.put("b", now - 40)
        sounds = [await track.recv(), await track.recv()]
        for number in range(1000):
            track.put(number, now - 40)
        return sounds, await track.recv()

    sounds, oldest = asyncio.run(play())
    assert sounds == ["a", "b"] and oldest == 900  # sound that is too old is dropped
    assert waited[0] == pytest.approx(20) and waited[1] == 0


def test_webrtc_without_aiortc_names_the_extras(monkeypatch, capsys, tmp_path):
    from vidstyle import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "aiortc", None)
    for name in ("peer", "browser_video"):
        monkeypatch.delitem(sys.modules, f"vidstyle.live.web.{name}", raising=False)
    assert cli.main(["studio", "--live", "--address", "127.0.0.1:0"]) == 1
    assert capsys.readouterr().err == (
        "vidstyle: the camera of a browser needs other packages: "
        "pip install 'vidstyle[web,webrtc]'\n"
    )
