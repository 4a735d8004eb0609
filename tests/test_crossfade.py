"""Crossfades of two stylisations."""

import numpy as np
import pytest

from vidstyle.crossfade import crossfade


def strokes(seed, channels=3, dtype=np.uint8):
    """Noise around a grey: strokes at random."""
    peak = np.iinfo(dtype).max
    values = np.random.default_rng(seed).normal(0.5, 0.1, (60, 80, channels))
    return (peak * values.clip(0, 1)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_crossfade_begins_and_ends_with_the_two_images(dtype):
    one, other = strokes(1, dtype=dtype), strokes(2, dtype=dtype)
    assert np.array_equal(crossfade(one, other, 0), one)
    assert np.array_equal(crossfade(one, other, 1), other)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_crossfade_keeps_the_contrast_of_strokes(dtype):
    one, other = strokes(1, dtype=dtype), strokes(2, dtype=dtype)
    middle = crossfade(one, other, 0.5)
    mean = (one.astype(float) + other) / 2
    assert middle.dtype == dtype
    assert mean.std() < 0.75 * one.std()  # the mean of independent values: the root of a half
    assert middle.std() == pytest.approx(one.std(), rel=0.05)  # windows of few values vary


def test_crossfade_of_equal_images_changes_nothing():
    image = strokes(1)
    assert np.array_equal(crossfade(image, image, 0.5), image)


def test_crossfade_leaves_equal_pixels_as_they_are():
    one, other = strokes(1), strokes(2)
    other[:, :40] = one[:, :40]  # outside of a mask
    assert np.array_equal(crossfade(one, other, 0.5)[:, :40], one[:, :40])


def test_crossfade_keeps_alpha():
    one, other = strokes(1, channels=4), strokes(2, channels=4)
    assert np.array_equal(crossfade(one, other, 0.5)[..., 3], one[..., 3])


def test_crossfade_adds_no_contrast_to_flat_regions():
    one, other = (np.full((40, 40, 3), level, np.uint8) for level in (100, 140))
    assert crossfade(one, other, 0.5).std() == 0
