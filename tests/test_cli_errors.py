"""Errors of the command line: one line, an exit code, and no file touched."""

import errno
import json
import os
import re
from pathlib import Path

import cv2
import pytest
from conftest import scene, times_of, write_clip

from vidstyle import VidstyleError, cli, render_job


@pytest.mark.parametrize(
    "arguments",
    [
        ["render", "picture.png", "stripes.png", "-o", "out.png", "--trace", "kept.json"],
        ["mask", "in.mp4", "picture.png", "--json", "kept.json"],
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


@pytest.mark.parametrize("command", ["render", "mask"])
def test_command_names_a_missing_folder_of_its_progress(
    vidstyle, picture_file, style_file, command
):
    code, _, err = vidstyle(command, picture_file, style_file, "--json", "missing/progress.jsonl")
    assert code == 1 and "the folder missing does not exist: make it first" in err


def test_render_replaces_an_existing_output_only_with_y(
    vidstyle, picture_file, style_file, tmp_path
):
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
        "text as style": ([clip, "text.jpg", "-o", "out.mp4"], "not an image"),
        "directory as style": ([clip, "folder", "-o", "out.mp4"], "is a directory"),
        "directory as output": ([clip, style, "-o", "folder"], "is a directory"),
        "no folder for output": ([clip, style, "-o", "no/out.mp4"], "folder no does not exist"),
        "unknown ending": ([clip, style, "-o", "out.xyz"], "extension"),
        "clip to picture": ([clip, style, "-o", "out.png"], "--preview TIME"),
        "picture to clip": (["still.png", style, "-o", "out.mp4"], "is an image"),
        "picture to pictures": (["still.png", style, "-o", "out_%d.png"], "such as out.png"),
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
    "text as style",
    "directory as style",
    "directory as output",
    "no folder for output",
    "unknown ending",
    "clip to picture",
    "picture to clip",
    "picture to pictures",
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
def test_render_error_is_one_line_and_writes_nothing(vidstyle, tmp_path, kind):
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
        ["mask", "in.mp4", "style.png", "--json", "clip.mp4"],
        ["mask", "in.mp4", "style.png", "--json", "hard.png"],
        ["mask", "in.mp4", "style.png", "--overlay", "new.mp4", "--json", "new.mp4"],
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
        (["--style-weights", "a"], "separate numbers with commas"),
        (["--init", "grey"], "--init"),
        (["--preset", "best"], "--preset"),
        (["--device", "abacus"], "unknown device"),
        (["--device", "cpu:"], "unknown device"),
        (["--preview", "0", "-t", "1"], "cannot be used with"),
        (["--skip-existing", "-y"], "not allowed with"),
        (["-ss", "-3"], "-ss"),
        (["-ss", "soon"], "not a valid time"),
        (["-ss", "2", "-to", "1"], "empty"),
        (["-crf", "99"], "-crf is 99"),
        (["-c:v", "h264", "-crf", "52"], "0 (best) to 51"),
        (["-c:v", "prores", "-crf", "5"], "takes no crf"),
        (["-c:v", "cinepak"], "unknown codec 'cinepak'"),
        (["-f", "avi"], "'avi' is not a container for standard output"),
        (["-r", "fast"], "not a valid frame rate"),
        (["-r", "0"], "not a valid frame rate"),
        (["-r", "1e400"], "not a valid frame rate"),
        (["--frames", f"0-{10**20}"], "not a range of frames"),
        (["--person-model", "people.onnx"], "add --mask person"),
        (["-y", "-n"], "-n"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_render_with_wrong_usage_exits_with_2_and_writes_nothing(
    vidstyle, clip, style_file, tmp_path, flags, reason
):
    before = sorted(tmp_path.rglob("*"))
    code, out, err = vidstyle("render", clip, style_file, "-o", "out.mp4", *flags)
    assert (code, out) == (2, "")
    assert reason in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_render_names_an_unwritable_folder(vidstyle, clip, style_file, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    code, _, err = vidstyle("render", clip, style_file, "-o", "locked/out.mp4")
    assert code == 1 and "cannot be written" in err


def exhausted_quota():
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "trace.json")


def full_disk_behind_another_error():
    try:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        raise RuntimeError("unable to write to the file")


@pytest.mark.parametrize(
    "fail, name",
    [(exhausted_quota, "trace.json"), (full_disk_behind_another_error, "output")],
)
def test_command_says_that_no_space_is_left(vidstyle, monkeypatch, fail, name):
    monkeypatch.setattr("vidstyle.info.lines", fail)
    code, _, err = vidstyle("info")
    assert code == 1
    words = "no space is left; free some, or choose another place"
    assert err == f"vidstyle: cannot write {name}: {words}\n"


LONG = 300 * "n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["render", "in.mp4", "stripes.png", "-o", f"{LONG}.mp4"],
        ["render", f"{LONG}.mp4", "stripes.png", "-o", "out.mp4"],
        ["render", "in.mp4", "stripes.png", "-o", "out.mp4", "--weights", LONG],
        ["mask", f"{LONG}.mp4", "0=stripes.png"],
        [f"{LONG}.mp4", "stripes.png"],
    ],
)
def test_command_with_a_name_that_is_too_long_names_it_in_one_line(
    vidstyle, clip, style_file, arguments
):
    code, _, err = vidstyle(*arguments)
    assert code == 1 and err.count("\n") == 1 and LONG in err


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may look anywhere")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_render_names_a_file_in_a_folder_that_may_not_be_entered(
    vidstyle, clip, style_file, tmp_path, place
):
    (tmp_path / "locked").mkdir(mode=0)
    names = [clip, style_file, "out.mp4"]
    names[place] = "locked/a.mp4"
    code, _, err = vidstyle("render", *names[:2], "-o", names[2])
    assert code == 1 and err.count("\n") == 1 and "locked/a.mp4" in err


def test_render_keeps_finished_frames_after_an_error(vidstyle, clip, style_file, monkeypatch):
    calls = []

    class Failing(render_job.Stylizer):
        def __call__(self, frame, motion=None, steps=None, proposal=None):
            calls.append(1)
            if len(calls) == 4:
                raise VidstyleError("the painter broke: paint less")
            return super().__call__(frame, motion, steps, proposal)

    monkeypatch.setattr("vidstyle.stylizer.stylizer.Stylizer", Failing)
    code, _, err = vidstyle("render", clip, style_file, "-o", "out.mp4", "--trace", "trace.json")
    assert (
        code == 1 and "the painter broke: paint less" in err and "so far are in out.part.mp4" in err
    )
    assert times_of("out.part.mp4") == times_of(clip)[:3]
    assert len(json.loads(Path("trace.json").read_text())["frames"]) == 3
    assert not Path("out.mp4").exists()


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


@pytest.mark.parametrize("command", [["render", "a.mp4", "b.jpg"], ["live", "b.jpg"]])
def test_parser_takes_a_removed_flag_and_says_what_does_its_work(command):
    parser = cli.build_parser()
    args = parser.parse_args([*command, "--long-term"])
    assert args.renamed == [
        "--long-term is gone: the background plate gives uncovered ground its own stylisation back "
        "in every render"
    ]
    del args.renamed
    assert args == parser.parse_args(command)
