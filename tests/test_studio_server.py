"""The studio's server: state, uploads, frames, previews, estimates, jobs, access."""

import socket
import threading
import time
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from conftest import SECONDS, scene, stripes, until, write_clip
from studio_session import QUICK, client_of, events_of, open_studio, upload, uploaded_clip

from vidstyle.io.images import jpeg
from vidstyle.settings import PRESETS


@pytest.fixture
def studio(tmp_path, monkeypatch, features):
    """A studio with the tiny network for previews."""
    monkeypatch.setattr("vidstyle.studio.preview.load_features", lambda *given: features)
    with open_studio(tmp_path / "studio") as made:
        yield made


@pytest.fixture
def client(studio):
    with client_of(studio) as found:
        yield found


@pytest.fixture
def clip_id(client, tmp_path):
    return uploaded_clip(client, tmp_path)


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_studio_state_lists_what_there_is_to_choose(client, clip_id):
    state = client.get("/api/state").json()
    assert state["presets"] == ["draft", "standard", "final"] and state["jobs"] == []
    assert [clip["id"] for clip in state["clips"]] == [clip_id]
    assert {"id": "strokes", "name": "strokes", "bundled": True} in state["styles"]
    settings = {setting["name"]: setting for setting in state["settings"]}
    assert settings["content_weight"]["defaults"]["draft"] == PRESETS["draft"].content_weight
    assert settings["original_colors"]["kind"] == "switch"
    for setting in settings.values():
        for value in setting["defaults"].values():
            assert setting["kind"] == "switch" or setting["low"] <= value <= setting["high"]


def test_studio_serves_its_page(client):
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "media-src 'self' blob:" in policy
    assert client.get("/page.js").headers["content-type"].startswith("text/javascript")
    for path in ("/../server.py", "/server.py", "/openapi.json", "/page"):
        assert client.get(path).status_code == 404


def test_studio_openapi_names_every_route(client, studio):
    document = client.get("/api/openapi.json").json()
    assert document["info"]["version"] == client.get("/api/state").json()["version"]
    routes = {
        (route.path, method.lower())
        for route in studio.routes()
        for method in route.methods - {"HEAD"}
        if route.path.startswith("/api/")
    }
    listed = {(path, method) for path, found in document["paths"].items() for method in found}
    assert listed == routes


def test_studio_uploads_are_checked_and_named(client, tmp_path):
    data = write_clip(tmp_path / "clip.mp4", count=3).read_bytes()
    found = upload(client, data, "../../.my clip.mp4")
    assert found.status_code == 201 and found.json()["name"] == "my clip.mp4"
    assert client.get(f"/api/clips/{found.json()['id']}/file").content == data
    for wrong, code in ((b"", 400), (b"no clip" * 1000, 415)):
        refused = upload(client, wrong, "x.mp4")
        assert refused.status_code == code and "\n" not in refused.text and ":" in refused.text
    assert len(list((tmp_path / "studio" / "clips").iterdir())) == 1


