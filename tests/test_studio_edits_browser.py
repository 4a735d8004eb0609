"""Keyframes, masks, contact sheets and buttons of the studio's page in Chromium."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import until, write_clip
from onnx_file import write_onnx
from page_session import browser
from studio_session import FakeProcess, StudioPage

from vidstyle.studio.devices import Devices
from vidstyle.studio.frames import read_mask
from vidstyle.studio.server import Studio, StudioOptions
from vidstyle.web.address import listen

pytestmark = pytest.mark.browser

RIGHT, LEFT, DELETE, ESCAPE = "\ue014", "\ue012", "\ue017", "\ue00c"
FRAMES, RATE = 12, Fraction(6)

WIDTHS = pytest.mark.parametrize("width", [390, 1440])

SEEK = """
const time = document.getElementById("time");
time.value = arguments[0];
time.dispatchEvent(new Event("input"));
"""

CHANGE = """
const field = document.querySelector(arguments[0]);
field.value = arguments[1];
field.dispatchEvent(new Event("change"));
"""

HOLD = """
window.held = [];
window.release = () => held.splice(0).forEach((each) => each());
window.EventSource = class extends EventSource {
  set onmessage(use) {
    super.onmessage = (event) => {
      held.push(() => { if (this.readyState !== EventSource.CLOSED) use(event); });
      if (!window.holding) release();
    };
  }
};
"""
"""Keeps the server's events while ``holding``, as a slow link does, until ``release``."""

USED = "return [...document.querySelectorAll('.mask select')].some(({value}) => value !== 'off')"

DRAG = """
const [element, from, to] = arguments, box = element.getBoundingClientRect();
const area = document.querySelector(arguments[3]).getBoundingClientRect();
const send = (kind, x, y) => element.dispatchEvent(new PointerEvent(kind, {
  clientX: area.left + x * area.width, clientY: area.top + y * area.height,
  pointerId: 1, bubbles: true, isPrimary: true }));
element.setPointerCapture = () => {};
send("pointerdown", ...from);
for (let step = 1; step <= 5; step += 1) {
  send("pointermove", ...from.map((at, axis) => at + (to[axis] - at) * step / 5));
}
send("pointerup", ...to);
"""


@pytest.fixture(scope="module")
def driver():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder with clip.mp4 and other.mp4."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("clip.mp4", "other.mp4"):
        write_clip(folder / name, count=FRAMES, rate=RATE)
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory, clips):
    """A studio with one clip, whose paintings are quick and whose renders end as tests say."""
    folder = tmp_path_factory.mktemp("studio")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("preview.COARSE_STEPS", "preview.FINE_STEPS", "contact_sheet.SHEET_STEPS"):
            patch.setattr(f"vidstyle.studio.{name}", 1)
        patch.setattr("vidstyle.studio.jobs.RenderProcess", FakeProcess)
        FakeProcess.started = ()
        model = write_onnx(folder / "disc.onnx", [[0.0, 0, -60]], [15.3], (256, 256))
        options = StudioOptions(person_model=model)
        server = listen("127.0.0.1:0", "--address")
        with closing(Studio(server, folder, "cpu", options)) as made:
            add_clip(made, clips / "clip.mp4")
            made.open()
            yield made


def add_clip(studio, path):
    upload = studio.library.begin_clip(path.name)
    upload.path.write_bytes(path.read_bytes())
    return studio.library.finish_clip(upload)


@pytest.fixture
def page(driver, studio):
    """The page with a clip, and without masks."""
    for mask in studio.library.masks:
        studio.library.remove_mask(mask)
    made = StudioPage(driver, studio.url)
    made.resize(1280)
    made.open()
    made.wait_for("#frame[src]")
    return made


def markers(page):
    """(time, text) of each keyframe."""
    found = page.all("#lane .marker")
    return [
        (float(each.get_attribute("aria-valuenow")), each.get_attribute("aria-valuetext"))
        for each in found
    ]


