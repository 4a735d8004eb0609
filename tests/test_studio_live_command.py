"""The command ``vidstyle studio --live``: ``vidstyle live`` with the camera of a browser."""

import sys

import cv2
import pytest
from conftest import stripes

from vidstyle import cli
from vidstyle.live.browser_camera import BrowserCamera

pytest.importorskip("aiortc")


@pytest.fixture
def sessions(tmp_path, monkeypatch, features_file):
    """The sources of the sessions that a command starts, and the flags that make them quick."""
    found = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(
        "vidstyle.live.loop.live", lambda session, source, *rest: found.append(source)
    )
    cv2.imwrite("stripes.png", stripes()[..., ::-1])
    flags = ["stripes.png", "--features", str(features_file), "--device", "cpu"]
    return found, flags


def test_studio_live_starts_a_session_with_the_camera_of_a_browser(sessions, capsys, tmp_path):
    found, flags = sessions
    command = ["studio", "--live", *flags, "--address", "127.0.0.1:0", "--no-browser"]
    assert cli.main([*command, "--camera-size", "320x180", "--fps", "15"]) == 0
    assert isinstance(found[0], BrowserCamera)
    assert (found[0].wanted_size, found[0].wanted_rate) == ((320, 180), 15)
    err = capsys.readouterr().err
    assert "control page at http://127.0.0.1:" in err and "the page is for this machine only" in err
    assert not (tmp_path / "data").exists()


def test_studio_live_for_other_devices_has_https_and_a_qr_code(sessions, capsys, tmp_path):
    found, flags = sessions
    command = ["studio", "--live", *flags, "--address", "0.0.0.0:0"]
    assert cli.main([*command, "--https"]) == 0 and len(found) == 1
    err = capsys.readouterr().err
    assert "control page at https://" in err and "?token=" in err and "█" in err
    assert "add --https" not in err
    own = str(tmp_path / "data" / "vidstyle" / "certificate.pem")
    assert cli.main([*command, "--certificate", own, "--key", own]) == 0
    assert "control page at https://" in capsys.readouterr().err
    assert cli.main(command) == 0
    assert "browsers give this page no camera: add --https" in capsys.readouterr().err


def test_studio_live_without_its_packages_names_all_extras(sessions, capsys, monkeypatch):
    for missing in ("starlette", "aiortc"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, missing, None)  # as if it were not installed
            assert cli.main(["studio", "--live"]) == 1
        err = capsys.readouterr().err
        assert "pip install 'vidstyle[web,webrtc]'" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["studio", "--live", "--camera", "0"], 2, "studio --live has the camera of a browser"),
        (["studio", "--live", "--web=:0"], 2, "studio --live has the camera of a browser"),
        (["studio", "--live", "--nonsense"], 2, "has no flag --nonsense"),
        (["studio", "--live", "--certificate", "a.pem"], 2, "give both --certificate and --key"),
        (
            ["studio", "--live", "--https", "--certificate", "a.pem", "--key", "a.pem"],
            2,
            "--https makes a certificate",
        ),
        (["studio", "--live", "--https", "--obs"], 2, "go without --obs"),
        (
            ["studio", "--live", "--certificate", "a.pem", "--key", "a.pem"],
            1,
            "a.pem cannot be read",
        ),
        (["live", "--camera", "browser"], 2, "add --web"),
        (["live", "--https"], 2, "add --web"),
    ],
)
def test_studio_live_names_wrong_flags(sessions, capsys, arguments, code, words):
    found, _ = sessions
    try:
        left = cli.main(arguments)
    except SystemExit as leaving:
        left = leaving.code
    err = capsys.readouterr().err
    assert left == code and words in err and "Traceback" not in err and not found
