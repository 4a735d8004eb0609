"""The control page: files, frames, commands, uploads."""

import socket
import sys
import threading
import zlib
from contextlib import ExitStack
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from conftest import SECONDS, stripes, until, write_clip
from PIL import Image

from vidstyle import DeviceError, cli
from vidstyle.live.controls import MAX_STYLES
from vidstyle.live.web.server import UPLOAD_BYTES, Page
from vidstyle.web.address import listen


def test_page_serves_its_files(client):
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
        assert f'"{name}"' in page.text
        assert client.get(f"/{name}").headers["content-type"].startswith(kind)
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert client.get("/../cli.py").status_code == 404


def test_page_closes_right_after_open():
    for _ in range(5):
        page = Page(listen("127.0.0.1:0"))
        page.open(None)
        closing = threading.Thread(target=page.close, daemon=True)
        closing.start()
        closing.join(SECONDS)
        assert not closing.is_alive()


def test_page_commands_are_executed_before_next_frame(client, page_session):
    page_session.stylize_frame()
    assert (
        client.post(
            "/command", json={"do": "next", "set": {"strength": 0.5, "steps": 3}}
        ).status_code
        == 204
    )
    assert page_session.stylizer.settings.strength == 1
    page_session.stylize_frame()
    page_session.stylize_frame()
    state = client.get("/state").json()
    assert [style["weight"] for style in state["styles"]] == [0, 1]
    assert (
        state["settings"]["strength"] == page_session.stylizer.settings.strength == 0.5
        and state["settings"]["steps"] == 3
    )
    assert state["frames"] == 3 and state["loss"] > 0 and not state["mirror"]
    client.post("/command", json={"blend": [1, 3]})
    client.post("/command", json={"do": "mirror"})
    page_session.stylize_frame()
    page_session.stylize_frame()
    assert (
        page_session.stylizer.style.weights == (1, 3)
        and page_session.session.controls.name == "25% stripes + 75% scene"
    )
    assert client.get("/state").json()["mirror"]


def parts_of(answer):
    """Yield the images of a multipart MJPEG stream."""
    kept = b""
    for data in answer.iter_bytes():
        kept += data
        while (end := kept.find(b"\r\n--frame\r\n")) > 0:
            jpeg, kept = kept[kept.find(b"\r\n\r\n") + 4 : end], kept[end + 2 :]
            yield cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def mean_difference(one, other):
    return np.abs(one.astype(int) - other).mean()


@pytest.mark.parametrize("viewers", [2, 20])
def test_page_multipart_stream_serves_all_viewers(client, page_session, viewers):
    first = page_session.stylize_frame()
    with ExitStack() as stack:
        answers = [stack.enter_context(client.stream("GET", "/frame.mjpg")) for _ in range(viewers)]
        streams = [parts_of(each) for each in answers]
        assert answers[0].headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        for each in streams:
            assert mean_difference(next(each), first.image) < 12  # error of JPEG
        until(lambda: client.get("/state").json()["viewers"] == viewers)
        for _ in range(10):
            moved = page_session.stylize_frame()
        assert mean_difference(first.image, moved.image) > 20
        for each in streams:
            until(lambda each=each: mean_difference(next(each), moved.image) < 12)
        assert client.post("/command", json={"do": "next"}).status_code < 300
    until(lambda: client.get("/state").json()["viewers"] == 0)


def test_page_jpeg_stream_delivers_each_frame_at_once(client, page_session):
    shown = page_session.stylize_frame()
    parser = av.CodecContext.create("mjpeg", "r")  # FFmpeg's, as in OBS
    with client.stream("GET", "/frame.mjpeg") as answer:
        received = answer.iter_bytes()
        for _ in range(5):
            packets = []
            while not packets:  # without a further frame
                packets = parser.parse(next(received))
            (frame,) = parser.decode(packets[0])
            assert (
                mean_difference(frame.to_ndarray(format="rgb24"), shown.image) < 12
            )  # error of JPEG
            shown = page_session.stylize_frame()


