"""Commands: none may do harm, all errors are plain words, and the outcome is told."""

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
from vidstyle.live.commands import RANGES
from vidstyle.live.controls import MOST_STYLES
from vidstyle.live.messages import KEPT_MESSAGES, Messages
from vidstyle.live.session import MOST_COMMANDS


@pytest.mark.parametrize(
    "given, reason",
    [
        (b"", "not valid JSON"),
        (b"[]", "must be an object"),
        (b"null", 'must be an object such as {"do": "next"}, not null'),
        (b"{}", "this one is empty"),
        (b'{"eval": "1"}', 'not "eval"'),
        (b'{"\\ud800": "1"}', 'not "\\ud800"'),
        (b'{"do": "dance"}', 'do cannot be "dance": use one of next, previous'),
        (b'{"do": ["next"]}', "do cannot be a list"),
        (b'{"do": null}', "do cannot be null"),
        (b'{"turn": {"strength": 2}}', "strength must be a number from 0 to 1, not 2"),
        (b'{"turn": {"strength": NaN}}', "not valid JSON"),
        (b'{"turn": {"strength": 1e999}}', "not Infinity"),
        (b'{"turn": {"strength": true}}', "not true"),
        (b'{"turn": {"strength": "1"}}', 'strength must be a number from 0 to 1, not "1"'),
        (b'{"turn": {"strength": 1' + b"0" * 400 + b"}}", "a number of more than 60 digits"),
        (b'{"turn": {"strength": 1' + b"0" * 5000 + b"}}", "not valid JSON"),
        (b'{"turn": {"temporal_weight": 1e30}}', "temporal_weight must be a number from 0 to 1000"),
        (
            b'{"turn": {"steps": 1000000}}',
            "steps must be a whole number from 1 to 100, not 1000000",
        ),
        (b'{"turn": {"steps": 1.5}}', "steps must be a whole number"),
        (b'{"turn": {"size": 9000}}', 'no setting "size": use one of strength'),
        (b'{"turn": [1]}', "turn must be an object"),
        (b'{"mix": [1]}', "mix has 1 weights, and there are 2 styles"),
        (b'{"mix": "ab"}', 'mix must be a list with one weight per style, not "ab"'),
        (b'{"mix": null}', "mix must be a list"),
        (b'{"mix": [0, 0]}', "all weights in mix are 0"),
        (b'{"mix": [1e-320, 0]}', "all weights in mix are 0"),
        (b'{"mix": [1, -1]}', "a weight in mix must be a number from 0 to 1000, not -1"),
        (b'{"mix": [1e308, 1e308]}', "not 1e+308"),
        (b'{"mix": [1, "a"]}', 'not "a"'),
        (b'{"do": "\xff"}', "not valid JSON"),
        (b'{"do": "' + b"x" * 60000 + b'"}', 'do cannot be "xxx'),
        (b"[" * 60000, "not valid JSON"),
    ],
)
def test_a_wrong_command_changes_nothing_and_is_told_in_plain_words(client, studio, given, reason):
    answer = client.post("/order", content=given)
    assert answer.status_code == 400 and reason in answer.text and len(answer.text) < 400
    studio.paint()
    assert studio.stylizer.settings.strength == 1 and studio.session.steering.weights == [1, 0]


def test_a_command_is_carried_out_as_a_whole_or_not_at_all(client, studio):
    studio.paint()
    assert client.post("/order", json={"mix": [0, 1], "turn": {"strength": 7}}).status_code == 400
    studio.paint()
    assert studio.session.steering.weights == [1, 0]


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


def random_value(chance, depth=0):
    kind = chance.random()
    if kind < 0.45:
        return chance.choice(NUMBERS)
    if kind < 0.65:
        return chance.choice(WORDS)
    if kind < 0.75:
        return None
    size = 0 if depth > 3 else chance.randrange(4)
    if kind < 0.9:
        return [random_value(chance, depth + 1) for _ in range(size)]
    return {chance.choice((*RANGES, *WORDS)): random_value(chance, depth + 1) for _ in range(size)}


def random_command(chance, actions):
    """The bytes of a command that may be right, wrong in one place, or broken."""
    kind = chance.random()
    if kind < 0.1:
        return chance.randbytes(chance.randrange(200))
    numbers = chance.choice(((0, 1, 0.5), (0, 1e308, 1e-300, 5e-324), NUMBERS))
    given = {
        "do": chance.choice([*actions, random_value(chance)]),
        "turn": {chance.choice([*RANGES]): chance.choice([1, *numbers]) for _ in range(2)},
        "mix": [chance.choice(numbers) for _ in range(chance.choice((1, 2, 2, 2, 2, 2, 3)))],
    }
    parts = {name: given[name] for name in chance.sample([*given], chance.randrange(4))}
    if kind < 0.3:
        parts[chance.choice([*given, *WORDS])] = random_value(chance)
    data = json.dumps(parts).encode()
    if kind > 0.9 and data:
        place = chance.randrange(len(data))
        data = data[:place] + chance.randbytes(2) + data[place + chance.randrange(3) :]
    return data


PYTHON_WORDS = re.compile(
    r"Traceback|Error|object is|unhashable|NoneType|expected|'(int|str|float|list|dict)'|codec|\bTrue\b"
)


