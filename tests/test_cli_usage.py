"""How a command is typed: optional parts, default names, help after mistakes."""

import json
from dataclasses import fields
from pathlib import Path

import av
import pytest
from conftest import QUICK_FLAGS, times_of, write_clip

from vidstyle import Settings, cli
from vidstyle.cli.shared_flags import BASIC_SETTINGS, SETTING_GROUPS
from vidstyle.inputs import default_output, is_taken


@pytest.fixture
def short(features_file, tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder with fast settings; returns (code, out, err)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, quick=True):
        flags = [*QUICK_FLAGS, "--features", features_file] if quick else []
        try:
            code = cli.main([str(word) for word in (*arguments, *flags)])
        except SystemExit as leaving:
            code = leaving.code
        return code, *capsys.readouterr()

    return run


def test_command_may_be_left_out_and_the_output_gets_a_name(short, clip, style_file):
    for expected in ("clip_stripes.mp4", "clip_stripes_2.mp4"):
        assert short(clip.name, style_file.name)[0] == 0
        assert times_of(expected) == times_of(clip)
    code, _, err = short(clip.name, style_file.name, "-y")
    assert code == 0 and "clip_stripes.mp4: 6 frames in" in err
    assert not Path("clip_stripes_3.mp4").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("-i", "clip.mp4", "-s", "stripes.png"),
        ("-i", "clip.mp4", "stripes.png"),
        ("clip.mp4", "-s", "stripes.png"),
        ("--style", "stripes.png", "--input", "clip.mp4"),
        ("render", "clip.mp4", "stripes.png"),
    ],
    ids=" ".join,
)
def test_command_takes_input_and_style_as_flags(short, clip, style_file, arguments):
    code, _, _ = short(*arguments, "-to", "0.05")
    assert code == 0 and len(times_of("clip_stripes.mp4")) == 2


def test_command_writes_several_inputs_without_an_output_next_to_each(
    short, clip, picture_file, style_file
):
    assert short("clip.mp4", "picture.png", "-s", "stripes.png", "-to", "0.05")[0] == 0
    assert Path("clip_stripes.mp4").exists() and Path("picture_stripes.png").exists()


def test_command_writes_several_inputs_of_flags_into_a_folder(
    short, clip, picture_file, style_file
):
    inputs = "-i", "clip.mp4", "-i", "picture.png"
    assert short(*inputs, "stripes.png", "-o", "made", "-to", "0.05")[0] == 0
    assert sorted(path.name for path in Path("made").iterdir()) == ["clip.mp4", "picture.png"]
    code, _, err = short(*inputs, "stripes.png", "-o", "made.mp4")
    assert code == 1 and "several inputs need a directory" in err


def test_command_writes_a_folder_without_an_output_to_another_folder(short, tmp_path, style_file):
    (tmp_path / "holiday").mkdir()
    write_clip(tmp_path / "holiday" / "sea.mp4", count=2)
    assert short("holiday", "stripes.png")[0] == 0
    assert [path.name for path in Path("holiday_stripes").iterdir()] == ["sea.mp4"]
    code, _, err = short("holiday", "clip.mp4", "-s", "stripes.png")
    assert code == 2 and "add -o FOLDER" in err


@pytest.mark.parametrize(
    "words",
    [("--at", "0:01", "strength=3"), ("--region", "mask.png=ink,strength=3")],
    ids=" ".join,
)
def test_command_names_the_flag_of_a_value_out_of_range(short, clip, style_file, words):
    code, _, err = short("clip.mp4", "stripes.png", *words)
    assert code == 2 and f"{' '.join(words)}: strength is 3.0: it must be" in err


def test_command_names_the_output_of_a_preview(short, clip, style_file):
    for expected in ("clip_stripes.preview.png", "clip_stripes_2.preview.png"):
        assert short("clip.mp4", "stripes.png", "--preview", "0")[0] == 0
        assert Path(expected).exists()
    assert not Path("clip_stripes.mp4").exists()


@pytest.mark.parametrize(
    "name, styles, expected",
    [
        ("in/clip.avi", ["a/ink.jpg"], "in/clip_ink.mp4"),
        ("clip.mkv", ["ink", "dots"], "clip_ink_dots.mkv"),
        ("photo.jpg", ["ink"], "photo_ink.jpg"),
        ("photo.heic", ["ink"], "photo_ink.png"),
        ("frame_%05d.png", ["ink"], "frame_ink.mp4"),
        ("https://host/a/clip.webm?key=1", ["ink"], "clip_ink.webm"),
        ("animation.gif", ["ink"], "animation_ink.mp4"),
    ],
)
def test_default_output_is_named_after_input_and_styles(name, styles, expected):
    assert default_output(name, styles) == Path(expected)


def test_default_output_passes_over_names_that_are_taken(tmp_path):
    (tmp_path / "clip_ink.mp4").touch()
    (tmp_path / "clip_ink_2.part").mkdir()
    found = default_output(str(tmp_path / "clip.mp4"), ["ink"], is_taken)
    assert found == tmp_path / "clip_ink_3.mp4"


