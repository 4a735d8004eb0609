"""Processes that run a module of this package, started in a folder with other Python files."""

import socket
from contextlib import closing

import pytest
from conftest import write_clip

from vidstyle.live.network_camera import NetworkCamera
from vidstyle.live.stream_output import StreamProcess


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The present folder, whose files have the names of modules that the processes import."""
    for name in ("queue", "signal", "av", "cv2", "numpy"):
        (tmp_path / f"{name}.py").write_text('raise SystemExit("a file of the user")')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_network_camera_imports_nothing_from_the_present_folder(folder):
    camera = NetworkCamera(str(write_clip(folder / "clip.mp4", count=2)))
    success, image = camera.read()
    camera.release()
    assert success and image.ndim == 3


def test_stream_process_imports_nothing_from_the_present_folder(folder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with closing(StreamProcess(address, (64, 48), 25.0)) as process:
            process.wait_until_open()