def click(page, selector):
    """Click in the middle of the window, where no bar covers the element."""
    element = page.one(selector)
    page.script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def keep(page, use):
    """Keep the drawn mask, answer what it is for, and wait until the page uses the answer.

    The server's event may show the mask before the dialog is closed.
    """
    click(page, "#brush-keep")
    page.wait_for("#use[open]")
    page.one(f"#use button[value={use}]").click()
    until(lambda: page.script(USED))


def added(page, studio):
    """The job that Render adds."""
    before = {job.id for job in studio.queue.jobs}
    click(page, "#render")
    (job,) = until(lambda: [job for job in studio.queue.jobs if job.id not in before])
    return job


def queued(page, studio):
    """The job that Render adds; it is cancelled at once."""
    job = added(page, studio)
    studio.queue.cancel(job)
    return job


@WIDTHS
def test_page_keyframes_are_added_moved_changed_and_rendered(page, studio, width):
    page.resize(width)
    page.script(SEEK, 0.5)
    click(page, "#key-add")
    page.script(CHANGE, "#key-style", "mosaic")
    page.script(CHANGE, "#key-fade", "0.4")
    page.script(SEEK, 1.5)
    click(page, "#key-add")
    page.script(CHANGE, "#key-style", "ink")
    page.script(CHANGE, "#key-strength", "0.6")
    assert markers(page) == [
        (0.5, "0:00.50, mosaic, fades in 0.4 s"),
        (1.5, "0:01.50, ink, strength 0.6, fades in 0.5 s"),
    ]
    second = page.all("#lane .marker")[1]
    page.script(DRAG, second, [1.5 / (11 / 6), 0.5], [1 / (11 / 6), 0.5], "#lane")
    assert [time for time, _ in markers(page)] == [0.5, 1.0]
    page.focus("#lane .marker")
    page.press(RIGHT, RIGHT)  # 0.666, 0.833
    page.press(RIGHT)  # past the other one, which has this time
    assert [time for time, _ in markers(page)] == [1.0, 1.166]
    assert "mosaic" in page.script("return document.activeElement.ariaValueText")
    page.press(LEFT, LEFT)
    job = queued(page, studio)
    assert [(each["time"], each["style"]) for each in job.keyframes] == [
        (0.666, "mosaic"),
        (1.0, "ink"),
    ]
    assert "--at 1 style=ink strength=0.6 fade=0.5" in job.command
    assert page.script("return document.documentElement.scrollWidth") <= width


@WIDTHS
def test_page_keyframe_changes_settings_that_are_folded_away(page, studio, width):
    page.resize(width)
    page.script(SEEK, 0.5)
    click(page, "#key-add")
    assert not page.one("#key-temporal").is_displayed()
    click(page, "#key-more summary")
    for name, value in (("style_scale", "1.5"), ("content_weight", "9"), ("temporal", "0")):
        page.script(CHANGE, f"#key-{name}", value)
    page.script(CHANGE, "#key-easing", "smooth")
    page.script(CHANGE, "#key-style", "")
    assert markers(page) == [
        (
            0.5,
            "0:00.50, same style, stroke size 1.5, keep the subject 0.3, steadiness 0, "
            "fades smoothly in 0.5 s",
        )
    ]
    job = queued(page, studio)
    flags = "--at 0.5 style-scale=1.5 content-weight=0.3 temporal=0 fade=0.5 easing=smooth"
    assert flags in job.command
    item = f"#jobs li[data-id='{job.id}']"
    page.wait_for(f"{item} .what")
    until(lambda: "then stroke size 1.5" in page.one(f"{item} .what").text)
    click(page, "#key-remove")
    click(page, "#key-add")
    page.script(CHANGE, "#key-time", "1")
    assert page.one("#key-style_scale").get_attribute("value") == ""
    page.wait_for(f"{item} [data-do=reuse]:not([hidden])")
    page.script("document.getElementById('toasts').replaceChildren()")  # they may cover it
    click(page, f"{item} [data-do=reuse]")
    until(lambda: [time for time, _ in markers(page)] == [0.5])
    page.script("document.getElementById('key-more').open = false")
    page.focus("#lane .marker")
    assert page.one("#key-style_scale").is_displayed()
    assert queued(page, studio).keyframes == job.keyframes
    assert page.script("return document.documentElement.scrollWidth") <= width


