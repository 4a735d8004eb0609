"""Presets of live sessions: saving, applying, removing, sharing between sessions."""

import json

import pytest

from vidstyle.live.commands import MAX_PRESETS
from vidstyle.live.presets import Presets


@pytest.fixture
def presets(page_session, tmp_path):
    """The presets of a session, kept in a file."""
    page_session.session.presets._path = tmp_path / "data" / "presets.json"
    return page_session.session.presets


def send(client, page_session, **command):
    answer = client.post("/command", json=command)
    assert answer.status_code == 204, answer.text
    page_session.stylize_frame()


def last_message(page_session):
    return page_session.session.messages.recent()[-1].text


def test_presets_keep_styles_and_parameters(client, page_session, presets):
    controls = page_session.session.controls
    send(client, page_session, blend=[1, 3], set={"strength": 0.25, "steps": 5})
    send(client, page_session, save_preset="mixed")
    send(client, page_session, style="stripes", set={"strength": 1.0, "steps": 8})
    send(client, page_session, save_preset="plain")
    shown = [{"name": "mixed", "active": False}, {"name": "plain", "active": True}]
    assert client.get("/state").json()["presets"] == shown
    for chosen in (1, "mixed"):
        send(client, page_session, preset="plain")
        assert controls.weights == [1, 0]
        send(client, page_session, preset=chosen)
        assert controls.weights == [1, 3] and page_session.stylizer.settings.strength == 0.25
        assert controls.state()["settings"]["steps"] == 5
    send(client, page_session, remove_preset="plain")
    assert client.get("/state").json()["presets"] == [{"name": "mixed", "active": True}]


def test_presets_saved_before_the_next_frame_can_be_applied_at_once(client, page_session, presets):
    weights = [0, 1], [1, 0]
    send(client, page_session, blend=weights[0])
    for command in ({"save_preset": "now"}, {"blend": weights[1]}, {"preset": "now"}):
        answer = client.post("/command", json=command)
        assert answer.status_code == 204, answer.text
    page_session.stylize_frame()
    assert page_session.session.controls.weights == weights[0]
    presets._path.write_bytes(b"damaged")
    client.post("/command", json={"save_preset": "lost"})
    assert client.post("/command", json={"preset": "lost"}).status_code == 204
    page_session.stylize_frame()
    assert 'there is no preset "lost"' in last_message(page_session)
    assert client.post("/command", json={"preset": "lost"}).status_code == 400


def test_presets_are_shared_by_sessions(client, page_session, presets):
    send(client, page_session, save_preset="first")
    other = Presets(page_session.session.controls, presets._path)
    other.load()
    assert other.names == ["first"]
    other.save("second")
    send(client, page_session, save_preset="third")  # what the other session saved stays
    assert presets.names == ["first", "second", "third"]
    assert [entry.name for entry in presets._path.parent.iterdir()] == ["presets.json"]


WRONG_COMMANDS = (
    ({"preset": "none"}, 'there is no preset "none": save one first'),
    ({"style": "none"}, 'there is no style "none": use a name, or a number from 1 to 2'),
    ({"style": 0}, "there is no style 0"),
    ({"style": 3}, "there is no style 3"),
    ({"style": True}, "there is no style true"),
    ({"style": 1.5}, "there is no style 1.5"),
    ({"style": ["scene"]}, "there is no style a list"),
    ({"save_preset": ""}, "the name of a preset must be a text of 1 to 40 letters"),
    ({"save_preset": " a"}, "without spaces around it"),
    ({"save_preset": "a\nb"}, 'not "a\\nb"'),
    ({"save_preset": "x" * 41}, "1 to 40 letters"),
    ({"remove_preset": 1}, "not 1"),
)


def test_presets_reject_wrong_commands(client, page_session, presets):
    for command, reason in WRONG_COMMANDS:
        answer = client.post("/command", json=command)
        assert answer.status_code == 400 and reason in answer.text


def test_presets_missing_style_changes_nothing(client, page_session, presets):
    send(client, page_session, style="scene", set={"strength": 0.5})
    send(client, page_session, save_preset="gone")
    text = presets._path.read_text().replace('"scene"', '"lost"')
    presets._path.write_text(text)
    presets.load()
    send(client, page_session, style="stripes", set={"strength": 1.0})
    send(client, page_session, preset="gone")
    assert "needs the style lost" in last_message(page_session)
    assert page_session.session.controls.weights == [1, 0]
    assert page_session.stylizer.settings.strength == 1


GOOD = {"name": "a", "styles": {"stripes": 1}, "settings": {"strength": 1}}


DAMAGED_FILES = (
    b"",
    b"\xff",
    b"[]",
    b"[" * 100000,
    b'{"presets": [1]}',
    json.dumps({"presets": [{**GOOD, "settings": {"strength": 9}}]}).encode(),
    json.dumps({"presets": [{**GOOD, "styles": {"stripes": "1"}}]}).encode(),
    json.dumps({"presets": [{**GOOD, "name": "x" * 99}]}).encode(),
    json.dumps({"presets": [{**GOOD, "styles": []}]}).encode(),
)


def test_presets_damaged_file_is_kept(client, page_session, presets):
    presets._path.parent.mkdir()
    for content in DAMAGED_FILES:
        presets._path.write_bytes(content)
        send(client, page_session, save_preset="new")
        assert "does not contain presets: rename or delete it" in last_message(page_session)
        assert presets._path.read_bytes() == content and not presets.names
        page_session.session.messages._messages.clear()


def test_presets_keep_values_of_flags_within_their_limits(client, page_session, presets):
    controls = page_session.session.controls
    controls.crossfade_seconds = 500.0  # of --fade
    send(client, page_session, save_preset="long")
    assert client.get("/state").json()["presets"] == [{"name": "long", "active": True}]
    send(client, page_session, preset="long")
    assert controls.crossfade_seconds == 60
    other = Presets(controls, presets._path)
    other.load()
    assert other.names == ["long"]


def test_presets_have_a_limit(client, page_session, presets):
    presets._write([{**GOOD, "name": str(number)} for number in range(MAX_PRESETS)])
    send(client, page_session, save_preset="new")
    assert f"there are {MAX_PRESETS} presets already" in last_message(page_session)
    send(client, page_session, save_preset="3")
    assert len(presets.names) == MAX_PRESETS


def test_presets_unwritable_file_is_a_message(client, page_session, presets, tmp_path):
    presets._path = tmp_path / "file" / "presets.json"
    presets._path.parent.write_text("")
    send(client, page_session, save_preset="new")
    message = page_session.session.messages.recent()[-1]
    assert message.error and "presets.json" in message.text and not presets.names
