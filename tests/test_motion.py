"""Flow and occlusions on clips whose motion is known."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from conftest import scene

from vidstyle.bench.clips import (
    View,
    camera_clip,
    changing_clip,
    known_motion_clips,
    noisy,
    object_clip,
)
from vidstyle.flow.estimate import estimate_motion, sharpen_motion_boundaries
from vidstyle.flow.exposure import compensate_exposure
from vidstyle.flow.fields import MAX_FLOW_SIDE_PX, area_resize, flow_input
from vidstyle.flow.methods import dis_flow
from vidstyle.flow.warp import sample_positions, warp
from vidstyle.ops.tensors import to_tensor

SIZE = 160, 96


def between(frame, earlier, method):
    return estimate_motion(flow_input(frame), flow_input(earlier), method)


@pytest.mark.parametrize("clip", known_motion_clips(SIZE, 8)[:4], ids=lambda clip: clip.name)
def test_known_motion_clips_agree_with_their_motion(clip):
    pictures = [to_tensor(frame.image) for frame in clip.frames]
    for before, now, motion in zip(pictures, pictures[1:], clip.motions[1:], strict=False):
        error = ((now - warp(before, motion.flow)).square() * motion.reliable).mean()
        assert (
            error < 1e-4
        )  # rounding to 8 bits and bicubic sampling; a shift by one pixel gives 1e-3 and more


@pytest.mark.parametrize("step", [(3.0, 0.0), (-2.4, 1.3)])
def test_dis_flow_finds_a_known_motion(step):
    clip = camera_clip("pan", SIZE, 2, lambda n: View(step[0] * n, step[1] * n))
    motion = between(clip.frames[1].image, clip.frames[0].image, dis_flow)
    inside = motion.flow[..., 10:-10, 10:-10]
    # A camera that moves right sees things move left: they were further right before.
    assert (
        inside - torch.tensor(step).reshape(1, 2, 1, 1)
    ).abs().mean() < 0.2  # DIS is good to a tenth of a pixel here


def test_estimate_motion_marks_what_enters_the_frame_as_occluded():
    clip = camera_clip("pan", SIZE, 2, lambda n: View(6.0 * n))
    motion = between(clip.frames[1].image, clip.frames[0].image, dis_flow)
    assert motion.reliable[..., 10:-10, -4:].mean() < 0.2
    assert motion.reliable[..., 10:-10, 10:-10].mean() > 0.95


def test_estimate_motion_marks_the_disocclusion_of_an_object():
    clip = object_clip("object", SIZE, 2, 8.0)
    motion = between(clip.frames[1].image, clip.frames[0].image, dis_flow)
    hidden = clip.motions[1].reliable == 0
    assert (1 - motion.reliable)[hidden].mean() > 5 * (1 - motion.reliable)[~hidden].mean()


def test_estimate_motion_grows_disocclusions_by_one_pixel():
    """Where the thing's edge was the painting holds its edge: kept as ground, it would stay behind
    as specks."""
    still, thing = (
        cv2.GaussianBlur(
            np.random.default_rng(seed).integers(0, 256, (96, 160, 3), np.uint8), None, 1
        )
        for seed in (0, 1)
    )
    frames, step, rows = [still.copy(), still.copy()], 6, slice(30, 66)
    for number, frame in enumerate(frames):
        frame[rows, 40 + step * number : 90 + step * number] = thing[rows, 40:90]

    def exactly(now, was):
        flow = np.zeros((*now.shape[:2], 2), np.float32)
        later = now is frames[1]
        flow[rows, 40 + step * later : 90 + step * later, 0] = -step if later else step
        return flow

    known = estimate_motion(frames[1], frames[0], exactly).reliable[0, 0]
    uncovered = known[34:62, 40:46]
    assert (uncovered == 0).all()
    assert (known[34:62, 39] == 0).all() and (known[34:62, 46] == 0).all()
    assert (known[34:62, 30:38] == 1).all() and (known[34:62, 48:86] == 1).all()


def test_estimate_motion_of_noise_is_zero():
    clip = changing_clip("noise", SIZE, 2, noisy(4))
    motion = between(clip.frames[1].image, clip.frames[0].image, dis_flow)
    assert (motion.flow.square().sum(1).sqrt() < 0.5).float().mean() > 0.98


def test_flow_input_limits_the_size_of_large_frames():
    image = np.zeros((400, 1600, 3), np.uint8)
    seen = []

    def method(frame, earlier):
        seen.append(frame.shape)
        return np.zeros((*frame.shape[:2], 2), np.float32)

    size = MAX_FLOW_SIDE_PX // 4, MAX_FLOW_SIDE_PX
    assert between(image, image, method).flow.shape == (1, 2, *size)
    assert seen == [(*size, 3)] * 2


@pytest.mark.parametrize("size", [(640, 360), (641, 359), (1280, 90), (40, 30)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_area_resize_agrees_with_opencv_at_any_size(size, kind):
    picture = np.dstack(
        [scene(size=size), scene(size=size)[..., :1]]
    )  # with alpha, which is not looked at
    image = picture.astype(kind) * (257 if kind == np.uint16 else 1)
    copy = area_resize(image, (80, 45))
    direct = cv2.resize(picture[..., :3], (80, 45), interpolation=cv2.INTER_AREA)
    assert copy.shape == (45, 80, 3) and copy.dtype == np.uint8
    # It is halved first, each time rounded, and weighted a little otherwise at the edges of pixels.
    assert np.abs(copy.astype(float) - direct).mean() < 2


@pytest.mark.parametrize("size", [(2, 2), (600, 3), (7, 40)])
def test_estimate_motion_accepts_the_smallest_frames(size):
    assert between(scene(0.1, size), scene(0, size), dis_flow).flow.isfinite().all()


def test_estimate_motion_accepts_16_bit_frames():
    one, other = (scene(time, size=(96, 64)).astype(np.uint16) * 257 for time in (0, 0.1))
    assert between(one, other, dis_flow).flow.isfinite().all()


@pytest.mark.parametrize("sigma", [4, 6, 9])
def test_estimate_motion_of_noise_at_rest_is_zero(sigma):
    """A scene with texture, in the noise of a webcam in a dim room."""
    frames = changing_clip("noise", (320, 180), 2, noisy(sigma)).frames
    motion = between(frames[1].image, frames[0].image, dis_flow)
    assert (motion.flow.square().sum(1).sqrt() > 0.2).float().mean() <= 0.01
    assert 1 - motion.reliable.mean() <= 0.01


def test_estimate_motion_of_codec_noise_at_rest_is_zero():
    """Noise of a codec is smooth and strong in dark, flat areas: each frame has other blocks."""
    random = np.random.default_rng(0)
    still = 60 + cv2.resize(random.normal(0, 4, (18, 32, 3)), (320, 180))
    frames = []
    for _ in range(2):
        blocks = cv2.resize(random.normal(0, 5, (23, 40, 3)), (320, 180))
        frames.append((still + blocks).clip(0, 255).astype(np.uint8))
    motion = between(frames[1], frames[0], dis_flow)
    assert (motion.flow.square().sum(1).sqrt() > 0.2).float().mean() <= 0.01
    assert 1 - motion.reliable.mean() <= 0.01


def test_estimate_motion_finds_noise_between_the_bars_of_a_wide_film():
    frames = changing_clip("noise", (320, 180), 2, noisy(6)).frames
    images = [frame.image.copy() for frame in frames]
    for image in images:
        image[:24], image[-24:] = 16, 16
    motion = between(images[1], images[0], dis_flow)
    assert (motion.flow.square().sum(1).sqrt() > 0.2).float().mean() <= 0.01
    assert 1 - motion.reliable.mean() <= 0.01


def test_estimate_motion_of_a_whip_pan_is_unreliable():
    """Nothing of the earlier frame is left."""
    clip = camera_clip("whip pan", (320, 180), 2, lambda n: View(400.0 * n))
    motion = between(clip.frames[1].image, clip.frames[0].image, dis_flow)
    assert motion.reliable.mean() <= 0.05


def test_estimate_motion_follows_a_slow_pan_in_noise():
    clip = camera_clip("slow pan", (320, 180), 4, lambda n: View(0.25 * n))
    noise = noisy(6)
    images = [
        noise(frame.image, number).clip(0, 255).astype(np.uint8)
        for number, frame in enumerate(clip.frames)
    ]
    for earlier, frame in pairwise(images):
        flow = between(frame, earlier, dis_flow).flow
        assert abs(flow[:, 0].median() - 0.25) < 0.1 and abs(flow[:, 1].median()) < 0.1


def test_estimate_motion_leaves_flat_ground_beside_an_object_at_rest():
    """A textured disc in front of flat ground: DIS extends its flow over the ground."""

    def frame(x):
        canvas = np.full((180 * 4, 320 * 4, 3), (140, 205, 245), np.uint8)
        center = round(x * 4), 90 * 4
        cv2.circle(canvas, center, 26 * 4, (235, 90, 70), -1, cv2.LINE_AA)
        cv2.circle(canvas, center, 26 * 4, (30, 20, 20), 8, cv2.LINE_AA)
        cv2.circle(canvas, (center[0] - 40, center[1] - 30), 24, (30, 20, 20), 8, cv2.LINE_AA)
        return cv2.resize(canvas, (320, 180), interpolation=cv2.INTER_AREA)

    y, x = np.mgrid[:180, :320]
    for place in (100, 107, 114):
        motion = between(frame(place + 7), frame(place), dis_flow)
        disc = np.hypot(x - place - 7, y - 90) < 30  # with its outline, and 2 px of tolerance
        moved = motion.flow.square().sum(1).sqrt()[0].numpy() > 0.5
        reliable = motion.reliable[0, 0].numpy() > 0
        assert (moved & reliable & ~disc).sum() <= 0.05 * disc.sum()


def test_sharpen_motion_boundaries_follows_the_outline_of_an_object():
    clip = object_clip("object", (160, 96), 3, 4.3)
    now, before, truth = clip.frames[2].image, clip.frames[1].image, clip.motions[2]
    spilt, still = dis_flow(now, before), np.zeros((96, 160, 2), np.float32)

    def wrong(flow):
        """Share of the picture whose flow is off by more than a pixel."""
        error = torch.from_numpy(flow).permute(2, 0, 1) - truth.flow
        return ((error.norm(dim=1, keepdim=True) > 1) & (truth.reliable == 1)).float().mean()

    assert wrong(sharpen_motion_boundaries(spilt, still, now, before)) < 0.6 * wrong(spilt)
    motion = between(now, before, dis_flow)
    assert (
        motion.reliable * truth.reliable
    ).sum() > 0.97 * truth.reliable.sum()  # and hardly anything is given up
    found = motion.flow[0].permute(1, 2, 0).numpy()
    assert wrong(found) < 0.35 * wrong(
        spilt
    )  # pixels beside the outline go by themselves: else 0.5


def test_estimate_motion_of_a_noisy_object_has_no_frayed_outline():
    clip = object_clip("object", (160, 96), 3, 4.3)
    now, before = (
        noisy(2.0)(frame.image.astype(np.float32), number).clip(0, 255).astype(np.uint8)
        for number, frame in enumerate(clip.frames[2:0:-1])
    )
    flow, inside = (
        between(now, before, dis_flow).flow,
        (clip.motions[2].flow[:, :1] != 0) & (clip.motions[2].reliable == 1),
    )
    frayed = inside & (flow[:, :1].abs() < 0.5)
    assert frayed.sum() < 0.01 * inside.sum()


def grey_wall_with_a_door(noise_seed):
    """A flat wall, one strong upright edge, and the specks a video codec leaves."""
    picture = np.full((96, 160, 3), 170.0)
    picture[:, 120:] = 60
    picture += cv2.GaussianBlur(
        np.random.default_rng(noise_seed).normal(0, 6, picture.shape), (0, 0), 3
    )
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_estimate_motion_of_a_flat_region_is_zero_for_a_still_camera():
    """Codec specks give it flow, which would make its painting boil."""
    one, other = grey_wall_with_a_door(0), grey_wall_with_a_door(1)
    raw = np.hypot(*dis_flow(one, other).transpose(2, 0, 1))
    assert (raw > 0.2).mean() > 0.3
    motion = between(one, other, dis_flow)
    assert (motion.flow == 0).float().mean() > 0.99 and (motion.reliable == 1).all()


def test_estimate_motion_of_a_flat_region_follows_the_camera():
    """Nothing on the wall tells its motion; the things around it do."""
    clip = camera_clip("zoom", (160, 96), 2, lambda n: View(2 * n, zoom=0.98**n))
    earlier = clip.frames[0].image.copy()
    earlier[30:66, 50:110] = 128
    x, y = (place[0, 0].numpy() for place in sample_positions(clip.motions[1].flow))
    now = cv2.remap(earlier, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    motion = between(now, earlier, dis_flow)
    wrong = (motion.flow - clip.motions[1].flow).norm(dim=1)[0, 36:60, 56:104]
    assert wrong.mean() < 0.2  # px: a tenth of the motion


def at_rest():
    """What a camera that rests shows: (96, 160, 3) float32."""
    levels = np.random.default_rng(0).integers(60, 256, (24, 40, 3)).astype(np.float32)
    return cv2.resize(levels, (160, 96), interpolation=cv2.INTER_CUBIC)


def hills(step):
    """Two ranges of hills under a cloudy sky, each of one colour; the nearer one has gone by
    ``step`` px, the other by half."""
    x, y = np.meshgrid(np.arange(160.0), np.arange(96.0))
    picture = at_rest()
    for level, colour, gone in ((36, (110, 140, 170), step / 2), (60, (60, 120, 70), step)):
        outline = level + 6 * np.sin((x + gone) / 6) + 4 * np.sin((x + gone) / 17)
        picture += (np.array(colour) - picture) * np.clip(y - outline + 0.5, 0, 1)[..., None]
    return picture.clip(0, 255).astype(np.uint8), y - outline


def test_estimate_motion_of_a_flat_object_follows_its_outline():
    """Else the outlines slide over what is painted on the hills."""
    (earlier, _), (now, depth) = hills(0.0), hills(1.0)
    motion = between(now, earlier, dis_flow)
    hill, sky = motion.flow[0, 0].numpy()[:, 8:-8][depth[:, 8:-8] > 3], motion.flow[0, :, :20]
    assert (hill > 0.5).mean() > 0.9  # DIS is not exact where it is flat
    assert (sky == 0).all()
    assert (motion.reliable[0, 0, 75:, -1:] == 0).all()  # what came in


def test_estimate_motion_of_a_flat_background_ignores_an_object_before_it():
    pictures = []
    for number in range(2):
        picture = at_rest().clip(0, 255).astype(np.uint8)
        picture[:, 24:136] = 190
        cv2.ellipse(picture, (80 + number, 80), (22, 50), 0, 0, 360, (40, 60, 120), -1, cv2.LINE_AA)
        pictures.append(picture)
    flow = between(*pictures[::-1], dis_flow).flow[0, 0]
    assert (flow[40:, 70:90] < -0.3).float().mean() > 0.9
    assert (flow[:, :48] == 0).all() and (flow[:, 114:] == 0).all()


@pytest.mark.parametrize(
    "change", [lambda picture, number: picture, noisy(4)], ids=["clean", "noisy"]
)
def test_estimate_motion_follows_a_very_slow_pan(change):
    clip = camera_clip("slow", (320, 160), 2, lambda n: View(0.12 * n))
    pictures = [
        np.clip(change(f.image.astype(np.float32), n), 0, 255).astype(np.uint8)
        for n, f in enumerate(clip.frames)
    ]
    flow = between(pictures[1], pictures[0], dis_flow).flow
    assert (
        flow[0, 0].mean() == pytest.approx(0.12, abs=0.04) and flow[0, 1].abs().mean() < 0.04
    )  # DIS is no more exact


def asphalt(gain, object_left, noise_seed):
    """(96, 160, 3) uint8: a blurred texture, lit from one side, with a bright object before it."""
    texture = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (96, 160)), (0, 0), 6)
    image = 110 + 12 * texture / texture.std() + np.linspace(-50, 50, 160)
    image[30:70, object_left : object_left + 30] = 220
    noise = np.random.default_rng(noise_seed).normal(0, 1.5, image.shape)
    return np.repeat(np.clip(gain * image + noise, 0, 255).astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize("gain", [0.94, 1.06])
def test_estimate_motion_keeps_the_ground_at_rest_while_the_exposure_changes(gain):
    motion = between(asphalt(gain, 44, 2), asphalt(1, 40, 1), dis_flow)
    ground = slice(80, 150)
    # Without compensation 0.96 and 0.06 px, or 0.994 and 0.015 px.
    assert motion.reliable[..., ground].mean() > 0.995
    assert motion.flow[..., ground].abs().mean() < 0.01


def test_compensate_exposure_leaves_frames_of_a_pan_as_they_are():
    clip = camera_clip("pan", SIZE, 2, lambda n: View(12.0 * n))
    earlier, frame = (x.image for x in clip.frames)
    assert compensate_exposure(earlier, frame) is earlier
    dark = np.zeros_like(frame)
    assert compensate_exposure(dark, frame) is dark
    assert compensate_exposure(frame, dark) is frame
