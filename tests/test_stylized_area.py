"""Where a live session stylises: everywhere, on people, or behind them."""

from threading import enumerate as enumerate_threads

import cv2
import numpy as np
import pytest
from conftest import until, write_clip
from onnx_file import write_onnx

import vidstyle.face_models
import vidstyle.live.stylized_area as module
import vidstyle.person
from vidstyle import FeaturesError, Frame, InputError
from vidstyle.io.mask_file import MaskFile
from vidstyle.live.camera import PacedFile
from vidstyle.live.stylized_area import AREAS, MASKS_PER_SECOND, StylizedArea

IMAGE = np.full((48, 64, 3), (20, 20, 220), np.uint8)
IMAGE[:, :24] = 220, 20, 20


@pytest.fixture
def model(tmp_path):
    """A model that takes red things for people."""
    return write_onnx(tmp_path / "red.onnx", [[12.0, 0, -12.0]], [0.0], (256, 256))


def test_area_masks_people_or_what_is_behind_them(model):
    area, frame = StylizedArea(model), Frame(IMAGE)
    area.load()
    assert area.with_masks(frame) is frame
    area.name = "person"
    area.load()
    people = area.with_masks(frame).mask
    assert people[:, :20].min() == 255 and people[:, 30:].max() == 0
    area.choose("background")
    assert np.array_equal(area.with_masks(frame).mask, 255 - people)


def test_area_goes_through_all_areas_and_loads_the_model_when_it_is_needed(model):
    area, said = StylizedArea(model), []
    area.notify = lambda text, error: said.append((text, error))
    names = []
    for _ in AREAS:
        area.next()
        names.append(area.name)
    assert names == ["person", "background", "all"]
    area.choose("person")
    until(lambda: area.with_masks(Frame(IMAGE)).mask is not None)
    assert said == [("loading the model that finds people", False)]


def test_area_without_a_model_says_why_and_stylizes_all(tmp_path):
    area, said = StylizedArea(tmp_path / "gone.onnx"), []
    area.notify = lambda text, error: said.append((text, error))
    area.choose("background")
    until(lambda: area.name == "all")
    assert area.with_masks(Frame(IMAGE)).mask is None
    until(lambda: len(said) == 2)
    assert "gone.onnx" in said[1][0] and said[1][1]
    area.name = "background"
    with pytest.raises(FeaturesError, match=r"gone\.onnx"):
        area.load()


def test_area_looks_for_people_at_a_bounded_rate(model, monkeypatch):
    area, now, frames = StylizedArea(model, "person"), [100.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def found(image):
        frames.append(image)
        return np.ones((8, 8), np.float32)

    monkeypatch.setattr(vidstyle.person, "load_person_model", lambda path: found)
    area.load()
    for _ in range(30):  # a second
        area.with_masks(Frame(IMAGE.copy()))
        now[0] += 1 / 30
    assert MASKS_PER_SECOND - 1 <= len(frames) <= MASKS_PER_SECOND + 1


def test_live_source_gives_its_frames_the_masks_of_its_area(tmp_path, model):
    clip = write_clip(tmp_path / "in.mp4", count=3, picture=lambda time: IMAGE)
    with PacedFile(clip) as source:
        source.area = StylizedArea(model, "person")
        source.area.load()
        masks = [frame.mask for frame in source]  # a busy machine skips late frames
    assert masks and masks[0][:, :20].min() > 200 and masks[0][:, 40:].max() < 50


def test_area_gives_frames_emphasis_on_faces(monkeypatch, tmp_path):
    face = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.6]], np.float32)
    monkeypatch.setattr(vidstyle.face_models, "load_face_model", lambda path: lambda image: [face])
    area = StylizedArea(face_model=tmp_path / "faces.tflite", faces="keep")
    area.load()
    # Another thread looks for them.
    until(lambda: area.with_masks(Frame(IMAGE)).emphasis is not None)
    frame = area.with_masks(Frame(IMAGE))
    assert frame.mask is None and frame.emphasis[19, 25] > 40
    area.close()
    area.close()
    assert area.with_masks(Frame(IMAGE)).emphasis is None
    assert not [thread for thread in enumerate_threads() if thread.name == "vidstyle-faces"]


def test_area_toggles_faces_and_loads_the_model_when_it_is_needed(monkeypatch):
    face = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.6]], np.float32)
    monkeypatch.setattr(vidstyle.face_models, "load_face_model", lambda path: lambda image: [face])
    area, said = StylizedArea(), []
    area.notify = lambda text, error: said.append((text, error))
    area.load()
    area.toggle_faces()
    assert area.faces == "keep"
    until(lambda: area.with_masks(Frame(IMAGE)).emphasis is not None)
    assert said == [("loading the model that finds faces", False)]
    area.toggle_faces()
    assert area.faces == "paint" and area.with_masks(Frame(IMAGE)).emphasis is None
    area.close()


def test_area_without_a_face_model_says_why_and_paints_faces(tmp_path):
    area, said = StylizedArea(face_model=tmp_path / "gone.tflite"), []
    area.notify = lambda text, error: said.append((text, error))
    area.toggle_faces()
    until(lambda: area.faces == "paint")
    until(lambda: len(said) == 2)
    assert "gone.tflite" in said[1][0] and said[1][1]


def test_area_looks_for_no_faces_that_are_painted(monkeypatch):
    monkeypatch.setattr(vidstyle.face_models, "load_face_model", lambda path: pytest.fail())
    area = StylizedArea()
    area.load()
    assert area.with_masks(Frame(IMAGE)).emphasis is None


def test_area_gives_frames_the_masks_of_regions(model, tmp_path):
    drawn = tmp_path / "drawn.png"
    half = np.zeros((48, 64, 3), np.uint8)
    half[:24] = 255
    cv2.imwrite(str(drawn), half)
    masks = MaskFile("person"), MaskFile("background"), MaskFile(drawn, invert=True)
    area = StylizedArea(model, regions=masks)
    area.load()
    frame = area.with_masks(Frame(IMAGE))
    people, rest, lower = frame.regions
    assert frame.mask is None and people[:, :20].min() == 255 and people[:, 30:].max() == 0
    assert np.array_equal(rest, 255 - people)
    assert lower[:24].max() == 0 and lower[24:].min() == 255


def test_area_of_a_drawn_mask_is_the_last_one(tmp_path, model):
    drawn = tmp_path / "drawn.png"
    cv2.imwrite(str(drawn), np.uint8(255 * np.eye(32)))
    area = StylizedArea(model, "mask", drawn=MaskFile(drawn))
    area.load()
    mask = area.with_masks(Frame(IMAGE)).mask  # stretched to the frame
    assert mask.shape == (48, 64) and mask[0, 0] == 255 and mask[0, 63] == 0
    area.next()
    assert area.name == "all" and area.areas[-1] == "mask"


def test_area_refuses_a_clip_as_a_mask(tmp_path):
    clip = write_clip(tmp_path / "mask.mp4", count=2)
    with pytest.raises(InputError, match="no still image"):
        StylizedArea(drawn=MaskFile(clip)).load()
