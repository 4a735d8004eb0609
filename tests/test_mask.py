"""Masks: where frames are stylised."""

import logging
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from conftest import QUICK_FLAGS, painter, scene, write_clip

import vidstyle as vs
from vidstyle import Frame, InputError, OutputError, open_source
from vidstyle.cli.main import main
from vidstyle.io.frame_times import frame_times
from vidstyle.io.images import read_image, write_image
from vidstyle.io.mask import with_masks
from vidstyle.io.mask_file import MaskFile
from vidstyle.io.source import ImageSource
from vidstyle.job import RenderJob
from vidstyle.settings import Settings


def gray(levels, channels=3):
    """(H, W, 3) uint8 of gray levels, (H, W)."""
    return np.repeat(np.asarray(levels, np.uint8)[..., None], channels, -1)


def half(size=(64, 48), share=0.5):
    """(H, W): white from the left border on to a share of the width."""
    levels = np.zeros((size[1], size[0]), np.uint8)
    levels[:, : round(share * size[0])] = 255
    return levels


@pytest.fixture
def mask_file(tmp_path):
    path = tmp_path / "mask.png"
    write_image(path, gray(half()))
    return path


def masks_of(name, mask, start=None, rate=None):
    with RenderJob(name, "out.mkv", start=start, rate=rate, mask=mask).open_source() as source:
        return [frame.mask for frame in source]


def test_stylizer_changes_nothing_where_the_mask_is_black(features, style):
    levels = half()
    levels[:, 30:34] = 128  # a soft edge
    frame = Frame(scene(), mask=levels)
    for settings in ({}, {"strength": 0.5}, {"original_colors": True}):
        made = painter(features, style, **settings)(frame)
        assert made.mask is None
        assert np.array_equal(made.image[levels == 0], frame.image[levels == 0])
        inside = np.abs(made.image.astype(int) - frame.image)[levels == 255]
        assert inside.mean() > 3
    whole = painter(features, style)(Frame(scene())).image.astype(int)
    soft = painter(features, style)(frame).image
    between = (whole + frame.image) / 2
    assert np.abs(soft - between)[levels == 128].max() <= 2


def test_stylizer_keeps_what_is_outside_the_mask_in_16_bits_and_with_alpha(features, style):
    image = np.dstack([scene(), np.full((48, 64), 77, np.uint8)]).astype(np.uint16) * 257
    frame = Frame(image, mask=half())
    made = painter(features, style)(frame).image
    assert made.dtype == np.uint16 and (made[..., 3] == 77 * 257).all()
    # Levels of 65,535 in float32: rounding to nearest gives them back.
    assert np.array_equal(made[:, 32:], image[:, 32:])


def test_frame_refuses_a_mask_of_another_shape_or_type():
    for mask in (half((32, 48)), half().astype(np.float32)):
        with pytest.raises(ValueError, match="mask must be a uint8 array"):
            Frame(scene(), mask=mask)


def test_mask_of_a_still_image_is_that_of_every_frame(tmp_path, mask_file):
    clip = write_clip(tmp_path / "clip.mp4", count=3)
    masks = masks_of(clip, MaskFile(mask_file))
    assert len(masks) == 3 and all(np.array_equal(mask, half()) for mask in masks)
    inverted = masks_of(clip, MaskFile(mask_file, invert=True))
    assert np.array_equal(inverted[0], 255 - half())
    assert np.array_equal(masks_of(mask_file, MaskFile(mask_file))[0], half())


def test_mask_uses_alpha_where_there_is_some(tmp_path):
    write_image(tmp_path / "rgba.png", np.dstack([gray(255 - half()), half()]))
    masks = masks_of(tmp_path / "rgba.png", MaskFile(tmp_path / "rgba.png"))
    assert np.array_equal(masks[0], half())
    assert np.array_equal(masks_of(tmp_path / "rgba.png", MaskFile("alpha", True))[0], 255 - half())
    write_image(
        tmp_path / "opaque.png", np.dstack([gray(half()), np.full((48, 64), 255, np.uint8)])
    )
    masks = masks_of(tmp_path / "rgba.png", MaskFile(tmp_path / "opaque.png"))
    assert np.array_equal(masks[0], half())
    clip = write_clip(tmp_path / "clip.mp4")
    with pytest.raises(InputError, match="no alpha channel"):
        masks_of(clip, MaskFile("alpha"))


