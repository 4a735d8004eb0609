"""The vidstyle panel in OBS: start and stop vidstyle, select styles, set parameters, hotkeys.

It runs in the Python of OBS and needs only the standard library. It sends HTTP commands to the
control page of ``vidstyle live --obs``, on a thread, so that OBS does not wait for the answers.
"""

import http.client
import json
import queue
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import obspython as obs

ADDRESS, PROGRAM = "127.0.0.1:8765", "vidstyle"

TIMEOUT_SECONDS = 0.5
"""Time limit in seconds for an answer of the control page."""

HOTKEYS = {
    "next": "vidstyle: next style",
    "previous": "vidstyle: previous style",
    "bypass": "vidstyle: bypass",
}
"""Action -> description of its hotkey."""

STARTING = "starting; press Refresh in a moment"

PARAMETERS = ("strength", "style_scale", "temporal_weight")

state = {"settings": None, "process": None, "sent": {}, "hotkeys": {}, "message": ""}
"""The script's state: OBS calls functions, which have no object to store it in."""

commands = queue.Queue()


def page():
    """Return (URL of the control page, HOST:PORT, token or "").

    Raises:
        ValueError: the address in the panel is not valid.
    """
    text = obs.obs_data_get_string(state["settings"], "address").strip() or ADDRESS
    parts = urlsplit(text if "://" in text else f"http://{text}")
    token = parse_qs(parts.query).get("token", [""])[0]
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", parts.netloc, token


def request_page(path, command=None):
    """Return the control page's JSON answer; None if it does not answer or rejects the request."""
    data = None if command is None else json.dumps(command).encode()
    try:
        url, _, token = page()
        headers = {"X-Vidstyle-Token": token} if token else {}
        request = urllib.request.Request(f"{url}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read() or b"{}")
    except (OSError, ValueError, http.client.HTTPException):
        return None


def send_commands():
    """Send the commands of the queue, on a thread, until it contains None."""
    while (command := commands.get()) is not None:
        request_page("command", command)


def script_description():
    return (
        "Stylizes a camera or a video file while you stream. "
        "Add the source called <b>vidstyle</b> to a scene to see it."
    )


def script_defaults(settings):
    installed = Path(__file__).with_name("vidstyle_panel.json")  # by `vidstyle obs install`
    known = json.loads(installed.read_text()) if installed.exists() else {}
    obs.obs_data_set_default_string(settings, "program", known.get("program", PROGRAM))
    obs.obs_data_set_default_string(settings, "address", ADDRESS)
    obs.obs_data_set_default_string(settings, "camera", "0")
    obs.obs_data_set_default_double(settings, "strength", 1.0)
    obs.obs_data_set_default_double(settings, "style_scale", 1.0)
    obs.obs_data_set_default_double(settings, "temporal_weight", 5.0)


def script_properties():
    made = obs.obs_properties_create()
    text = obs.OBS_TEXT_DEFAULT
    obs.obs_properties_add_path(made, "program", "vidstyle program", obs.OBS_PATH_FILE, "", None)
    obs.obs_properties_add_text(made, "address", "control page (HOST:PORT or URL)", text)
    obs.obs_properties_add_text(made, "camera", "camera (number, name, file)", text)
    obs.obs_properties_add_button(made, "start", "Start", start)
    obs.obs_properties_add_button(made, "stop", "Stop", stop)
    obs.obs_properties_add_list(
        made, "style", "style", obs.OBS_COMBO_TYPE_LIST, obs.OBS_COMBO_FORMAT_STRING
    )
    obs.obs_properties_add_float_slider(made, "strength", "strength", 0.0, 1.0, 0.05)
    obs.obs_properties_add_float_slider(made, "style_scale", "style scale", 0.25, 4.0, 0.05)
    obs.obs_properties_add_float_slider(
        made, "temporal_weight", "temporal consistency", 0.0, 20.0, 0.5
    )
    obs.obs_properties_add_bool(made, "original_colors", "keep the source's colours")
    obs.obs_properties_add_button(made, "refresh", "Refresh", refresh)
    obs.obs_properties_add_text(made, "status", "", obs.OBS_TEXT_INFO)
    refresh(made, None)
    return made


def refresh(properties, button):
    """Update the list of styles and the status line."""
    answer = request_page("state") or {}
    styles = obs.obs_properties_get(properties, "style")
    obs.obs_property_list_clear(styles)
    obs.obs_property_list_add_string(styles, "(unchanged)", "")
    for style in answer.get("styles", ()):
        obs.obs_property_list_add_string(styles, style["name"], style["name"])
    text = state["message"] or "not running"
    if "fps" in answer:
        text = f"{answer['fps']:.1f} frames per second, {answer['latency_ms']:.0f} ms"
    status = obs.obs_properties_get(properties, "status")
    obs.obs_property_set_description(status, f"vidstyle: {text}")
    return True


def script_update(settings):
    """Send the parameters that were changed in the panel."""
    state["settings"] = settings
    values = {name: round(obs.obs_data_get_double(settings, name), 3) for name in PARAMETERS}
    style = obs.obs_data_get_string(settings, "style")
    original_colors = obs.obs_data_get_bool(settings, "original_colors")
    sent = state["sent"]
    changed = {name: value for name, value in values.items() if sent and sent.get(name) != value}
    if changed:
        commands.put({"set": changed})
    if sent and style and style != sent.get("style"):
        select_style(style)
    if sent and original_colors != sent.get("original_colors"):
        commands.put({"do": "original_colors"})
    state["sent"] = {**values, "style": style, "original_colors": original_colors}


def select_style(name):
    names = [style["name"] for style in (request_page("state") or {}).get("styles", ())]
    if name in names:
        commands.put({"blend": [int(each == name) for each in names]})


def start(properties, button):
    state["message"] = ""
    if state["process"] is not None and state["process"].poll() is None:
        return True
    try:
        address = page()[1]
    except ValueError:
        state["message"] = "the address of the control page is not valid: enter HOST:PORT"
        return refresh(properties, button)
    program = obs.obs_data_get_string(state["settings"], "program") or PROGRAM
    camera = obs.obs_data_get_string(state["settings"], "camera") or "0"
    command = [program, "live", "--obs", "--no-window", "--web", address]
    command += ["--camera", camera, "--loop"]
    flags = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    try:
        state["process"] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **flags
        )
    except OSError as error:
        state["message"] = f"cannot be started ({error.strerror}): choose the program above"
        return refresh(properties, button)
    state["message"] = STARTING
    threading.Thread(target=read_messages, args=(state["process"],), daemon=True).start()
    return refresh(properties, button)


