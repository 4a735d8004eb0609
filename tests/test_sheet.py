"""Contact sheets: one frame in several styles and settings."""

import shlex
from fractions import Fraction

import cv2
import numpy as np
import pytest
from conftest import QUICK, QUICK_FLAGS, scene, stripes, write_clip
from media import encoded

from vidstyle import Frame, InputError, open_source
from vidstyle.cli.main import build_parser, main
from vidstyle.cli.sheet import VARIABLE
from vidstyle.io.images import read_image, write_image
from vidstyle.settings import Settings
from vidstyle.sheet import MAX_CELLS, cell_px, make_sheet, read_frame, sheet_cells
from vidstyle.sheet_output import sheet_image, sheet_page


@pytest.fixture
def folder(tmp_path, monkeypatch, features_file):
    """A folder with a clip, an image and two styles; returns a function that runs the command."""
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=10)
    write_image(tmp_path / "photo.png", scene())
    write_image(tmp_path / "a style.png", stripes())
    write_image(tmp_path / "b.png", stripes()[..., ::-1].copy())
    quick = [flag for flag in QUICK_FLAGS if flag != "--steps"]
    quick.remove("1")

    def run(*arguments):
        return main(["sheet", *arguments, *quick, "--features", str(features_file), "-q"])

    return run


def test_sheet_has_a_row_per_style_and_a_column_per_value(folder, tmp_path, capsys):
    assert folder("clip.mp4", "a style.png", "b.png", "--vary", "strength=0,0.5,1") == 0
    assert capsys.readouterr().out == "clip_sheet.jpg\n"
    image = read_image(tmp_path / "clip_sheet.jpg")
    assert image.shape[1] > 3 * 64 and image.shape[0] > 3 * 48
    row = image[64 + 26 + 20 :][:20]  # within the first row of cells
    assert np.abs(row[:, 8:72].astype(int) - row[:, 152:216]).mean() > 5


def test_sheet_command_of_a_cell_has_all_that_the_cell_has(folder, tmp_path):
    arguments = "--vary", "content-weight=0.02,0.3", "--vary", "original-colors=no,yes"
    assert folder("photo.png", "a style.png", *arguments, "-o", "s.html") == 0
    page = (tmp_path / "s.html").read_text()
    commands = [part.split("</code>")[0] for part in page.split("<code>")[1:]]
    assert len(commands) == 4
    assert all("--features" in command and "tiny.safetensors" in command for command in commands)
    words = [shlex.split(command.replace("&#x27;", "'")) for command in commands]
    assert words[3][:4] == ["vidstyle", "render", "photo.png", "a style.png"]
    args = build_parser().parse_args(words[3][1:])
    assert (args.content_weight, args.original_colors, args.patch_weight) == (0.3, True, 0)
    assert build_parser().parse_args(words[0][1:]).original_colors is None


def test_sheet_varies_what_a_flag_turns_on(folder, tmp_path):
    flags = "--original-colors", "--vary", "original-colors=no,yes"
    assert folder("photo.png", "a style.png", *flags, "-o", "s.html") == 0
    without, with_it = (tmp_path / "s.html").read_text().split("<code>")[1:]
    assert "--original-colors" not in without and "--original-colors" in with_it


def test_sheet_page_needs_nothing_from_elsewhere(features, style):
    cells = sheet_cells(["<b>"], {"strength": [0.5, 1.0]})
    sheet = make_sheet(Frame(scene()), cells, {"<b>": style}, QUICK, features)
    page = sheet_page(sheet, "a & b", ["vidstyle <x>", "y"])
    assert "http" not in page.replace("http-equiv", "")
    assert "<b>" not in page and "&lt;b&gt;" in page and "a &amp; b" in page
    assert page.count('type="range"') == 2


def test_sheet_cells_are_all_combinations():
    cells = sheet_cells(["a", "b"], {"strength": [0.5, 1.0], "style_scale": [1.0, 2.0]})
    assert [cell.style for cell in cells] == ["a"] * 4 + ["b"] * 4
    assert cells[1].changes == {"strength": 0.5, "style_scale": 2.0}
    assert sheet_cells(["a"], {})[0].changes == {}
    with pytest.raises(ValueError, match="at most"):
        sheet_cells(["a"], {"seed": range(MAX_CELLS + 1)})


def test_sheet_cells_of_a_tiny_image_keep_its_size(features, style):
    sheet = make_sheet(
        Frame(scene(size=(5, 1))), sheet_cells(["a"], {}), {"a": style}, QUICK, features
    )
    assert sheet.images[0].shape == (1, 5, 3)


