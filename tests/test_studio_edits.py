"""Keyframes, regions, masks and contact sheets of the studio, by HTTP."""

import shlex
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from conftest import scene, until, write_clip
from media import encoded
from studio_session import (
    QUICK,
    client_of,
    decoded,
    events_of,
    make_previews_quick,
    open_studio,
    painted,
    upload,
    uploaded_clip,
)

from vidstyle.cli.main import main
from vidstyle.io.images import jpeg
from vidstyle.io.source import open_source
from vidstyle.keyframes import parse_keyframe
from vidstyle.regions import parse_regions
from vidstyle.studio.edits import KEYFRAME_SETTINGS, Edits
from vidstyle.studio.frames import read_frame, read_mask
from vidstyle.studio.library import Library


@pytest.fixture
def studio(tmp_path, monkeypatch, features):
    """A studio with the tiny network for previews. Its folder has the characters that separate
    names in flags."""
    make_previews_quick(monkeypatch, features)
    with open_studio(tmp_path / "a=b,c") as made:
        yield made


@pytest.fixture
def client(studio):
    with client_of(studio) as found:
        yield found


@pytest.fixture
def clip_id(client, tmp_path):
    return uploaded_clip(client, tmp_path)


def png(mask):
    return cv2.imencode(".png", mask)[1].tobytes()


def half():
    """A mask whose left half is white."""
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    return mask


@pytest.fixture
def mask_id(client, clip_id):
    return upload(client, png(half()), "half, left=.png", f"clips/{clip_id}/masks").json()["id"]


@pytest.mark.parametrize("alpha, times", [(False, 1), (True, 2)])
def test_mask_of_a_frame_opens_a_clip_of_masks_as_rarely_as_it_can(
    tmp_path, monkeypatch, alpha, times
):
    images = [np.full((48, 64, 3 + alpha), 10 * number, np.uint8) for number in range(12)]
    pixels = "bgra" if alpha else "bgr0"
    clip = encoded(tmp_path / "masks.mkv", images, "ffv1", pixels, options={})
    opened = []

    def counted(*arguments, **keywords):
        opened.append(arguments)
        return open_source(*arguments, **keywords)

    monkeypatch.setattr("vidstyle.studio.frames.open_source", counted)
    assert read_mask(clip, 0.32)[0, 0] == 80
    assert len(opened) == times


def test_read_mask_is_in_step_with_240_frames_per_second(tmp_path):
    clip = write_clip(
        tmp_path / "masks.mkv",
        count=8,
        rate=Fraction(240),
        picture=lambda time: np.full((48, 64, 3), round(time * 240) * 30, np.uint8),
        crf=1,
    )
    for number in range(1, 8):
        assert abs(int(read_mask(clip, number / 240)[20, 20]) - 30 * number) < 10


def test_edits_flags_are_what_the_command_line_reads():
    edits = Edits.of(
        {
            "keyframes": [
                {"time": 2, "style": "ink", "strength": 0.25, "fade": 1.5},
                {"time": 1.0335, "strength": 1},
                {"time": 3, "style_scale": 1.5, "content_weight": 0.125, "temporal": 0}
                | {"fade": 1, "easing": "smooth"},
                {"time": 4, "region": "m", "style": "frame", "strength": 1},
            ],
            "regions": [
                {"mask": "m", "style": "dots", "strength": 0.5},
                {"mask": "m", "strength": 0},
            ],
            "mask": "m",
        }
    )
    assert edits.styles == {"ink", "dots"}
    names = {"m": "mask.png", "ink": "ink", "dots": "dots"}
    flags = edits.flags(names)
    assert flags == [
        *("--mask", "mask.png", "--region", "mask.png=dots,strength=0.5"),
        *("--region", "mask.png=,strength=0", "--at", "1.034", "strength=1"),
        *("--at", "2", "style=ink", "strength=0.25", "fade=1.5"),
        *("--at", "3", "style-scale=1.5", "content-weight=0.125", "temporal=0"),
        *("fade=1", "easing=smooth"),
        *("--at", "4", "region=1", "style=frame", "strength=1"),
    ]
    assert Edits.of(edits.public()) == edits
    words = flags[7:9], flags[10:14], flags[15:21], flags[22:]
    for given, each in zip(edits.keyframes, words, strict=True):
        entry = given.entry(names, given.region and "1")
        assert replace(parse_keyframe(each), styles=()) == replace(entry, styles=())
    for given, text in zip(edits.regions, (flags[3], flags[5]), strict=True):
        (parsed,), made = parse_regions([text]), given.entry(names)
        assert (parsed.mask, parsed.settings) == (made.mask, made.settings)


