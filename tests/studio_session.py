"""A studio with an HTTP client, its page in a browser, and renders that tests end."""

import base64
import json
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Event

import cv2
import httpx
import numpy as np
from conftest import SECONDS, until, write_clip

from vidstyle.studio.server import Studio, StudioOptions
from vidstyle.web.address import listen


@contextmanager
def open_studio(folder, address="127.0.0.1:0", device="auto", **options):
    studio = Studio(listen(address, "--address"), folder, device, StudioOptions(**options))
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


def uploaded_clip(client, folder):
    """The id of a clip of two seconds, which is made in the folder and uploaded."""
    path = write_clip(folder / "clip.mp4", count=12, rate=Fraction(6))
    return upload(client, path.read_bytes(), "clip.mp4").json()["id"]


def events_of(answer):
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def decoded(url):
    data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR).astype(int)


QUICK = {"steps": 1, "initial_steps": 2, "working_size": 64}
"""Settings of a quick render."""


def painted(client, **wanted):
    """The finished preview of a request, (H, W, 3)."""
    body = {"style": "ink", "preset": "draft", "settings": QUICK, **wanted}
    with client.stream("POST", "/api/previews", json=body) as answer:
        events = list(events_of(answer))
    assert events[-1]["stage"] == "end", events[-1]
    return decoded(events[-2]["image"])


def make_previews_quick(patch, features):
    """Let previews have few steps, and a tiny network."""
    patch.setattr("vidstyle.studio.preview.load_features", lambda *given: features)
    patch.setattr("vidstyle.studio.preview.COARSE_STEPS", 2)
    patch.setattr("vidstyle.studio.preview.FINE_STEPS", 4)


class FakeProcess:
    """A render that ends when the test says so, with the exit code that it says."""

    started = ()

    def __init__(self, arguments, log, folder):
        self.arguments, self.ended, self.code = arguments, Event(), 0
        self.last_events = ()
        self.pid, self.start = 1, ""
        FakeProcess.started = (*FakeProcess.started, self)

    def events(self):
        yield {"event": "start", "frames": 4, "working_size": [64, 48]}
        self.ended.wait()
        yield from self.last_events

    def wait(self):
        return self.code

    def end(self, code):
        if code == 0:
            output = self.arguments[self.arguments.index("-o") + 1]
            Path(output).write_text("clip")
        self.code = code
        self.ended.set()

    def interrupt(self):
        self.end(130)

    def cancel(self):
        self.end(130)

    def kill(self):
        self.end(-9)

    def last_message(self):
        return "the clip is damaged: get it again"


class StudioPage:
    """What a user sees and does."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def open(self):
        self.driver.get(f"{self.url}page.css")  # of the same origin, and without a script
        self.script("localStorage.clear()")
        self.driver.get(self.url)
        until(lambda: self.all("#style-list input"))

    def resize(self, width, height=900):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def wait_for(self, selector):
        return until(lambda: self.all(selector))[0]

    def script(self, text, *given):
        return self.driver.execute_script(text, *given)

    def double_click(self, selector):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).double_click(self.one(selector)).perform()

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def note(self):
        return self.script("return document.getElementById('note').textContent")

    def toasts(self):
        return [each.text for each in self.all(".toast.error span")]

    def focus(self, selector):
        self.script("document.querySelector(arguments[0]).focus()", selector)
