"""Cuts, and the motion of every frame of a clip."""

import cv2
import numpy as np
import pytest
from conftest import scene

from vidstyle import Frame
from vidstyle.bench.clips import (
    View,
    camera_clip,
    changing_clip,
    cut_clip,
    fading,
    flashing,
    noisy,
)
from vidstyle.flow.clip_motion import with_motion
from vidstyle.flow.cuts import cut_reaches
from vidstyle.flow.methods import dis_flow

SIZE = 160, 96


def cuts(frames, **options):
    return [
        number
        for number, (_, motion) in enumerate(with_motion(frames, None, **options))
        if motion.cut
    ]


def test_with_motion_finds_a_cut():
    assert cuts(cut_clip("cut", SIZE, 10, 6).frames) == [6]


@pytest.mark.parametrize("at", [1, 8])
def test_with_motion_finds_a_cut_near_either_end(at):
    assert cuts(cut_clip("cut", SIZE, 9, at).frames) == [at]


def test_with_motion_finds_a_cut_without_look_ahead():
    assert cuts(cut_clip("cut", SIZE, 10, 6).frames, look_ahead=0) == [6]


@pytest.mark.parametrize(
    "change", [fading(8, 3), flashing(5), noisy(8)], ids=["fade", "flash", "noise"]
)
def test_with_motion_finds_no_cut_in_fades_flashes_and_noise(change):
    assert cuts(changing_clip("light", SIZE, 19, change).frames) == []


@pytest.mark.parametrize("speed", [8.0, 16.0])
def test_with_motion_finds_no_cut_in_camera_motion(speed):
    assert cuts(camera_clip("pan", SIZE, 8, lambda n: View(speed * n)).frames) == []


def test_with_motion_finds_no_cut_in_a_fast_pan_of_fine_contrasts():
    """Successive frames differ as much as two shots do; flow tracks them."""
    random = np.random.default_rng(0)
    wide = random.integers(0, 256, (24, 160, 3)).astype(np.uint8)
    wide = cv2.resize(wide, (960, 144), interpolation=cv2.INTER_CUBIC)
    assert cuts([Frame(wide[:, 10 * n : 10 * n + 256].copy()) for n in range(10)]) == []


def test_with_motion_finds_a_cut_between_flat_shots():
    colors = [(200, 60, 60)] * 5 + [(20, 20, 20)] * 5
    frames = [Frame(np.full((96, 160, 3), color, np.uint8)) for color in colors]
    assert cuts(frames) == [5]


def test_with_motion_finds_no_cut_in_saturated_noise():
    random = np.random.default_rng(0)
    frames = [
        Frame((30 + random.normal(0, 25, (180, 320, 3))).clip(0, 255).astype(np.uint8))
        for _ in range(10)
    ]
    assert cuts(frames) == []


def test_with_motion_keeps_frames_and_adds_motion():
    frames = [Frame(scene(number / 5)) for number in range(7)]
    pairs = list(with_motion(iter(frames), dis_flow))
    assert [frame for frame, _ in pairs] == frames
    assert pairs[0][1].flow is None and not pairs[0][1].cut
    assert all(motion.flow is not None for _, motion in pairs[1:])


def test_with_motion_computes_no_flow_across_a_cut():
    pairs = list(with_motion(cut_clip("cut", SIZE, 9, 5).frames, dis_flow))
    assert pairs[5][1].flow is None and pairs[6][1].flow is not None


def test_with_motion_starts_anew_at_another_frame_size():
    frames = [Frame(scene()), Frame(scene(size=(80, 60))), Frame(scene(size=(80, 60)))]
    flows = [motion.flow is not None for _, motion in with_motion(frames, dis_flow)]
    assert flows == [False, False, True]


def test_with_motion_accepts_frames_of_another_shape_within_the_look_ahead():
    shapes = [(64, 48)] * 3 + [(48, 64)] * 3
    frames = [Frame(scene(size=shape)) for shape in shapes]
    flows = [motion.flow is not None for _, motion in with_motion(frames, dis_flow)]
    assert flows == [False, True, True, False, True, True]
    assert [reach for _, reach in cut_reaches(frames)] == [0, 0, 0, 3, 0, 0]


@pytest.mark.parametrize("size", [(1000, 4), (4, 700), (1, 50), (1920, 64)])
def test_with_motion_finds_a_cut_between_very_thin_frames(size):
    random = np.random.default_rng(0)
    dark, light = random.integers(0, 90, (2, *size[::-1], 3), np.uint8)
    frames = [Frame(dark)] * 3 + [Frame(255 - light)] * 3
    assert [motion.cut for _, motion in with_motion(frames, dis_flow)].index(True) == 3


def test_with_motion_asks_for_the_flow_size_at_each_frame():
    sizes = iter((64, 64, 40, 40, 64))
    frames = [Frame(scene(number / 10)) for number in range(5)]
    found = [
        motion.flow
        for _, motion in with_motion(frames, dis_flow, look_ahead=0, size_px=lambda: next(sizes))
    ]
    assert [None if flow is None else tuple(flow.shape) for flow in found] == [
        None,
        (1, 2, 48, 64),
        (1, 2, 30, 40),
        (1, 2, 30, 40),
        (1, 2, 48, 64),
    ]