def test_no_command_ends_the_show_or_makes_a_style_unselectable(client, studio):
    chance = random.Random(20)
    studio.session.steering.fade_seconds = 0.05
    actions = [
        name for name in studio.session.actions if name not in ("quit", "record", "snapshot")
    ]
    answers = []
    for number in range(300):
        answer = client.post("/order", content=random_command(chance, actions))
        answers.append(answer.status_code)
        if answer.status_code == 400:
            assert (
                answer.text.isprintable()
                and len(answer.text) < 400
                and not PYTHON_WORDS.search(answer.text)
            )
        if number % 25 == 0:
            studio.paint()
            assert client.get("/state").status_code == 200
    assert set(answers) == {204, 400} and min(answers.count(204), answers.count(400)) > 40
    data = cv2.imencode(".png", stripes()[..., ::-1])[1].tobytes()
    assert client.post("/styles?name=new", content=data).status_code == 204
    studio.paint()
    for chosen in range(3):
        mix = [float(number == chosen) for number in range(3)]
        assert (
            client.post("/order", json={"mix": mix, "turn": {"fade_seconds": 0}}).status_code == 204
        )
        studio.paint()
        studio.paint()
        assert client.get("/state").json()["styles"][chosen]["weight"] == 1
        assert np.isfinite(studio.paint().image).all()
    assert client.get("/state").json()["loss"] is not None


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (2, 3)])
def test_a_tiny_picture_as_a_style_does_not_end_the_show(client, studio, size):
    studio.paint()
    answer = client.post("/styles", content=cv2.imencode(".png", stripes(size))[1].tobytes())
    assert answer.status_code in (204, 415) and not PYTHON_WORDS.search(answer.text)
    studio.paint()
    studio.paint()


def test_commands_that_wait_are_bounded(client, studio):
    for _ in range(MOST_COMMANDS):
        studio.session.order({"do": "mirror"})
    answer = client.post("/order", json={"do": "mirror"})
    assert answer.status_code == 400 and "1000 commands are waiting already" in answer.text
    studio.paint()
    assert client.post("/order", json={"do": "mirror"}).status_code == 204


def test_styles_are_bounded_when_many_come_at_once(client, studio):
    studio.paint()
    (_, style) = studio.session.steering.styles[0]
    for number in range(MOST_STYLES + 5):
        studio.session._put(
            lambda number=number: studio.session.steering.add(f"new {number}", style)
        )
    studio.paint()
    studio.paint()
    assert len(client.get("/state").json()["styles"]) == MOST_STYLES
    text, error = messages_of(client)[-1]
    assert (
        error
        and text == f"new {MOST_STYLES + 4} was not added: there are {MOST_STYLES} styles already"
    )


def test_a_mixture_asked_for_again_and_again_while_it_fades_does_not_grow(studio):
    studio.session.steering.fade_seconds = 60
    for number in range(50):
        studio.session.steering.mix([1, number])
        studio.session.steering.fade()
    assert len(studio.stylizer.style.pictures) == 2


def messages_of(client):
    return [
        (message["text"], message["error"]) for message in client.get("/state").json()["messages"]
    ]


def test_the_page_is_told_where_snapshots_and_recordings_are(client, studio, tmp_path):
    studio.session.order({"do": "snapshot"})
    studio.session(studio.stylizer, Report())
    assert messages_of(client) == [("no snapshot was saved: there is no picture yet", True)]
    studio.paint()
    for action in ("snapshot", "record"):
        client.post("/order", json={"do": action})
    studio.session.recorder.send(studio.paint())
    (_, snapshot, recording) = messages_of(client)
    assert snapshot[0].startswith(f"snapshot: {tmp_path}/vidstyle-") and not snapshot[1]
    assert recording[0].startswith(f"recording: {tmp_path}/vidstyle-") and not recording[1]
    assert Path(snapshot[0].removeprefix("snapshot: ")).exists()
    client.post("/order", json={"do": "record"})
    studio.session.recorder.send(studio.paint())
    studio.paint()
    text, error = until(
        lambda: next(
            (each for each in messages_of(client) if each[0].startswith("recorded: ")), None
        )
    )
    assert not error and Path(text.removeprefix("recorded: ")).exists()


def test_a_failed_snapshot_or_recording_is_told_to_the_page(client, studio, monkeypatch):
    def fail(*given):
        raise OutputError("cannot write there: free some space")

    studio.paint()
    monkeypatch.setattr("vidstyle.live.session.write_image", fail)
    monkeypatch.setattr(studio.session.recorder, "start", fail)
    for action in ("snapshot", "record"):
        client.post("/order", json={"do": action})
    studio.paint()
    assert messages_of(client) == [("cannot write there: free some space", True)] * 2


def test_messages_are_numbered_and_the_oldest_are_dropped():
    messages = Messages()
    for number in range(30):
        messages.add(f"text {number}")
    kept = messages.recent()
    assert len(kept) == KEPT_MESSAGES and [each.number for each in kept] == list(range(11, 31))
    assert messages.on_screen() == ["text 29"]


@pytest.mark.parametrize("status", ["ok", "silent", "lost"])
def test_the_state_tells_whether_the_camera_gives_pictures(
    client, studio, page_camera, monkeypatch, status
):
    studio.paint()
    monkeypatch.setattr(type(page_camera), "status", status)
    page_camera._arrived = time.monotonic() - 7
    state = client.get("/state").json()
    assert state["camera"] == status and 7 <= state["seconds_since_frame"] < 30
