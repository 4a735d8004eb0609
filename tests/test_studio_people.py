"""Masks of people in the studio, by HTTP: found in frames, in previews and in renders."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from conftest import pixels_of, write_clip
from onnx_file import write_onnx
from studio_session import (
    QUICK,
    FakeProcess,
    client_of,
    make_previews_quick,
    open_studio,
    painted,
    upload,
)

from vidstyle import cli
from vidstyle.features.pretrained import lraspp_cache
from vidstyle.io.mask_file import PEOPLE

WANTED = {"style": "ink", "preset": "draft", "settings": QUICK}
INSIDE, OUTSIDE = np.s_[18:30, 12:20], np.s_[:, 48:]
"""Parts of a frame at its start: within the disc, and far from it."""


@pytest.fixture
def model_file(tmp_path):
    """A model that takes what has little blue for people: the disc of ``scene``."""
    return write_onnx(tmp_path / "disc.onnx", [[0.0, 0, -60]], [15.3], (256, 256))


@pytest.fixture
def studio(tmp_path, monkeypatch, features, model_file):
    """A studio with a model of people."""
    make_previews_quick(monkeypatch, features)
    with open_studio(tmp_path / "studio", device="cpu", person_model=model_file) as made:
        yield made


@pytest.fixture
def client(studio):
    with client_of(studio) as found:
        yield found


@pytest.fixture
def clip_file(tmp_path):
    return write_clip(tmp_path / "clip.mp4", count=3, rate=Fraction(6))


@pytest.fixture
def clip_id(client, clip_file):
    return upload(client, clip_file.read_bytes(), "clip.mp4").json()["id"]


def test_studio_finds_people_in_a_frame(client, clip_id):
    assert client.get("/api/state").json()["people"] == {"available": True, "remedy": ""}
    answer = client.get(f"/api/clips/{clip_id}/person.png?time=0.1")
    assert answer.headers["content-type"] == "image/png"
    found = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found.shape == (48, 64) and found[INSIDE].min() > 250 and found[OUTSIDE].max() < 5
    small = client.get(f"/api/clips/{clip_id}/person.png?px=32").content
    assert cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_UNCHANGED).shape == (24, 32)


def test_studio_preview_shows_masks_of_people(client, clip_id):
    source = painted(client, clip=clip_id, settings={**QUICK, "strength": 0})

    def changed(**edits):
        """Whether the inside of the person changes, and the outside."""
        change = np.abs(painted(client, clip=clip_id, **edits) - source)
        return change[INSIDE].mean() > 6, change[OUTSIDE].mean() > 6  # JPEG rounds

    person, background = PEOPLE
    assert changed() == (True, True)
    assert changed(mask=person) == (True, False)
    assert changed(mask=background) == (False, True)
    assert changed(regions=[{"mask": person, "strength": 0}]) == (False, True)
    regions = [{"mask": person, "style": "dots"}, {"mask": background, "strength": 0}]
    assert changed(regions=regions) == (True, False)


def test_studio_renders_with_masks_of_people(
    client, studio, clip_id, clip_file, model_file, monkeypatch
):
    monkeypatch.setattr("vidstyle.studio.jobs.RenderProcess", FakeProcess)
    edits = {"mask": "background", "regions": [{"mask": "person", "style": "dots"}]}
    job = client.post("/api/jobs", json={**WANTED, "clip": clip_id, **edits}).json()
    assert job["command"].endswith(
        f"--mask background --region person=dots --person-model {model_file}"
    )
    assert (job["mask"], job["regions"][0]["mask"]) == ("background", "person")
    monkeypatch.chdir(studio.library.folder)  # as its process does
    assert cli.main(FakeProcess.started[-1].arguments) == 0
    output = studio.queue.output(studio.queue.get(job["id"]))
    made, source = (pixels_of(path)[0].astype(int) for path in (output, clip_file))
    change = np.abs(made - source)
    assert change[INSIDE].mean() < 4 and change[OUTSIDE].mean() > 10  # the encoder rounds


def test_studio_without_a_model_of_people_says_what_to_do(tmp_path, monkeypatch, clip_file):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with open_studio(tmp_path / "studio") as studio, client_of(studio) as client:
        clip = upload(client, clip_file.read_bytes(), "clip.mp4").json()["id"]
        people = client.get("/api/state").json()["people"]
        assert not people["available"] and "--person-model FILE" in people["remedy"]
        body = {**WANTED, "clip": clip, "mask": "person"}
        for answer in (
            client.get(f"/api/clips/{clip}/person.png"),
            *(client.post(f"/api/{path}", json=body) for path in ("jobs", "previews", "sheets")),
        ):
            assert (answer.status_code, answer.text) == (409, people["remedy"])
        lraspp_cache().parent.mkdir(parents=True)
        lraspp_cache().touch()  # as after a download
        assert client.get("/api/state").json()["people"] == {"available": True, "remedy": ""}


def test_studio_command_names_a_wrong_model_of_people(tmp_path, capsys):
    command = ["studio", "--no-browser", "--address", ":0", "--folder", str(tmp_path / "studio")]
    (tmp_path / "no.onnx").write_text("nothing")
    for name, words in (("no.onnx", "cannot be read as a model"), ("gone.onnx", "does not exist")):
        assert cli.main([*command, "--person-model", str(tmp_path / name)]) == 1
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1


def test_studio_says_that_the_model_of_people_is_gone(client, clip_id, model_file):
    model_file.unlink()
    answer = client.get(f"/api/clips/{clip_id}/person.png")
    assert answer.status_code == 500 and answer.text.endswith(
        "disc.onnx does not exist: check the name"
    )
