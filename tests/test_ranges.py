"""Ranges of frames rendered apart and joined: the same packets as one render."""

import errno
import json
import os
import re
import zipfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import scene, write_clip

CUT_FRAMES = (30, 75)
"""First frames of the second and third shot of ``three_shots``."""


def three_shots(path, rate=Fraction(25), **options):
    """A clip of 100 frames and three shots, of 1.2, 1.8 and 1 seconds at 25 frames per second."""
    pts = list(options.pop("pts", range(100)))
    time_base = options.get("time_base", 1 / rate)
    cuts = [float(pts[number] * time_base) - 1e-6 for number in CUT_FRAMES]

    def picture(time):
        image = scene(time * 4)
        if cuts[0] <= time < cuts[1]:
            image = 255 - image[:, ::-1]
        elif time >= cuts[1]:
            image = np.roll(image[::-1], 20, axis=1)[..., [2, 0, 1]] // 2
        return np.ascontiguousarray(image)

    return write_clip(path, count=len(pts), rate=rate, pts=pts, picture=picture, **options)


def packets_of(path):
    """Each stream's packets: pts, dts, duration, whether it is a key frame, and its bytes."""
    with av.open(str(path)) as container:
        found = {stream.index: [] for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                times = packet.pts, packet.dts, packet.duration
                found[packet.stream_index].append((*times, packet.is_keyframe, bytes(packet)))
    return found


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    pts = np.cumsum([0, *np.random.default_rng(0).integers(25, 55, 99)]).tolist()
    return {
        ".mp4": three_shots(folder / "in.mp4", sounds=1),
        ".mkv": three_shots(
            folder / "in.mkv", sounds=1, pts=pts, time_base=Fraction(1, 1000), crf=20
        ),
    }


def render_range(vidstyle, clip, style_file, frames, output, *more):
    code, _, err = vidstyle("render", clip, style_file, "--frames", frames, "-o", output, *more)
    assert code == 0, err


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_join_makes_the_packets_of_one_render(vidstyle, clips, style_file, ending):
    clip = clips[ending]
    assert vidstyle("render", clip, style_file, "-o", f"one{ending}")[0] == 0
    ranges = {"0-29": "a", "30-74": "b", "75-999": "c"}
    for frames, name in ranges.items():
        render_range(vidstyle, clip, style_file, frames, f"{name}{ending}.segments")
    names = [f"{name}{ending}.segments" for name in "cab"]
    code, _, err = vidstyle("join", *names, "-o", f"joined{ending}", "--source", clip)
    assert code == 0, err
    packets = packets_of(f"joined{ending}")
    assert packets == packets_of(f"one{ending}")
    assert len(packets[0]) == 100
    assert sorted(path.name for path in Path().glob("joined*")) == [f"joined{ending}"]


@pytest.fixture
def parts(vidstyle, clips, style_file):
    render_range(vidstyle, clips[".mp4"], style_file, "0-9", "a.mp4.segments")
    render_range(vidstyle, clips[".mp4"], style_file, "12-19", "c.mp4.segments")
    render_range(vidstyle, clips[".mp4"], style_file, "8-19", "overlap.mp4.segments")
    render_range(
        vidstyle, clips[".mp4"], style_file, "10-11", "other.mp4.segments", "--tv-weight", "1"
    )
    return clips[".mp4"]


def test_join_refuses_what_is_no_whole_clip(vidstyle, parts):
    def refusal(*names):
        code, _, err = vidstyle(
            "join", *(f"{name}.mp4.segments" for name in names), "-o", "o.mp4", "--source", parts
        )
        assert code == 1 and not Path("o.mp4").exists() and not Path("o.part").exists()
        return err

    assert "frames 10 to 11 are missing: render them with --frames 10-11" in refusal("a", "c")
    assert "frames 0 to 11 are missing" in refusal("c")
    assert "frames 8 to 9 are both in a.mp4.segments and in overlap" in refusal("a", "overlap")
    assert "tv_weight is 1.0 and 0.6" in refusal("a", "other", "c")
    assert "frames from 10 on are missing" in refusal("a")


def test_join_names_a_range_that_renders_the_rest(vidstyle, parts, style_file):
    arguments = "-o", "o.mp4", "--source", parts
    err = vidstyle("join", "a.mp4.segments", *arguments)[2]
    rest = re.search(r"frames from 10 on are missing.* --frames (\S+) ", err)[1]
    render_range(vidstyle, parts, style_file, rest, "rest.mp4.segments")
    assert vidstyle("join", "a.mp4.segments", "rest.mp4.segments", *arguments)[0] == 0


def test_range_reports_its_iterations_and_frames_within_the_clip(vidstyle, clip, style_file):
    with av.open(str(clip)) as container:
        frames = container.streams.video[0].frames
    render_range(vidstyle, clip, style_file, "2-999", "a.mp4.segments", "--json", "events.json")
    events = [json.loads(line) for line in Path("events.json").read_text().splitlines()]
    assert [event["event"] for event in events[:: len(events) - 1]] == ["start", "end"]
    assert events[0]["frames"] == frames and events[-1]["frames"] == frames - 2
    assert {event["total"] for event in events[1:-1]} == {frames - 2}
    assert "first frame: iteration 1/" in events[1]["note"]


def test_join_refuses_another_clip_and_damaged_files(vidstyle, parts, clip):
    arguments = "join", "a.mp4.segments", "-o", "o.mp4", "--source"
    with_members(
        "a.mp4.segments",
        lambda members: (
            members
            | {"range.json": members["range.json"].replace(b'"at_end": false', b'"at_end": true')}
        ),
    )
    code, _, err = vidstyle(*arguments, clip)
    assert code == 1 and "is not the clip that the segments were made from" in err
    code, _, err = vidstyle(*arguments, "nothing.mp4")
    assert code == 1 and "nothing.mp4 does not exist" in err
    Path("a.mp4.segments").write_bytes(b"nothing")
    code, _, err = vidstyle(*arguments, parts)
    assert code == 1 and "is damaged" in err


def no_space(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_range_on_a_full_disk_names_no_flag_that_it_refuses(
    vidstyle, clip, style_file, monkeypatch
):
    monkeypatch.setattr("vidstyle.range_jobs.write_archive", no_space)
    arguments = "--frames", "0-1", "-o", "x.mp4.segments"
    code, _, err = vidstyle("render", clip, style_file, *arguments)
    assert code == 1 and "No space left" in err and "free some space" in err
    assert "resume" not in err


@pytest.mark.parametrize("call", ["range_jobs.publish", "io.mux._join"])
def test_join_on_a_full_disk_names_no_flag_that_it_lacks(
    vidstyle, clip, style_file, monkeypatch, call
):
    render_range(vidstyle, clip, style_file, "0-99", "a.mp4.segments")
    monkeypatch.setattr(f"vidstyle.{call}", no_space)
    code, _, err = vidstyle("join", "a.mp4.segments", "-o", "joined.mp4", "--source", clip)
    assert code == 1 and "No space left" in err and "free some space" in err
    assert "resume" not in err


def test_join_names_no_flag_that_it_lacks_beside_an_unfinished_run(
    vidstyle, clip, style_file, monkeypatch
):
    render_range(vidstyle, clip, style_file, "0-99", "a.mp4.segments")
    arguments = "join", "a.mp4.segments", "-o", "joined.mp4", "--source", clip
    with monkeypatch.context() as patched:
        patched.setattr("vidstyle.io.mux._join", no_space)
        assert vidstyle(*arguments)[0] == 1
    code, _, err = vidstyle(*arguments)
    assert code == 1 and "joined.part is from an unfinished run: add -y to replace it" in err
    assert "resume" not in err
    render_range(vidstyle, clip, style_file, "0-99", "a.mov.segments")
    other = "join", "a.mov.segments", "-o", "joined.mov", "--source", clip, "-y"
    code, _, err = vidstyle(*other)
    assert code == 1 and "unfinished run for joined.mp4: delete the folder, or choose" in err
    assert vidstyle(*arguments, "-y")[0] == 0 and not Path("joined.part").exists()


def with_members(archive, change):
    """Write a file of segments anew with other members: name -> content."""
    with zipfile.ZipFile(archive) as before:
        members = change({name: before.read(name) for name in before.namelist()})
    with zipfile.ZipFile(archive, "w") as after:
        for name, data in members.items():
            after.writestr(name, data)


def test_join_names_the_file_whose_segments_do_not_fit(vidstyle, clips, style_file):
    clip = clips[".mp4"]
    render_range(vidstyle, clip, style_file, "0-9", "a.mp4.segments")
    render_range(vidstyle, clip, style_file, "10-99", "b.mp4.segments")
    render_range(vidstyle, clip, style_file, "10-11", "c.mp4.segments")
    with zipfile.ZipFile("c.mp4.segments") as archive:
        two_frames = archive.read("000000.mp4")
    with_members("b.mp4.segments", lambda members: members | {"000000.mp4": two_frames})
    arguments = "join", "a.mp4.segments", "b.mp4.segments", "-o", "o.mp4", "--source", clip
    code, _, err = vidstyle(*arguments)
    assert code == 1 and "b.mp4.segments does not fit the others" in err
    assert "render it again with --frames 10-99 and -y" in err and "resume" not in err
    render_range(vidstyle, clip, style_file, "10-99", "b.mp4.segments", "-y")
    assert vidstyle(*arguments, "-y")[0] == 0


def test_join_refuses_a_file_that_lacks_frames_it_names(vidstyle, clip, style_file):
    render_range(vidstyle, clip, style_file, "0-99", "a.mp4.segments")
    with_members(
        "a.mp4.segments",
        lambda members: (
            members
            | {"range.json": re.sub(rb'"stop": (\d)', rb'"stop": 9\1', members["range.json"])}
        ),
    )
    code, _, err = vidstyle("join", "a.mp4.segments", "-o", "o.mp4", "--source", clip)
    assert code == 1 and "is damaged: render it again with --frames" in err


def test_frames_beyond_the_clip_or_into_another_file_fail(vidstyle, clip, style_file):
    def refusal(*more):
        code, _, err = vidstyle("render", clip, style_file, "--frames", *more)
        return code, err

    code, err = refusal("50-60", "-o", "x.mp4.segments")
    assert code == 1 and "ends before frame 50" in err
    code, err = refusal("0-1", "-o", "x.mp4")
    assert code == 1 and "x.mp4.segments" in err
    assert refusal("5-1", "-o", "x.mp4.segments")[0] == 2
    assert refusal("0-1")[0] == 2


def frames_of(archive):
    """The decoded frames of a file of segments, and their pts in the clip."""
    with zipfile.ZipFile(archive) as members:
        for name in sorted(members.namelist())[:-1]:
            Path(name).write_bytes(members.read(name))
            with av.open(name) as container:
                for frame in container.decode(video=0):
                    yield frame.pts, frame.to_ndarray(format="rgb24").astype(int)


def test_range_fades_to_the_next_one_within_a_shot(vidstyle, clips, style_file):
    def steps(*ranges, seam):
        """Mean squared difference of each frame from the one before."""
        images = []
        for frames in ranges:
            more = "--seam-frames", seam, "-y", "-c:v", "ffv1"
            render_range(vidstyle, clips[".mp4"], style_file, frames, "a.mkv.segments", *more)
            images += [image for _, image in frames_of("a.mkv.segments")]
        return [np.square(b - a).mean() for a, b in pairwise(images)]

    hard, faded = (steps("0-14", "15-29", seam=seam) for seam in ("0", "8"))
    assert len(hard) == len(faded) == 29
    assert hard[:6] == faded[:6] and hard[15:] == faded[15:]  # 8 frames before the seam change
    assert max(faded[6:15]) < hard[14] / 2
    hard, faded = (steps("20-29", "75-99", seam=seam) for seam in ("0", "8"))
    assert hard == faded  # a cut is no seam


def test_range_has_the_times_of_the_clip(vidstyle, clips, style_file):
    render_range(vidstyle, clips[".mp4"], style_file, "60-80", "a.mp4.segments")
    assert [pts for pts, _ in frames_of("a.mp4.segments")] == [n * 512 for n in range(60, 81)]
