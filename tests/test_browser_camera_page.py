"""The page that uses the camera of its browser, in Chromium; skipped without one."""

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import until
from page_session import browser
from test_webrtc import loopback, make_client, running, shown_image  # noqa: F401 (fixtures)

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

FLAGS = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)

PAINTING = """
const painting = document.getElementById("painting");
return painting.hidden ? [0, 0] : [painting.videoWidth, painting.currentTime];
"""

CORNERS = """
const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
return ["self", "painting"].map((id) => {
  pen.drawImage(document.getElementById(id), 0, 0, 40, 40);
  return [...pen.getImageData(2, 36, 1, 1).data].slice(0, 3);
});
"""

SOUND = """
const done = arguments[0], painting = document.getElementById("painting");
const [track] = painting.srcObject.getAudioTracks();
const context = new AudioContext(), meter = context.createAnalyser();
context.createMediaStreamSource(new MediaStream([track])).connect(meter);
const levels = new Float32Array(meter.fftSize);
const timer = setInterval(() => {
  meter.getFloatTimeDomainData(levels);
  if (Math.max(...levels) > 0.01) { clearInterval(timer); done(painting.muted); }
}, 50);
"""


def text_of(driver, id):
    return driver.execute_script(f"return document.getElementById('{id}').textContent")


@pytest.fixture
def open_browser():
    with browser(*FLAGS) as driver:

        def resize(width):
            metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            return driver

        yield resize


def plays(driver):
    before = driver.execute_script(PAINTING)[1]
    until(lambda: driver.execute_script(PAINTING)[1] > before)
    return True


@pytest.mark.browser
def test_page_paints_the_camera_of_its_browser(open_browser, running):  # noqa: F811
    driver = open_browser(390)
    driver.get(running.page.url)
    button = driver.find_element("id", "use_camera")
    until(button.is_displayed)
    assert driver.find_element("id", "image").is_displayed()
    button.click()
    until(lambda: driver.execute_script(PAINTING)[0] > 0)
    assert plays(driver) and running.camera.status == "ok"
    assert not driver.find_element("id", "image").is_displayed()
    assert button.text == "Stop the camera"
    driver.find_element("id", "fullscreen").click()
    until(lambda: driver.execute_script("return document.fullscreenElement?.id") == "frame")
    assert driver.find_element("id", "painting").is_displayed()
    driver.execute_script("return document.exitFullscreen()")
    for width in (1440, 390):
        open_browser(width)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert not driver.find_element("id", "self").is_displayed()
    driver.find_element("id", "show_self").click()
    assert driver.find_element("id", "self").is_displayed()
    # Two matrices of YUV would make a green of 0, 136, 0 another by 17.
    until(lambda: np.abs(np.subtract(*driver.execute_script(CORNERS))).max() <= 10)
    assert np.ptp(driver.execute_script(CORNERS)[1]) > 100
    until(lambda: text_of(driver, "delay").startswith("delay "))
    driver.find_element("css selector", "[data-do=bypass]").click()
    until(lambda: not running.session.state["bypass"])
    driver.find_element("id", "sound").click()  # the microphone joins the same connection
    assert driver.execute_async_script(SOUND) is False and plays(driver)
    driver.find_element("css selector", "#facing [value=environment]").click()
    assert plays(driver)
    button.click()
    until(lambda: running.camera.status == "lost")
    until(driver.find_element("id", "image").is_displayed)
    assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.browser
def test_page_connects_again_and_waits_for_another_camera(
    open_browser,
    running,  # noqa: F811
    make_client,  # noqa: F811
):
    driver = open_browser(390)
    driver.get(running.page.url)
    until(driver.find_element("id", "use_camera").is_displayed)
    driver.find_element("id", "use_camera").click()
    until(lambda: driver.execute_script(PAINTING)[0] > 0)
    running.page._broadcast.call(lambda: running.page._video._drop(running.page._video._peer))
    until(lambda: "trying again" in text_of(driver, "camera_hint"))
    until(lambda: running.camera.status == "ok" and plays(driver))
    driver.refresh()
    client = make_client(name="other")
    until(lambda: client.connect()[0] == 201)
    shown_image(client)
    until(lambda: text_of(driver, "camera_hint") == "Another device's camera is in use.")
    driver.find_element("id", "use_camera").click()
    until(lambda: "stop the camera there first" in text_of(driver, "camera_hint"))
    assert running.camera.status == "ok"


@pytest.mark.browser
def test_page_says_that_its_browser_lacks_webrtc(open_browser, running):  # noqa: F811
    driver = open_browser(390)
    script = {"source": "delete window.RTCPeerConnection"}
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
    driver.get(running.page.url)
    until(lambda: "no WebRTC" in text_of(driver, "camera_hint"))
    assert not driver.find_element("id", "use_camera").is_enabled()


@pytest.mark.browser
def test_page_without_https_says_how_to_get_a_camera(open_browser, features, style, tmp_path):
    from page_session import PageSession

    from vidstyle.live.browser_camera import BrowserCamera
    from vidstyle.live.web.server import Page
    from vidstyle.web.address import listen

    camera = BrowserCamera()
    page = Page(listen("0.0.0.0:0"), ["phone.example"], camera)
    made = PageSession(page, camera, features, style)
    try:
        driver = open_browser(390)
        port, token = page.url.rpartition(":")[2].split("/?token=")
        driver.get(f"http://phone.example:{port}/?token={token}")
        until(lambda: "--https" in text_of(driver, "camera_hint"))
        assert not driver.find_element("id", "use_camera").is_enabled()
        driver.find_element("css selector", "#invite summary").click()
        until(lambda: driver.execute_script("return document.getElementById('qr').naturalWidth"))
        assert text_of(driver, "address") == page.url
    finally:
        made.session.close()
        camera.close()