def test_mask_clip_that_is_opaque_at_first_uses_its_alpha_later(tmp_path):
    noise = np.full((48, 64), 252, np.uint8)  # of a codec
    for number, alpha in enumerate((noise, half(), noise)):
        write_image(tmp_path / f"mask_{number}.png", np.dstack([gray(255 - half()), alpha]))
    clip = write_clip(tmp_path / "clip.mp4", count=3)
    masks = masks_of(clip, MaskFile(tmp_path / "mask_%d.png"))
    assert np.array_equal(masks[0], 255 - half())  # its luma: its alpha shows nothing yet
    assert np.array_equal(masks[1], half())
    assert (masks[2] == 255).all()


def test_source_is_closed_where_its_mask_cannot_be_used(tmp_path):
    class Closing(ImageSource):
        closed = False

        def close(self):
            self.closed = True

    write_image(tmp_path / "photo.png", scene())
    for mask in ("nowhere.png", "alpha", "-"):
        source = Closing(tmp_path / "photo.png")
        with pytest.raises(InputError):
            with_masks(source, MaskFile(mask))
        assert source.closed


@pytest.mark.parametrize("rate", [10, 5, 20])
def test_masks_of_a_clip_belong_to_the_frames_of_the_same_time(tmp_path, rate):
    clip = write_clip(tmp_path / "clip.mp4", count=8, rate=Fraction(10))
    moving = write_clip(
        tmp_path / "mask.mkv",
        count=round(8 * rate / 10),
        rate=Fraction(rate),
        picture=lambda time: gray(half(share=(1 + int(10 * time + 1e-6)) / 8)),
        crf=1,
    )
    masks = masks_of(clip, MaskFile(moving))
    step = max(1, 10 // rate)
    for number, mask in enumerate(masks):
        expected = half(share=(1 + number // step * step) / 8)
        # Chroma and the block transform of the codec reach a few pixels beyond the edge.
        assert np.abs(mask.astype(int) - expected).mean() < 4
    # A part of the clip has the masks of the whole, wherever it begins.
    for first in (1, 4, 7):
        later = masks_of(clip, MaskFile(moving), start=Fraction(first, 10))
        for mask, expected in zip(later, masks[first:], strict=True):
            assert np.array_equal(mask, expected)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(240)])
def test_masks_of_a_matroska_clip_are_in_step(tmp_path, rate):
    # Matroska rounds its timestamps to milliseconds.
    clip = write_clip(tmp_path / "clip.mp4", count=12, rate=rate)
    moving = write_clip(
        tmp_path / "mask.mkv",
        count=12,
        rate=rate,
        picture=lambda time: gray(np.full((48, 64), 20 * round(time * rate) + 10)),
        crf=1,
    )
    for start in (None, 7 / rate):
        first = 7 if start else 0
        for number, mask in enumerate(masks_of(clip, MaskFile(moving), start), first):
            assert abs(mask.mean() - (20 * number + 10)) < 6


@pytest.mark.parametrize("start", [None, Fraction(1, 5)])
@pytest.mark.parametrize("mask", ["mask_%03d.png", "mask.mkv"])
def test_masks_belong_to_the_frames_though_sound_begins_before_them(tmp_path, start, mask):
    rate = Fraction(50)
    levels = [gray(np.full((48, 64), 8 * number + 10)) for number in range(30)]
    times = {"time_base": Fraction(1, 1000), "crf": 1}
    for name, lead, sounds in (("mask.mkv", 0, 0), ("clip.mkv", 25, 1)):
        write_clip(
            tmp_path / name,
            rate=rate,
            pts=range(lead, lead + 600, 20),
            picture=lambda time, lead=lead: levels[round((time - lead / 1000) * rate)],
            sounds=sounds,
            **times,
        )
    for number, image in enumerate(levels):
        write_image(tmp_path / f"mask_{number:03}.png", image)
    clip = tmp_path / "clip.mkv"
    with RenderJob(
        clip, "out.mkv", start=start, mask=MaskFile(tmp_path / mask)
    ).open_source() as source:
        differences = [abs(frame.mask.mean() - frame.image.mean()) for frame in source]
    assert len(differences) > 18 and max(differences) < 3


def test_clip_with_a_mask_is_opened_once_for_a_part(tmp_path, mask_file, monkeypatch):
    clip, opened = write_clip(tmp_path / "in.mp4"), []
    monkeypatch.setattr(
        "vidstyle.job.open_source",
        lambda *arguments: opened.append(arguments) or open_source(*arguments),
    )
    masks_of(clip, MaskFile(mask_file), start=Fraction(1, 10))
    assert len(opened) == 1


def test_mask_that_ends_before_the_part_begins_stays(tmp_path, caplog):
    clip = write_clip(tmp_path / "clip.mp4", count=8, rate=Fraction(10))
    short = write_clip(
        tmp_path / "mask.mkv", count=2, rate=Fraction(10), picture=lambda time: gray(half()), crf=1
    )
    with caplog.at_level(logging.WARNING, "vidstyle"):
        masks = masks_of(clip, MaskFile(short), start=Fraction(1, 2))
    assert np.abs(masks[0].astype(int) - half()).mean() < 4
    assert "its last frame stays" in caplog.text


def test_images_of_a_mask_sequence_belong_to_the_frames_of_their_number(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", count=8, rate=Fraction(30))
    for number in range(1, 9):
        write_image(tmp_path / f"m_{number:03d}.png", gray(np.full((48, 64), 25 * number)))
    masks = masks_of(clip, MaskFile(tmp_path / "m_%03d.png"))
    assert [int(mask[0, 0]) for mask in masks] == [25 * number for number in range(1, 9)]
    frames = tmp_path / "m_%03d.png"
    masks = masks_of(frames, MaskFile(frames), Fraction(2, 24), Fraction(24))
    assert [int(mask[0, 0]) for mask in masks] == [25 * number for number in range(3, 9)]
    job = RenderJob(clip, tmp_path / "out.mp4", mask=MaskFile(frames))
    before = job.identity(Settings())
    write_image(tmp_path / "m_005.png", gray(np.full((48, 64), 3)))
    assert job.identity(Settings()) != before


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4"])
def test_images_of_a_mask_sequence_keep_to_frames_of_a_variable_rate(tmp_path, name):
    clip = write_clip(
        tmp_path / name,
        rate=Fraction(24),
        time_base=Fraction(1, 1000),
        pts=[0, 41, 83, 125, 400, 900, 941, 1500],
    )
    for number in range(1, 9):
        write_image(tmp_path / f"m_{number:03d}.png", gray(np.full((48, 64), 25 * number)))
    for start, first in ((None, 1), (Fraction(3, 10), 5), (Fraction(94, 100), 7)):
        masks = masks_of(clip, MaskFile(tmp_path / "m_%03d.png"), start)
        assert [int(mask[0, 0]) for mask in masks] == [25 * n for n in range(first, 9)]


def test_frame_times_are_those_of_the_whole_file_or_none(tmp_path):
    pts = [0, 41, 400, 900]
    times = {"time_base": Fraction(1, 1000), "pts": pts}
    clip = write_clip(tmp_path / "clip.mkv", rate=Fraction(24), sounds=1, **times)
    with open_source(clip, Fraction(3, 10)) as part:
        assert [round(1000 * time) for time in frame_times(part.format)] == pts
    write_image(tmp_path / "f_001.png", scene())
    with open_source(tmp_path / "f_%03d.png") as source:
        assert not frame_times(source.format)
    clip.write_bytes(b"no clip")
    assert not frame_times(part.format)


def test_mask_of_another_size_is_stretched_and_a_short_one_stays(tmp_path, caplog):
    clip = write_clip(tmp_path / "clip.mp4", count=8, rate=Fraction(10))
    write_clip(
        tmp_path / "mask.mkv",
        count=2,
        rate=Fraction(10),
        size=(32, 48),
        picture=lambda time: gray(half((32, 48))),
        crf=1,
    )
    with caplog.at_level(logging.WARNING, "vidstyle"):
        masks = masks_of(clip, MaskFile(tmp_path / "mask.mkv"))
    assert all(mask.shape == (48, 64) for mask in masks)
    assert np.abs(masks[-1].astype(int) - half()).mean() < 6
    stretched, ended = caplog.messages
    assert "(32x48) is stretched to 64x48" in stretched
    assert "ends at 0.20 s: its last frame stays" in ended


def test_mask_follows_the_orientation_that_players_show(tmp_path, mask_file):
    class Rotated:
        def __init__(self, source):
            self._source, self.format = source, replace(source.format, rotation=90)

        def __iter__(self):
            return iter(self._source)

    clip = write_clip(tmp_path / "clip.mp4", count=1, size=(48, 64))  # shown as 64 x 48
    with open_source(clip) as source:
        (frame,) = with_masks(Rotated(source), MaskFile(mask_file))
    assert np.array_equal(np.rot90(frame.mask), half())


@pytest.mark.parametrize(("level", "words"), [(0, "nothing"), (255, "everything")])
def test_mask_that_selects_nothing_or_everything_is_refused(tmp_path, level, words):
    write_image(tmp_path / "mask.png", gray(np.full((48, 64), level)))
    with pytest.raises(InputError, match=f"selects {words}: draw white inside"):
        masks_of(tmp_path / "mask.png", MaskFile(tmp_path / "mask.png"))


@pytest.mark.parametrize(
    ("levels", "words"), [((0, 0), ["nothing"]), ((255, 255), ["everything"]), ((0, 255), [])]
)
def test_mask_clip_that_selects_nothing_or_everything_is_told(tmp_path, caplog, levels, words):
    before, after = (gray(np.full((48, 64), level)) for level in levels)
    clip, rate = tmp_path / "mask.mkv", Fraction(10)
    write_clip(clip, count=4, rate=rate, picture=lambda time: after if time else before, crf=1)
    with caplog.at_level(logging.WARNING, "vidstyle"):
        masks_of(clip, MaskFile(clip))
    found = [text for text in caplog.messages if "selects" in text]
    assert len(found) == len(words)
    assert all(f"selects {word} in all frames: draw" in text for word, text in zip(words, found))


def test_render_with_a_mask_keeps_the_source_outside(
    tmp_path, monkeypatch, features_file, mask_file, capsys
):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "photo.png", scene())
    write_image(tmp_path / "style.png", scene(1.0))
    flags = [*QUICK_FLAGS, "--features", str(features_file), "-q"]
    arguments = ["render", "photo.png", "style.png", "-o", "out.png", *flags]
    assert main([*arguments, "--mask", str(mask_file)]) == 0
    made, source = read_image(tmp_path / "out.png"), scene()
    assert np.array_equal(made[:, 32:], source[:, 32:])
    assert np.abs(made[:, :32].astype(int) - source[:, :32]).mean() > 3
    assert main([*arguments, "-y", "--mask", str(mask_file), "--mask-invert"]) == 0
    assert np.array_equal(read_image(tmp_path / "out.png")[:, :32], source[:, :32])

    assert main([*arguments, "-y", "--mask", "nowhere.png"]) == 1
    assert "nowhere.png" in capsys.readouterr().err
    mask = ["--mask", "mask.png", "--json", "mask.png"]
    assert main([*arguments, "-y", *mask]) == 1
    assert np.array_equal(read_image(mask_file), gray(half()))
    with pytest.raises(SystemExit) as error:
        main([*arguments, "-y", "--mask-invert"])
    assert error.value.code == 2 and "--mask FILE" in capsys.readouterr().err
    assert main([*arguments, "-y", "-o", "mask.png", "--mask", "mask.png"]) == 1
    assert np.array_equal(read_image(mask_file), gray(half()))


def test_python_render_takes_a_mask(tmp_path, features, style, mask_file):
    clip = write_clip(tmp_path / "clip.mp4", count=3)
    made = tmp_path / "out.mkv"
    quick = {"initial_steps": 2, "steps": 1, "patch_weight": 0, "progress": False}
    vs.render(clip, style, made, features=features, mask=mask_file, codec="ffv1", **quick)
    with open_source(made) as after, open_source(clip) as before:
        for new, old in zip(after, before, strict=True):
            difference = np.abs(new.image.astype(int) - old.image)
            # The conversion to YUV and back rounds.
            assert difference[:, 40:].max() <= 4 < difference[:, :24].mean()
    with pytest.raises(ValueError, match="mask=FILE"):
        vs.render(clip, style, made, features=features, mask_invert=True, overwrite=True)
    with pytest.raises(TypeError, match="mask must be a path"):
        vs.render(clip, style, made, features=features, mask=3, overwrite=True)


def test_job_with_another_mask_is_another_job(tmp_path, mask_file):
    clip = write_clip(tmp_path / "clip.mp4")
    job = RenderJob(clip, tmp_path / "out.mp4")
    masked = replace(job, mask=MaskFile(mask_file))
    identities = [job.identity(Settings()), masked.identity(Settings())]
    write_image(mask_file, gray(255 - half()))
    identities.append(masked.identity(Settings()))
    assert all(a != b for a, b in pairwise(identities))
    with pytest.raises(OutputError):
        replace(masked, output=mask_file).check_apart()
