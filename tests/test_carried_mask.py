"""Masks that are drawn on one frame and carried along the motion in both directions."""

import json
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from conftest import pixels_of, scene, write_clip

from vidstyle import Frame, Motion, OutputError, drawn_masks
from vidstyle.bench.clips import object_clip
from vidstyle.drawn_masks import _reversed, carried_masks, plan_masks
from vidstyle.flow.carried_mask import carried_mask
from vidstyle.flow.methods import dis_flow
from vidstyle.io.images import write_image
from vidstyle.io.mask_file import MaskFile
from vidstyle.io.part_folder import PartFolder
from vidstyle.io.source import open_source
from vidstyle.job import RenderJob
from vidstyle.mask_clip import SHADE, carry_masks, overlaid
from vidstyle.progress import ProgressDisplay

QUIET = partial(ProgressDisplay, quiet=True)


def overlap(mask, other):
    """Intersection over union."""
    first, second = mask > 127, other > 127
    return (first & second).sum() / (first | second).sum()


def disc(size, number, speed):
    """The mask of the disc of ``object_clip``."""
    y, x = np.mgrid[: size[1], : size[0]]
    distance = np.hypot(x - size[0] / 4 - speed * number, y - size[1] / 2)
    return (distance < size[1] / 4).astype(np.uint8) * 255


def carried(clip, masks):
    """The masks of all frames of a clip, and what was shown of the progress."""
    shown = []
    open_from = partial(open_source, clip)
    with open_from() as source:
        plan = plan_masks(source, masks)
    with open_from() as source:
        made = [mask for _, mask in carried_masks(source, open_from, plan, dis_flow, shown.append)]
    assert shown == sorted(shown) and shown[-1] == len(made)
    return made


def test_masks_follow_a_thing_for_48_frames_in_both_directions(tmp_path):
    size, speed = (320, 180), 1.75
    frames = object_clip("disc", size, 97, speed).frames
    write_clip(
        tmp_path / "disc.mkv",
        **{"count": 97, "rate": Fraction(25), "size": size, "codec": "ffv1"},
        picture=lambda time: frames[round(25 * time)].image,
    )
    made = carried(tmp_path / "disc.mkv", {Fraction(48, 25): disc(size, 48, speed)})
    # The disc has the colours of what is behind it, so that only the motion tells them apart.
    overlaps = [overlap(mask, disc(size, number, speed)) for number, mask in enumerate(made)]
    assert len(made) == 97 and min(overlaps) > 0.85


def test_carried_mask_ends_with_the_shot_and_stays_empty():
    image, mask = scene(), np.full((48, 64), 255, np.uint8)
    assert not carried_mask(mask, image, Motion(cut=True)).any()
    assert not carried_mask(np.zeros_like(mask), image, Motion()).any()
    assert (carried_mask(mask, image, Motion()) == 255).all()  # no outline to be found


def test_carried_mask_has_the_size_of_a_large_frame_of_16_bits():
    image = scene(size=(700, 500)).astype(np.uint16) * 257
    mask = np.zeros((500, 700), np.uint8)
    mask[100:400, 200:500] = 255
    made = carried_mask(mask, np.dstack([image, image[..., :1]]), Motion())
    assert made.shape == (500, 700) and made.dtype == np.uint8
    assert made[250, 350] == 255 and made[10, 10] == 0


@pytest.fixture
def drawn(tmp_path):
    """A mask of the disc of ``scene``."""
    y, x = np.mgrid[:48, :64]
    inside = ((x - 16) ** 2 + (y - 24) ** 2 < 9.6**2).astype(np.uint8) * 255
    write_image(tmp_path / "drawn.png", np.repeat(inside[..., None], 3, 2))
    return tmp_path / "drawn.png"


@pytest.fixture
def moving(tmp_path):
    return write_clip(tmp_path / "moving.mkv", count=8, rate=Fraction(8), crf=1, sounds=1)


