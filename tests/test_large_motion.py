"""Motion that is too large for DIS: matching of patches."""

import cv2
import numpy as np
import pytest
import torch

from vidstyle.bench.clips import known_motion_clips
from vidstyle.flow.estimate import estimate_motion
from vidstyle.flow.fields import local_contrast, squared_magnitude
from vidstyle.flow.matching import MatchedFlow
from vidstyle.flow.methods import dis_flow, load_flow
from vidstyle.flow.patch_match import MAX_COMPONENT, descriptors

MATCH = load_flow("match", torch.device("cpu"))

WIDTH, HEIGHT, SIDE, TOP = 240, 144, 48, 40


def texture(width, height, seed):
    """Spots of several sizes, (height, width, 3) uint8."""
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    spots = sum(size * cv2.GaussianBlur(noise, (0, 0), size) for size in (1.5, 3, 6))
    return cv2.normalize(spots, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def object_at(left, gain=1.0):
    """A textured square in front of a textured wall; its light changes by ``gain``."""
    frame = texture(WIDTH, HEIGHT, 1)
    square = np.clip(gain * texture(SIDE, SIDE, 2), 0, 255)
    frame[TOP : TOP + SIDE, left : left + SIDE] = square
    return frame


def object_errors(motion, left, step):
    """Part of the square that is reliable and right within 1 px, and the same of the rest."""
    flow = motion.flow[0].permute(1, 2, 0).numpy()
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[TOP : TOP + SIDE, left : left + SIDE] = True
    truth = np.where(inside[..., None], np.float32([-step, 0]), np.float32(0))
    right = (squared_magnitude(flow - truth) < 1) & (motion.reliable[0, 0].numpy() > 0.5)
    return right[inside].mean(), right[~inside].mean()


@pytest.mark.parametrize("step", [24, 36, 45])
@pytest.mark.parametrize(("gain", "least"), [(1.0, 0.85), (0.8, 0.65)])
def test_matching_follows_an_object_that_moves_by_half_its_width_and_more(step, gain, least):
    frame, earlier = object_at(80 + step, gain), object_at(80)
    lost, _ = object_errors(estimate_motion(frame, earlier, dis_flow), 80 + step, step)
    kept, rest = object_errors(estimate_motion(frame, earlier, MATCH), 80 + step, step)
    # The rim of the square is cut off, more where its light changes; the wall that it uncovers is
    # not reliable.
    assert lost < 0.3 and kept > least and rest > 0.8


def test_matching_gives_the_reverse_motion_too():
    frame, earlier = object_at(116), object_at(80)
    reverse = estimate_motion(frame, earlier, MATCH, reverse=True).reverse
    right, _ = object_errors(reverse, 80, -36)
    assert right > 0.85  # but for the rim


def test_matching_leaves_flow_that_follows_the_frame():
    pan = known_motion_clips((160, 96), 3)[0].frames
    frame, earlier = pan[2].image, pan[1].image
    flows = dis_flow(frame, earlier), dis_flow(earlier, frame)
    contrasts = local_contrast(frame), local_contrast(earlier)
    assert MATCH.matched((frame, earlier), flows, contrasts) is None


def test_matching_finds_nothing_where_frames_have_nothing_in_common():
    frame, earlier = texture(WIDTH, HEIGHT, 3), texture(WIDTH, HEIGHT, 4)
    motion = estimate_motion(frame, earlier, MATCH)
    assert motion.reliable.mean() < 0.1  # single patches may look alike


def test_matching_is_the_same_each_time():
    frame, earlier = object_at(110), object_at(80)
    first, second = (estimate_motion(frame, earlier, MATCH) for _ in range(2))
    assert torch.equal(first.flow, second.flow) and torch.equal(first.reliable, second.reliable)


@pytest.mark.parametrize("size", [(16, 16), (21, 90), (90, 17)])
def test_matching_accepts_the_smallest_frames(size):
    frame, earlier = texture(*size, 5), texture(*size, 6)
    assert estimate_motion(frame, earlier, MATCH).flow.shape[-2:] == size[::-1]


def test_matched_flow_of_one_direction_is_that_of_its_method():
    frame, earlier = object_at(90), object_at(80)
    assert np.array_equal(MatchedFlow(dis_flow)(frame, earlier), dis_flow(frame, earlier))


def test_descriptors_of_a_shifted_image_are_shifted():
    image = texture(WIDTH, HEIGHT, 7)
    features = descriptors(image, 3)
    shifted = descriptors(np.roll(image, 5, 1), 3)
    inner = slice(20, -20)
    assert np.allclose(shifted[inner, 25:-15], features[inner, 20:-20], atol=1e-5)
    length = np.linalg.norm(features, axis=2)
    assert np.allclose(length, 1, atol=0.01)  # a patch of one colour would have 0
    assert features.max() < 2 * MAX_COMPONENT  # clipped before the last normalisation
