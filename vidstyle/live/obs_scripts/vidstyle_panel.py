"""vidstyle from inside OBS: start and stop it, choose styles, turn what can be turned, by mouse and by hotkey.

Runs in OBS's own Python, and needs nothing but the standard library: it talks to the control page of ``vidstyle live --obs``.
"""

import json
import queue
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import obspython as obs

ADDRESS, PROGRAM = "127.0.0.1:8765", "vidstyle"
SECONDS = 0.5
"""Patience with an answer; it is on this machine."""

HOTKEYS = {
    "next": "vidstyle: next style",
    "previous": "vidstyle: previous style",
    "bypass": "vidstyle: bypass",
}
STARTING = "starting; look again in a moment"
TURNED = ("strength", "style_scale", "temporal_weight")

here = {"settings": None, "process": None, "sent": {}, "hotkeys": {}, "said": ""}
orders = queue.Queue()


def address():
    return obs.obs_data_get_string(here["settings"], "address") or ADDRESS


def ask(path, order=None):
    """What vidstyle answers; None where it does not."""
    data = None if order is None else json.dumps(order).encode()
    try:
        with urllib.request.urlopen(f"http://{address()}/{path}", data, timeout=SECONDS) as answer:
            return json.loads(answer.read() or b"{}")
    except (OSError, ValueError, urllib.error.URLError):
        return None


def send_orders():
    """In a thread of its own, so that OBS never waits."""
    while (order := orders.get()) is not None:
        ask("order", order)


def script_description():
    return "Paints a camera or a clip while you stream. Add the source called <b>vidstyle</b> to a scene to see it."


def script_defaults(settings):
    configured = Path(__file__).with_name(
        "vidstyle_panel.json"
    )  # written when the scripts were installed
    known = json.loads(configured.read_text()) if configured.exists() else {}
    obs.obs_data_set_default_string(settings, "program", known.get("program", PROGRAM))
    obs.obs_data_set_default_string(settings, "address", ADDRESS)
    obs.obs_data_set_default_string(settings, "camera", "0")
    obs.obs_data_set_default_double(settings, "strength", 1.0)
    obs.obs_data_set_default_double(settings, "style_scale", 1.0)
    obs.obs_data_set_default_double(settings, "temporal_weight", 5.0)


def script_properties():
    made = obs.obs_properties_create()
    obs.obs_properties_add_path(
        made, "program", "vidstyle, the program", obs.OBS_PATH_FILE, "", None
    )
    obs.obs_properties_add_text(made, "address", "its control page", obs.OBS_TEXT_DEFAULT)
    obs.obs_properties_add_text(made, "camera", "camera (number, name, clip)", obs.OBS_TEXT_DEFAULT)
    obs.obs_properties_add_button(made, "start", "Start", start)
    obs.obs_properties_add_button(made, "stop", "Stop", stop)
    obs.obs_properties_add_list(
        made, "style", "style", obs.OBS_COMBO_TYPE_LIST, obs.OBS_COMBO_FORMAT_STRING
    )
    obs.obs_properties_add_float_slider(made, "strength", "strength", 0.0, 1.0, 0.05)
    obs.obs_properties_add_float_slider(made, "style_scale", "style scale", 0.25, 4.0, 0.05)
    obs.obs_properties_add_float_slider(made, "temporal_weight", "steadiness", 0.0, 20.0, 0.5)
    obs.obs_properties_add_bool(made, "original_colors", "keep the source's colours")
    obs.obs_properties_add_button(made, "look", "Look again", look)
    obs.obs_properties_add_text(made, "status", "", obs.OBS_TEXT_INFO)
    look(made, None)
    return made


def look(properties, button):
    """Which styles there are now, and how it goes."""
    state = ask("state") or {}
    styles = obs.obs_properties_get(properties, "style")
    obs.obs_property_list_clear(styles)
    obs.obs_property_list_add_string(styles, "(as it is)", "")
    for style in state.get("styles", ()):
        obs.obs_property_list_add_string(styles, style["name"], style["name"])
    how = here["said"] or "not running"
    if "fps" in state:
        how = f"{state['fps']:.1f} frames per second, {state['latency_ms']:.0f} ms"
    status = obs.obs_properties_get(properties, "status")
    obs.obs_property_set_description(status, f"vidstyle: {how}")
    return True


def script_update(settings):
    """Somebody turned something: send what has changed."""
    here["settings"] = settings
    wanted = {name: round(obs.obs_data_get_double(settings, name), 3) for name in TURNED}
    style = obs.obs_data_get_string(settings, "style")
    colours = obs.obs_data_get_bool(settings, "original_colors")
    before = here["sent"]
    turned = {name: value for name, value in wanted.items() if before and before.get(name) != value}
    if turned:
        orders.put({"turn": turned})
    if before and style and style != before.get("style"):
        choose(style)
    if before and colours != before.get("original_colors"):
        orders.put({"do": "original_colors"})
    here["sent"] = {**wanted, "style": style, "original_colors": colours}


def choose(name):
    names = [style["name"] for style in (ask("state") or {}).get("styles", ())]
    if name in names:
        orders.put({"mix": [int(each == name) for each in names]})


def start(properties, button):
    here["said"] = ""
    if here["process"] is not None and here["process"].poll() is None:
        return True
    text = {
        name: obs.obs_data_get_string(here["settings"], name)
        for name in ("program", "camera", "address")
    }
    command = [
        text["program"] or PROGRAM,
        "live",
        "--obs",
        "--no-window",
        "--web",
        text["address"] or ADDRESS,
    ]
    command += ["--camera", text["camera"] or "0", "--loop"]
    flags = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    try:
        here["process"] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **flags
        )
    except OSError as error:
        here["said"] = f"cannot be started ({error.strerror}): choose the program above"
        return look(properties, button)
    here["said"] = STARTING
    threading.Thread(target=listen, args=(here["process"],), daemon=True).start()
    return look(properties, button)


def listen(process):
    """Keep the last line it says, for the status; without a reader it would stop at a full pipe."""
    for line in process.stderr:
        if line.startswith("vidstyle: ") and "control page" not in line:
            here["said"] = line.strip().removeprefix("vidstyle: ")
    if here["said"] in (STARTING, "interrupted"):
        here["said"] = ""


def stop(properties, button):
    process, here["process"], here["said"] = here["process"], None, ""
    if process is None:
        orders.put({"do": "quit"})
    elif process.poll() is None:
        process.terminate()
        threading.Thread(target=process.wait, daemon=True).start()
    return True


def pressed(action):
    return lambda down: orders.put({"do": action}) if down else None


def script_load(settings):
    here["settings"] = settings
    threading.Thread(target=send_orders, daemon=True).start()
    for action, words in HOTKEYS.items():
        key = obs.obs_hotkey_register_frontend(f"vidstyle_{action}", words, pressed(action))
        saved = obs.obs_data_get_array(settings, f"hotkey_{action}")
        obs.obs_hotkey_load(key, saved)
        obs.obs_data_array_release(saved)
        here["hotkeys"][action] = key


def script_save(settings):
    for action, key in here["hotkeys"].items():
        saved = obs.obs_hotkey_save(key)
        obs.obs_data_set_array(settings, f"hotkey_{action}", saved)
        obs.obs_data_array_release(saved)


def script_unload():
    orders.put(None)
    process = here["process"]
    if process is not None and process.poll() is None:
        process.terminate()
