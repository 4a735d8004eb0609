"""The page of the studio in Chromium; skipped without one."""

import urllib.request
from contextlib import closing

import cv2
import pytest
from conftest import stripes, until, write_clip
from page_session import browser
from studio_session import StudioPage

from vidstyle.studio.server import Studio
from vidstyle.web.address import listen

pytestmark = pytest.mark.browser

SMALL = {"working_size": 128, "initial_steps": 20, "steps": 1}
"""Settings of a quick render, as a user would choose them on the page."""

TAB, ESCAPE, RIGHT = "\ue004", "\ue00c", "\ue014"

SET = """
const slider = document.getElementById(`setting-${arguments[0]}`);
slider.value = arguments[1];
slider.dispatchEvent(new Event("input"));
const canvas = document.getElementById("canvas"), note = document.getElementById("note");
return [canvas.classList.contains("stale"), note.hidden ? "" : note.textContent];
"""

DRAG = """
const slider = document.getElementById(`setting-${arguments[0]}`);
for (const value of arguments[1]) {
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
}
"""

FOCUSED = """
const at = document.activeElement;
return at === document.body ? "" : at.id || at.dataset.do || at.textContent;
"""

EXPECTED = """
const all = document.querySelectorAll("button, input, select, summary, a[href], code");
const seen = [...all].filter((each) => each.checkVisibility() && !each.disabled);
const stops = seen.filter((each) => each.type !== "radio" || each.checked);
return stops.map((each) => each.id || each.dataset.do || each.textContent);
"""


@pytest.fixture(scope="module")
def driver():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with first.mp4, clip.mp4 and cat.png."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("first.mp4", "clip.mp4"):
        write_clip(folder / name, count=4)
    cv2.imwrite(str(folder / "cat.png"), stripes())
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    with closing(Studio(listen("127.0.0.1:0", "--address"), folder, device="cpu")) as made:
        made.open()
        yield made


def upload(studio, path):
    """Add a clip without the page."""
    request = urllib.request.Request(
        f"{studio.url}api/clips?name={path.name}", path.read_bytes(), method="POST"
    )
    urllib.request.urlopen(request).close()


@pytest.fixture
def page(driver, studio, files):
    """The page with a clip."""
    made = StudioPage(driver, studio.url)
    if not studio.library.clips:
        upload(studio, files / "first.mp4")
    made.open()
    made.wait_for("#frame[src]")
    return made


def test_page_paints_uploaded_clip_in_uploaded_style(page, studio, files):
    page.one("#clip-file").send_keys(str(files / "clip.mp4"))
    until(lambda: page.script("return document.getElementById('frame').alt.startsWith('clip.mp4')"))
    page.one("#style-file").send_keys(str(files / "cat.png"))
    until(lambda: len(page.all("#style-list .choice")) == 9)
    until(lambda: page.note().startswith("painted in"))
    alt, width = page.script(
        "const image = document.getElementById('painting');"
        "return [image.alt, image.hidden ? 0 : image.naturalWidth]"
    )
    assert "cat" in alt and width > 0
    assert page.one("#render").is_enabled()
    assert "memory" in until(lambda: page.one("#cost-draft").get_attribute("title"))
    until(lambda: page.one("#compare").text.startswith("Compare all · about "))


def test_page_shows_at_once_that_a_setting_changed(page):
    page.wait_for(".painted")
    assert page.script(SET, "strength", 0.5) == [True, "painting"]
    until(lambda: not page.all(".stale"))
    page.one("#reset").click()
    assert page.script("return document.getElementById('setting-strength').value") == "1"


def test_page_dragged_slider_has_its_first_and_its_last_value_painted(page, studio, monkeypatch):
    until(lambda: page.note().startswith("painted in"))
    asked, paint = [], studio._previewer.paint

    def noted(request, *more):
        asked.append(request.settings.content_weight)
        paint(request, *more)

    monkeypatch.setattr(studio._previewer, "paint", noted)
    page.script(DRAG, "content_weight", [0.005 * number for number in range(1, 41)])
    until(lambda: page.note().startswith("painted in"))
    assert asked == pytest.approx([0.005, 0.2])
    assert not page.all(".stale, .moved")


def test_page_renders_and_offers_the_result(page):
    for name, value in SMALL.items():
        page.script(SET, name, value)
    page.one("#range-end").click()  # the first frame alone
    page.one("#render").click()
    done = page.wait_for("#jobs li[data-state=done]")
    assert done.accessible_name == done.find_element("css selector", "h3").text
    link = done.find_element("css selector", "a").get_attribute("href")
    with urllib.request.urlopen(link) as answer:
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.read(12)[4:8] == b"ftyp"
    code = "return document.querySelector('#jobs code').textContent"
    assert page.script(code).startswith("vidstyle render -i ")
    done.find_element("css selector", "[data-do=play]").click()
    page.wait_for("#player[open]")
    times = "return ['source', 'result'].map((id) => document.getElementById(id).readyState)"
    until(lambda: min(page.script(times)) >= 2)  # both can be played
    page.script("document.getElementById('source').dispatchEvent(new Event('error'))")
    until(lambda: "cannot play its format" in page.one("#source-note").text)
    page.wait_for("#source-frame[src]")
    page.press(ESCAPE)
    until(lambda: not page.all("#player[open]"))


def test_page_double_click_adds_one_render(page, studio, monkeypatch):
    added, add = [], studio.queue.add
    monkeypatch.setattr(studio.queue, "add", lambda plan: added.append(plan) or add(plan))
    for name, value in SMALL.items():
        page.script(SET, name, value)
    page.one("#range-end").click()  # the first frame alone
    page.double_click("#render")
    page.script(SET, "strength", 0.5)
    page.one("#render").click()
    until(lambda: added and "strength" in added[-1].settings)
    assert len(added) == 2


def test_page_keyboard_reaches_and_changes_every_control(page):
    page.wait_for(".painted")
    expected, reached = page.script(EXPECTED), []
    page.script("document.activeElement.blur()")
    for _ in range(len(expected) + 5):
        page.press(TAB)
        reached.append(page.script(FOCUSED))
    assert not set(expected) - set(reached)
    page.focus("#split")
    page.press(RIGHT)
    assert page.script("return canvas.style.getPropertyValue('--split')") == "31"
    page.focus("#time")
    page.press(RIGHT)
    assert float(page.script("return document.getElementById('time').value")) > 0
    page.focus("#style-list input:checked")
    chosen = "return document.querySelector('#style-list input:checked').value"
    before = page.script(chosen)
    page.press(RIGHT)
    assert page.script(chosen) != before


def test_page_shows_errors_as_alerts(page, tmp_path):
    (tmp_path / "notes.mp4").write_text("no clip")
    page.one("#clip-file").send_keys(str(tmp_path / "notes.mp4"))
    text = until(page.toasts)[0]
    assert "notes.mp4" in text
    assert page.one(".toast").get_attribute("role") == "alert"
    page.one(".toast button").click()
    assert not page.toasts()


def test_page_names_every_control(page):
    page.wait_for(".painted")
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = ("button", "slider", "spinbutton", "radio", "switch", "link", "checkbox")
    roles += ("progressbar", "heading")
    named = [
        (node["role"]["value"], node["name"]["value"])
        for node in nodes
        if node.get("role", {}).get("value") in roles and not node["ignored"]
    ]
    assert len(named) > 20 and all(name for _, name in named)
    assert ("slider", "Before and after") in named and ("slider", "Time in the clip") in named
    assert ("heading", "Style") in named and ("heading", "Settings") in named
    assert ("spinbutton", "Render up to, in seconds") in named
