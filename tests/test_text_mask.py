"""Text mask, and that text stays readable."""

import cv2
import numpy as np
import pytest

import vidstyle as vs
from vidstyle.io.images import bundled_styles
from vidstyle.losses import content
from vidstyle.losses.text_mask import text_mask
from vidstyle.ops.tensors import to_tensor


def text_frame(letters=235, ground=20, size=(320, 180)):
    """A frame with two lines of text, and the rows that the first line covers."""
    frame = np.full((size[1], size[0], 3), ground, np.uint8)
    for row, line in ((60, "A film by"), (110, "Jane Q. Public")):
        place = 30 * size[0] // 320, row * size[1] // 180
        level = [letters] * 3
        scale = size[0] / 320
        cv2.putText(
            frame, line, place, cv2.FONT_HERSHEY_DUPLEX, scale, level, round(2 * scale), cv2.LINE_AA
        )
    return frame


def mask_of(frame):
    """The text mask at the size of the frame."""
    found = text_mask(to_tensor(frame))[0, 0].numpy()
    return cv2.resize(found, frame.shape[1::-1])


@pytest.mark.parametrize("levels", [(235, 20), (20, 235), (150, 80)])
@pytest.mark.parametrize("size", [(320, 180), (640, 360)])
def test_text_mask_is_1_at_letters_and_0_on_the_ground(levels, size):
    frame = text_frame(*levels, size)
    found = mask_of(frame)
    letters = np.abs(frame[..., 0].astype(int) - levels[1]) > abs(levels[0] - levels[1]) / 2
    assert found[letters].mean() > 0.35  # less at the ends of a line and at low contrast
    assert found[size[1] * 3 // 4 :].max() == 0


@pytest.mark.parametrize("levels", [(20, 235), (60, 190)])
def test_text_mask_finds_small_letters_that_are_blurred(levels):
    """Their pixels have all values between letters and ground."""
    frame = np.full((180, 320, 3), levels[1], np.uint8)
    for row in range(40, 140, 16):
        line, level = "the markers are found at the two", [levels[0]] * 3
        cv2.putText(frame, line, (20, row), cv2.FONT_HERSHEY_SIMPLEX, 0.45, level, 1, cv2.LINE_AA)
    assert mask_of(cv2.GaussianBlur(frame, (0, 0), 0.6))[40:130, 30:230].mean() > 0.7


@pytest.mark.parametrize("kind", ["noise", "foliage", "edge", "gradient", "black"])
def test_text_mask_is_0_without_text(kind):
    random = np.random.default_rng(0)
    if kind == "noise":
        frame = random.integers(0, 256, (180, 320)).astype(np.float32)
    elif kind == "foliage":
        frame = cv2.GaussianBlur(random.normal(128, 400, (180, 320)).astype(np.float32), (0, 0), 2)
    elif kind == "edge":
        frame = np.where(np.arange(320) < 160, 30.0, 220.0) * np.ones((180, 1))
    elif kind == "gradient":
        frame = np.linspace(0, 255, 320) * np.ones((180, 1))
    else:
        frame = np.zeros((180, 320))
    frame = np.repeat(np.clip(frame, 0, 255).astype(np.uint8)[..., None], 3, 2)
    assert mask_of(frame).mean() < 0.05  # a few windows of a texture look like text by chance


def test_content_loss_keeps_text_readable(monkeypatch):
    frame = text_frame()
    letters = frame[55:115, 25:300, 0].astype(float)

    def readability():
        stylized = vs.stylize(
            frame, bundled_styles()["glass"], working_size=160, initial_steps=60, device="cpu"
        )
        shown = cv2.resize(np.asarray(stylized), (320, 180))[55:115, 25:300].mean(-1)
        return np.corrcoef(letters.ravel(), shown.ravel())[0, 1]

    kept = readability()
    monkeypatch.setattr(content, "TEXT_GAIN", 0.0)
    assert kept > 0.6 and kept > readability() + 0.05