def test_studio_uploads_of_any_size_go_to_disk(client, studio, tmp_path, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.bodies.MAX_CLIP_BYTES", 1 << 20)
    block = b"\0" * (1 << 16)
    refused = client.post("/api/clips?name=x.mp4", content=(block for _ in range(17)))
    assert refused.status_code == 413 and "split the clip" in refused.text
    monkeypatch.setattr("vidstyle.studio.bodies._free_bytes", lambda folder: 1000)
    full = upload(client, b"\0" * 2000, "x.mp4")
    assert full.status_code == 507 and full.text.endswith("free some space")
    assert not list((tmp_path / "studio" / "clips").iterdir())


def test_studio_upload_that_stops_leaves_nothing(studio, client, tmp_path, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.bodies.STALL_SECONDS", 0.2)
    parts = urlsplit(studio.url)
    head = f"POST /api/clips?name=x.mp4 HTTP/1.1\r\nHost: {parts.netloc}\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\nbegin".encode())
        assert b" 408 " in connection.recv(1000)
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\nbegin".encode())
    until(lambda: not list((tmp_path / "studio" / "clips").iterdir()))


def test_studio_full_disk_is_named_in_one_line(client, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vidstyle.studio.library.write_file", full)
    answer = upload(client, jpeg(stripes()), "a.jpg", "styles")
    assert answer.status_code == 507 and answer.text.startswith("no space is left on the disk:")


def test_studio_frames_are_jpeg_of_a_size(client, clip_id):
    first, later = (
        client.get(f"/api/clips/{clip_id}/frame.jpg", params={"time": time, "px": 32})
        for time in (0, 1.5)
    )
    assert first.headers["content-type"] == "image/jpeg"
    assert decoded(first.content).shape == (24, 32, 3) and first.content != later.content
    large = client.get(f"/api/clips/{clip_id}/frame.jpg?time=100&px=9999")
    assert decoded(large.content).shape == (48, 64, 3)  # never enlarged
    assert client.get(f"/api/clips/{clip_id}/frame.jpg?time=x").status_code == 400
    assert client.get("/api/clips/nothing/frame.jpg").status_code == 404


def test_studio_files_have_ranges(client, clip_id):
    whole = client.get(f"/api/clips/{clip_id}/file")
    part = client.get(f"/api/clips/{clip_id}/file", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole.content[10:20]


def test_studio_styles_are_added_shown_and_deleted(client):
    added = upload(client, jpeg(stripes()), "my/stripes.jpg", "styles")
    assert added.status_code == 201 and not added.json()["bundled"]
    style = added.json()["id"]
    assert decoded(client.get(f"/api/styles/{style}.jpg?px=20").content).shape == (20, 20, 3)
    assert decoded(client.get("/api/styles/ink.jpg").content).shape[1] <= 160
    assert client.delete(f"/api/styles/{style}").status_code == 204
    assert client.get(f"/api/styles/{style}.jpg").status_code == 404
    assert client.delete("/api/styles/ink").status_code == 409
    for wrong in (b"no image", jpeg(scene())[:50]):
        assert upload(client, wrong, "x.jpg", "styles").status_code == 415


def test_studio_previews_are_coarse_then_fine(client, clip_id):
    wanted = {"clip": clip_id, "time": 1.0, "style": "ink", "preset": "draft", "settings": {}}
    with client.stream("POST", "/api/previews", json=wanted) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = list(events_of(answer))
    stages = [event["stage"] for event in events]
    assert stages[0] == "coarse" and stages[-2:] == ["fine", "end"]
    assert events[0]["image"].startswith("data:image/jpeg;base64,")
    assert events[0]["seconds"] < events[-2]["seconds"]
    found = client.post("/api/estimates", json={"clip": clip_id}).json()
    assert 0 < found["draft"]["sheet_seconds"] < found["final"]["sheet_seconds"]
    assert 0 < found["draft"]["seconds"] < found["standard"]["seconds"] < found["final"]["seconds"]


def test_studio_new_preview_stops_the_one_before(client, clip_id, studio, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.preview.FINE_STEPS", 100_000)
    wanted = {"clip": clip_id, "style": "ink", "preset": "draft"}
    with client.stream("POST", "/api/previews", json=wanted) as endless:
        events = events_of(endless)
        assert next(events)["stage"] == "coarse"
        monkeypatch.setattr("vidstyle.studio.preview.FINE_STEPS", 20)
        with client.stream("POST", "/api/previews", json=wanted) as answer:
            assert [event["stage"] for event in events_of(answer)][-2:] == ["fine", "end"]
        assert [event["stage"] for event in events][-1] == "end"


def test_studio_preview_stops_when_its_client_leaves(client, clip_id, studio, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.preview.FINE_STEPS", 100_000)
    wanted = {"clip": clip_id, "style": "ink", "preset": "draft"}
    with client.stream("POST", "/api/previews", json=wanted) as endless:
        assert next(events_of(endless))["stage"] == "coarse"
    until(lambda: not any(thread.name == "vidstyle-preview" for thread in threading.enumerate()))


def test_studio_preview_tells_its_error(client, clip_id, studio):
    path = studio.library.clip_path(studio.library.clip(clip_id))
    path.write_bytes(b"no clip any more")
    wanted = {"clip": clip_id, "style": "ink", "preset": "draft"}
    with client.stream("POST", "/api/previews", json=wanted) as answer:
        (event,) = events_of(answer)
    assert event["stage"] == "error" and "upload it again" in event["message"]


def test_studio_estimates_without_a_preview_have_no_time(client, clip_id):
    found = client.post("/api/estimates", json={"clip": clip_id, "start": 0, "end": 1}).json()
    whole = client.post("/api/estimates", json={"clip": clip_id}).json()
    assert found["draft"]["seconds"] is None is found["draft"]["sheet_seconds"]
    assert found["draft"]["memory_bytes"] > 0
    assert whole["draft"]["file_bytes"] == pytest.approx(2 * found["draft"]["file_bytes"], rel=0.01)


def test_studio_renders_and_serves_the_output(client, clip_id):
    wanted = {"clip": clip_id, "style": "ink", "preset": "draft", "settings": QUICK, "end": 1}
    with client.stream("GET", "/api/events") as stream:
        events = events_of(stream)
        first = next(events)
        assert first["jobs"] == [] and [clip["id"] for clip in first["clips"]] == [clip_id]
        job = client.post("/api/jobs", json=wanted).json()
        assert job["state"] == "running" and "-to 1.000" in job["command"]
        for path in ("output", "frame.jpg"):
            assert client.get(f"/api/jobs/{job['id']}/{path}").status_code == 404
        assert client.delete(f"/api/clips/{clip_id}").status_code == 409
        assert client.delete(f"/api/jobs/{job['id']}").status_code == 409
        last = next(event for event in events if event["jobs"][0]["state"] != "running")
    assert last["jobs"][0]["state"] == "done" and last["jobs"][0]["done"] == 6
    output = client.get(f"/api/jobs/{job['id']}/output", headers={"Range": "bytes=4-7"})
    assert output.status_code == 206 and output.content == b"ftyp"
    assert output.headers["content-type"] == "video/mp4"
    download = client.get(f"/api/jobs/{job['id']}/output?download=1")
    frame = decoded(client.get(f"/api/jobs/{job['id']}/frame.jpg").content)
    assert frame.shape == (48, 64, 3)
    assert download.headers["content-disposition"].startswith('attachment; filename="clip_ink.mp4"')
    assert client.delete(f"/api/clips/{clip_id}").status_code == 204
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert client.get("/api/state").json()["jobs"] == []


def test_studio_jobs_are_paused_moved_and_cancelled(client, clip_id):
    wanted = {"clip": clip_id, "style": "ink", "preset": "draft", "settings": QUICK}
    added = [client.post("/api/jobs", json=wanted).json() for _ in range(3)]
    ids = [job["id"] for job in added]
    outputs = [job["command"].split(" -o ")[1].split()[0] for job in added]
    assert outputs == ["clip_ink.mp4", "clip_ink_2.mp4", "clip_ink_3.mp4"]
    assert time.time() - 60 < added[0]["added"] <= added[1]["added"] <= time.time()
    for job in ids:
        assert client.post(f"/api/jobs/{job}/pause").json()["state"] == "paused"
    assert client.post(f"/api/jobs/{ids[2]}/move", json={"before": ids[0]}).status_code == 204
    assert [job["id"] for job in client.get("/api/state").json()["jobs"]] == [ids[2], *ids[:2]]
    assert client.post(f"/api/jobs/{ids[0]}/move", json={"before": "x"}).status_code == 404
    for job in ids:
        assert client.post(f"/api/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/api/jobs/{ids[0]}/explode").status_code == 404
    assert client.post("/api/jobs/x/pause").status_code == 404


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"settings": {"strength": 2}}, 400, "strength is 2: it must be 0 to 1"),
        ({"settings": {"strength": "x"}}, 400, "must be a number"),
        ({"settings": {"content_layers": ["x"]}}, 400, "is no setting"),
        ({"settings": [1]}, 400, "settings must be an object"),
        ({"preset": "still"}, 400, "choose one of draft, standard, final"),
        ({"preset": ["draft"]}, 400, "is no preset"),
        ({"clip": "x"}, 404, "no such clip"),
        ({"clip": ["x"]}, 404, "no such clip"),
        ({"style": "../ink"}, 404, "no such style"),
        ({"start": 2, "end": 1}, 400, "the part is empty"),
        ({"start": -1}, 400, "start is no time"),
        ({"end": 10**400}, 400, "end is no time"),
    ],
)
def test_studio_wrong_jobs_are_refused_in_one_line(client, clip_id, changes, code, words):
    wanted = {"clip": clip_id, "style": "ink", "preset": "draft", "settings": {}} | changes
    answer = client.post("/api/jobs", json=wanted)
    assert (answer.status_code, "\n" in answer.text) == (code, False) and words in answer.text
    assert client.get("/api/state").json()["jobs"] == []


def test_studio_malformed_bodies_are_refused(client):
    for data in (b"{", b"[]", b"\xff", b"[" * 60000):
        assert client.post("/api/jobs", content=data).status_code == 400
    assert client.post("/api/jobs", content=b" " * 100_000).status_code == 413


def test_studio_rejects_other_sites_and_host_names(client):
    for headers, code in (
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ):
        assert client.get("/api/state", headers=headers).status_code == code
        assert client.post("/api/jobs", headers=headers).status_code == code
