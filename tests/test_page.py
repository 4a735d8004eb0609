"""The control page: what it shows, what it takes, whom it lets in; and all that in a real browser, where there is one."""

import shutil
import socket
import sys
import threading
import zlib
from contextlib import contextmanager
from fractions import Fraction

import av
import cv2
import httpx
import numpy as np
import pytest
from conftest import FEW, need, scene, stripes, until, write_clip

from vidstyle import DeviceError, Frame, Report, Settings, Style, Stylizer, cli, load_features
from vidstyle.live.camera import PacedFile
from vidstyle.live.session import Session, live
from vidstyle.live.show import Show
from vidstyle.live.steering import MOST_STYLES
from vidstyle.live.web.address import listen
from vidstyle.live.web.server import UPLOAD_BYTES, Page
from vidstyle.media.pictures import bundled_styles

QUICK = Settings(paint_size=64, first_steps=2, steps=1, **FEW)
SECONDS = 20
"""Patience with what happens in another thread; on a busy machine it may take long."""


@pytest.fixture
def camera(tmp_path):
    with PacedFile(write_clip(tmp_path / "clip.mp4", count=50, rate=Fraction(25)), loop=True) as source:
        yield source


class Studio:
    """A session with a page, and somebody who paints one frame after the other."""

    def __init__(self, page, camera, features, style):
        self.page, self.frames = page, 0
        self.stylizer = Stylizer(features, style, QUICK)
        styles = [("stripes", style), ("scene", Style.from_images([scene()], features))]
        self.session = Session(Show(fade_seconds=0.0), camera, self.stylizer, styles, screens=[page])

    def paint(self):
        self.frames += 1
        frame = Frame(scene(self.frames / 25), Fraction(self.frames, 25))
        painting = self.stylizer(frame)
        self.session(self.stylizer, Report(self.frames, source=frame, frame=painting, iterations=self.stylizer.iterations))
        return painting