def test_page_keyframe_changes_one_part_of_the_frame(page, studio, tmp_path):
    path = tmp_path / "half.png"
    cv2.imwrite(str(path), np.eye(48, 64, dtype=np.uint8) * 255)
    page.one("#mask-file").send_keys(str(path))
    until(lambda: len(page.all("#mask-list .mask")) == 1 and not page.all(".sending"))
    (mask,) = (each.id for each in studio.library.masks)
    page.script(SEEK, 0.5)
    click(page, "#key-add")
    assert not page.one("#key-region").is_displayed()
    page.script(CHANGE, f"#effect-{mask}", "dots")
    assert page.one("#key-region").is_displayed()
    page.script(CHANGE, "#key-region", mask)
    page.script(CHANGE, "#key-style", "ink")
    assert not page.one("#key-temporal").is_enabled()
    assert markers(page) == [(0.5, "0:00.50, in half, ink, fades in 0.5 s")]
    job = queued(page, studio)
    assert [(each["region"], each["style"]) for each in job.keyframes] == [(mask, "ink")]
    assert "--at 0.5 region=1 style=ink fade=0.5" in job.command
    item = f"#jobs li[data-id='{job.id}']"
    page.wait_for(f"{item} .what")
    until(lambda: "then ink in a part at 0:00" in page.one(f"{item} .what").text)
    page.script(CHANGE, "#key-style", "frame")
    assert markers(page) == [(0.5, "0:00.50, in half, style of the rest, fades in 0.5 s")]
    job = queued(page, studio)
    assert "--at 0.5 region=1 style=frame fade=0.5" in job.command
    item = f"#jobs li[data-id='{job.id}']"
    page.wait_for(f"{item} .what")
    until(lambda: "then style of the rest in a part at" in page.one(f"{item} .what").text)
    page.script(CHANGE, f"#effect-{mask}", "off")
    assert "in unused mask" in markers(page)[0][1]
    assert queued(page, studio).keyframes == []
    page.script(CHANGE, f"#effect-{mask}", "keep")
    assert [each["region"] for each in queued(page, studio).keyframes] == [mask]
    page.script(CHANGE, "#key-region", "")
    (keyframe,) = queued(page, studio).keyframes
    assert (keyframe["region"], keyframe["style"], keyframe["strength"]) == (None, None, 1)


LISTEN = """
window.said = [];
const announcer = document.querySelector("#announcer");
new MutationObserver(() => said.push(announcer.textContent)).observe(announcer, {childList: true});
"""
"""Keeps what screen readers are told: the next announcement replaces it."""


def test_page_keyframes_survive_a_reload_and_are_removed(page):
    page.script(SEEK, 1)
    click(page, "#key-add")
    page.driver.refresh()
    page.wait_for("#frame[src]")
    assert [time for time, _ in markers(page)] == [1.0]
    page.script(LISTEN)
    page.focus("#lane .marker")
    page.press(DELETE)
    assert markers(page) == []
    assert page.script("return document.activeElement.id") == "key-add"
    assert any("removed" in said for said in page.script("return window.said"))
    assert not page.one("#key").is_displayed()


def test_page_new_keyframe_fits_into_the_render(page, studio):
    names = [style.name for style in studio.library.styles]
    page.script(SEEK, 1)
    click(page, "#key-add")
    assert markers(page) == [(1.0, f"0:01.00, {names[1]}, fades in 0.5 s")]
    page.script(CHANGE, "#range-to", "1.5")
    page.script(SEEK, 4 / 3)
    click(page, "#key-add")
    assert markers(page)[1] == (1.333, f"0:01.33, {names[2]}, fades in 0.1 s")