def test_cell_size_falls_with_the_number_of_cells():
    sizes = [cell_px((1920, 1080), count) for count in (1, 6, 12, 60)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 512 and sizes[-1] >= 128
    assert cell_px((96, 64), 1) == 96  # never enlarged


def test_sheet_images_are_those_of_the_settings(features, style):
    cells = sheet_cells(["s"], {"strength": [0.0, 1.0]})
    done = []
    sheet = make_sheet(Frame(scene()), cells, {"s": style}, QUICK, features, done.append)
    assert done == [1, 2]
    assert np.abs(sheet.images[0].astype(int) - sheet.source).max() <= 1
    assert np.abs(sheet.images[1].astype(int) - sheet.source).mean() > 3


def test_sheet_image_shortens_long_captions(features, style):
    cells = sheet_cells(["x" * 200], {})
    sheet = make_sheet(Frame(scene()), cells, {"x" * 200: style}, QUICK, features)
    assert sheet_image(sheet, "clip.mp4").shape == (48 + 18 + 16, 2 * 72 + 8, 3)


def test_read_frame_takes_the_middle_or_the_time_of_a_clip(tmp_path):
    clip = write_clip(
        tmp_path / "clip.mp4",
        count=10,
        rate=Fraction(30),
        picture=lambda time: np.full((48, 64, 3), 20 * round(30 * time) + 20, np.uint8),
    )
    with open_source(clip) as source:
        frames = [frame.image.astype(int) for frame in source]
    middle, last = frames[5], frames[-1]
    assert np.abs(read_frame(clip).image.astype(int) - middle).mean() < 1
    assert np.abs(read_frame(clip, Fraction(3, 10)).image.astype(int) - last).mean() < 1
    with pytest.raises(InputError):
        read_frame(clip, Fraction(100))
    write_image(tmp_path / "alpha.png", np.dstack([scene(), np.full((48, 64), 9, np.uint8)]))
    assert read_frame(tmp_path / "alpha.png").image.shape == (48, 64, 3)


def test_read_frame_shows_pixels_that_are_not_square_as_players_do(tmp_path):
    path = tmp_path / "pal.mp4"
    encoded(path, [scene()], sample_aspect_ratio=Fraction(3, 2))
    assert read_frame(path).size == (96, 48)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "b.png", "--vary", "contnt-weight=1,2"], "use content-weight"),
        (["photo.png", "b.png", "--vary", "engine=eager"], "knows no setting 'engine'"),
        (["photo.png", "b.png", "--vary", "strength"], "has no values"),
        (["photo.png", "b.png", "--vary", "strength=0.5,x"], "'x' is no value of strength"),
        (["photo.png", "b.png", "--vary", "strength=2"], "--strength is 2"),
        (["photo.png", "b.png", "--vary", "original-colors=1"], "use yes or no"),
        (["photo.png", "b.png", "--vary", "seed=0.5"], "use whole numbers"),
        (["-", "b.png"], "not standard input"),
        ([".", "b.png"], "is a folder"),
        (["photo.png", "b.png", "--compare"], "--compare cannot be used"),
        (["photo.png", "b.png", "--vary", "seed=1", "--vary", "seed=2"], "names seed twice"),
        (
            ["photo.png", "b.png", "--preset", "draft", "--vary", "fast-style-layers=no,yes"],
            "no flag turns it off: choose another --preset",
        ),
        (
            ["photo.png", "b.png", "--vary", "content-weight=1,0", "--vary", "style-weight=1,0"],
            "are both 0",
        ),
    ],
)
def test_sheet_reports_wrong_flags_in_one_line(folder, capsys, arguments, message):
    with pytest.raises(SystemExit) as error:
        folder(*arguments)
    lines = capsys.readouterr().err.splitlines()
    assert error.value.code == 2 and len(lines) == 1 and message in lines[0]


def test_sheet_replaces_nothing_without_being_asked(folder, tmp_path, capsys):
    (tmp_path / "photo_sheet.jpg").write_bytes(b"old")
    assert folder("photo.png", "b.png") == 1
    assert "-y to replace it" in capsys.readouterr().err
    assert (tmp_path / "photo_sheet.jpg").read_bytes() == b"old"
    assert folder("photo.png", "b.png", "-o", "b.png", "-y") == 1
    assert cv2.imread("b.png") is not None


@pytest.mark.parametrize("name", ["out.mp4", "out", "out_%03d.png"])
def test_sheet_refuses_other_endings_before_it_begins(folder, capsys, name):
    assert folder("photo.png", "b.png", "-o", name) == 1
    expected = "neither an image nor a page: use a name such as out.jpg, or"
    assert expected in capsys.readouterr().err


def test_sheet_of_styles_with_one_stem_shows_both(folder, tmp_path):
    (tmp_path / "other").mkdir()
    write_image(tmp_path / "other" / "b.png", stripes((48, 48)))
    assert folder("photo.png", "b.png", "other/b.png", "b.png", "-o", "s.html") == 0
    page = (tmp_path / "s.html").read_text()
    assert page.count("<code>") == 2
    assert "photo.png b.png " in page and "photo.png other/b.png " in page


def test_settings_that_vary_exist():
    assert set(VARIABLE) <= set(Settings.__dataclass_fields__)