def test_studio_masks_are_kept_with_their_clip(client, studio, clip_id, mask_id):
    (mask,) = client.get("/api/state").json()["masks"]
    assert mask == {"id": mask_id, "name": "half left.png", "clip": clip_id, "kind": "still"} | {
        "time": 0.0,
        "carried": "",
        "covers": [],
    }
    shown = client.get(f"/api/masks/{mask_id}.png?px=32").content
    levels = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_UNCHANGED)
    assert levels.shape == (24, 32) and levels[0, 0] == 255 and levels[0, -1] == 0
    assert [each.id for each in Library(studio.library.folder).masks] == [mask_id]
    assert client.delete(f"/api/masks/{mask_id}").status_code == 204
    assert client.get(f"/api/masks/{mask_id}.png").status_code == 404


def test_studio_masks_are_in_step_where_sound_begins_first(client, tmp_path):
    rate, shown = Fraction(50), []
    for name, lead, kind in (("clip", 5, "clips"), ("mask", 0, "clips/{}/masks")):
        path = write_clip(
            tmp_path / f"{name}.mp4",
            rate=rate,
            pts=range(lead, lead + 30),
            picture=lambda time, lead=lead: np.full(
                (48, 64, 3), 8 * (round(time * rate) - lead) + 10, np.uint8
            ),
            sounds=name == "clip",
            crf=1,
        )
        answer = upload(client, path.read_bytes(), path.name, kind.format(*shown[:1]))
        shown.append(answer.json()["id"])
    clip, mask = shown
    for number in (0, 7, 20):
        frame, level = (
            cv2.imdecode(np.frombuffer(client.get(path).content, np.uint8), 0).mean()
            for path in (
                f"/api/clips/{clip}/frame.jpg?time={(number + 5) / 50}",
                f"/api/masks/{mask}.png?time={(number + 5) / 50}",
            )
        )
        assert abs(level - frame) < 4  # half a level of the next frame


def test_studio_mask_is_carried_along_its_clip(client, studio, clip_id, tmp_path):
    answer = client.post(
        f"/api/clips/{clip_id}/masks?name=disc.png&time=0.5", content=png(disc(0.5))
    )
    drawn = answer.json()
    assert (drawn["time"], drawn["carried"]) == (0.5, "")
    job = client.post(f"/api/masks/{drawn['id']}/carry").json()
    assert (job["kind"], job["mask"]) == ("mask", drawn["id"])
    assert job["command"] == "vidstyle mask clip.mp4 0.5=disc.png -o 'disc in motion.mkv'"
    assert client.delete(f"/api/masks/{drawn['id']}").status_code == 409
    found = studio.queue.get(job["id"])
    until(lambda: found.state not in ("queued", "running"))
    assert (found.state, found.message, found.done, found.total) == ("done", "", 12, 12)
    assert found.public()["output"] is None
    (carried,) = [each for each in studio.library.masks if each.kind == "clip"]
    assert (carried.name, carried.carried) == ("disc in motion.mkv", drawn["id"])
    assert list(carried.covers) == [0, 2]
    for seconds in (0.0, 1.0, 1.5):
        levels = read_mask(studio.library.mask_path(carried), seconds)
        assert ((levels > 127) == (disc(seconds) > 127)).mean() > 0.97
    assert client.post(f"/api/masks/{carried.id}/carry").status_code == 409
    assert client.get(f"/api/masks/{carried.id}.png?time=1").status_code == 200