def test_page_slow_viewer_blocks_nobody_and_gets_newest_frame(client, page_session, monkeypatch):
    monkeypatch.setattr("vidstyle.web.connection.READ_SECONDS", 10 * SECONDS)
    noise = [
        np.random.default_rng(seed).integers(0, 256, (480, 640, 3), np.uint8) for seed in range(3)
    ]
    host, port = page_session.page.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        slow.sendall(f"GET /frame.mjpg HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        until(lambda: client.get("/state").json()["viewers"] == 1)
        with client.stream("GET", "/frame.mjpg") as quick:
            streams = parts_of(quick)
            for number in range(40):
                page_session.page.show(noise[number % 3])
                next(streams)
        last = np.full((480, 640, 3), 200, np.uint8)
        page_session.page.show(last)
        data, heads = b"", []
        slow.settimeout(SECONDS)
        while not heads or heads[-1] > 50_000:  # noise has 500 kB, grey less than 10
            received = slow.recv(1 << 20)
            assert received
            data += received
            heads = [
                int(part.split(b"\r\n")[0])
                for part in data.split(b"Content-Length: ")[1:]
                if b"\r\n" in part
            ]
        assert len(heads) < 20


def test_page_upload_adds_style(client, page_session):
    page_session.stylize_frame()
    data = cv2.imencode(".png", stripes()[..., ::-1])[1].tobytes()
    for name in ("my cat", "my cat", "\x1b[31m" + "x" * 100, ""):
        assert client.post("/styles", params={"name": name}, content=data).status_code == 204
        page_session.stylize_frame()
        page_session.stylize_frame()
    names = [style["name"] for style in client.get("/state").json()["styles"]]
    assert names == ["stripes", "scene", "my cat", "my cat 2", "[31m" + "x" * 36, "image"]
    assert page_session.session.controls.name == "image"
    small = client.get("/styles/2.jpg")
    assert cv2.imdecode(np.frombuffer(small.content, np.uint8), cv2.IMREAD_COLOR).shape == (
        160,
        160,
        3,
    )
    assert client.get("/styles/6.jpg").status_code == 404


def test_page_upload_reports_unused_images_of_a_file(client, page_session, tmp_path):
    page_session.stylize_frame()
    images = [Image.new("RGB", (40, 30), color) for color in ("red", "blue")]
    images[0].save(tmp_path / "two.tiff", save_all=True, append_images=images[1:])
    data = (tmp_path / "two.tiff").read_bytes()
    assert client.post("/styles", params={"name": "two"}, content=data).status_code == 204
    (message,) = client.get("/state").json()["messages"]
    assert message["text"].startswith("two was added; two has several images:")
    assert message["text"].endswith("only the first is used") and not message["error"]


def test_page_upload_rejects_invalid_and_large_images(client, page_session):
    assert client.post("/styles", content=b"GIF89a nonsense").status_code == 415
    assert client.post("/styles", content=b"").status_code == 415
    huge = bytearray(cv2.imencode(".png", stripes())[1].tobytes())
    huge[16:24] = (60000).to_bytes(4, "big") * 2
    assert client.post("/styles", content=bytes(huge)).status_code == 415
    huge[16:24] = (6144).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    answer = client.post("/styles", content=bytes(huge))
    assert answer.status_code == 415 and "6144x6144 px, more than 34 million" in answer.text
    assert client.post("/styles", content=bytes(UPLOAD_BYTES + 1)).status_code == 413
    assert client.post("/command", content=bytes(1 << 17)).status_code == 413
    page_session.session.controls.styles *= MAX_STYLES
    answer = client.post("/styles", content=cv2.imencode(".png", stripes())[1].tobytes())
    assert answer.status_code == 409 and f"{MAX_STYLES}" in answer.text


def test_listen_names_invalid_and_used_addresses():
    with listen("127.0.0.1:0") as server:
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(DeviceError, match=f"port {port} .*: choose another with --web"):
            listen(f"127.0.0.1:{port}")
    for wrong in ("a:b", "1:2:3", "[::1", "127.0.0.1:70000"):
        with pytest.raises(ValueError, match="HOST:PORT"):
            listen(wrong)
    with listen(":0") as server:
        assert server.getsockname()[0] == "127.0.0.1"
        assert server.proto == socket.IPPROTO_TCP  # asyncio sets TCP_NODELAY only then


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("0.0.0.0", "0.0.0.0", 8765),
        ("host2", "host2", 8765),
        ("9000", "127.0.0.1", 9000),
        ("192.168.1.20:80", "192.168.1.20", 80),
        ("[::1]", "::1", 8765),
    ],
)
def test_listen_fills_in_what_the_address_lacks(monkeypatch, address, host, port):
    def unknown(*given, **options):
        raise OSError("nowhere")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DeviceError, match=f"on {host} port {port} "):
        listen(address)


def test_page_without_dependencies_names_remedy(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    packages = "vidstyle.live.web", "vidstyle.web"
    for name in [each for each in sys.modules if each.startswith(packages)]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["live", "--camera", "clip.mp4", "--no-window", "--web"]) == 1
    assert (
        capsys.readouterr().err
        == "vidstyle: the page needs Starlette and uvicorn: pip install 'vidstyle[web]'\n"
    )


def test_live_command_serves_page(tmp_path, monkeypatch, capsys, features_file):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=25, rate=Fraction(25))
    cv2.imwrite("stripes.png", stripes()[..., ::-1])
    flags = [
        "--features",
        str(features_file),
        "--working-size",
        "64",
        "--no-window",
        "--device",
        "cpu",
        "--web",
        "127.0.0.1:0",
    ]
    assert cli.main(["live", "stripes.png", "--camera", "clip.mp4", *flags]) == 0
    assert "control page at http://127.0.0.1:" in capsys.readouterr().err


def test_page_single_frames_are_numbered(client, page_session, monkeypatch):
    monkeypatch.setattr("vidstyle.live.web.frames.VIEWER_SECONDS", SECONDS)
    assert client.get("/frame.jpg").status_code == 204  # there is no frame yet
    shown = page_session.stylize_frame()
    first = client.get("/frame.jpg?viewer=me")
    image = cv2.imdecode(np.frombuffer(first.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert mean_difference(image, shown.image) < 12  # error of JPEG
    number = first.headers["x-frame-number"]
    assert client.get(f"/frame.jpg?viewer=me&after={number}").status_code == 204
    moved = page_session.stylize_frame()
    second = until(
        lambda: (found := client.get(f"/frame.jpg?viewer=me&after={number}")).content and found
    )
    image = cv2.imdecode(np.frombuffer(second.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert second.headers["x-frame-number"] != number and mean_difference(image, moved.image) < 12
    assert client.get("/state").json()["viewers"] == 1
    assert client.get("/frame.jpg?after=" + "9" * 5000).status_code == 200
