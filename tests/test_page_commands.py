"""Commands: validation, error messages, old names, fuzzing; messages to the viewers."""

import json
import random
import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import stripes, until

from vidstyle import OutputError, Report
from vidstyle.live.commands import PARAMETERS
from vidstyle.live.controls import MAX_STYLES
from vidstyle.live.messages import MAX_MESSAGES, Messages
from vidstyle.live.session import MAX_PENDING_COMMANDS


@pytest.mark.parametrize(
    "given, reason",
    [
        (b"", "not valid JSON"),
        (b"[]", "must be an object"),
        (b"null", 'must be an object such as {"do": "next"}, not null'),
        (b"{}", "this one is empty"),
        (b'{"eval": "1"}', 'not "eval"'),
        (b'{"\\ud800": "1"}', 'not "\\ud800"'),
        (b'{"do": "dance"}', '"dance" is not a valid action for do: use one of next, previous'),
        (b'{"do": ["next"]}', "a list is not a valid action for do"),
        (b'{"do": null}', "null is not a valid action for do"),
        (b'{"set": {"strength": 2}}', "strength must be a number from 0 to 1, not 2"),
        (b'{"set": {"strength": NaN}}', "not valid JSON"),
        (b'{"set": {"strength": 1e999}}', "not Infinity"),
        (b'{"set": {"strength": true}}', "not true"),
        (b'{"set": {"strength": "1"}}', 'strength must be a number from 0 to 1, not "1"'),
        (b'{"set": {"strength": 1' + b"0" * 400 + b"}}", "a number of more than 60 digits"),
        (b'{"set": {"strength": 1' + b"0" * 5000 + b"}}", "not valid JSON"),
        (b'{"set": {"temporal_weight": 1e30}}', "temporal_weight must be a number from 0 to 1000"),
        (
            b'{"set": {"steps": 1000000}}',
            "steps must be an integer from 1 to 100, not 1000000",
        ),
        (b'{"set": {"steps": 1.5}}', "steps must be an integer"),
        (b'{"set": {"size": 9000}}', '"size" is not a parameter: use one of strength'),
        (b'{"set": [1]}', "set must be an object"),
        (b'{"blend": [1]}', "blend has 1 weights, and there are 2 styles"),
        (b'{"blend": "ab"}', 'blend must be a list with one weight per style, not "ab"'),
        (b'{"blend": null}', "blend must be a list"),
        (b'{"blend": [0, 0]}', "all weights in blend are 0"),
        (b'{"blend": [1e-320, 0]}', "all weights in blend are 0"),
        (b'{"blend": [1, -1]}', "a weight in blend must be a number from 0 to 1000, not -1"),
        (b'{"blend": [1e308, 1e308]}', "not 1e+308"),
        (b'{"blend": [1, "a"]}', 'not "a"'),
        (b'{"do": "\xff"}', "not valid JSON"),
        (b'{"do": "' + b"x" * 60000 + b'"}', '"xxx'),
        (b"[" * 60000, "not valid JSON"),
    ],
)
def test_command_invalid_changes_nothing_and_names_error(client, page_session, given, reason):
    answer = client.post("/command", content=given)
    assert answer.status_code == 400 and reason in answer.text and len(answer.text) < 400
    page_session.stylize_frame()
    assert (
        page_session.stylizer.settings.strength == 1
        and page_session.session.controls.weights == [1, 0]
    )


def test_command_is_atomic(client, page_session):
    page_session.stylize_frame()
    assert (
        client.post("/command", json={"blend": [0, 1], "set": {"strength": 7}}).status_code == 400
    )
    page_session.stylize_frame()
    assert page_session.session.controls.weights == [1, 0]


NUMBERS = (
    0,
    1,
    -1,
    0.5,
    1e308,
    -1e308,
    1e999,
    -1e999,
    float("nan"),
    5e-324,
    1e-300,
    10**400,
    2**63,
    True,
)
WORDS = ("", "next", "x" * 5000, "\x00", "\ud800", "\u202e", "NaN", "__class__", "{}", "%s%n")


def random_value(rng, depth=0):
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(NUMBERS)
    if kind < 0.65:
        return rng.choice(WORDS)
    if kind < 0.75:
        return None
    size = 0 if depth > 3 else rng.randrange(4)
    if kind < 0.9:
        return [random_value(rng, depth + 1) for _ in range(size)]
    return {rng.choice((*PARAMETERS, *WORDS)): random_value(rng, depth + 1) for _ in range(size)}


