"""The command line as a user meets it: what comes out, on which stream, with which exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import QUICK_FLAGS, scene, sound_of, times_of, until, write_clip

from vidstyle import VidstyleError, cli, render_job


@pytest.fixture
def vidstyle(features_file, tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        if arguments[0] == "render":
            arguments = ("render", *QUICK_FLAGS, "--features", features_file, *arguments[1:])
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def test_a_clip_is_painted_with_its_times_and_its_sound(vidstyle, clip, style_file):
    code, out, err = vidstyle("render", clip, style_file, "-o", "out.mp4")
    assert (code, out) == (0, "")
    assert times_of("out.mp4") == times_of(clip)
    assert sound_of("out.mp4") == sound_of(clip)
    assert "stylised at 64x48 on cpu" in err and "frame 6/6" in err and "loss" in err
    with av.open("out.mp4") as written:
        painted = next(written.decode(video=0)).to_ndarray(format="rgb24").astype(int)
        assert json.loads(written.metadata["comment"].split(" ", 2)[2])["settings"]["steps"] == 1
    assert np.abs(painted - scene()).mean() > 5


def test_a_picture_is_painted(vidstyle, picture_file, style_file):
    code, _, err = vidstyle("render", picture_file, style_file, "-o", "out.jpg", "--seed", "7")
    assert code == 0 and "iteration 3/3" in err
    assert cv2.imread("out.jpg").shape == (48, 64, 3)
    assert b'"seed": 7' in Path("out.jpg").read_bytes()


def test_the_same_command_writes_the_same_bytes(vidstyle, clip, style_file):
    for name in ("one.mp4", "two.mp4"):
        assert vidstyle("render", clip, style_file, "-o", name, "--init", "noise")[0] == 0
    assert Path("one.mp4").read_bytes() == Path("two.mp4").read_bytes()


def test_size_styles_and_part(vidstyle, tmp_path, style_file, picture_file):
    path = write_clip(tmp_path / "long.mp4", count=30, rate=Fraction(10), size=(128, 96))
    arguments = [
        path,
        style_file,
        picture_file,
        "-o",
        "out.mp4",
        "--style-weights",
        "2,1",
        "--size",
        "80",
        "-ss",
        "1",
        "-t",
        "0:00.5",
    ]
    assert vidstyle("render", *arguments)[0] == 0
    assert times_of("out.mp4") == [Fraction(number, 10) for number in range(5)]
    with av.open("out.mp4") as written:
        assert (written.streams.video[0].width, written.streams.video[0].height) == (80, 60)
    assert vidstyle("render", path, style_file, "-o", "to.mp4", "-ss", "1", "-to", "1.2")[0] == 0
    assert len(times_of("to.mp4")) == 2


def test_numbered_pictures_go_in_and_out(vidstyle, clip, style_file):
    code, _, err = vidstyle("render", clip, style_file, "-o", "f_%03d.png")
    assert code == 0 and "frame 6/6" in err
    assert sorted(path.name for path in Path().glob("f_*")) == [
        f"f_{number:03}.png" for number in range(1, 7)
    ]
    code, _, err = vidstyle("render", "f_%03d.png", style_file, "-o", "f_%03d.png", "-y")
    assert code == 1 and "would replace f_001.png, which is read" in err
    Path("f_003.png").unlink()
    code, _, err = vidstyle("render", "f_%03d.png", style_file, "-o", "out.mp4", "-r", "24")
    assert code == 0 and "1 numbers are missing" in err
    assert times_of("out.mp4") == [Fraction(number, 24) for number in (0, 1, 3, 4, 5)]


def test_names_and_flags_may_stand_in_any_order(vidstyle, clip, style_file, picture_file):
    code, _, _ = vidstyle("render", clip, "-o", "out.mp4", style_file, "-y", picture_file)
    assert code == 0
    with av.open("out.mp4") as written:
        assert json.loads(written.metadata["comment"].split(" ", 2)[2])["styles"] == [
            "stripes.png",
            "picture.png",
        ]
    code, _, err = vidstyle("render", clip, "-o", "out2.mp4")
    assert code == 2 and "no style given" in err
    code, _, err = vidstyle("info", "more")
    assert code == 2 and "unrecognized arguments: more" in err


def test_several_inputs_go_into_a_folder(vidstyle, clip, style_file, picture_file, tmp_path):
    (tmp_path / "painted").mkdir()
    write_clip(tmp_path / "second.avi", codec="mpeg4", count=3, rate=Fraction(25))
    inputs = [clip, "second.avi", picture_file]
    assert vidstyle("render", *inputs, "--style", style_file, "-o", "painted")[0] == 0
    assert sorted(path.name for path in Path("painted").iterdir()) == [
        "clip.mp4",
        "picture.png",
        "second.mp4",
    ]
    assert sound_of("painted/clip.mp4") == sound_of(clip)


def test_the_source_is_shown_beside_its_painting(vidstyle, clip, style_file):
    assert vidstyle("render", clip, style_file, "-o", "out.mp4", "--compare")[0] == 0
    with av.open("out.mp4") as written:
        image = next(written.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert image.shape == (48, 128, 3)
    assert np.abs(image[:, :64] - scene()).mean() < 6 < np.abs(image[:, 64:] - scene()).mean()


def test_a_clip_that_players_turn_is_shown_beside_its_painting_too(vidstyle, tmp_path, style_file):
    with av.open(str(tmp_path / "turned.mp4"), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.set_display_rotation(90)
        output.mux(video.encode(av.VideoFrame.from_ndarray(scene(), format="rgb24")))
        output.mux(video.encode(None))
    for flags in ([], ["--resume", "-y"]):
        assert (
            vidstyle("render", "turned.mp4", style_file, "-o", "out.mp4", "--compare", *flags)[0]
            == 0
        )
    with av.open("out.mp4") as written:
        assert next(written.decode(video=0)).to_ndarray(format="rgb24").shape == (96, 64, 3)


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_a_clip_becomes_an_animation(vidstyle, clip, style_file, ending):
    assert vidstyle("render", clip, style_file, "-o", f"out{ending}")[0] == 0
    there, animation = cv2.imreadanimation(f"out{ending}")
    assert there and len(animation.frames) == 6 and animation.loop_count == 0
    # 1001/30000 s is 33 1/3 ms: a GIF counts in hundredths, and three frames last a tenth
    assert abs(sum(animation.durations[:3]) - 100) <= 1
    assert vidstyle("render", clip, style_file, "-o", "still.webp", "--preview", "0")[0] == 0
    assert cv2.imread("still.webp").shape == (48, 64, 3)


def piped(features_file, folder, *arguments, data=None):
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "render",
        *QUICK_FLAGS,
        "--features",
        features_file,
        *arguments,
    ]
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        input=data,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("container", ["matroska", "nut", "yuv4mpegpipe"])
def test_what_comes_through_a_pipe_goes_out_through_one(
    features_file, tmp_path, style_file, container
):
    codec = {"yuv4mpegpipe": "wrapped_avframe"}.get(container, "libx264")
    path = tmp_path / "in"
    with av.open(str(path), "w", format=container) as output:
        video = output.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(scene(number / 25), "rgb24").reformat(
                format="yuv420p"
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    result = piped(
        features_file, tmp_path, "-", style_file, "-o", "-", "-f", container, data=path.read_bytes()
    )
    assert result.returncode == 0 and b"5 frames in" in result.stderr
    (tmp_path / "out").write_bytes(result.stdout)
    assert times_of(tmp_path / "out") == [Fraction(number, 25) for number in range(5)]


def test_sound_goes_out_through_a_pipe_with_its_pictures(features_file, tmp_path, style_file):
    path = write_clip(tmp_path / "in.mp4", count=30, rate=Fraction(25), sounds=1)
    result = piped(features_file, tmp_path, path, style_file, "-o", "-", "-ss", "0.2")
    assert result.returncode == 0
    (tmp_path / "out.mkv").write_bytes(result.stdout)
    part = [data for time, data in sound_of(path) if time >= Fraction(1, 5)]
    assert [data for _, data in sound_of(tmp_path / "out.mkv")] == part
    assert times_of(tmp_path / "out.mkv") == [Fraction(number, 25) for number in range(25)]


def test_sound_that_comes_through_a_pipe_is_kept(features_file, tmp_path, style_file):
    path = write_clip(tmp_path / "in.mkv", count=10, rate=Fraction(25), sounds=1)
    result = piped(
        features_file, tmp_path, "-", style_file, "-o", "out.mp4", data=path.read_bytes()
    )
    assert result.returncode == 0
    assert [data for _, data in sound_of(tmp_path / "out.mp4")] == [
        data for _, data in sound_of(path)
    ]


def test_an_interrupt_ends_waiting_for_a_pipe(features_file, tmp_path, style_file):
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "render",
        "-",
        style_file,
        "-o",
        "out.mp4",
        "--features",
        features_file,
    ]
    before = signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a shell's background job ignores SIGINT, and so would what it starts
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    signal.signal(signal.SIGINT, before)
    until(lambda: list(temporary.glob("vidstyle-*")))
    time.sleep(0.2)  # until it waits
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert b"Traceback" not in process.stderr.read() and not list(temporary.glob("vidstyle-*"))
    process.stdin.close()


def test_what_is_no_clip_on_a_pipe_is_refused(features_file, tmp_path, style_file):
    long = write_clip(tmp_path / "long.mp4", count=300, size=(128, 96), sounds=1)
    result = piped(
        features_file, tmp_path, "-", style_file, "-o", "out.mp4", data=b"no clip\n" * 1000
    )
    assert result.returncode == 1 and result.stderr.startswith(
        b"vidstyle: standard input is not a clip"
    )
    result = piped(
        features_file, tmp_path, "-", style_file, "-o", "out.mp4", data=long.read_bytes()
    )
    assert result.returncode == 1 and b"pipe Matroska, NUT or YUV4MPEG" in result.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_a_preview_writes_one_frame_and_estimates_the_rest(vidstyle, clip, style_file):
    code, _, err = vidstyle("render", clip, style_file, "-o", "out.mp4", "--preview", "0.1")
    assert code == 0 and "all 6 frames would take about " in err
    assert cv2.imread("out.preview.png").shape == (48, 64, 3)
    assert not Path("out.mp4").exists()
    assert vidstyle("render", clip, style_file, "-o", "frame.jpg", "--preview", "0")[0] == 0
    assert cv2.imread("frame.jpg") is not None
    code, _, err = vidstyle("render", clip, style_file, "-o", "late.png", "--preview", "99")
    assert code == 1 and "no frame at or after 99 s" in err
    code, _, err = vidstyle("render", clip, style_file, "-o", "out.mp4", "--preview", "0")
    assert code == 1 and "out.preview.png exists" in err


def test_a_trace_follows_every_iteration(vidstyle, clip, style_file):
    assert vidstyle("render", clip, style_file, "-o", "out.mp4", "--trace", "trace.json")[0] == 0
    frames = json.loads(Path("trace.json").read_text())["frames"]
    assert [len(frame["iterations"]) for frame in frames] == [3, 1, 1, 1, 1, 1]
    assert [frame["time"] for frame in frames] == [float(time) for time in times_of(clip)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["render", "picture.png", "stripes.png", "-o", "out.png", "--trace", "kept.json"],
        ["bench", "--json", "kept.json"],
        ["bench", "--temporal", "--style", "stripes.png", "--picture", "kept.json"],
    ],
)
def test_command_replaces_no_further_output_unasked(
    vidstyle, picture_file, style_file, tmp_path, arguments
):
    (tmp_path / "kept.json").write_text("precious")
    code, _, err = vidstyle(*arguments)
    assert code == 1 and "kept.json exists: add -y to replace it" in err
    assert (tmp_path / "kept.json").read_text() == "precious" and not (
        tmp_path / "out.png"
    ).exists()


def test_verbose_shows_the_stages_and_quiet_shows_nothing(vidstyle, picture_file, style_file):
    layers = ["--content-layers", "half.relu2_1", "--style-layers", "relu2_1,oriented2"]
    _, _, err = vidstyle("render", picture_file, style_file, "-o", "a.png", "-v", *layers)
    for line in (
        "content image 1 x 3 x 48 x 64",
        "content target half.relu2_1: 1 x 8 x 12 x 16",
        "relu2_1: Gram matrix 8 x 8",
        "oriented2: Gram matrix 96 x 96",
        "adam",
    ):
        assert line in err
    assert vidstyle("render", picture_file, style_file, "-o", "b.png", "-q") == (0, "", "")


def test_an_existing_output_is_replaced_only_with_y(vidstyle, picture_file, style_file, tmp_path):
    (tmp_path / "out.png").write_bytes(b"precious")
    for flags in ([], ["-n"]):
        code, _, err = vidstyle("render", picture_file, style_file, "-o", "out.png", *flags)
        assert code == 1 and "add -y to replace it" in err
        assert (tmp_path / "out.png").read_bytes() == b"precious"
    assert vidstyle("render", picture_file, style_file, "-o", "out.png", "-y")[0] == 0
    assert cv2.imread("out.png") is not None


def bad(tmp_path, kind):
    clip, style = write_clip(tmp_path / "in.mp4"), tmp_path / "style.png"
    cv2.imwrite(str(style), scene())
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no clip")
    (tmp_path / "short.mp4").write_bytes(clip.read_bytes()[:700])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "folder").mkdir()
    (tmp_path / "there_7.png").touch()
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nin.mp4\n")
    still = ["still.png", style, "-o", "out.png"]
    cv2.imwrite(str(tmp_path / "still.png"), scene())
    return {
        "missing input": (["nothing.mp4", style, "-o", "out.mp4"], "nothing.mp4 does not exist"),
        "empty input": (["empty.mp4", style, "-o", "out.mp4"], "is empty"),
        "text as input": (["text.mp4", style, "-o", "out.mp4"], "not a clip"),
        "truncated input": (["short.mp4", style, "-o", "out.mp4"], "not a clip"),
        "directory as input": (
            ["folder", style, "-o", "out"],
            "is a directory without clips or images",
        ),
        "broken picture as input": (["text.jpg", style, "-o", "out.png"], "not an image"),
        "missing style": ([clip, "nothing.jpg", "-o", "out.mp4"], "nothing.jpg does not exist"),
        "clip as style": ([clip, clip, "-o", "out.mp4"], "not a picture"),
        "text as style": ([clip, "text.jpg", "-o", "out.mp4"], "not a picture"),
        "directory as style": ([clip, "folder", "-o", "out.mp4"], "is a directory"),
        "directory as output": ([clip, style, "-o", "folder"], "is a directory"),
        "no folder for output": ([clip, style, "-o", "no/out.mp4"], "folder no does not exist"),
        "unknown ending": ([clip, style, "-o", "out.xyz"], "ending"),
        "clip to picture": ([clip, style, "-o", "out.png"], "--preview TIME"),
        "picture to clip": (["still.png", style, "-o", "out.mp4"], "is an image"),
        "output is input": ([clip, style, "-o", clip, "-y"], "which is read"),
        "part beyond the end": (
            [clip, style, "-o", "out.mp4", "-ss", "99"],
            "no frame at or after",
        ),
        "trace without a folder": ([*still, "--trace", "no/t.json"], "folder no does not exist"),
        "unknown trace": ([*still, "--trace", "t.txt"], "written as .json"),
        "trace is the style": (
            ["still.png", style, "-o", "out.png", "--trace", style],
            "which is read",
        ),
        "trace is the output": ([*still, "--trace", "out.png"], "written to the same place"),
        "no such device": ([*still, "--device", "cuda:99"], "--device cpu"),
        "address as output": ([clip, style, "-o", "rtmp://nowhere/live"], "is an address"),
        "file for several": (
            [clip, "still.png", "--style", style, "-o", "text.jpg"],
            "text.jpg is not a directory",
        ),
        "file's name for several": (
            [clip, "still.png", "--style", style, "-o", "new.mp4"],
            "new.mp4 is not a directory",
        ),
        "pipe for several": (
            [clip, "still.png", "--style", style, "-o", "-"],
            "- is not a directory",
        ),
        "two inputs of one name": (
            [clip, clip, "--style", style, "-o", "painted"],
            "would both become painted/in.mp4",
        ),
        "codec of another container": (
            [clip, style, "-o", "out.mp4", "-c:v", "ffv1"],
            r"end the output's name in .mkv",
        ),
        "codec of an animation": (
            [clip, style, "-o", "out.gif", "-c:v", "h264"],
            "without choice of codec",
        ),
        "no such pictures": (["frame_%03d.png", style, "-o", "out.mp4"], "no file frame_%03d.png"),
        "numbered pictures there": ([clip, style, "-o", "there_%d.png"], "there_7.png exists"),
        "playlist as input": (["list.m3u8", style, "-o", "out.mp4"], "not a clip"),
    }[kind]


KINDS = [
    "missing input",
    "empty input",
    "text as input",
    "truncated input",
    "directory as input",
    "broken picture as input",
    "missing style",
    "clip as style",
    "text as style",
    "directory as style",
    "directory as output",
    "no folder for output",
    "unknown ending",
    "clip to picture",
    "picture to clip",
    "output is input",
    "part beyond the end",
    "trace without a folder",
    "unknown trace",
    "trace is the style",
    "trace is the output",
    "no such device",
    "address as output",
    "file for several",
    "file's name for several",
    "pipe for several",
    "two inputs of one name",
    "codec of another container",
    "codec of an animation",
    "no such pictures",
    "numbered pictures there",
    "playlist as input",
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_world_is_one_line_and_writes_nothing(vidstyle, tmp_path, kind):
    arguments, reason = bad(tmp_path, kind)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = vidstyle("render", *arguments)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1 and re.search(reason, err)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def in_use(tmp_path):
    """A folder of files that commands read, each with links."""
    clip = write_clip(tmp_path / "in.mp4", count=2)
    (tmp_path / "seg.part").mkdir()
    (tmp_path / "seg.part" / "000000.mp4").write_bytes(clip.read_bytes())
    for name in ("still.png", "style.png", "s_002.png", "clip.preview.png"):
        cv2.imwrite(str(tmp_path / name), scene())
    (tmp_path / "link.png").symlink_to("style.png")
    (tmp_path / "hard.png").hardlink_to(tmp_path / "style.png")
    (tmp_path / "clip.mp4").symlink_to("in.mp4")
    (tmp_path / "in.part.mp4").hardlink_to(clip)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["render", "in.mp4", "style.png", "-o", "in.mp4"],
        ["render", "in.mp4", "style.png", "-o", "clip.mp4"],
        ["render", "in.part.mp4", "style.png", "-o", "in.mp4"],
        ["render", "seg.part/000000.mp4", "style.png", "-o", "seg.mp4"],
        ["render", "seg.part/000000.mp4", "style.png", "-o", "seg.mkv", "--resume"],
        ["render", "still.png", "style.png", "-o", "style.png"],
        ["render", "still.png", "style.png", "-o", "../{folder}/style.png"],
        ["render", "still.png", "style.png", "-o", "link.png"],
        ["render", "still.png", "link.png", "-o", "hard.png"],
        ["render", "still.png", "s_002.png", "style.png", "-o", "s_002.png"],
        ["render", "in.mp4", "s_002.png", "-o", "s_%03d.png"],
        ["render", "in.mp4", "clip.preview.png", "-o", "clip.mp4", "--preview", "0"],
        ["render", "still.png", "style.png", "-o", "out.png", "--trace", "hard.png"],
        [
            "render",
            "still.png",
            "style.png",
            "-o",
            "out.png",
            "--features",
            "in.mp4",
            "--trace",
            "clip.mp4",
        ],
        ["render", "still.png", "s_002.png", "--style", "style.png", "-o", "."],
        ["live", "style.png", "--camera", "in.mp4", "--no-window", "-o", "clip.mp4"],
        ["live", "in.part.mp4", "--camera", "0", "--no-window", "-o", "in.mp4"],
        ["bench", "--style", "style.png", "--json", "hard.png"],
        ["bench", "--temporal", "--style", "style.png", "--clip", "in.mp4", "--json", "clip.mp4"],
        ["bench", "--temporal", "--style", "style.png", "--picture", "link.png"],
        [
            "bench",
            "--temporal",
            "--style",
            "style.png",
            "--picture",
            "new.png",
            "--json",
            "new.png",
        ],
        ["train-features", ".", "-o", "style.safetensors"],
        ["train-features", ".", "-o", "new.png"],
    ],
    ids=" ".join,
)
def test_command_writes_over_no_file_that_it_reads(vidstyle, in_use, arguments):
    before = {path: path.read_bytes() for path in in_use.rglob("*") if path.is_file()}
    more = ["-y"] if arguments[0] != "bench" else []
    code, out, err = vidstyle(*(word.format(folder=in_use.name) for word in arguments), *more)
    assert (code, out) == (1, "") and len(err.splitlines()) == 1
    assert "which is read" in err or "to the same place" in err
    assert {path: path.read_bytes() for path in in_use.rglob("*") if path.is_file()} == before


def test_render_does_not_write_over_the_file_that_standard_input_reads(
    features_file, tmp_path, style_file
):
    path = write_clip(tmp_path / "in.mkv", count=2)
    before = path.read_bytes()
    with path.open("rb") as stdin:
        command = [
            sys.executable,
            "-m",
            "vidstyle",
            "render",
            "-",
            style_file,
            "-o",
            "in.mkv",
            "-y",
            *QUICK_FLAGS,
        ]
        result = subprocess.run(
            list(map(str, command)),
            cwd=tmp_path,
            stdin=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert result.returncode == 1 and b"would replace standard input" in result.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "flags, reason",
    [
        (["--size", "0"], "--size is 0"),
        (["--size", "99999999"], "--size is 99999999"),
        (["--size", "big"], "--size"),
        (["--content-weight", "-1"], "--content-weight is -1"),
        (["--style-weight", "nan"], "--style-weight is nan"),
        (["--style-layers", "relu9_1"], "unknown layer 'relu9_1'"),
        (["--style-weights", "1,2"], "2 style weights for 1"),
        (["--style-weights", "-1"], "style weights"),
        (["--style-weights", "a"], "numbers with commas"),
        (["--init", "grey"], "--init"),
        (["--preset", "best"], "--preset"),
        (["--device", "abacus"], "unknown device"),
        (["--device", "cpu:"], "unknown device"),
        (["--preview", "0", "-t", "1"], "cannot be used with"),
        (["--skip-existing", "-y"], "not allowed with"),
        (["-ss", "-3"], "-ss"),
        (["-ss", "soon"], "no time"),
        (["-ss", "2", "-to", "1"], "empty"),
        (["-crf", "99"], "crf is 99"),
        (["-c:v", "h264", "-crf", "52"], "0 (best) to 51"),
        (["-c:v", "prores", "-crf", "5"], "takes no crf"),
        (["-c:v", "cinepak"], "unknown codec 'cinepak'"),
        (["-f", "avi"], "'avi' is not a container for standard output"),
        (["-r", "fast"], "is no rate"),
        (["-y", "-n"], "-n"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_ends_with_2_and_writes_nothing(
    vidstyle, clip, style_file, tmp_path, flags, reason
):
    before = sorted(tmp_path.rglob("*"))
    code, out, err = vidstyle("render", clip, style_file, "-o", "out.mp4", *flags)
    assert (code, out) == (2, "")
    assert reason in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_an_unwritable_folder_is_named(vidstyle, clip, style_file, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    code, _, err = vidstyle("render", clip, style_file, "-o", "locked/out.mp4")
    assert code == 1 and "cannot be written" in err


def test_an_error_in_the_middle_keeps_what_is_painted(vidstyle, clip, style_file, monkeypatch):
    calls = []

    class Failing(render_job.Stylizer):
        def __call__(self, frame, motion=None, steps=None):
            calls.append(1)
            if len(calls) == 4:
                raise VidstyleError("the painter broke: paint less")
            return super().__call__(frame, motion, steps)

    monkeypatch.setattr("vidstyle.stylizer.stylizer.Stylizer", Failing)
    code, _, err = vidstyle("render", clip, style_file, "-o", "out.mp4", "--trace", "trace.json")
    assert (
        code == 1 and "the painter broke: paint less" in err and "so far are in out.part.mp4" in err
    )
    assert times_of("out.part.mp4") == times_of(clip)[:3]
    assert len(json.loads(Path("trace.json").read_text())["frames"]) == 3
    assert not Path("out.mp4").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_playable_part_and_names_it(
    tmp_path, features_file, style_file, number
):
    path = write_clip(tmp_path / "in.mp4", count=4000, rate=Fraction(25), sounds=1)
    render = [sys.executable, "-m", "vidstyle", "render", *QUICK_FLAGS, "--features", features_file]
    command = [*render, path, style_file, "-o", "out.mp4"]
    before = signal.signal(
        number, signal.SIG_DFL
    )  # a shell's background job ignores SIGINT, and so would what it starts
    process = subprocess.Popen(
        [str(word) for word in command], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    signal.signal(number, before)
    for line in process.stderr:
        if line.startswith("frame ") and int(line.split()[1].split("/")[0]) > 0:
            break
    process.send_signal(number)
    sent = time.monotonic()
    for _ in range(3):  # an impatient user
        time.sleep(0.05)
        process.send_signal(number)
    err = process.stderr.read()
    assert process.wait(timeout=30) == 130
    assert (
        time.monotonic() - sent < 20
    )  # finishing takes well under a second; a hang would take for ever
    assert "out.part.mp4" in err and "interrupted" in err and "Traceback" not in err
    painted = times_of(tmp_path / "out.part.mp4")
    assert 0 < len(painted) < 4000 and painted == [Fraction(n, 25) for n in range(len(painted))]
    assert sound_of(tmp_path / "out.part.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_system_library_that_opencv_lacks_is_named(tmp_path, picture_file, style_file):
    (tmp_path / "cv2.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    )
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "render",
        picture_file,
        style_file,
        "-o",
        "out.png",
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (
        result.returncode == 1
        and "apt-get install libgl1" in result.stderr
        and "Traceback" not in result.stderr
    )


def run_in_shell(words, **given):
    """Run Python code in a shell, which may close or redirect its streams."""
    command = f"{sys.executable} {words}"
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False, **given
    )


def test_reserve_standard_streams_keeps_their_places_free(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from vidstyle.cli.main import reserve_standard_streams\n"
        "reserve_standard_streams()\n"
        "print('said', file=__import__('sys').stderr)\n"
        "os._exit(os.open('file', os.O_WRONLY | os.O_CREAT))\n"
    )
    result = run_in_shell(f"{script} <&- >&- 2>&-", cwd=tmp_path)
    assert result.returncode > 2 and (tmp_path / "file").read_bytes() == b""


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no device that is always full"
)
def test_info_is_one_line_where_it_cannot_be_written():
    result = run_in_shell("-m vidstyle info > /dev/full")
    assert result.returncode == 1
    assert (
        result.stderr
        == "vidstyle: cannot write output: no space is left; free some, or choose another place\n"
    )


def test_info_says_what_is_here(vidstyle):
    code, out, _ = vidstyle("info")
    assert code == 0
    for word in (
        "styles: dots, engraving",
        "vidstyle 0.",
        "torch",
        "FFmpeg",
        "device cpu",
        "libx264",
        "bundled: there",
        "vgg19",
    ):
        assert word in out


def test_features_can_be_trained_and_used(vidstyle, tmp_path, picture_file, style_file):
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), np.roll(scene(), 20 * number, 1))
    flags = ["-o", "mine.safetensors", "--steps", "2", "--batch", "2", "--device", "cpu"]
    code, out, err = vidstyle("train-features", "pictures", *flags)
    assert code == 0 and "step 2/2" in err and "recognised" in err
    assert "style share" in out and (tmp_path / "mine.png").exists()
    code, _, err = vidstyle("train-features", "pictures", *flags)
    assert code == 1 and "-y" in err
    arguments = [
        picture_file,
        style_file,
        "-o",
        "out.png",
        "--features",
        "mine.safetensors",
        "--initial-steps",
        "1",
    ]
    assert cli.main([str(argument) for argument in ("render", *arguments)]) == 0


def test_without_a_command_usage_is_shown(vidstyle):
    code, _, err = vidstyle("--nonsense")
    assert code == 2 and "usage" in err


@pytest.mark.parametrize(
    "old, new, name, value",
    [
        (["--paint-size", "64"], "--working-size", "working_size", 64),
        (["--match-weight", "0.5"], "--patch-weight", "patch_weight", 0.5),
        (["--few-layers"], "--fast-style-layers", "fast_style_layers", True),
    ],
)
def test_parser_takes_an_old_flag_and_names_the_new_one(old, new, name, value):
    args = cli.build_parser().parse_args(["render", "a.mp4", "b.jpg", "-o", "c.mp4", *old])
    assert getattr(args, name) == value and args.renamed == [f"{old[0]} is now called {new}"]