def test_mask_command_writes_a_clip_of_masks_and_an_overlay(vidstyle, moving, drawn, tmp_path):
    files = ["--overlay", tmp_path / "over.mkv", "--json", tmp_path / "progress.jsonl"]
    code, _, errors = vidstyle("mask", moving, drawn, *files)
    assert code == 0 and "use it with --mask" in errors
    *events, last = [json.loads(line) for line in (tmp_path / "progress.jsonl").open()]
    assert [event["done"] for event in events] == list(range(1, 9))
    assert (last["event"], last["covers"]) == ("mask", [0, 1])
    masks = pixels_of(tmp_path / "moving_mask.mkv")
    assert len(masks) == 8 and np.array_equal(masks[0], pixels_of(drawn)[0])
    centre = np.nonzero(masks[7][..., 0] > 127)[1].mean()
    assert centre == pytest.approx(16 + 7, abs=1.5)  # the disc moves 8 px per second
    over, plain = pixels_of(tmp_path / "over.mkv")[0], pixels_of(moving)[0]
    assert over[24, 60].sum() < 0.6 * plain[24, 60].sum()
    shown = overlaid(Frame(scene()), np.zeros((48, 64), np.uint8)).astype(int)
    assert np.abs(shown - SHADE * scene()).max() <= 1  # rounded down
    code, _, errors = vidstyle("mask", moving, drawn)
    assert code == 1 and "exists: add -y" in errors


def test_mask_command_gives_each_image_of_a_sequence_its_mask(vidstyle, drawn, tmp_path):
    for number in range(6):
        write_image(tmp_path / f"frame_{number}.png", scene(number / 8))
    name, rate = tmp_path / "frame_%d.png", Fraction(8)
    code, _, _ = vidstyle("mask", name, drawn, "-o", tmp_path / "m.mkv", "-r", 8)
    assert code == 0
    job = RenderJob(name, "out.mkv", rate=rate, mask=MaskFile(tmp_path / "m.mkv"))
    with job.open_source() as source:
        masks = [frame.mask for frame in source]
    assert all(
        np.array_equal(mask > 127, expected[..., 0] > 127)
        for mask, expected in zip(masks, pixels_of(tmp_path / "m.mkv"), strict=True)
    )