def test_page_keyframe_has_one_time_of_its_own(page):
    page.script(SEEK, 1)
    for _ in range(2):
        click(page, "#key-add")
    assert len(markers(page)) == 1
    page.script(SEEK, 0)
    click(page, "#key-add")
    page.script(CHANGE, "#key-time", "1")
    assert [time for time, _ in markers(page)] == [1.0, 1.166]
    click(page, "#key-go")
    assert page.script("return document.getElementById('clock').textContent").startswith("0:01.1")


@WIDTHS
def test_page_mask_is_drawn_and_used(page, studio, width):
    page.resize(width)
    click(page, "#mask-draw")
    board = page.one("#brush")
    page.script("arguments[0].scrollIntoView({block: 'center'})", board)
    page.script(DRAG, board, [0.1, 0.2], [0.4, 0.2], "#brush")
    drawn = page.one("#covered").text
    page.one("#rect-left").clear()
    page.one("#rect-left").send_keys("50")
    click(page, "#rect-add")
    assert page.one("#covered").text != drawn
    click(page, "#brush-undo")
    assert page.one("#covered").text == drawn
    click(page, "#brush-clear")
    assert not page.one("#brush-keep").is_enabled()
    click(page, "#rect-add")
    assert page.one("#covered").text == "25 % of the frame"
    keep(page, "only")
    page.wait_for("#mask-list .mask")
    (mask,) = studio.library.masks
    levels = read_mask(studio.library.mask_path(mask))
    inside = np.zeros((48, 64), bool)
    inside[12:36, 32:64] = True
    assert mask.name == "mask 1.png" and ((levels > 127) == inside).all()
    assert page.script("return document.activeElement.id") == f"effect-{mask.id}"
    assert queued(page, studio).mask == mask.id
    assert page.script("return document.documentElement.scrollWidth") <= width


def test_page_mask_is_changed_and_removed(page, studio):
    click(page, "#mask-draw")
    click(page, "#rect-add")
    keep(page, "next")
    page.wait_for("#mask-list .mask")
    (mask,) = studio.library.masks
    assert queued(page, studio).regions[0]["style"] == studio.library.styles[1].id
    page.script(CHANGE, f"#effect-{mask.id}", "glass")
    page.script(CHANGE, "#mask-list .mask input", "0.5")
    job = queued(page, studio)
    assert (job.mask, job.regions) == (
        None,
        [{"mask": mask.id, "style": "glass", "strength": 0.5}],
    )
    click(page, "#mask-list .mask .change")
    until(lambda: page.one("#covered").text == "25 % of the frame")
    click(page, "label[for=brush-remove]")
    click(page, "#rect-add")
    click(page, "label[for=brush-add]")
    page.script("document.getElementById('rect-top').value = 50")
    click(page, "#rect-add")
    click(page, "#brush-keep")
    until(lambda: [each.id for each in studio.library.masks] not in ([], [mask.id]))
    (changed,) = until(lambda: len(studio.library.masks) == 1 and studio.library.masks)
    page.wait_for(f"#effect-{changed.id}")
    until(lambda: len(page.all("#mask-list .mask")) == 1)
    assert queued(page, studio).regions[0]["style"] == "glass"
    click(page, "#mask-list .mask .gone")
    page.one("#question-yes").click()
    until(lambda: not studio.library.masks and not page.all("#mask-list .mask"))
    assert queued(page, studio).regions == []


def test_page_mask_uses_are_flags(page, studio, tmp_path):
    for number in range(2):
        path = tmp_path / f"mask {number}.png"
        cv2.imwrite(str(path), np.eye(48, 64, dtype=np.uint8) * 255)
        page.one("#mask-file").send_keys(str(path))
        until(lambda number=number: len(page.all("#mask-list .mask")) == number + 1)
        until(lambda: not page.all(".sending"))  # the server's event may show the mask earlier
    first, second = (each.id for each in studio.library.masks)
    page.script(CHANGE, f"#effect-{second}", "keep")
    job = queued(page, studio)
    assert job.mask == first
    assert job.regions == [{"mask": second, "style": None, "strength": 0}]
    page.script(CHANGE, f"#effect-{second}", "only")  # of one mask at a time
    job = queued(page, studio)
    assert (job.mask, job.regions) == (second, [])


