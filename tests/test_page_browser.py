"""The control page in Chromium; skipped without one."""

import threading

import cv2
import numpy as np
import pytest
from conftest import stripes, until
from page_session import browser, open_page_session, other_site

from vidstyle import OutputError, Settings, Style, Stylizer, load_features
from vidstyle.io.images import bundled_styles
from vidstyle.live.loop import live
from vidstyle.live.session import Session
from vidstyle.live.startup import LiveOptions
from vidstyle.live.web.server import Page
from vidstyle.web.address import listen

PIXELS = """
const image = document.getElementById("image"), canvas = document.createElement("canvas");
canvas.width = 32; canvas.height = 24;
if (!image.naturalWidth) return null;
const pen = canvas.getContext("2d");
pen.drawImage(image, 0, 0, 32, 24);
return [...pen.getImageData(0, 0, 32, 24).data];
"""


def colors(driver):
    """Return the frame as the browser shows it, (24, 32, 3)."""
    return (
        np.array(until(lambda: driver.execute_script(PIXELS)))
        .reshape(24, 32, 4)[..., :3]
        .astype(int)
    )


def chroma(driver):
    return np.ptp(colors(driver), axis=-1).mean()


STATUS = "return document.getElementById('status').textContent"
MESSAGE = "return document.querySelector('#toasts > :last-child > span')?.textContent"
NOTICE = """
const notice = document.getElementById("notice");
return notice.hidden ? "" : notice.textContent;
"""


@pytest.fixture
def driver():
    """A browser that resolves all names under .example to this machine.

    Each test has its own: a browser that hangs fails one test alone.
    """
    with browser("--host-resolver-rules=MAP *.example 127.0.0.1") as found:
        yield found


@pytest.fixture
def running_session(page_session):
    with page_session.stylizing():
        yield page_session