@pytest.mark.parametrize(
    "arguments, expected, message",
    [
        ([], 2, "Help of a command"),
        (["rendr", "clip.mp4", "ink"], 2, "did you mean render?"),
        (["nonsense"], 2, "commands are render, live"),
        (["clip.mp4"], 2, "no style given"),
        (["clip.mp4", "clip.mp4"], 2, "vidstyle clip.mp4 clip.mp4 --style strokes"),
        (["picture.png", "clip.mp4"], 1, "swapped"),
        (["clip.mp4", "strks"], 1, "did you mean strokes?"),
        (["clip.mp4", "nothing.jpg"], 1, "bundled styles dots, engraving"),
        (["--style", "ink", "clip.mp4"], 2, "all names after --style are styles"),
        (["-", "ink"], 1, "needs -o FILE"),
        (["clip.mp4", "ink", "--json", "-", "-o", "-"], 2, "both write to standard output"),
    ],
    ids=str,
)
def test_command_answers_a_mistake_with_help(
    short, clip, picture_file, arguments, expected, message
):
    before = sorted(Path().iterdir())
    code, out, err = short(*arguments, quick=False)
    assert (code, out) == (expected, "") and message in err
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["render", "a.mp4", "ink", "--prset", "draft"], "did you mean --preset?"),
        (["a.mp4", "ink", "--prset=draft"], "did you mean --preset?"),
        (["mask", "--ovrlay", "a.mp4"], "has no flag --ovrlay: did you mean --overlay?"),
        (["render", "a.mp4", "ink", "--camera", "0"], "it is a flag of vidstyle live"),
        (["info", "--zzz"], "vidstyle info has no flag --zzz: vidstyle info --help lists"),
        (["render", "a.mp4", "ink", "-cfr", "20"], "did you mean -crf?"),
        (["render", "a.mp4", "ink", "--steps"], "--steps: expected one argument"),
        (["render", "a.mp4", "ink", "--preset", "drft"], "still: did you mean draft?"),
        (["render", "a.mp4", "ink", "--faces", "x"], "--faces: 'x' is not one of keep, paint;"),
        (["obs", "instal"], "vidstyle: 'instal' is not one of install, connect, check: did you"),
        (["mask", "a.mp4"], "vidstyle mask --help lists the arguments"),
        (["--foo"], "vidstyle has no flag --foo"),
    ],
    ids=str,
)
def test_command_answers_a_wrong_flag_in_one_line(short, arguments, message):
    code, out, err = short(*arguments, quick=False)
    assert (code, out) == (2, "") and message in err
    assert err.startswith("vidstyle: ") and err.count("\n") == 1


def test_command_writes_a_json_line_for_each_event(short, clip, style_file):
    code, out, _ = short("clip.mp4", "stripes.png", "--json", "-", "-q")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert (events[0]["event"], events[0]["frames"]) == ("start", 6)
    assert events[0]["working_size"] == [64, 48] and events[0]["output"] == "clip_stripes.mp4"
    assert {event["event"] for event in events[1:-1]} == {"progress"}
    assert (events[-2]["done"], events[-2]["total"]) == (6, 6)
    assert (events[-1]["event"], events[-1]["frames"]) == ("end", 6)
    Path("kept.jsonl").write_text("precious")
    code, _, err = short("clip.mp4", "stripes.png", "--json", "kept.jsonl")
    assert code == 1 and "kept.jsonl exists: add -y" in err
    assert Path("kept.jsonl").read_text() == "precious"


def test_render_tells_sizes_and_memory_first_and_estimates_the_time(short, tmp_path, style_file):
    write_clip(tmp_path / "long.mp4", count=12, size=(128, 96))
    code, _, err = short("long.mp4", "stripes.png")
    lines = err.splitlines()
    assert code == 0 and lines[0] == "long.mp4: 128x96, 12 frames"
    assert lines[1].startswith("stylised at 64x48 on cpu, enlarged 2.0 times to 128x96; about ")
    assert lines[1].endswith(" MB of memory")
    assert any(line.startswith("about ") and "rest of the clip" in line for line in lines)


@pytest.mark.parametrize("fit, size", [("fill", [90, 160]), ("pad", [90, 160]), ("fit", [90, 68])])
def test_render_tells_the_size_that_the_output_gets(short, clip, style_file, fit, size):
    flags = "--size", "90x160", "--fit", fit, "-o", "tall.mkv", "-to", "0.05", "--json", "-"
    code, out, _ = short("clip.mp4", "stripes.png", *flags)
    start = json.loads(out.splitlines()[0])
    with av.open("tall.mkv") as made:
        assert [made.streams.video[0].width, made.streams.video[0].height] == size
    assert code == 0 and start["output_size"] == size


def test_render_says_that_a_clip_keeps_its_rate(short, clip, style_file):
    code, _, err = short("clip.mp4", "stripes.png", "-r", "5", "-to", "0.05")
    assert code == 0 and "-r is for image sequences such as frame_%05d.png: clip.mp4 keeps" in err


def test_render_lists_the_layers_after_an_unknown_one(short, clip, style_file):
    code, _, err = short("clip.mp4", "stripes.png", "--style-layers", "nothing", quick=False)
    assert code == 2 and "vgg.relu5_1, colour, tone, oriented1" in err


def test_command_takes_an_old_preset_name_and_warns(short, picture_file, style_file):
    code, _, err = short("picture.png", "stripes.png", "--preset", "quality")
    assert code == 0 and "the preset quality is now called final" in err


def test_setting_groups_have_every_setting_once():
    listed = [*BASIC_SETTINGS, *(name for names in SETTING_GROUPS.values() for name in names)]
    assert sorted(listed) == sorted(setting.name for setting in fields(Settings))


def test_render_help_lists_basic_flags_before_those_of_experts(short):
    code, out, _ = short("render", "--help", quick=False)
    assert code == 0
    order = ["--output", "--preset", "--size", "--preview", "-crf", "--content-weight", "--device"]
    places = [out.index(flag + " ", out.index("positional")) for flag in order]
    assert places == sorted(places)


def test_print_completion_knows_the_flags(short):
    pytest.importorskip("shtab")
    code, out, _ = short("--print-completion", "bash", quick=False)
    assert code == 0 and "--working-size" in out and "train-features" in out
