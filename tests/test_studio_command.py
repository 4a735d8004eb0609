"""The command ``vidstyle studio``, and its server's start, token and end."""

import http.client
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import httpx
import pytest
from conftest import SECONDS
from studio_session import client_of, make_previews_quick, open_studio, upload, uploaded_clip

from vidstyle import OutputError, cli
from vidstyle.studio.preview import Previewer
from vidstyle.studio.server import Studio
from vidstyle.studio.turns import StoppedError
from vidstyle.web.address import listen


def test_studio_on_other_addresses_requires_its_token(tmp_path):
    with open_studio(tmp_path / "studio", allowed=["studio.example.org"]) as studio:
        token = urlsplit(studio.url).query.removeprefix("token=")
        with client_of(studio) as client:
            assert client.get("/").status_code == client.get("/page.js").status_code == 200
            for path in ("/api/state", "/api/events", "/api/clips/x/file", "/api/openapi.json"):
                assert client.get(path).status_code == 401
            assert upload(client, b"x", "x.mp4").status_code == 401
            headers = {"X-Vidstyle-Token": token}
            assert client.get("/api/state", headers=headers).status_code == 200
            assert client.get("/api/state", params={"token": token}).status_code == 200


def test_studio_folder_has_one_server(tmp_path):
    with (
        open_studio(tmp_path / "studio"),
        listen("127.0.0.1:0") as server,
        pytest.raises(OutputError, match="another vidstyle studio"),
    ):
        Studio(server, tmp_path / "studio")


def test_studio_closes_while_streams_are_open(tmp_path):
    with open_studio(tmp_path / "studio") as studio:
        parts = urlsplit(studio.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)
        connection.request("GET", "/api/events")
        assert connection.getresponse().readline().startswith(b"data: ")
    connection.close()
    assert not any(thread.name == "vidstyle-studio" for thread in threading.enumerate())


def test_studio_close_waits_for_what_is_painted(tmp_path, features, monkeypatch):
    # PyTorch aborts a process that ends meanwhile.
    begun, ended = threading.Event(), threading.Event()

    def one_long_iteration(*given):
        begun.set()
        time.sleep(1)  # longer than the server takes to end
        ended.set()
        raise StoppedError

    monkeypatch.setattr(Previewer, "_paint_coarse", one_long_iteration)
    make_previews_quick(monkeypatch, features)
    with open_studio(tmp_path / "studio") as studio, client_of(studio) as client:
        wanted = {"clip": uploaded_clip(client, tmp_path), "style": "ink", "preset": "draft"}
        with client.stream("POST", "/api/previews", json=wanted):
            assert begun.wait(SECONDS)
    assert ended.is_set()


def test_studio_command_serves_until_a_signal(tmp_path):
    command = [sys.executable, "-m", "vidstyle", "studio", "--no-browser", "--address", ":0"]
    command += ["--folder", str(tmp_path / "studio")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        first = process.stderr.readline()
        assert first.startswith("vidstyle: studio at http://127.0.0.1:")
        assert httpx.get(f"{first.split()[-1]}api/state", timeout=SECONDS).json()["jobs"] == []
        process.terminate()
        assert "interrupted" in process.stderr.read()
    assert process.returncode == 130


def test_studio_command_serves_by_https(tmp_path, monkeypatch, capsys):
    pytest.importorskip("cryptography")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = []

    def visit():
        url = capsys.readouterr().err.splitlines()[0].split()[-1]
        found.append((url, httpx.get(f"{url}api/state", verify=False).status_code))

    monkeypatch.setattr("vidstyle.cli.studio._wait", visit)
    command = ["studio", "--no-browser", "--address", "127.0.0.1:0", "--device", "cpu"]
    own = str(tmp_path / "vidstyle" / "certificate.pem")
    for flags in (["--https"], ["--certificate", own, "--key", own]):
        assert cli.main([*command, *flags]) == 0
    assert all(url.startswith("https://127.0.0.1:") and code == 200 for url, code in found)
    assert len(found) == 2


def test_studio_command_names_wrong_values(capsys, tmp_path):
    for flags, words in (
        (["--address", "a:b"], "HOST:PORT"),
        (["--parallel", "0"], "--parallel must be 1 or more"),
        (["--allow-host", "http://x"], "--allow-host"),
        (["--certificate", "a.pem"], "give both --certificate and --key"),
        (["--https", "--certificate", "a.pem", "--key", "a.pem"], "--https makes a certificate"),
        (["--device", "cpu,cpu", "--address", ":0", "--folder", str(tmp_path)], "cpu twice"),
        (["--device", "nonsense", "--address", ":0", "--folder", str(tmp_path)], "nonsense"),
    ):
        with pytest.raises(SystemExit) as leaving:
            cli.main(["studio", "--no-browser", *flags])
        assert leaving.value.code == 2 and words in capsys.readouterr().err
    assert cli.main(["studio", "--certificate", "a.pem", "--key", "a.pem"]) == 1
    assert "a.pem cannot be read" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    command = ["studio", "--no-browser", "--address", ":0", "--folder", str(tmp_path / "file")]
    assert cli.main(command) == 1
    assert "choose another with --folder" in capsys.readouterr().err