def test_page_faces_are_kept_until_they_are_to_be_painted(page, studio):
    assert "--faces" not in queued(page, studio).command
    click(page, "#faces")
    job = queued(page, studio)
    assert job.faces == "paint" and "--faces paint" in job.command
    page.driver.refresh()
    page.wait_for("#frame[src]")
    until(lambda: not page.one("#faces").is_selected())
    click(page, "#faces")
    assert queued(page, studio).faces == "keep"


@pytest.fixture
def held_page(driver, page):
    """The page with ``HOLD``."""
    hold = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": HOLD})
    try:
        page.open()
        page.wait_for("#frame[src]")
        yield page
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", hold)


def test_page_mask_stays_in_use_when_an_older_event_comes_late(held_page, studio, clips):
    page = held_page
    page.script("window.holding = true")
    studio.library.remove_clip(add_clip(studio, clips / "other.mp4").id)
    until(lambda: page.script("return held.length"))  # an event without the mask
    path = clips / "mask.png"
    cv2.imwrite(str(path), np.eye(48, 64, dtype=np.uint8) * 255)
    page.one("#mask-file").send_keys(str(path))
    until(lambda: page.script(USED))
    page.script("window.holding = false; release()")
    (mask,) = studio.library.masks
    assert queued(page, studio).mask == mask.id


def test_page_mask_that_follows_the_motion_replaces_the_drawn_one(page, studio):
    page.script(SEEK, 0.5)
    click(page, "#mask-draw")
    click(page, "#rect-add")
    keep(page, "keep")
    (mask,) = until(lambda: studio.library.masks)
    assert mask.time == pytest.approx(0.5)
    page.wait_for("#mask-list .mask .follow")
    page.script(CHANGE, f"#effect-{mask.id}", "ink")
    before = len(FakeProcess.started)
    click(page, "#mask-list .mask .follow")
    process = until(lambda: len(FakeProcess.started) > before and FakeProcess.started[-1])
    until(lambda: page.one("#mask-list .mask .carried").text == "following: 0 %")
    assert not page.one("#mask-list .mask .follow").is_enabled()
    output = process.arguments[process.arguments.index("-o") + 1]
    write_clip(Path(output), count=FRAMES, rate=RATE, codec="ffv1")
    process.last_events = ({"event": "mask", "covers": [0.5, 1.5]},)
    process.ended.set()
    page.wait_for("#mask-list .mask:nth-child(2)")
    (carried,) = [each for each in studio.library.masks if each.carried]
    covers = "covers 0:00.5 to 0:01.5"
    until(lambda: f"mask 1 in motion.mkv {covers} only" in page.one("#mask-hint").text)
    for empty in (0, 1.5):
        page.script(SEEK, empty)
        until(lambda: page.note() == f"mask 1 in motion.mkv is empty here: it {covers}")
        page.script(SEEK, 0.5)
        until(lambda: page.note().startswith("painted in"))
    click(page, "#range-start")
    page.script(SEEK, 1.334)
    assert page.one("#mask-hint").text
    click(page, "#range-end")
    until(lambda: not page.one("#mask-hint").text)
    job = queued(page, studio)
    assert job.regions == [{"mask": carried.id, "style": "ink", "strength": None}]
    done = page.one("#jobs li[data-state=done]")
    seen = [each.text for each in done.find_elements("css selector", ".actions *") if each.text]
    assert seen == ["Remove"]


