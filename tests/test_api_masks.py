"""Masks and regions of ``stylize``, ``stylize_video`` and ``stream``."""

import cv2
import numpy as np
import pytest
import torch
from conftest import checks, scene, stripes
from onnx_file import write_onnx
from PIL import Image

import vidstyle as vs
from vidstyle.conversions import to_mask

SIZE = 64, 48
RED, BLUE = (200, 60, 40), (40, 60, 200)
LEFT = np.zeros((48, 64), bool)
LEFT[:, :32] = True


def tinted(color):
    return (checks() // 4 + np.array(color) * 3 // 4).astype(np.uint8)


@pytest.fixture
def still(features):
    """Keywords of a quick ``stylize``."""
    return {"features": features, "initial_steps": 3, "strength": 1.0}


@pytest.fixture
def quick(features):
    """Keywords of a quick ``stylize_video``."""
    return {"features": features, "preset": "draft", "initial_steps": 3, "steps": 1}


def as_torch(mask):
    return torch.from_numpy(mask)


def as_pillow(mask):
    return Image.fromarray(np.uint8(mask * 255))


def as_floats(mask):
    return mask.astype(np.float32)


def as_function(mask):
    return lambda image: mask


@pytest.mark.parametrize("kind", [np.array, as_torch, as_pillow, as_floats, as_function])
def test_stylize_changes_nothing_outside_of_a_mask_of_any_kind(kind, still):
    image = scene()
    stylized = vs.stylize(image, stripes(), mask=kind(LEFT), **still)
    assert np.array_equal(stylized[:, 32:], image[:, 32:])
    assert (stylized[:, :32] != image[:, :32]).mean() > 0.5


def test_stylize_stretches_and_inverts_a_mask_file(still, tmp_path):
    cv2.imwrite(str(tmp_path / "left.png"), np.uint8(255 * LEFT[::2, ::2]))
    image, file = scene(), tmp_path / "left.png"
    stylized = vs.stylize(image, stripes(), mask=file, mask_invert=True, **still)
    assert np.array_equal(stylized[:, :30], image[:, :30])
    assert (stylized[:, 34:] != image[:, 34:]).mean() > 0.5


def test_stylize_uses_the_alpha_of_an_image_and_says_where_there_is_none(still):
    image = np.dstack([scene(), np.uint8(255 * LEFT)])
    stylized = vs.stylize(image, stripes(), mask="alpha", **still)
    assert np.array_equal(stylized[:, 32:], image[:, 32:])
    with pytest.raises(ValueError, match="no alpha channel"):
        vs.stylize(scene(), stripes(), mask="alpha", **still)


def test_stylize_finds_people_by_the_model_that_is_given(still, tmp_path):
    image = np.full((48, 64, 3), (20, 20, 220), np.uint8)
    image[:, :24] = 220, 20, 20
    model = write_onnx(tmp_path / "red.onnx", [[12.0, 0, -12.0]], [0.0], (256, 256))
    stylized = vs.stylize(image, stripes(), mask="background", person_model=model, **still)
    assert np.array_equal(stylized[:, :20], image[:, :20])
    assert (stylized[:, 30:] != image[:, 30:]).mean() > 0.5


def test_stylize_paints_regions_in_styles_of_their_own(still):
    regions = [{"mask": LEFT, "style": tinted(RED)}]
    stylized = vs.stylize(scene(), tinted(BLUE), regions=regions, **still).astype(int)
    redness = (stylized[..., 0] - stylized[..., 2]).mean(0)
    assert redness[:24].mean() > redness[40:].mean() + 40


def test_stylize_video_asks_a_function_for_the_mask_of_each_frame(quick):
    frames = [scene(time / 25) for time in range(3)]
    asked = []

    def mask_of(image):
        asked.append(image)
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[: 10 * len(asked)] = 255
        return mask

    stylized = list(vs.stylize_video(frames, stripes(), mask=mask_of, **quick))
    assert len(asked) == 3
    for number, (before, after) in enumerate(zip(frames, stylized, strict=True), 1):
        assert np.array_equal(after[10 * number :], before[10 * number :])
        assert not np.array_equal(after[: 10 * number], before[: 10 * number])


def test_stream_keeps_a_region_as_it_is(quick):
    region = {"mask": LEFT, "strength": 0}
    with vs.stream(stripes(), regions=[region], **quick) as stylized:
        image = scene()
        for found in (stylized(image), stylized(image)):
            assert np.array_equal(found[:, :31], image[:, :31])
            assert (found[:, 33:] != image[:, 33:]).mean() > 0.5


def test_mask_has_the_levels_of_every_kind_of_floats():
    levels = np.array([[0, 0.5, 1]], np.float32)
    for given in (levels, torch.from_numpy(levels).bfloat16(), Image.fromarray(levels)):
        assert to_mask(given).tolist() == [[0, 128, 255]]
    with pytest.raises(TypeError, match="dtype int32"):  # 0 to 255, or to 65,535?
        to_mask(Image.fromarray(np.array([[0, 40_000]], np.int32)))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"mask": [1, 2]}, TypeError, "mask must be an array"),
        ({"mask": np.zeros((4, 4, 4))}, ValueError, r"shape \(4, 4, 4\): it must be \(H, W\)"),
        ({"mask": np.zeros((4, 4), np.int64)}, TypeError, "dtype int64: use bool"),
        ({"mask": np.full((4, 4), 255.0)}, ValueError, "divide it by 255"),
        ({"mask": "nothing.png"}, vs.InputError, "nothing.png does not exist"),
        ({"mask_invert": True}, ValueError, "give mask"),
        ({"regions": [{"style": "ink"}]}, ValueError, "a region has no mask"),
        ({"regions": [{"mask": LEFT}]}, ValueError, "neither a style nor a setting"),
        ({"regions": [{"mask": LEFT, "stlye": "ink"}]}, ValueError, "style"),
        ({"person_modell": "a"}, TypeError, "did you mean 'person_model'"),
    ],
)
def test_stylize_explains_a_mask_that_it_cannot_take(given, error, message, still):
    with pytest.raises(error, match=message):
        vs.stylize(scene(), stripes(), **given, **still)
