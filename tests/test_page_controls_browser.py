"""Keys, fullscreen, messages and presets of the control page in Chromium; skipped without one."""

import pytest
from conftest import until
from page_session import browser

SIZES = {"phone": (390, 844), "desktop": (1440, 900)}

OVERLAPS = """
const toasts = [...document.querySelectorAll(".toast")].map((each) => each.getBoundingClientRect());
const others = [...document.querySelectorAll("button, input, label, #status")]
  .filter((each) => !each.closest("#toasts") && each.checkVisibility());
return others.filter((each) => {
  const box = each.getBoundingClientRect();
  return toasts.some((toast) => toast.width && box.left < toast.right && toast.left < box.right
    && box.top < toast.bottom && toast.top < box.bottom);
}).map((each) => each.outerHTML);
"""


@pytest.fixture(scope="module")
def shared_browser():
    with browser() as found:
        yield found


@pytest.fixture
def running(page_session):
    with page_session.stylizing():
        yield page_session


def open_page(driver, session, size="desktop"):
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get("about:blank")
    driver.get_log("browser")  # empties it: the last test's page waited for a server
    driver.get(session.page.url)
    until(lambda: len(driver.find_elements("css selector", "#gallery input")) == 2)


def press(driver, key):
    driver.switch_to.active_element.send_keys(key)


def texts(driver, selector):
    """The texts of elements, in one step: the page may replace them at any time."""
    script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)"
    return driver.execute_script(script, selector)


def is_complete(driver):
    """Whether nothing is wider than the page, and the browser reported no error."""
    fits = driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    return fits and not [each for each in driver.get_log("browser") if each["level"] == "SEVERE"]


@pytest.mark.browser
@pytest.mark.parametrize("size", SIZES)
def test_page_presets_are_saved_applied_and_removed(shared_browser, running, size):
    driver, controls = shared_browser, running.session.controls
    open_page(driver, running, size)
    field = driver.find_element("id", "preset-name")
    field.send_keys("slow nfs\n")  # letters in a field are no shortcuts
    until(lambda: running.session.presets.names == ["slow nfs"])
    until(lambda: field.get_property("value") == "")
    assert controls.weights == [1, 0] and not running.session.display.frozen
    press(driver, "\ue004")  # Tab leaves the field
    press(driver, "n")
    until(lambda: controls.weights == [0, 1])
    until(lambda: texts(driver, "#preset-list [aria-pressed=false]") == ["1 slow nfs"])
    press(driver, "1")
    until(lambda: controls.weights == [1, 0])
    until(lambda: texts(driver, "#preset-list [aria-pressed=true]") == ["1 slow nfs"])
    press(driver, "n")
    until(lambda: controls.weights == [0, 1])
    driver.find_element("css selector", "#preset-list [aria-pressed]").click()
    until(lambda: controls.weights == [1, 0])
    remove = driver.find_element("css selector", "[aria-label='remove slow nfs']")
    asked = "arguments[0].click(); return arguments[0].ariaLabel"  # it asks for some seconds
    assert driver.execute_script(asked, remove) == "really remove slow nfs?"
    assert running.session.presets.names
    again = "document.querySelector('#preset-list button:last-child')?.click()"
    until(lambda: driver.execute_script(again) or not running.session.presets.names)
    until(lambda: not texts(driver, "#preset-list li"))
    assert is_complete(driver)


@pytest.mark.browser
@pytest.mark.parametrize("size", SIZES)
def test_page_toasts_cover_no_controls(shared_browser, running, size):
    driver = shared_browser
    open_page(driver, running, size)
    until(lambda: driver.execute_script("return document.images[0].naturalWidth"))
    for number in range(5):
        text = f"cannot write /a/folder/vidstyle-20260101-10101{number}.mp4: free some space"
        running.session.messages.add(text, error=True)
    until(lambda: len(texts(driver, ".toast.error")) == 3)  # the last ones
    assert driver.execute_script(OVERLAPS) == []
    assert texts(driver, ".toast span")[-1].endswith("4.mp4: free some space")
    for _ in range(3):
        driver.find_element("css selector", ".toast button").click()
    assert not texts(driver, ".toast") and is_complete(driver)


@pytest.mark.browser
def test_page_keys_list_is_a_dialog(shared_browser, running):
    driver = shared_browser
    open_page(driver, running)
    press(driver, "?")
    listed = set(texts(driver, "#keys kbd"))
    assert {"n", "p", "b", "f", "s", "r", "e", "?", "1", "9"} <= listed
    buttons = driver.find_elements("css selector", "#buttons [aria-keyshortcuts]")
    assert {each.get_attribute("aria-keyshortcuts") for each in buttons} <= listed
    press(driver, "f")  # keys work while they are listed
    until(lambda: running.session.display.frozen)
    press(driver, "\ue00c")  # Escape
    assert not driver.execute_script("return document.getElementById('keys').open")
    driver.find_element("id", "show-keys").click()
    assert driver.execute_script("return document.getElementById('keys').open")


@pytest.mark.browser
def test_page_fullscreen_shows_the_picture_alone(shared_browser, running):
    driver = shared_browser
    open_page(driver, running)
    full = "return document.fullscreenElement?.id"
    running.session.messages.add("no space", error=True)
    until(lambda: texts(driver, ".toast span") == ["no space"])
    driver.find_element("id", "fullscreen").click()
    until(lambda: driver.execute_script(full) == "frame")
    shown = "return [...document.querySelectorAll('#frame > *')].filter(e => e.checkVisibility())"
    assert [each.get_attribute("id") for each in driver.execute_script(shown)] == ["image"]
    press(driver, "e")
    until(lambda: driver.execute_script(full) is None)
    assert texts(driver, ".toast span") == ["no space"]