def disc(seconds):
    """The mask of the disc of ``scene``."""
    y, x = np.mgrid[:48, :64]
    inside = (x - 16 - 8 * seconds) ** 2 + (y - 24) ** 2 < 9.6**2
    return inside.astype(np.uint8) * 255


def test_studio_refuses_what_is_no_mask(client, clip_id):
    for wrong, words in (
        (png(np.zeros((48, 64), np.uint8)), "selects nothing"),
        (png(np.full((48, 64), 255, np.uint8)), "selects everything"),
        (b"no picture", "neither a clip nor a picture"),
    ):
        refused = upload(client, wrong, "mask.png", f"clips/{clip_id}/masks")
        assert refused.status_code == 415 and words in refused.text and "\n" not in refused.text
    assert client.get("/api/state").json()["masks"] == []


def test_read_frame_finds_each_frame_by_its_time(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=6, rate=Fraction(30))
    with open_source(path) as source:
        images = [frame.image for frame in source]
    for number, image in enumerate(images):
        assert (read_frame(path, number / 30).image == image).all(), number


def test_studio_preview_follows_the_timeline(client, clip_id):
    keyframes = [{"time": 0.5, "strength": 0, "fade": 1}]
    wanted = {"clip": clip_id, "settings": {**QUICK, "original_colors": True}}
    whole, half_way, none = (
        painted(client, **wanted, time=time, keyframes=keyframes) for time in (0.0, 1.0, 1.5)
    )
    source = {
        time: painted(client, clip=clip_id, time=time, settings={**QUICK, "strength": 0})
        for time in (0.0, 1.0, 1.5)
    }
    differences = [
        np.abs(image - source[time]).mean()
        for time, image in ((0.0, whole), (1.0, half_way), (1.5, none))
    ]
    assert differences[2] == 0 < differences[1] < differences[0]