@pytest.fixture
def studio(camera, features, style, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Studio(Page(listen("127.0.0.1:0")), camera, features, style)
    yield made
    made.session.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vidstyle")]


@pytest.fixture
def client(studio):
    with httpx.Client(base_url=studio.page.url, timeout=SECONDS) as found:
        yield found


def test_the_page_is_served_with_all_it_asks_for(client):
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
        assert f'"{name}"' in page.text
        assert client.get(f"/{name}").headers["content-type"].startswith(kind)
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert client.get("/../cli.py").status_code == 404


def test_orders_are_obeyed_before_the_next_frame(client, studio):
    studio.paint()
    assert client.post("/order", json={"do": "next", "turn": {"strength": 0.5, "steps": 3}}).status_code == 204
    assert studio.stylizer.settings.strength == 1
    studio.paint()
    studio.paint()
    state = client.get("/state").json()
    assert [style["weight"] for style in state["styles"]] == [0, 1]
    assert state["settings"]["strength"] == studio.stylizer.settings.strength == 0.5 and state["settings"]["steps"] == 3
    assert state["frames"] == 3 and state["loss"] > 0 and not state["mirror"]
    client.post("/order", json={"mix": [1, 3]})
    client.post("/order", json={"do": "mirror"})
    studio.paint()
    studio.paint()
    assert studio.stylizer.style.weights == (1, 3) and studio.session.steering.name == "25% stripes + 75% scene"
    assert client.get("/state").json()["mirror"]


@pytest.mark.parametrize(
    "given, reason",
    [
        (b"", "Expecting value"),
        (b"[]", "an object"),
        (b"{}", "not of nothing"),
        (b'{"eval": "1"}', "not of eval"),
        (b'{"do": "dance"}', "'dance'"),
        (b'{"do": ["next"]}', "unhashable"),
        (b'{"turn": {"strength": 2}}', "strength is 2"),
        (b'{"turn": {"strength": NaN}}', "strength is nan"),
        (b'{"turn": {"strength": "1"}}', "strength must be a number"),
        (b'{"turn": {"steps": 1000000}}', "steps is 1000000"),
        (b'{"turn": {"size": 9000}}', "no size to be turned"),
        (b'{"turn": [1]}', "turn must be"),
        (b'{"mix": [1]}', "1 weights for 2 styles"),
        (b'{"mix": [0, 0]}', "not all 0"),
        (b'{"mix": [1, "a"]}', ""),
        (b"[" * 60000, "recursion"),
    ],
)
def test_what_is_no_order_changes_nothing(client, studio, given, reason):
    answer = client.post("/order", content=given)
    assert answer.status_code == 400 and reason in answer.text
    studio.paint()
    assert studio.stylizer.settings.strength == 1 and studio.session.steering.weights == [1, 0]


def parts_of(answer):
    """Pictures of an MJPEG stream as they come."""
    kept = b""
    for data in answer.iter_bytes():
        kept += data
        while (end := kept.find(b"\r\n--frame\r\n")) > 0:
            jpeg, kept = kept[kept.find(b"\r\n\r\n") + 4 : end], kept[end + 2 :]
            yield cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def far(one, other):
    return np.abs(one.astype(int) - other).mean()


def test_two_who_look_see_the_painting_move(client, studio):
    first = studio.paint()
    with client.stream("GET", "/picture.mjpg") as one, client.stream("GET", "/picture.mjpg") as other:
        pictures = [parts_of(one), parts_of(other)]
        assert one.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        for each in pictures:
            assert far(next(each), first.image) < 12  # what JPEG does to such a picture
        until(lambda: client.get("/state").json()["viewers"] == 2)
        for _ in range(10):
            moved = studio.paint()
        assert far(first.image, moved.image) > 20
        for each in pictures:
            until(lambda each=each: far(next(each), moved.image) < 12)
    until(lambda: client.get("/state").json()["viewers"] == 0)


def test_a_program_has_each_picture_as_soon_as_it_is_shown(client, studio):
    shown = studio.paint()
    parser = av.CodecContext.create("mjpeg", "r")  # FFmpeg's, as in OBS
    with client.stream("GET", "/picture.mjpeg") as answer:
        received = answer.iter_bytes()
        for _ in range(5):
            packets = []
            while not packets:  # comes to an end although nothing else is shown meanwhile
                packets = parser.parse(next(received))
            (frame,) = parser.decode(packets[0])
            assert far(frame.to_ndarray(format="rgb24"), shown.image) < 12  # what JPEG does to such a picture
            shown = studio.paint()


def test_who_does_not_read_slows_nobody_and_gets_the_newest_when_he_does(client, studio):
    noise = [np.random.default_rng(seed).integers(0, 256, (480, 640, 3), np.uint8) for seed in range(3)]
    host, port = studio.page.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        slow.sendall(f"GET /picture.mjpg HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        until(lambda: client.get("/state").json()["viewers"] == 1)
        with client.stream("GET", "/picture.mjpg") as quick:
            pictures = parts_of(quick)
            for number in range(40):
                studio.page.show(noise[number % 3])
                next(pictures)
        last = np.full((480, 640, 3), 200, np.uint8)
        studio.page.show(last)
        data, heads = b"", []
        slow.settimeout(SECONDS)
        while not heads or heads[-1] > 50_000:  # noise takes 500 kB, grey a few
            data += slow.recv(1 << 20)
            heads = [int(part.split(b"\r\n")[0]) for part in data.split(b"Content-Length: ")[1:] if b"\r\n" in part]
        assert len(heads) < 20


def test_a_picture_that_is_uploaded_becomes_a_style(client, studio):
    studio.paint()
    data = cv2.imencode(".png", stripes()[..., ::-1])[1].tobytes()
    for name in ("my cat", "my cat", "\x1b[31m" + "x" * 100, ""):
        assert client.post("/styles", params={"name": name}, content=data).status_code == 204
        studio.paint()
        studio.paint()
    names = [style["name"] for style in client.get("/state").json()["styles"]]
    assert names == ["stripes", "scene", "my cat", "my cat 2", "[31m" + "x" * 36, "picture"]
    assert studio.session.steering.name == "picture"
    small = client.get("/styles/2.jpg")
    assert cv2.imdecode(np.frombuffer(small.content, np.uint8), cv2.IMREAD_COLOR).shape == (160, 160, 3)
    assert client.get("/styles/6.jpg").status_code == 404


def test_uploads_are_bounded_and_looked_into(client, studio):
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
    assert client.post("/order", content=bytes(1 << 17)).status_code == 413
    studio.session.steering.styles *= MOST_STYLES
    answer = client.post("/styles", content=cv2.imencode(".png", stripes())[1].tobytes())
    assert answer.status_code == 409 and f"{MOST_STYLES}" in answer.text


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "192.168.1.2"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_other_sites_pages_are_kept_out(client, headers, status):
    assert client.get("/state", headers=headers).status_code == status
    assert client.post("/order", json={"do": "next"}, headers=headers).status_code == (204 if status == 200 else status)


def test_a_link_from_elsewhere_may_lead_to_the_page(client):
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_elsewhere_than_on_this_machine_only_who_knows_the_token_gets_in(camera, features, style):
    page = Page(listen("0.0.0.0:0"))
    studio = Studio(page, camera, features, style)
    token = page.url.rpartition("=")[2]
    port = page.url.rpartition(":")[2].split("/")[0]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
            for path in ("/", "/state", "/picture.mjpg", "/page.js", f"/state?token={token}", "/?token=wrong"):
                assert client.get(path).status_code == 401
            assert client.post("/order", json={"do": "next"}).status_code == 401
            assert client.get("/state", headers={"Authorization": f"Bearer {token}"}).status_code == 200
            assert client.get("/state", headers={"Authorization": f"Bearer {token}", "Host": "evil.example"}).status_code == 421
            entered = client.get(f"/?token={token}")
            assert entered.status_code == 303 and "HttpOnly; SameSite=Strict" in entered.headers["set-cookie"]
            assert client.get("/").status_code == 200 and client.get("/state").status_code == 200
    finally:
        studio.session.close()


def test_an_address_that_is_taken_is_said_to_be():
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


def test_without_the_extra_the_remedy_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [each for each in sys.modules if each.startswith("vidstyle.live.web")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["live", "--camera", "clip.mp4", "--no-window", "--web"]) == 1
    assert capsys.readouterr().err == "vidstyle: the control page needs Starlette and uvicorn: pip install 'vidstyle[web]'\n"


def test_the_command_serves_the_page(tmp_path, monkeypatch, capsys, features_file):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=25, rate=Fraction(25))
    cv2.imwrite("stripes.png", stripes()[..., ::-1])
    flags = ["--features", str(features_file), "--paint-size", "64", "--no-window", "--device", "cpu", "--web", "127.0.0.1:0"]
    assert cli.main(["live", "stripes.png", "--camera", "clip.mp4", *flags]) == 0
    assert "control page at http://127.0.0.1:" in capsys.readouterr().err


@contextmanager
def browser(*flags):
    """A headless Chromium, or a skipped test."""
    found = [next(filter(None, map(shutil.which, names)), None) for names in (("chromium", "google-chrome"), ("chromedriver",))]
    need(None if all(found) else "no Chromium with its chromedriver here", "VIDSTYLE_REQUIRE_BROWSER")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900", *quiet, *flags):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(found[1]))
    try:
        yield driver
    finally:
        driver.quit()


PIXELS = """
const picture = document.getElementById("picture"), canvas = document.createElement("canvas");
canvas.width = 32; canvas.height = 24;
if (!picture.naturalWidth) return null;
const pen = canvas.getContext("2d");
pen.drawImage(picture, 0, 0, 32, 24);
return [...pen.getImageData(0, 0, 32, 24).data];
"""


def colours(driver):
    """(24, 32, 3) as the browser shows the painting."""
    return np.array(until(lambda: driver.execute_script(PIXELS))).reshape(24, 32, 4)[..., :3].astype(int)


def colourfulness(driver):
    return np.ptp(colours(driver), axis=-1).mean()


@pytest.mark.browser
def test_in_a_browser_the_picture_moves_and_another_style_changes_it(camera, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features, files = load_features("bundled", "cpu"), bundled_styles()
    styles = [(name, Style.from_images([files[name]], features)) for name in ("glass", "ink")]
    settings = Settings(paint_size=64, first_steps=20, few_layers=True)
    with browser() as driver:  # first: a page without a session would be left open
        stylizer, page = Stylizer(features, styles[0][1], settings), Page(listen("127.0.0.1:0"))
        session = Session(Show(fps=20, fade_seconds=0.2), camera, stylizer, styles, screens=[page])
        painting = threading.Thread(target=live, args=(session, camera, stylizer))
        painting.start()
        try:
            driver.get(page.url)
            before = colours(driver)
            until(lambda: np.abs(colours(driver) - before).max() > 30)  # it moves
            until(lambda: colourfulness(driver) > 70)  # glass reaches 90, ink 30
            from selenium.webdriver.common.by import By

            buttons = until(lambda: driver.find_elements(By.CSS_SELECTOR, "#gallery button"))
            buttons[1].click()
            until(lambda: colourfulness(driver) < 50)
            driver.find_element(By.TAG_NAME, "body").send_keys("p")  # and by a key back
            until(lambda: session.steering.weights == [1, 0])
            cv2.imwrite("cat.png", stripes())
            driver.find_element(By.CSS_SELECTOR, "#upload input").send_keys(str(tmp_path / "cat.png"))
            until(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#gallery button")) == 3)
            slider = driver.find_element(By.NAME, "strength")
            driver.execute_script("arguments[0].value = 0.25; arguments[0].dispatchEvent(new Event('input'))", slider)
            until(lambda: stylizer.settings.strength == 0.25)
            assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
        finally:
            session.order({"do": "quit"})
            painting.join()