@pytest.mark.browser
def test_page_shows_frames_and_selects_style(driver, page_camera, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features, files = load_features("bundled", "cpu"), bundled_styles()
    styles = [(name, Style.from_images([files[name]], features)) for name in ("glass", "ink")]
    settings = Settings(working_size=64, initial_steps=20, fast_style_layers=True)
    stylizer, page = Stylizer(features, styles[0][1], settings), Page(listen("127.0.0.1:0"))
    session = Session(
        LiveOptions(fps=20, crossfade_seconds=0.2), page_camera, stylizer, styles, outputs=[page]
    )
    live_thread = threading.Thread(target=live, args=(session, page_camera, stylizer))
    live_thread.start()
    try:
        driver.get(page.url)
        before = colors(driver)
        until(lambda: np.abs(colors(driver) - before).max() > 30)  # a new frame
        until(lambda: chroma(driver) > 70)  # glass reaches 90, ink 30
        from selenium.webdriver.common.by import By

        buttons = until(lambda: driver.find_elements(By.CSS_SELECTOR, "#gallery button"))
        buttons[1].click()
        until(lambda: chroma(driver) < 50)
        driver.find_element(By.TAG_NAME, "body").send_keys("p")  # back with a key
        until(lambda: session.controls.weights == [1, 0])
        cv2.imwrite("cat.png", stripes())
        driver.find_element(By.CSS_SELECTOR, "#upload input").send_keys(str(tmp_path / "cat.png"))
        until(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#gallery button")) == 3)
        slider = driver.find_element(By.NAME, "strength")
        driver.execute_script(
            "arguments[0].value = 0.25; arguments[0].dispatchEvent(new Event('input'))", slider
        )
        until(lambda: stylizer.settings.strength == 0.25)
        assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    finally:
        session.command({"do": "quit"})
        live_thread.join()


def port_of(page_session):
    return page_session.page.url.rpartition(":")[2].split("/")[0]


FOREIGN_PAGE = """
<a id=link href="PAGEframe.jpg">look</a>
<img src="PAGEframe.mjpg"> <img src="PAGEframe.jpg">
<iframe id=frame src="PAGE"></iframe>
<iframe name=target></iframe>
<form id=form method=post action="PAGEcommand" target=target enctype=text/plain>
<input name='{"do": "mirror", "x' value='"}'></form>
<script>
window.results = {};
document.getElementById("form").submit();
const plain = { method: "POST", body: '{"do": "mirror"}' };
function reach(name, path, options) {
  const tell = (words) => () => { results[name] = words; };
  fetch("PAGE" + path, options).then(tell("answered"), tell("refused"));
}
reach("state", "state");
reach("command", "command", plain);
reach("hidden", "command", { ...plain, mode: "no-cors" });
reach("opaque", "frame.jpg", { mode: "no-cors" });
</script>
"""


@pytest.mark.browser
def test_page_blocks_other_origins(driver, running_session):
    mirrored = []
    running_session.session.actions["mirror"] = lambda: mirrored.append(True)
    with other_site(FOREIGN_PAGE.replace("PAGE", running_session.page.url)) as foreign:
        driver.get(foreign)
        until(lambda: len(driver.execute_script("return Object.keys(results)")) == 4)
        results = driver.execute_script("return results")
        assert results == {
            "state": "refused",
            "command": "refused",
            "hidden": "refused",
            "opaque": "refused",
        }
        until(
            lambda: driver.execute_script(
                "return [...document.images].every((image) => image.complete)"
            )
        )
        assert driver.execute_script(
            "return [...document.images].map((image) => image.naturalWidth)"
        ) == [0, 0]
        assert (
            driver.execute_script("return document.getElementById('frame').contentDocument") is None
        )
        driver.execute_script(
            "document.getElementById('link').click()"
        )  # a link in a tab is accepted
        until(lambda: driver.current_url == f"{running_session.page.url}frame.jpg")
        assert driver.execute_script("return document.images[0].naturalWidth") == 64
    frames = running_session.frames
    until(lambda: running_session.frames > frames + 2)
    assert not mirrored


@pytest.mark.browser
def test_page_rejects_dns_rebinding(driver, running_session):
    driver.get(
        f"http://evil.example:{port_of(running_session)}/"
    )  # DNS rebinding: the browser sees one origin
    text = driver.find_element("tag name", "body").text
    assert text.startswith("'evil.example:") and "--allow-host" in text
    assert (
        driver.execute_async_script(
            "const done = arguments[0];"
            "fetch('command', {method: 'POST', body: '{}'}).then((answer) => done(answer.status))"
        )
        == 421
    )


@pytest.mark.browser
def test_page_token_link_survives_reload_and_second_instance(driver, page_camera, features, style):
    def shows_the_page():
        until(lambda: "fps" in driver.execute_script(STATUS))
        until(lambda: colors(driver).max() > 0)
        return driver.current_url

    one = open_page_session(page_camera, features, style, allowed=["studio.example"])
    other = open_page_session(page_camera, features, style, allowed=["studio.example"])
    with one as one, other as other, one.stylizing(), other.stylizing():
        links = [each.page.url.replace("127.0.0.1", "studio.example") for each in (one, other)]
        bare = links[0].split("?")[0]
        driver.get(bare)
        until(lambda: "open the whole URL that vidstyle printed" in driver.execute_script(STATUS))
        with other_site(f'<a href="{links[0]}">join</a>') as chat:
            driver.get(chat)
            driver.find_element("tag name", "a").click()
            until(lambda: driver.current_url == bare)  # without the token
            assert shows_the_page() == bare
        driver.refresh()
        assert shows_the_page() == bare
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        driver.get(links[1])
        shows_the_page()
        driver.close()
        driver.switch_to.window(first)
        driver.refresh()
        assert shows_the_page() == bare


@pytest.mark.browser
def test_page_serves_more_tabs_than_connections(driver, page_session):
    with page_session.stylizing(0.2):
        for _ in range(7):
            driver.switch_to.new_window("window")  # visible, unlike a tab
            driver.get(page_session.page.url)
            until(lambda: "fps" in driver.execute_script(STATUS))
            colors(driver)
        driver.find_element("css selector", "[data-do=freeze]").click()
        until(lambda: page_session.session.state["freeze"])
        driver.kill()  # closing seven windows one by one can take a busy machine 20 s each


@pytest.mark.browser
def test_page_shows_messages_and_notices(
    driver, running_session, page_camera, tmp_path, monkeypatch
):
    driver.get(running_session.page.url)
    until(lambda: "fps" in driver.execute_script(STATUS))
    driver.find_element("css selector", "[data-do=snapshot]").click()
    text = until(lambda: driver.execute_script(MESSAGE))
    assert text.startswith(f"snapshot: {tmp_path}/vidstyle-")
    monkeypatch.setattr(running_session.session.recorder, "start", fail)
    driver.find_element("css selector", "[data-do=record]").click()
    until(lambda: driver.execute_script(MESSAGE) == "cannot write there: free some space")
    for status, words in (
        ("silent", "The camera gives no frames."),
        ("lost", "The camera is lost: waiting for it."),
    ):
        monkeypatch.setattr(type(page_camera), "status", status)
        until(lambda words=words: driver.execute_script(NOTICE) == words)
        assert " s ago" in driver.execute_script(STATUS)
    monkeypatch.setattr(type(page_camera), "status", "ok")
    until(lambda: driver.execute_script(NOTICE) == "")
    monkeypatch.setattr("vidstyle.live.web.frames.MAX_VIEWERS", 0)
    until(
        lambda: (
            driver.execute_script(NOTICE)
            == "there are 0 viewers already, which is the maximum: try again later"
        )
    )


def fail(*given):
    raise OutputError("cannot write there: free some space")


@pytest.mark.browser
def test_page_has_accessibility_names_and_live_region(driver, running_session):
    driver.get(running_session.page.url)
    until(lambda: len(driver.find_elements("css selector", "#gallery input")) == 2)
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {
        (node["role"]["value"], node["name"]["value"])
        for node in nodes
        if "name" in node and "role" in node
    }
    assert {name for role, name in named if role == "slider"} == {
        "strength",
        "style scale",
        "temporal consistency",
        "steps per frame, at most",
        "crossfade, seconds",
        "blend weight of stripes",
        "blend weight of scene",
    }
    assert all(name for role, name in named if role in ("button", "image", "slider"))
    (status,) = [
        node
        for node in nodes
        if node.get("role", {}).get("value") == "status" and _element(node, driver) == "status"
    ]
    live_regions = {each["name"]: each["value"]["value"] for each in status["properties"]}
    assert live_regions["live"] == "polite"


def _element(node, driver):
    found = driver.execute_cdp_cmd("DOM.describeNode", {"backendNodeId": node["backendDOMNodeId"]})[
        "node"
    ]
    return dict(zip(found["attributes"][::2], found["attributes"][1::2], strict=True)).get("id")