def read_messages(process):
    """Keep the last message of the process for the status line.

    Without a reader the process would block as soon as the pipe is full.
    """
    for line in process.stderr:
        if line.startswith("vidstyle: ") and "control page" not in line:
            state["message"] = line.strip().removeprefix("vidstyle: ")
    if state["message"] in (STARTING, "interrupted"):
        state["message"] = ""


def stop(properties, button):
    process, state["process"], state["message"] = state["process"], None, ""
    if process is None:
        commands.put({"do": "quit"})
    elif process.poll() is None:
        process.terminate()
        threading.Thread(target=process.wait, daemon=True).start()
    return True


def on_hotkey(action):
    return lambda pressed: commands.put({"do": action}) if pressed else None


def script_load(settings):
    state["settings"] = settings
    threading.Thread(target=send_commands, daemon=True).start()
    for action, description in HOTKEYS.items():
        name = f"vidstyle_{action}"
        key = obs.obs_hotkey_register_frontend(name, description, on_hotkey(action))
        saved = obs.obs_data_get_array(settings, f"hotkey_{action}")
        obs.obs_hotkey_load(key, saved)
        obs.obs_data_array_release(saved)
        state["hotkeys"][action] = key


def script_save(settings):
    for action, key in state["hotkeys"].items():
        saved = obs.obs_hotkey_save(key)
        obs.obs_data_set_array(settings, f"hotkey_{action}", saved)
        obs.obs_data_array_release(saved)


def script_unload():
    commands.put(None)
    process = state["process"]
    if process is not None and process.poll() is None:
        process.terminate()