@WIDTHS
def test_page_offers_masks_of_people(page, studio, width):
    page.resize(width)
    seen = "return [...document.querySelectorAll('#people-list img')].map((each) => each.src)"
    assert not page.one("#effect-person").is_displayed()
    click(page, "#people summary")
    loaded = "return document.querySelector('#people-list img').naturalWidth"
    until(lambda: page.script(loaded) == 64)
    before = page.script(seen)
    page.script(SEEK, 1)
    until(lambda: page.script(seen) != before and page.script(loaded) == 64)
    assert all("person.png" in link and "time=1.000" in link for link in page.script(seen))
    page.script(CHANGE, "#effect-person", "only")
    job = queued(page, studio)
    assert (job.mask, job.regions) == ("person", [])
    assert f"--mask person --person-model {job.person_model}" in job.command
    page.script(CHANGE, "#effect-person", "glass")
    page.script(CHANGE, "#effect-background", "keep")
    job = queued(page, studio)
    assert job.mask is None and job.regions == [
        {"mask": "person", "style": "glass", "strength": None},
        {"mask": "background", "style": None, "strength": 0},
    ]
    page.open()
    page.wait_for("#frame[src]")
    item = f"#jobs li[data-id='{job.id}'] [data-do=reuse]"
    page.wait_for(f"{item}:not([hidden])")
    click(page, item)
    assert page.one("#effect-person").is_displayed()
    assert page.one("#effect-person").get_attribute("value") == "glass"
    assert queued(page, studio).regions == job.regions
    assert page.script("return document.documentElement.scrollWidth") <= width


def test_page_without_a_model_of_people_says_what_to_do(page, studio, monkeypatch, tmp_path):
    page.script(CHANGE, "#effect-person", "keep")
    job = queued(page, studio)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(studio._people, "model", None)
    page.open()
    page.wait_for("#frame[src]")
    click(page, "#people summary")
    assert "--person-model FILE" in page.one("#people-hint").text
    assert not page.all("#people-list .mask")
    click(page, f"#jobs li[data-id='{job.id}'] [data-do=reuse]")
    assert "its model of people was removed" in until(page.toasts)[0]
    assert queued(page, studio).regions == []


def test_page_escaping_the_drawing_keeps_nothing(page, studio):
    click(page, "#mask-draw")
    click(page, "#rect-add")
    click(page, "#brush-cancel")
    assert page.script("return document.activeElement.id") == "mask-draw"
    assert not studio.library.masks and not page.one("#brush").is_displayed()


@WIDTHS
def test_page_contact_sheet_chooses_a_style(page, studio, width):
    page.resize(width)
    click(page, "#compare")
    until(lambda: page.one("#sheet-state").text == "8 styles: choose one")
    cells = page.all("#sheet-cells .cell")
    assert [cell.text for cell in cells] == [style.name for style in studio.library.styles]
    cells[4].click()
    until(lambda: not page.all("#sheet[open]"))
    chosen = "return document.querySelector('#style-list input:checked').value"
    assert page.script(chosen) == studio.library.styles[4].id


def test_page_contact_sheet_is_of_the_present_time(page, studio):
    base = page.script("return document.querySelector('#style-list input:checked').value")
    page.script(SEEK, 0.5)
    click(page, "#key-add")
    page.script(CHANGE, "#key-strength", "0")
    page.script(SEEK, 1)
    click(page, "#compare")
    until(lambda: page.one("#sheet-state").text == "8 styles: choose one")
    images = page.script("return [...document.querySelectorAll('.cell img')].map((x) => x.src)")
    assert len(set(images)) == 1  # strength 0
    page.all("#sheet-cells .cell")[4].click()
    until(lambda: not page.all("#sheet[open]"))
    job = queued(page, studio)
    chosen = studio.library.styles[4].id
    assert base != chosen and (job.style, job.keyframes[0]["style"]) == (base, chosen)