@pytest.fixture
def shots(tmp_path):
    """A clip of three shots of 6 frames each, at 8 per second."""

    def picture(time):
        number = round(8 * time)
        return np.roll(scene(number % 6 / 8), 16 * (number // 6), (0, 1))[
            ..., :: 1 - 2 * (number // 6 % 2)
        ]

    return write_clip(tmp_path / "shots.mkv", count=18, rate=Fraction(8), crf=1, picture=picture)


def drawn_on(*columns):
    """(48, 64) uint8, 255 in these columns."""
    mask = np.zeros((48, 64), np.uint8)
    mask[:, slice(*columns)] = 255
    return mask


def test_mask_of_a_frame_covers_its_shot_alone(shots, monkeypatch, caplog):
    monkeypatch.setattr(drawn_masks, "WINDOW_FRAMES", 2)
    monkeypatch.setattr(drawn_masks, "KEPT_BYTES", 1)  # they are kept on disk
    made = carried(shots, {Fraction(10, 8): drawn_on(20, 40)})
    assert [bool(mask.any()) for mask in made] == [6 <= number < 12 for number in range(18)]
    assert np.array_equal(made[10], drawn_on(20, 40))
    assert "a shot begins at 1.50 s" in caplog.text


def test_masks_of_a_shot_count_for_the_frames_nearer_in_time(shots):
    masks = {Fraction(n, 8): drawn_on(n, n + 20) for n in (1, 4, 8)}
    with open_source(shots) as source:
        plan = plan_masks(source, masks)
    assert [(each.first, each.number) for each in plan.drawn] == [(0, 1), (3, 4), (6, 8)]
    assert len(plan.times) == 9  # the rest of the clip is not read


def test_mask_of_a_rounded_time_belongs_to_its_frame(shots, caplog):
    masks = {
        Fraction(626, 1000): drawn_on(0, 9),
        Fraction(5, 8): drawn_on(9),
        Fraction(9): drawn_on(1),
    }
    with open_source(shots) as source:
        (found,) = plan_masks(source, masks).drawn
    assert found.number == 5 and np.array_equal(found.mask, drawn_on(0, 9))  # the later one
    assert "the clip ends before 9.00 s" in caplog.text


def test_mask_of_a_clip_with_240_frames_per_second_belongs_to_its_frame():
    frames = [Frame(scene(), Fraction(n, 240), Fraction(1, 240)) for n in range(6)]
    (found,) = plan_masks(frames, {Fraction(3, 240): drawn_on(9)}).drawn
    assert found.number == 3


def test_mask_that_is_lost_backward_leaves_the_frames_to_the_one_before(shots, monkeypatch):
    def step(mask, image, motion):
        return mask if mask[0, 0] else np.zeros_like(mask)  # the second one is lost at once

    monkeypatch.setattr(drawn_masks, "carried_mask", step)
    made = carried(shots, {Fraction(0): drawn_on(0, 20), Fraction(5, 8): drawn_on(30, 50)})
    assert all(np.array_equal(mask, drawn_on(0, 20)) for mask in made[:5])
    assert np.array_equal(made[5], drawn_on(30, 50)) and not made[6].any()


def test_frames_are_read_backward_in_windows(shots, monkeypatch):
    monkeypatch.setattr(drawn_masks, "WINDOW_FRAMES", 4)
    with open_source(shots) as source:
        frames = list(source)
    times = [frame.time for frame in frames]
    found = list(_reversed(partial(open_source, shots), times, 3, 14))
    assert len(found) == 11
    for pixels, frame in zip(found, frames[13:2:-1], strict=True):
        assert np.array_equal(pixels, frame.image)


def test_interrupted_mask_leaves_nothing_before_the_first_frame(
    shots, drawn, tmp_path, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(drawn_masks, "estimate_motion", interrupted)
    with pytest.raises(KeyboardInterrupt):
        carry_masks(shots, {Fraction(3, 8): drawn}, [tmp_path / "m.mkv"], make_display=QUIET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.png", "shots.mkv"]


def test_mask_command_refuses_what_it_cannot_use(vidstyle, moving, drawn, picture_file, tmp_path):
    black = tmp_path / "black.png"
    write_image(black, np.zeros((48, 64, 3), np.uint8))
    for arguments, message in (
        ((moving, "nowhere.png"), "nowhere.png does not exist"),
        ((moving, f"0:20={drawn}"), "before 20.00 s: choose a time within the clip"),
        ((moving, f"1.5={drawn}"), "moving.mkv is at 0.88 s, before all masks: choose times"),
        ((moving, "-"), "a mask is read from a file, not from standard input"),
        ((moving, drawn, drawn), "two masks have the same time"),
        ((moving, drawn, "0.5=later.png"), "later.png does not exist"),
        ((moving, drawn, "-o", "out.png"), "is no clip: choose a name that ends in .mkv"),
        (("-", drawn), "standard input"),
        (("-", drawn, "-o", "m.mkv"), "read twice: save standard input to a file"),
        ((moving, black), "selects nothing"),
        ((picture_file, drawn), "is an image: name a clip"),
    ):
        code, _, errors = vidstyle("mask", *arguments)
        assert code and message in errors.strip().splitlines()[-1]
        assert not (tmp_path / "moving_mask.mkv").exists()
    with pytest.raises(OutputError):
        carry_masks(moving, {Fraction(0): drawn}, [drawn])


def test_mask_command_does_not_replace_an_unfinished_render(vidstyle, moving, drawn, tmp_path):
    folder = PartFolder(tmp_path / "moving_mask.mkv", ".mkv")
    folder.begin({"input": "moving.mkv"})
    code, _, errors = vidstyle("mask", moving, drawn)
    assert code == 1 and "moving_mask.part is from an unfinished run: add -y" in errors
    assert folder.document() is not None
    folder.begin({})  # of the command itself, which cannot resume it
    code, _, _ = vidstyle("mask", moving, drawn)
    assert code == 0 and folder.document() is None


def test_carried_masks_belong_to_the_frames_of_a_recording_that_begins_damaged(tmp_path):
    whole = write_clip(tmp_path / "whole.ts", 40, Fraction(25), codec="mpeg2video", sounds=1)
    clip, mask = tmp_path / "clip.ts", tmp_path / "mask.png"
    clip.write_bytes(whole.read_bytes()[30 * 188 :])  # its first picture is no key frame
    write_image(mask, disc((64, 48), 0, 0)[..., None].repeat(3, 2))
    with open_source(clip) as source:
        lead, times = source.format.lead, [frame.time for frame in source]
    assert lead < times[0]
    carry_masks(clip, {times[0]: mask}, [tmp_path / "out.mkv"], make_display=QUIET)
    with open_source(tmp_path / "out.mkv") as masks:
        found = [frame.time + lead - masks.format.lead for frame in masks]
    assert found[0] == pytest.approx(lead, abs=1e-3)
    assert [float(time) for time in found[1:]] == pytest.approx(
        [float(time) for time in times[1:]], abs=2e-3
    )