def random_command(rng, actions):
    """Return the bytes of a command that is valid, wrong in one place, or malformed."""
    kind = rng.random()
    if kind < 0.1:
        return rng.randbytes(rng.randrange(200))
    numbers = rng.choice(((0, 1, 0.5), (0, 1e308, 1e-300, 5e-324), NUMBERS))
    given = {
        "do": rng.choice([*actions, random_value(rng)]),
        "set": {rng.choice([*PARAMETERS]): rng.choice([1, *numbers]) for _ in range(2)},
        "blend": [rng.choice(numbers) for _ in range(rng.choice((1, 2, 2, 2, 2, 2, 3)))],
    }
    parts = {name: given[name] for name in rng.sample([*given], rng.randrange(4))}
    if kind < 0.3:
        parts[rng.choice([*given, *WORDS])] = random_value(rng)
    data = json.dumps(parts).encode()
    if kind > 0.9 and data:
        place = rng.randrange(len(data))
        data = data[:place] + rng.randbytes(2) + data[place + rng.randrange(3) :]
    return data


PYTHON_WORDS = re.compile(
    r"Traceback|Error|object is|unhashable|NoneType|expected|codec|\bTrue\b"
    r"|'(int|str|float|list|dict)'"
)


def test_command_fuzz_keeps_session_usable(client, page_session):
    rng = random.Random(20)
    page_session.session.controls.crossfade_seconds = 0.05
    actions = [
        name for name in page_session.session.actions if name not in ("quit", "record", "snapshot")
    ]
    answers = []
    for number in range(300):
        answer = client.post("/command", content=random_command(rng, actions))
        answers.append(answer.status_code)
        if answer.status_code == 400:
            assert (
                answer.text.isprintable()
                and len(answer.text) < 400
                and not PYTHON_WORDS.search(answer.text)
            )
        if number % 25 == 0:
            page_session.stylize_frame()
            assert client.get("/state").status_code == 200
    assert set(answers) == {204, 400} and min(answers.count(204), answers.count(400)) > 20
    data = cv2.imencode(".png", stripes()[..., ::-1])[1].tobytes()
    assert client.post("/styles?name=new", content=data).status_code == 204
    page_session.stylize_frame()
    for chosen in range(3):
        mix = [float(number == chosen) for number in range(3)]
        assert (
            client.post(
                "/command", json={"blend": mix, "set": {"crossfade_seconds": 0}}
            ).status_code
            == 204
        )
        page_session.stylize_frame()
        page_session.stylize_frame()
        assert client.get("/state").json()["styles"][chosen]["weight"] == 1
        assert np.isfinite(page_session.stylize_frame().image).all()
    assert client.get("/state").json()["loss"] is not None


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (2, 3)])
def test_page_upload_of_tiny_image(client, page_session, size):
    page_session.stylize_frame()
    answer = client.post("/styles", content=cv2.imencode(".png", stripes(size))[1].tobytes())
    assert answer.status_code in (204, 415) and not PYTHON_WORDS.search(answer.text)
    page_session.stylize_frame()
    page_session.stylize_frame()


def test_session_pending_commands_are_limited(client, page_session):
    for _ in range(MAX_PENDING_COMMANDS):
        page_session.session.command({"do": "mirror"})
    answer = client.post("/command", json={"do": "mirror"})
    assert answer.status_code == 400 and "1000 commands are pending" in answer.text
    page_session.stylize_frame()
    assert client.post("/command", json={"do": "mirror"}).status_code == 204


def test_controls_styles_are_limited(client, page_session):
    page_session.stylize_frame()
    (_, style) = page_session.session.controls.styles[0]
    for number in range(MAX_STYLES + 5):
        page_session.session._enqueue(
            lambda number=number: page_session.session.controls.add_style(f"new {number}", style)
        )
    page_session.stylize_frame()
    page_session.stylize_frame()
    assert len(client.get("/state").json()["styles"]) == MAX_STYLES
    text, error = messages_of(client)[-1]
    assert error and text.startswith(
        f"new {MAX_STYLES + 4} was not added: there are {MAX_STYLES} styles"
    )


def test_controls_repeated_blend_during_crossfade_does_not_grow(page_session):
    page_session.session.controls.crossfade_seconds = 60
    for number in range(50):
        page_session.session.controls.blend([1, number])
        page_session.session.controls.advance_crossfade()
    assert len(page_session.stylizer.style.images) == 2


def messages_of(client):
    return [
        (message["text"], message["error"]) for message in client.get("/state").json()["messages"]
    ]