def test_studio_preview_has_the_keyframes_of_its_frame(client, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", rate=Fraction(30), pts=[0, 30, 60])
    wanted = {"clip": upload(client, clip.read_bytes(), clip.name).json()["id"], "time": 0.4}
    made = painted(client, **wanted, keyframes=[{"time": 0.7, "strength": 0}])  # before it
    assert (made == painted(client, **wanted, settings={**QUICK, "strength": 0})).all()


def test_studio_preview_takes_the_style_of_the_timeline(client, clip_id):
    keyframes = [{"time": 0.5, "style": "mosaic"}]
    before, after, mosaic = (
        painted(client, clip=clip_id, time=time, style=style, keyframes=given)
        for time, style, given in (
            (0.3, "ink", keyframes),
            (1, "ink", keyframes),
            (1, "mosaic", []),
        )
    )
    assert (after == mosaic).all()
    assert (before == painted(client, clip=clip_id, time=0.3)).all()


@pytest.mark.parametrize("change", [{"style_scale": 2.0}, {"content_weight": 0.3}])
def test_studio_preview_takes_the_settings_of_the_timeline(client, clip_id, change):
    keyframes = [{"time": 0.5, **change, "fade": 1, "easing": "smooth"}]
    usual, half_way, after, always = (
        painted(client, clip=clip_id, time=time, keyframes=given, settings={**QUICK, **changes})
        for time, given, changes in (
            (1.5, [], {}),
            (1.0, keyframes, {}),
            (1.5, keyframes, {}),
            (1.5, [], change),
        )
    )
    assert (after == always).all() and (after != usual).any() and (after != half_way).any()


def test_studio_preview_shows_masks_and_regions(client, clip_id, mask_id):
    source = painted(client, clip=clip_id, settings={**QUICK, "strength": 0})
    inside = painted(client, clip=clip_id, mask=mask_id)
    stays = painted(client, clip=clip_id, regions=[{"mask": mask_id, "strength": 0}])
    change = [np.abs(image - source).mean((0, 2)) for image in (inside, stays)]
    assert change[0][:24].min() > 0 and change[0][40:].max() < 2  # JPEG rounds
    assert change[1][:24].max() < 2 and change[1][40:].min() > 0
    ink, mosaic = painted(client, clip=clip_id), [{"mask": mask_id, "style": "mosaic"}]
    assert (painted(client, clip=clip_id, regions=mosaic) != ink).any()


def test_studio_renders_keyframes_and_masks(client, studio, clip_id, mask_id):
    own = upload(client, jpeg(scene()), "a,b=c.jpg", "styles").json()
    assert own["name"] == "abc.jpg"
    wanted = {
        **{"clip": clip_id, "style": "ink", "preset": "draft", "settings": QUICK},
        "keyframes": [{"time": 0.5, "style": own["id"], "fade": 0.5}],
        "regions": [{"mask": mask_id, "style": own["id"], "strength": 0.5}],
        "mask": mask_id,
    }
    job = client.post("/api/jobs", json=wanted).json()
    assert job["command"].endswith(
        "--mask 'half left.png' --region 'half left.png=abc.jpg,strength=0.5' "
        "--at 0.5 style=abc.jpg fade=0.5"
    )
    for path in (f"masks/{mask_id}", f"styles/{own['id']}"):
        assert client.delete(f"/api/{path}").status_code == 409
    found = studio.queue.get(job["id"])
    until(lambda: found.state not in ("queued", "running"))
    assert (found.state, found.message) == ("done", "")
    assert {name: found.public()[name] for name in ("keyframes", "regions", "mask")} == {
        "keyframes": [
            {"time": 0.5, "style": own["id"], "fade": 0.5, "easing": "linear", "region": None}
            | dict.fromkeys(KEYFRAME_SETTINGS)
        ],
        "regions": wanted["regions"],
        "mask": mask_id,
    }
    assert client.delete(f"/api/masks/{mask_id}").status_code == 204


def test_studio_shown_command_is_one_of_vidstyle(client, clip_id, mask_id, capsys):
    wanted = {
        **{"clip": clip_id, "style": "ink", "preset": "draft", "settings": QUICK},
        "keyframes": [{"time": 0.5, "style": "dots"}],
        "mask": mask_id,
    }
    command = client.post("/api/jobs", json=wanted).json()["command"]
    words = shlex.split(command)[1:]
    assert main(words) == 1  # all flags are known; the files are elsewhere
    assert "clip.mp4 does not exist" in capsys.readouterr().err


def test_edits_keyframes_of_a_region_name_it_by_its_number():
    body = {
        "keyframes": [
            {"time": 1, "style": "ink", "region": "person"},
            {"time": 1, "strength": 0.5, "region": "m", "fade": 1},
            {"time": 1, "strength": 1},
        ],
        "regions": [{"mask": "m", "style": "dots"}, {"mask": "person", "strength": 1}],
    }
    edits, names = Edits.of(body), {"m": "mask.png", "person": "person"}
    names |= {"ink": "ink", "dots": "dots"}
    flags = edits.flags(names)
    assert flags[4:] == [
        *("--at", "1", "region=2", "style=ink"),
        *("--at", "1", "region=1", "strength=0.5", "fade=1"),
        *("--at", "1", "strength=1"),
    ]
    assert Edits.of(edits.public()) == edits
    words = flags[5:8], flags[9:13], flags[14:]
    for made, each in zip(edits.keyframe_entries(names), words, strict=True):
        assert replace(parse_keyframe(each), styles=()) == replace(made, styles=())


def test_studio_keeps_faces_unless_they_are_to_be_painted(client, clip_id, monkeypatch):
    looked_for = []
    monkeypatch.setattr(
        "vidstyle.studio.preview_request.frame_with_faces",
        lambda frame: looked_for.append(frame) or frame,
    )
    painted(client, clip=clip_id, faces="paint", time=0.25)
    assert not looked_for
    painted(client, clip=clip_id, time=0.25)
    assert len(looked_for) == 1
    wanted = {"clip": clip_id, "style": "ink", "preset": "draft", "settings": {}}
    commands = [
        client.post("/api/jobs", json=wanted | faces).json()["command"]
        for faces in ({}, {"faces": "paint"})
    ]
    assert "--faces" not in commands[0] and commands[1].endswith("--faces paint")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"keyframes": [{"time": 1, "strength": 1, "region": "person"}]}, 400, "that is not used"),
        ({"keyframes": [{"time": 1, "temporal": 1, "region": "x"}]}, 400, "of the whole frame"),
        ({"keyframes": [{"time": 1, "strength": 1, "region": 1}]}, 400, "use an id"),
        ({"keyframes": {}}, 400, "keyframes must be a list"),
        ({"keyframes": [{"style": "ink"}]}, 400, "lacks its time"),
        ({"keyframes": [{"time": 1}]}, 400, "changes nothing"),
        ({"keyframes": [{"time": -1, "style": "ink"}]}, 400, "time of a keyframe is -1"),
        ({"keyframes": [{"time": 1, "style": "ink", "fade": "x"}]}, 400, "fade of a keyframe"),
        ({"keyframes": [{"time": 1, "strength": 1.5}]}, 400, "strength is 1.5: it must be 0 to 1"),
        ({"keyframes": [{"time": 1, "style_scale": 0}]}, 400, "style_scale is 0: it must be 0.1"),
        ({"keyframes": [{"time": 1, "temporal": "x"}]}, 400, "temporal must be a number"),
        ({"keyframes": [{"time": 1, "content_weight": -1}]}, 400, "it must be 0 or more"),
        ({"keyframes": [{"time": 1, "strength": 1, "easing": "x"}]}, 400, "use one of linear, smo"),
        ({"keyframes": [{"time": 1, "strength": 1, "x": 1}]}, 400, "have no 'x'"),
        ({"keyframes": [{"time": 1, "style": "x"}]}, 404, "no such style"),
        ({"keyframes": [{"time": 5, "style": "ink"}]}, 400, "after the end of the clip at 2.00 s"),
        ({"keyframes": [{"time": 1, "strength": 1}] * 2}, 400, "the same time"),
        ({"keyframes": [{"time": 1, "strength": 1}] * 201}, 400, "at most 200"),
        ({"regions": [{"mask": "x", "style": "ink"}]}, 404, "no such mask"),
        ({"regions": [{"mask": 1, "style": "ink"}]}, 400, "use an id"),
        ({"mask": ["x"]}, 400, "use an id"),
        ({"faces": "blur"}, 400, "use one of keep, paint"),
        ({"faces": ["keep"]}, 400, "use one of keep, paint"),
        ({"mask": ""}, 404, "no such mask"),
    ],
)
def test_studio_wrong_edits_are_refused_in_one_line(client, clip_id, changes, code, words):
    wanted = {"clip": clip_id, "style": "ink", "preset": "draft", "settings": {}} | changes
    for path in ("jobs", "previews"):
        answer = client.post(f"/api/{path}", json=wanted)
        assert (answer.status_code, "\n" in answer.text) == (code, False) and words in answer.text