def test_page_contact_sheet_is_stopped(page, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.contact_sheet.SHEET_STEPS", 100_000)
    click(page, "#compare")
    until(lambda: page.one("#sheet-stop").is_displayed())
    page.one("#sheet-stop").click()
    until(lambda: page.one("#sheet-state").text.startswith("stopped after"))
    assert page.script("return document.activeElement.id") == "sheet-close"
    page.press(ESCAPE)
    until(lambda: not page.all("#sheet[open]"))


def test_page_shows_what_another_window_added(page, studio, clips):
    added = add_clip(studio, clips / "other.mp4")
    page.wait_for(f"#clip-{added.id}")
    page.script("document.getElementById(arguments[0]).click()", f"clip-{added.id}")
    path = clips / "mask.png"
    cv2.imwrite(str(path), np.eye(48, 64, dtype=np.uint8) * 255)
    page.one("#mask-file").send_keys(str(path))
    page.wait_for("#mask-list .mask")
    page.script("document.querySelector(arguments[0]).click()", f"[data-id='{added.id}'] .gone")
    assert "other.mp4 and its 1 mask" in page.one("#question-text").text
    page.press(ESCAPE)
    studio.library.remove_clip(added.id)
    until(lambda: not page.all(f"#clip-{added.id}"))
    until(lambda: page.script("return document.querySelector('#clip-list input').checked"))


def test_page_tells_the_device_of_each_render(page, studio, monkeypatch):
    devices = Devices(("cpu", "cuda:0"))  # nothing is computed there
    monkeypatch.setattr(studio, "_devices", devices)
    monkeypatch.setattr(studio.queue, "_devices", devices)
    page.open()
    page.wait_for("#frame[src]")
    jobs = [added(page, studio) for _ in range(3)]
    items = [f"#jobs li[data-id='{job.id}'] .state" for job in jobs]
    until(lambda: "on cuda:0" in page.one(items[1]).text)
    assert "on cpu" in page.one(items[0]).text and page.one(items[2]).text == "queued"
    assert page.one("#running").text.endswith(", and 1 more")
    for job in reversed(jobs):
        studio.queue.cancel(job)
    until(lambda: "on cpu" not in page.one(items[0]).text)


KEEP_NOTES = """
const later = setTimeout;
window.setTimeout = (work, ms, ...given) => (ms < 5000 ? later(work, ms, ...given) : 0);
"""
"""Messages that are no errors stay: a slow browser would click too late."""


@WIDTHS
def test_page_leads_to_a_running_render(page, studio, width):
    page.resize(width)
    page.script(KEEP_NOTES)
    click(page, "#render")
    focused = "return document.activeElement.dataset.id"
    page.wait_for(".toast button[aria-label^=Show]").click()
    job = until(lambda: next((j for j in studio.queue.jobs if j.state == "running"), None))
    assert page.script(focused) == job.id
    until(lambda: page.one("#running").text == "rendering clip.mp4: 0 %")
    page.script("document.activeElement.blur()")
    page.one("#running").click()
    assert page.script(focused) == job.id
    studio.queue.cancel(job)
    until(lambda: not page.one("#running").is_displayed())


def part(page):
    """The start and the end of the render in seconds."""
    fields = "['range-from', 'range-to'].map((id) => document.getElementById(id).valueAsNumber)"
    return page.script(f"return {fields}")


def test_page_part_of_a_clip_stays_where_it_is_put(page, studio):
    page.script(SEEK, 0.5)
    click(page, "#range-start")
    page.script(SEEK, 1)
    end = page.one("#range-end")
    place = end.rect
    for _ in range(2):  # a double click
        click(page, "#range-end")
    assert end.rect["x"] == place["x"] and part(page) == [0.5, pytest.approx(7 / 6, abs=1e-3)]
    page.driver.refresh()
    page.wait_for("#frame[src]")
    assert part(page) == [0.5, pytest.approx(7 / 6, abs=1e-3)]
    page.script(CHANGE, "#range-to", "0.25")  # before the start, which gives way
    assert part(page) == [0, 0.25]
    assert (queued(page, studio).start, studio.queue.jobs[-1].end) == (None, 0.25)
    click(page, "#range-all")
    assert part(page) == [0, 2] and not page.one("#range-all").is_enabled()


def test_page_reuse_says_what_was_removed(page, studio):
    click(page, "#mask-draw")
    click(page, "#rect-add")
    keep(page, "keep")
    (mask,) = until(lambda: studio.library.masks)
    page.wait_for(f"#effect-{mask.id}")
    job = queued(page, studio)
    until(lambda: job.pid is None)
    studio.library.remove_mask(mask)
    until(lambda: not page.all("#mask-list .mask"))
    act(page, job, "reuse")
    until(lambda: "its mask was removed" in page.one("#toasts").text)


def test_page_reuse_finds_a_clip_that_was_added_again(page, studio, clips):
    pick = "document.getElementById(arguments[0]).click()"
    clip = add_clip(studio, clips / "other.mp4")
    page.wait_for(f"#clip-{clip.id}")
    page.script(pick, f"clip-{clip.id}")
    page.script(CHANGE, "#range-to", "0.5")
    job = queued(page, studio)
    until(lambda: job.pid is None)
    studio.library.remove_clip(clip.id)
    again = add_clip(studio, clips / "other.mp4")
    page.wait_for(f"#clip-{again.id}")
    until(lambda: part(page) == [0, 2])
    act(page, job, "reuse")
    until(lambda: "Back as for that render" in page.one("#toasts").text)
    assert page.one(f"#clip-{again.id}").is_selected() and part(page) == [0, 0.5]
    studio.library.remove_clip(again.id)


def act(page, job, name):
    """Press a button of a job; no message covers it."""
    page.script("document.querySelectorAll('.toast').forEach((each) => each.remove())")
    item = until(lambda: [x for x in page.all("#jobs li") if x.get_attribute("data-id") == job.id])
    button = item[0].find_element("css selector", f"[data-do={name}]")
    page.script("arguments[0].scrollIntoView({block: 'center'})", button)
    until(button.is_displayed)
    button.click()


def test_page_buttons_of_renders_do_what_they_say(page, studio):
    for job in studio.queue.jobs:
        if job.state != "done":
            studio.queue.cancel(job)
        until(lambda job=job: job.pid is None)
        studio.queue.remove(job)
    page.script("document.getElementById('setting-strength').value = 0.5")
    page.script("document.getElementById('setting-strength').dispatchEvent(new Event('input'))")
    page.script(SEEK, 1)
    click(page, "#key-add")
    page.script(CHANGE, "#range-from", "0.5")
    page.script(CHANGE, "#range-to", "1.5")
    for number in range(3):
        click(page, "#render")
        until(lambda number=number: len(studio.queue.jobs) == number + 1)

    def order():
        return [job.id for job in studio.queue.jobs]

    first, second, third = studio.queue.jobs
    act(page, second, "down")
    until(lambda: order() == [first.id, third.id, second.id])
    act(page, second, "up")
    until(lambda: order() == [first.id, second.id, third.id])
    act(page, first, "pause")
    until(lambda: first.state == "paused")
    act(page, first, "resume")
    until(lambda: first.state in ("queued", "running"))
    act(page, second, "cancel")
    until(lambda: second.state == "cancelled")
    act(page, second, "again")
    until(lambda: second.state in ("queued", "running"))
    until(lambda: page.script("return document.querySelectorAll('#jobs li').length") == 3)
    page.script("document.querySelectorAll('#jobs details').forEach((x) => { x.open = true; })")
    act(page, third, "copy")
    until(lambda: "The command" in page.one("#toasts").text)
    act(page, third, "cancel")
    until(lambda: third.state == "cancelled")
    click(page, "#reset")
    page.focus("#lane .marker")
    page.press(DELETE)
    click(page, "#range-all")
    page.script("window.scrollTo(0, 0)")
    act(page, third, "reuse")
    until(lambda: "strength" in page.one(".what").text)
    assert "0:00.5 to 0:01.5" in page.one("#toasts").text
    assert part(page) == [0.5, 1.5]
    assert page.script("return document.getElementById('setting-strength').value") == "0.5"
    assert [time for time, _ in markers(page)] == [1.0]
    act(page, third, "remove")
    until(lambda: len(studio.queue.jobs) == 2)
    until(lambda: len(page.all("#jobs li")) == 2)
