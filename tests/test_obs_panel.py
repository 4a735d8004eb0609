"""The panel in OBS, with a simulated module ``obspython``: its imports, requests, and the token."""

import ast
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import until
from page_session import open_page_session

PANEL = Path(__file__).parent.parent / "vidstyle/live/obs_scripts/vidstyle_panel.py"


def test_obs_panel_imports_standard_library_only():
    nodes = [
        node
        for node in ast.walk(ast.parse(PANEL.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"obspython"}


@pytest.fixture
def panel(monkeypatch):
    """The panel's module; ``settings`` is a dictionary of what the user has entered."""
    simulated = SimpleNamespace(
        obs_data_get_string=lambda settings, name: settings.get(name, ""),
        obs_data_get_double=lambda settings, name: settings.get(name, 0.0),
        obs_data_get_bool=lambda settings, name: settings.get(name, False),
        obs_data_get_array=lambda settings, name: None,
        obs_data_array_release=lambda array: None,
        obs_hotkey_register_frontend=lambda name, description, function: function,
        obs_hotkey_load=lambda key, saved: None,
    )
    monkeypatch.setitem(sys.modules, "obspython", simulated)
    spec = importlib.util.spec_from_file_location("vidstyle_panel", PANEL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.settings = {}
    module.script_load(module.settings)
    yield module
    module.script_unload()


@pytest.mark.parametrize(
    "address, expected",
    [
        ("", ("http://127.0.0.1:8765", "127.0.0.1:8765", "")),
        ("localhost:9000", ("http://localhost:9000", "localhost:9000", "")),
        ("http://10.0.0.2:80/?token=abc", ("http://10.0.0.2:80", "10.0.0.2:80", "abc")),
        ("https://a.example/tv/?token=a", ("https://a.example/tv", "a.example", "a")),
    ],
)
def test_obs_panel_page_parses_address_and_token(panel, address, expected):
    panel.settings["address"] = address
    assert panel.page() == expected


@pytest.mark.parametrize("address", ["127.0.0.1:1", "not an address", "http://[::1", "x://y"])
def test_obs_panel_without_page_gets_no_answer(panel, address):
    panel.settings["address"] = address
    assert panel.request_page("state") is None


def test_obs_panel_sends_commands_with_token(panel, page_camera, features, style):
    with open_page_session(page_camera, features, style, allowed=["studio.example"]) as session:
        session.stylize_frame()
        panel.settings["address"] = session.page.url.split("?")[0]
        assert panel.request_page("state") is None  # rejected without the token
        panel.settings["address"] = session.page.url
        assert panel.request_page("state")["frames"] == 1
        panel.settings |= {"strength": 1.0, "style_scale": 1.0, "temporal_weight": 5.0}
        panel.script_update(panel.settings)  # OBS reports the initial values: nothing is sent
        panel.settings |= {"strength": 0.25, "style": "scene"}
        panel.script_update(panel.settings)
        panel.state["hotkeys"]["bypass"](True)
        until(lambda: panel.commands.empty() and session.session._pending.qsize() == 3)
        session.stylize_frame()
        session.stylize_frame()
        state = panel.request_page("state")
    assert state["settings"]["strength"] == 0.25 and state["bypass"]
    assert [style["weight"] for style in state["styles"]] == [0, 1]
