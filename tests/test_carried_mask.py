"""Masks that are drawn on one frame and carried along the motion."""

import json
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from conftest import pixels_of, scene, write_clip

from vidstyle import Frame, Motion, OutputError
from vidstyle.bench.clips import object_clip
from vidstyle.flow.carried_mask import carried_mask
from vidstyle.flow.clip_motion import with_motion
from vidstyle.flow.methods import load_flow
from vidstyle.io.images import write_image
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


@pytest.mark.parametrize("speed", [1.0, 2.5])
def test_carried_mask_follows_a_thing_for_48_frames(speed):
    size = (320, 180)
    clip = object_clip("disc", size, 48, speed)
    mask = disc(size, 0, 0)
    for number, (frame, motion) in enumerate(
        with_motion(clip.frames, load_flow("dis", torch.device("cpu")))
    ):
        if number:
            mask = carried_mask(mask, frame.image, motion)
    # The disc has the colours of what is behind it, so that only the motion tells them apart.
    assert overlap(mask, disc(size, 47, speed)) > 0.85


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
    events = [json.loads(line) for line in (tmp_path / "progress.jsonl").open()]
    assert [event["done"] for event in events] == list(range(1, 9))
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


def test_masks_at_several_times_count_from_their_own(moving, drawn, tmp_path):
    full = tmp_path / "corner.png"
    corner = np.zeros((48, 64, 3), np.uint8)
    corner[30:, 40:] = 255
    write_image(full, corner)
    output = carry_masks(moving, {Fraction(1, 2): full}, tmp_path / "m.mkv", make_display=QUIET)
    masks = pixels_of(output)
    assert not any(mask.any() for mask in masks[:4]) and np.array_equal(masks[4], corner)
    both = carry_masks(
        moving, {Fraction(1, 2): full, Fraction(0): drawn}, tmp_path / "b.mkv", make_display=QUIET
    )
    assert pixels_of(both)[3][24, 18].all() and np.array_equal(pixels_of(both)[4], corner)


def test_mask_command_refuses_what_it_cannot_use(vidstyle, moving, drawn, picture_file, tmp_path):
    black = tmp_path / "black.png"
    write_image(black, np.zeros((48, 64, 3), np.uint8))
    for arguments, message in (
        ((moving, "nowhere.png"), "nowhere.png does not exist"),
        ((moving, f"0:20={drawn}"), "before 20.00 s: choose a time within the clip"),
        ((moving, drawn, drawn), "two masks have the same time"),
        ((moving, drawn, "0.5=later.png"), "later.png does not exist"),
        ((moving, drawn, "-o", "out.png"), "is no clip: choose a name that ends in .mkv"),
        (("-", drawn), "standard input"),
        ((moving, black), "selects nothing"),
        ((picture_file, drawn), "is an image: name a clip"),
    ):
        code, _, errors = vidstyle("mask", *arguments)
        assert code and message in errors.strip().splitlines()[-1]
        assert not (tmp_path / "moving_mask.mkv").exists()
    with pytest.raises(OutputError):
        carry_masks(moving, {Fraction(0): drawn}, drawn)
