"""Outputs of a given width and height, and colour lookup tables."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from conftest import QUICK_FLAGS, painter, pixels_of, pixels_of_render, scene, write_clip

from vidstyle import Frame, InputError, Settings
from vidstyle.canvas import Canvas
from vidstyle.cli.main import main
from vidstyle.distributed.tasks import Clip
from vidstyle.io.lut import Lut, on_second_half
from vidstyle.io.source import open_source
from vidstyle.io.stream_info import VideoInfo
from vidstyle.job import RenderJob

_ROWS, _COLUMNS = np.mgrid[:48, :64]
GRADIENT = np.stack([_COLUMNS, _ROWS, np.full((48, 64), 9)], -1).astype(np.uint8)
"""(48, 64, 3): red is the column, green the row."""


def write_cube(path, function=lambda r, g, b: (1 - r, g, b), size=3):
    """Write a LUT of a function of colours in [0, 1]; by default red is inverted."""
    steps = [number / (size - 1) for number in range(size)]
    rows = (function(r, g, b) for b in steps for g in steps for r in steps)
    lines = [f"LUT_3D_SIZE {size}", *(" ".join(f"{x:.6f}" for x in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def cube(tmp_path):
    return write_cube(tmp_path / "it's a look.cube")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
def test_lut_changes_colors_and_keeps_alpha(cube, dtype, channels):
    peak = np.iinfo(dtype).max
    image = np.random.default_rng(0).integers(0, peak, (10, 14, channels)).astype(dtype)
    made = Lut(cube)(Frame(image)).image
    assert made.dtype == dtype and made.shape == image.shape
    error = made[..., 0].astype(float) - (peak - image[..., 0].astype(float))
    assert np.abs(error).max() <= 2  # rounding
    assert np.abs(made[..., 1:].astype(float) - image[..., 1:]).max() <= 2


def test_lut_of_one_dimension_and_frames_of_several_sizes(tmp_path):
    path = tmp_path / "line.cube"
    path.write_text("LUT_1D_SIZE 2\n1 0 0\n0 1 1\n")
    (tmp_path / "plane.csp").write_text(
        "CSPLUTV100\n1D\n\nBEGIN METADATA\nEND METADATA\n\n"
        + "2\n0 1\n0 1\n" * 3
        + "\n2\n1 0 0\n0 1 1\n"
    )
    write_cube(tmp_path / "comment.cube")
    commented = "# not a LUT_1D_SIZE\n" + (tmp_path / "comment.cube").read_text()
    (tmp_path / "comment.cube").write_text(commented)
    for other in ("plane.csp", "comment.cube"):
        made = Lut(tmp_path / other)(Frame(scene())).image
        assert np.abs(made[..., 0].astype(int) - (255 - scene()[..., 0].astype(int))).max() <= 1
    look = Lut(path)
    for size in ((64, 48), (32, 20)):
        image = scene(size=size)
        made = look(Frame(image)).image
        assert np.abs(made[..., 0].astype(int) - (255 - image[..., 0].astype(int))).max() <= 1


def test_lut_that_cannot_be_read_is_named_with_a_remedy(tmp_path):
    (tmp_path / "a.cube").write_text("nothing")
    with pytest.raises(InputError, match=r"a\.cube cannot be read as a LUT: export it"):
        Lut(tmp_path / "a.cube")
    with pytest.raises(InputError, match=r"b\.cube does not exist"):
        Lut(tmp_path / "b.cube")
    (tmp_path / "c.txt").write_text("a table")
    with pytest.raises(InputError, match=r"c\.txt is no LUT: give a file that ends in \.cube"):
        Lut(tmp_path / "c.txt")


def test_canvas_crops_both_sides_of_the_frame_and_of_its_masks():
    canvas = Canvas((90, 160))
    mask = GRADIENT[..., 0].copy()
    frame = Frame(
        GRADIENT, mask=mask, regions=mask[None], painted=np.dstack([GRADIENT, mask]).copy()
    )
    made = canvas.cropped(frame)
    assert made.size == canvas.cropped_size((64, 48)) == (27, 48)
    assert made.image[0, 0, 0] == 18 and made.image[0, -1, 0] == 44
    for part in (made.mask, made.regions[0], made.painted[..., 3]):
        assert np.array_equal(part, made.image[..., 0])
    tall = Canvas((100, 50)).cropped(Frame(GRADIENT))
    assert tall.size == (64, 32) and tall.image[0, 0, 1] == 8
    assert Canvas((90, 160), "pad").cropped_size((64, 48)) == (64, 48)


@pytest.mark.parametrize("frame_size", [(64, 48), (101, 57), (57, 101), (1919, 1081)])
@pytest.mark.parametrize("size", [(90, 160), (160, 90), (111, 113)])
def test_canvas_has_exactly_its_size(frame_size, size):
    for mode in ("fill", "pad"):
        canvas = Canvas(size, mode)
        cropped = canvas.cropped_size(frame_size)
        long_side = canvas.output_px(cropped)
        scale = long_side / max(cropped)
        stylized = [round(side * scale) for side in cropped]
        assert all(
            abs(got - want) <= 1 if mode == "fill" else got <= want + 1
            for got, want in zip(stylized, size, strict=True)
        )
        image = np.zeros((stylized[1], stylized[0], 3), np.uint8)
        assert canvas.finished(Frame(image)).size == size


def test_canvas_pads_with_black_or_transparent_bars():
    canvas = Canvas((40, 80), "pad")
    made = canvas.finished(Frame(np.full((30, 40, 4), 200, np.uint8))).image
    assert made.shape == (80, 40, 4)
    assert (made[25:55] == 200).all() and not made[:25].any() and not made[55:].any()
    fitting = Frame(np.zeros((30, 40, 3), np.uint8))
    assert Canvas((40, 80), "fit").finished(fitting) is fitting


def test_canvas_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"size is 8x80: each side must be 32 to 16384 px"):
        Canvas((8, 80))
    with pytest.raises(ValueError, match="fit is 'crop': use one of fill, pad, fit"):
        Canvas((80, 80), "crop")
    for size in (("80", "80"), (80,), (64.5, 64)):
        with pytest.raises(TypeError, match="use a width and a height"):
            Canvas(size)
    wide = VideoInfo((720, 576), sample_aspect_ratio=Fraction(64, 45), path="pal.mov")
    with pytest.raises(InputError, match=r"pal\.mov has pixels that are not square"):
        Canvas((80, 80)).check(wide)


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "in.mkv", count=3, rate=Fraction(10), crf=1)


@pytest.fixture
def render(tmp_path, features_file, style_file, clip):
    def run(name, *flags):
        files = "--features", features_file, "-c:v", "ffv1"
        command = "render", *QUICK_FLAGS, "-q", clip, style_file, "-o", tmp_path / name, *files
        main([*map(str, (*command, *flags))])
        return pixels_of(tmp_path / name)

    return run


def test_render_writes_clips_of_a_given_width_and_height(render):
    filled = render("fill.mkv", "--size", "36x64")
    assert len(filled) == 3 and filled[0].shape == (64, 36, 3) and filled[0][:6].mean() > 20
    padded = render("pad.mkv", "--size", "36x64", "--fit", "pad")
    assert padded[0].shape == (64, 36, 3)
    assert not padded[0][:12].any() and padded[0][24:40].mean() > 20
    assert render("fit.mkv", "--size", "36x64", "--fit", "fit")[0].shape[:2] == (27, 36)


def test_render_applies_a_look_before_or_after(render, cube, clip):
    plain, after = render("plain.mkv"), render("after.mkv", "--look", cube)
    red = after[1][..., 0].astype(int) - (255 - plain[1][..., 0].astype(int))
    assert np.abs(red).max() <= 1
    before = render("before.mkv", "--look-before", cube, "--strength", "0")
    source = pixels_of(clip)[1]
    assert np.abs(before[1][..., 0].astype(int) - (255 - source[..., 0].astype(int))).max() <= 1


def test_render_leaves_the_source_of_a_comparison_without_the_look(render, cube):
    plain, made = render("plain.mkv", "--compare"), render("made.mkv", "--compare", "--look", cube)
    assert np.array_equal(made[1][:, :64], plain[1][:, :64])
    red = made[1][:, 64:, 0].astype(int) - (255 - plain[1][:, 64:, 0].astype(int))
    assert np.abs(red).max() <= 1


def test_on_second_half_takes_the_lower_half_too(cube):
    made = on_second_half(Lut(cube), 0, Frame(GRADIENT)).image
    assert np.array_equal(made[:24], GRADIENT[:24])
    assert np.array_equal(made[24:], Lut(cube)(Frame(GRADIENT[24:].copy())).image)


def test_api_takes_canvas_and_looks(tmp_path, features, style_file, clip, cube):
    def render(name, **options):
        return pixels_of_render(clip, style_file, tmp_path / name, features, **options)

    made = render("a.mkv", canvas=(64, 64), fit="pad", look=cube, look_before=cube)
    assert made[0].shape == (64, 64, 3) and not made[0][:7].any()
    with pytest.raises(ValueError, match="compare cannot be used with a width and height"):
        render("b.mkv", canvas=(64, 64), compare="beside")


def test_flags_of_a_width_and_height_that_exclude_each_other_are_refused(render, capsys):
    for flags, message in (
        (["--fit", "pad"], "--fit works with a width and height only"),
        (["--size", "64x64", "--compare"], "--compare cannot be used with --size"),
        (["--size", "64x"], "is not a size"),
        (["--size", "8x80"], "each side must be"),
    ):
        with pytest.raises(SystemExit):
            render("x.mkv", *flags)
        assert message in capsys.readouterr().err


def test_canvas_counts_as_players_show_a_rotated_clip(tmp_path, features, style):
    path = tmp_path / "rotated.mov"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", 25)
        video.width, video.height = 64, 48
        video.set_display_rotation(90)
        for packet in [*video.encode(av.VideoFrame.from_ndarray(scene())), *video.encode()]:
            container.mux(packet)
    job = RenderJob(path, tmp_path / "out.mp4", canvas=Canvas((40, 64)))
    with job.open_source() as source:
        stylizer = painter(features, style)
        job.prepare(stylizer, source.format)
        assert source.format.rotation == 90
        assert stylizer(next(iter(source))).size == (64, 40)


def test_job_with_another_canvas_or_look_is_not_resumed(tmp_path, clip, cube, monkeypatch):
    job = RenderJob(clip, tmp_path / "out.mkv", look=cube, canvas=Canvas((64, 64)))
    before = job.identity(Settings())
    assert replace(job, canvas=Canvas((64, 64), "pad")).identity(Settings()) != before
    assert replace(job, look=None, look_before=cube).identity(Settings()) != before
    write_cube(cube, lambda r, g, b: (r, g, 1 - b))
    assert job.identity(Settings()) != before
    monkeypatch.chdir(tmp_path)
    assert Clip.of(replace(job, look=cube.relative_to(tmp_path)), Settings()).job.look == cube


def test_source_with_a_canvas_says_the_size_of_its_frames(clip, picture_file):
    for name in (clip, picture_file):
        with RenderJob(name, "out.mkv", canvas=Canvas((48, 96))).open_source() as source:
            sizes = {frame.size for frame in source}
            assert sizes == {source.format.size} == {(24, 48)}
    with open_source(clip) as source:
        assert source.format.size == (64, 48)
