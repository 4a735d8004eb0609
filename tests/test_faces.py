"""Faces, whose eyes and mouths keep more of the content."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import painter, scene, write_clip
from onnx_file import write_onnx

import vidstyle.job as module
from vidstyle import FeaturesError, Frame, Settings
from vidstyle.faces import (
    BLAZEFACE_CELLS,
    BLAZEFACE_PX,
    KEPT_FRAMES,
    FaceMasks,
    decode_blazeface,
    drawn,
    load_face_model,
)
from vidstyle.job import RenderJob
from vidstyle.losses.content import EMPHASIS_GAIN, TEXT_GAIN
from vidstyle.ops.tensors import to_tensor

FACE = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.6]], np.float32)
"""Two eyes and a mouth."""

GRAY = np.full((60, 100, 3), 128, np.uint8)


def test_mask_of_a_face_covers_eyes_and_mouth_only():
    mask = drawn([FACE], (100, 60))
    assert mask.shape == (60, 100)
    assert mask[24, 40] > 240 and mask[24, 60] > 240 and mask[36, 50] > 240
    assert mask[5, 50] == 0 and mask[24, 90] == 0 and mask[55, 50] == 0
    assert not drawn([], (100, 60)).any()


def test_masks_of_faces_are_steady_and_stay_for_some_frames():
    found = [[FACE]]
    masks = FaceMasks(lambda image: found[-1])
    first = masks.mask_of(Frame(GRAY))
    found.append([FACE + 0.02])
    second = masks.mask_of(Frame(GRAY))
    jumped = drawn([FACE + 0.02], (100, 60))

    def difference(mask):
        return np.abs(mask.astype(int) - first).mean()

    assert 0 < difference(second) < 0.7 * difference(jumped)
    found.append([])
    for _ in range(KEPT_FRAMES):
        assert masks.mask_of(Frame(GRAY)).any()
    assert not masks.mask_of(Frame(GRAY)).any()
    found.append([FACE, FACE + np.array([0.35, 0.2], np.float32)])
    assert masks.mask_of(Frame(GRAY))[40:, 75:].any()


def test_blazeface_is_decoded_with_one_detection_for_each_face():
    count = BLAZEFACE_CELLS**2
    scores, positions = np.full((count, 1), -9, np.float32), np.zeros((count, 16), np.float32)
    row, column = 20, 30
    for number in (row * BLAZEFACE_CELLS + column, row * BLAZEFACE_CELLS + column + 1):
        scores[number] = 3
        positions[number, 2:4] = 40  # width and height in px
        positions[number, 4:8] = -10, -8, 10, -8  # eyes
        positions[number, 10:12] = 0, 12  # mouth
    scores[row * BLAZEFACE_CELLS + column] = 4
    (face,) = decode_blazeface(scores, positions)
    anchor = np.array([column + 0.5, row + 0.5]) / BLAZEFACE_CELLS
    offsets = np.array([[-10, -8], [10, -8], [0, 12]]) / BLAZEFACE_PX
    assert np.allclose(face, anchor + offsets)
    assert decode_blazeface(scores - 9, positions) == []


def test_file_that_is_no_model_of_faces_is_named_with_a_remedy(tmp_path):
    other = write_onnx(tmp_path / "other.onnx", [[1.0, 0, 0]], [0.0], (64, 64))
    (tmp_path / "text.tflite").write_text("no model")
    for name in (other, tmp_path / "text.tflite"):
        with pytest.raises(FeaturesError, match=r"is no model of faces: give YuNet"):
            load_face_model(name)
    with pytest.raises(FeaturesError, match="does not exist"):
        load_face_model(tmp_path / "gone.onnx")


def test_emphasis_multiplies_the_weight_of_the_content_where_it_is(features, style):
    emphasis = np.zeros((48, 64), np.uint8)
    emphasis[:, :32] = 255
    targets = []
    for mask in (None, emphasis):
        paint = painter(features, style)
        paint(Frame(scene(), emphasis=mask))
        targets.append(paint.objective(to_tensor(scene())).target("content"))
    for layer, plain in targets[0].items():
        ratio = targets[1][layer].weight_map / plain.weight_map
        half = ratio.shape[-1] // 2
        assert torch.allclose(ratio[..., half + 1 :], torch.ones(1))
        assert (ratio[..., : half - 1] > 1 + 0.9 * EMPHASIS_GAIN / (1 + TEXT_GAIN)).all()
    with pytest.raises(ValueError, match="emphasis must be a uint8 array"):
        Frame(scene(), emphasis=emphasis[:5])


def test_job_with_a_face_model_gives_frames_their_emphasis(tmp_path, monkeypatch, picture_file):
    monkeypatch.setattr(module, "load_face_model", lambda path: lambda image: [FACE])
    clip = write_clip(tmp_path / "in.mkv", count=2, rate=Fraction(10))
    model = tmp_path / "faces.tflite"
    model.write_text("faces")
    for name in (clip, picture_file):
        job = RenderJob(name, "out.mkv", face_model=model)
        with job.open_source() as source:
            assert all(frame.emphasis[19, 25] > 200 for frame in source)
    before = job.identity(Settings())
    model.write_text("other faces")
    assert job.identity(Settings()) != before