def test_studio_mask_of_another_clip_is_refused(client, mask_id, tmp_path):
    still = upload(client, jpeg(scene()), "still.jpg").json()["id"]
    wanted = {"clip": still, "style": "ink", "preset": "draft"}
    assert client.post("/api/jobs", json={**wanted, "mask": mask_id}).status_code == 404
    keyframes = [{"time": 0, "style": "dots"}]
    assert client.post("/api/jobs", json={**wanted, "keyframes": keyframes}).status_code == 400


def test_studio_sheet_has_a_cell_of_every_style(client, clip_id, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.contact_sheet.SHEET_STEPS", 1)
    wanted = {"clip": clip_id, "time": 1, "preset": "draft"}
    with client.stream("POST", "/api/sheets", json=wanted) as answer:
        *cells, last = events_of(answer)
    styles = [style["id"] for style in client.get("/api/state").json()["styles"]]
    assert [cell["style"] for cell in cells] == styles and last == {"stage": "end"}
    assert [cell["done"] for cell in cells] == list(range(1, len(styles) + 1))
    assert decoded(cells[0]["image"]).shape == (48, 64, 3)


def test_studio_sheet_has_the_keyframes_and_masks_of_its_time(
    client, clip_id, mask_id, monkeypatch
):
    monkeypatch.setattr("vidstyle.studio.contact_sheet.SHEET_STEPS", 1)
    wanted = {
        **{"clip": clip_id, "preset": "draft", "settings": QUICK},
        "keyframes": [{"time": 0.5, "style": "dots", "strength": 0}, {"time": 1.5, "strength": 1}],
        "regions": [{"mask": mask_id, "style": "ink", "strength": 0}],
    }

    def cells(**changes):
        with client.stream("POST", "/api/sheets", json={**wanted, **changes}) as answer:
            return [decoded(each["image"]) for each in events_of(answer) if "image" in each]

    source = painted(client, clip=clip_id, time=1, settings={**QUICK, "strength": 0})
    assert all((each == source).all() for each in cells(time=1))  # strength 0
    first, second = cells(time=1.5, keyframes=wanted["keyframes"])[:2]
    assert (first != second).any()  # each in its own style, not in that of the keyframe
    assert np.abs(first - second)[:, :24].max() < 3  # the region stays; JPEG rounds
    outside = cells(time=1, keyframes=[], regions=[], mask=mask_id)[0]
    assert np.abs(outside - source)[:, 40:].max() < 3 < np.abs(outside - source)[:, :24].max()
    with client.stream("POST", "/api/sheets", json={**wanted, "mask": "x"}) as answer:
        assert answer.status_code == 404


def test_studio_previews_come_between_the_cells_of_a_sheet(client, clip_id, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.contact_sheet.SHEET_STEPS", 5)
    with client.stream("POST", "/api/sheets", json={"clip": clip_id, "preset": "draft"}) as sheet:
        events = events_of(sheet)
        assert next(events)["stage"] == "cell"
        painted(client, clip=clip_id)
        cells = [event for event in events if event["stage"] == "cell"]
    assert cells[-1]["done"] == cells[-1]["total"]


def test_studio_windows_do_not_stop_each_other(client, clip_id, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.preview.FINE_STEPS", 100_000)
    wanted = {"clip": clip_id, "style": "ink", "preset": "draft"}
    body = {**wanted, "window": "a"}
    with client.stream("POST", "/api/previews", json=body) as first:
        events = events_of(first)
        assert next(events)["stage"] == "coarse"
        monkeypatch.setattr("vidstyle.studio.preview.FINE_STEPS", 4)
        with client.stream("POST", "/api/previews", json={**wanted, "window": "b"}) as second:
            others = events_of(second)
            assert next(others)["stage"] == "coarse"  # before the fine one of the other window
            assert next(others) == {"stage": "waiting"}
            with client.stream("POST", "/api/previews", json=body) as third:
                assert [event["stage"] for event in events][-1] == "end"  # the first one
                assert [event["stage"] for event in others][-2:] == ["fine", "end"]
                assert [event["stage"] for event in events_of(third)][-2:] == ["fine", "end"]


def test_studio_events_tell_of_changes_of_the_library(client, clip_id):
    with client.stream("GET", "/api/events") as stream:
        events = events_of(stream)
        assert [clip["id"] for clip in next(events)["clips"]] == [clip_id]
        added = upload(client, jpeg(scene()), "other.jpg").json()["id"]
        event = next(events)
        assert {clip["id"] for clip in event["clips"]} == {clip_id, added}
        assert "jobs" not in event
        client.delete(f"/api/clips/{added}")
        assert [clip["id"] for clip in next(events)["clips"]] == [clip_id]
