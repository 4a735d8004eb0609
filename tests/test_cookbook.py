"""docs/guide/python.md: every example runs, one after another as on the page."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import scene, stripes, write_clip

import vidstyle as vs
from vidstyle.io.images import write_image
from vidstyle.settings import PRESETS, Settings

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Camera:
    """Stands in for ``cv2.VideoCapture``: two frames."""

    def __init__(self, number):
        self._left = 2

    def read(self):
        self._left -= 1
        return (True, scene()[..., ::-1]) if self._left >= 0 else (False, None)


@pytest.fixture
def page_folder(tmp_path, monkeypatch):
    """A folder with the files of the page, in which all presets have few iterations."""
    for name in ("clip.mp4", "in.mp4"):
        write_clip(tmp_path / name, count=3)
    for name in ("style.jpg", "a.jpg", "b.jpg", "other.jpg"):
        write_image(tmp_path / name, stripes())
    for name, preset in PRESETS.items():
        quick = replace(preset, initial_steps=2, steps=1, backward_steps=0)
        monkeypatch.setitem(PRESETS._presets, name, quick)
    monkeypatch.setattr(vs, "Settings", lambda: replace(Settings(), initial_steps=2, steps=1))
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(cv2, "waitKey", lambda milliseconds: -1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_cookbook_examples_run_in_the_order_of_the_page(page_folder, monkeypatch, capsys):
    shown, windows = [], []
    monkeypatch.setattr(cv2, "imshow", lambda name, image: windows.append(image))
    names = {"image": scene(), "frame": scene(), "show": shown.append}
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == PAGE.read_text().count("```python") > 5
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"example {number} of {PAGE.name}", "exec"), names)
    assert len(shown) == 6 and len(windows) == 2
    assert all(made.shape == (48, 64, 3) and made.dtype == np.uint8 for made in shown + windows)
    for output in ("out.mp4", "painted.mp4", "changed.mp4", "mine.safetensors"):
        assert (page_folder / output).stat().st_size
    assert "missing.mp4" in capsys.readouterr().out