def test_page_messages_name_snapshots_and_recordings(client, page_session, tmp_path):
    page_session.session.command({"do": "snapshot"})
    page_session.session(page_session.stylizer, Report())
    assert messages_of(client) == [("no snapshot was saved: there is no frame yet", True)]
    page_session.stylize_frame()
    for action in ("snapshot", "record"):
        client.post("/command", json={"do": action})
    page_session.session.recorder.send(page_session.stylize_frame())
    (_, snapshot, recording) = messages_of(client)
    assert snapshot[0].startswith(f"snapshot: {tmp_path}/vidstyle-") and not snapshot[1]
    assert recording[0].startswith(f"recording: {tmp_path}/vidstyle-") and not recording[1]
    assert Path(snapshot[0].removeprefix("snapshot: ")).exists()
    client.post("/command", json={"do": "record"})
    page_session.session.recorder.send(page_session.stylize_frame())
    page_session.stylize_frame()
    text, error = until(
        lambda: next(
            (each for each in messages_of(client) if each[0].startswith("recorded: ")), None
        )
    )
    assert not error and Path(text.removeprefix("recorded: ")).exists()


def test_page_messages_report_failed_snapshot_and_recording(client, page_session, monkeypatch):
    def fail(*given):
        raise OutputError("cannot write there: free some space")

    page_session.stylize_frame()
    monkeypatch.setattr("vidstyle.live.session.write_image", fail)
    monkeypatch.setattr(page_session.session.recorder, "start", fail)
    for action in ("snapshot", "record"):
        client.post("/command", json={"do": action})
    page_session.stylize_frame()
    assert messages_of(client) == [("cannot write there: free some space", True)] * 2


def test_messages_are_numbered_and_limited():
    messages = Messages()
    for number in range(30):
        messages.add(f"text {number}")
    kept = messages.recent()
    assert len(kept) == MAX_MESSAGES and [each.number for each in kept] == list(range(11, 31))
    assert messages.on_screen() == ["text 29"]


@pytest.mark.parametrize("status", ["ok", "silent", "lost"])
def test_page_state_has_camera_status(client, page_session, page_camera, monkeypatch, status):
    page_session.stylize_frame()
    monkeypatch.setattr(type(page_camera), "status", status)
    page_camera._last_arrival = time.monotonic() - 7
    state = client.get("/state").json()
    assert state["camera"] == status and 7 <= state["seconds_since_frame"] < 30


@pytest.fixture
def old_names(monkeypatch):
    """Forget which old names were used."""
    monkeypatch.setattr("vidstyle.live.commands._warned", set())


@pytest.mark.parametrize(
    "path, old, new, name",
    [
        ("/command", {"turn": {"strength": 0.5}}, {"set": {"strength": 0.5}}, "turn"),
        ("/command", {"mix": [0, 1]}, {"blend": [0, 1]}, "mix"),
        (
            "/command",
            {"set": {"fade_seconds": 3}},
            {"set": {"crossfade_seconds": 3}},
            "fade_seconds",
        ),
        ("/command", {"do": "beside"}, {"do": "side_by_side"}, "beside"),
        ("/order", {"do": "mirror"}, {"do": "mirror"}, "/order"),
    ],
)
def test_command_old_names_work_with_one_warning(
    client, page_session, old_names, caplog, path, old, new, name
):
    def state_after(path, command):
        assert client.post(path, json=command).status_code == 204
        page_session.stylize_frame()
        page_session.stylize_frame()
        state = client.get("/state").json()
        return [state[key] for key in ("settings", "styles", "mirror", "side_by_side")]

    initial = state_after("/command", {"set": {}})
    changed = state_after(path, old)
    assert changed != initial
    assert caplog.text.count(f"{name} is an old name") == 1
    if "do" in old:  # a toggle: the present name undoes it
        assert state_after("/command", new) == initial
    else:
        assert state_after("/command", new) == changed
    state_after(path, old)
    assert caplog.text.count("is an old name") == 1


def test_command_old_and_new_name_together_is_an_error(client, page_session, old_names):
    answer = client.post("/command", json={"turn": {"strength": 0}, "set": {"strength": 1}})
    assert answer.status_code == 400
    assert answer.text == "turn is the old name of set: send only set"


@pytest.mark.parametrize("name", ["mjpg", "mjpeg", "jpg"])
def test_page_old_paths_of_frames_work_with_a_warning(
    client, page_session, old_names, caplog, name
):
    page_session.stylize_frame()
    with client.stream("GET", f"/picture.{name}") as answer:
        assert answer.status_code == 200 and next(answer.iter_bytes())
        if name == "jpg":
            assert answer.headers["x-picture-number"] == answer.headers["x-frame-number"]
    assert f"use /frame.{name}" in caplog.text
