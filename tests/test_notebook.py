"""integrations/notebook: its cells run, on a small clip, and it holds no outputs."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from conftest import FAST_SETTINGS, times_of

import vidstyle
from vidstyle import cli, sheet

NOTEBOOK = Path(__file__).parent.parent / "integrations" / "notebook" / "vidstyle.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]


class Page:
    """``IPython.display``: remembers what the cells show."""

    def __init__(self):
        self.shown, self.updates = [], []
        self.module = ModuleType("IPython.display")
        for name in ("HTML", "Image", "FileLink"):
            setattr(self.module, name, lambda value, kind=name: (kind, value))
        self.module.display = self.display

    def display(self, value, display_id=False):
        self.shown.append(value)
        return SimpleNamespace(update=self.updates.append) if display_id else None


def cells(*, without):
    """The source of each code cell that has none of these tags."""
    for cell in CELLS:
        if cell["cell_type"] == "code" and not set(cell["metadata"].get("tags", ())) & set(without):
            yield "".join(cell["source"])


@pytest.fixture
def page(monkeypatch, tmp_path, features):
    """Where the cells show things: in an empty folder, with the sheet and the render quick."""

    def run(command, check, env):
        assert command[0] == "vidstyle" and check and env["FORCE_COLOR"] == ""
        assert cli.main(command[1:]) == 0

    made, render = Page(), vidstyle.render
    fast = {**FAST_SETTINGS, "initial_steps": 2, "steps": 1, "features": features}
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", made.module)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sheet, "SHEET_STEPS", 1)
    monkeypatch.setattr(vidstyle, "render", lambda *a, **k: render(*a, **{**k, **fast}))
    monkeypatch.chdir(tmp_path)
    return made


def test_notebook_renders_and_shows_a_clip(page, clip):
    names = {"CLIP": str(clip)}
    for source in cells(without=("install", "upload")):
        exec(compile(source, NOTEBOOK.name, "exec"), names)
    assert Path("sheet.jpg").exists()
    assert times_of("stylised.mp4") == times_of(clip)
    kinds = [kind for kind, _ in page.shown]
    assert kinds == ["Image", "HTML", "HTML", "FileLink"]
    assert (
        "frame 6 of 6" in page.updates[-1][1] and "<progress value=6 max=6>" in page.updates[-1][1]
    )
    assert page.shown[2][1].count("<video") == 2


def test_notebook_is_clean():
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)
    for cell in CELLS:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


def test_notebook_installs_the_wheel_of_this_version():
    install = "".join(next(cell for cell in CELLS if cell["id"] == "install")["source"])
    assert f"vidstyle-{vidstyle.__version__}-py3-none-any.whl" in install
    for line in install.splitlines():
        assert line.startswith(("%pip install ", "WHEEL = "))
