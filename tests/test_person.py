"""Masks of people, which a model finds."""

import logging
import os
from fractions import Fraction
from itertools import pairwise
from threading import Thread

import numpy as np
import pytest
import torch
from conftest import QUICK_FLAGS, pixels_of, pixels_of_render, write_clip
from onnx_file import write_onnx

from vidstyle import FeaturesError, Frame, InputError, Settings
from vidstyle.cli.main import main
from vidstyle.distributed.tasks import Clip
from vidstyle.io.images import write_image
from vidstyle.io.mask_file import MaskFile
from vidstyle.job import RenderJob
from vidstyle.person import (
    PersonMasks,
    guided_filter,
    has_logits,
    load_person_model,
    person_channels,
    probabilities,
)
from vidstyle.regions import parse_regions

RED, BLUE = (220, 20, 20), (20, 20, 220)


def figure(time=0.0, size=(64, 48)):
    """(H, W, 3) uint8: a red "person" in front of blue, who walks 8 px per second."""
    image = np.full((size[1], size[0], 3), BLUE, np.uint8)
    left = 12 + round(8 * time)
    image[12:, left : left + 20] = RED
    return image


@pytest.fixture
def model_file(tmp_path):
    """A model that takes red things for people."""
    return write_onnx(tmp_path / "red.onnx", [[12.0, 0, -12.0]], [0.0], (256, 256))


def test_model_of_opencv_finds_people(model_file):
    found = load_person_model(model_file)(figure())
    assert found.shape == (256, 256)
    assert found[128:, 60:120].min() > 0.95 and found[:, 160:].max() < 0.05


def test_map_is_read_from_all_usual_outputs():
    logits = np.array([[[[2.0, -2.0]]]], np.float32)
    expected = 1 / (1 + np.exp([[-2.0, 2.0]]))
    for output in (logits, np.concatenate([0 * logits, logits], 1)):
        channels = person_channels(output)
        assert has_logits(channels) and np.allclose(probabilities(channels, True), expected)
    assert person_channels(np.zeros((1, 3, 4, 1), np.float32)).shape == (1, 3, 4)
    rounded = person_channels(np.array([[[0.25, 1.0000002]]], np.float32))
    assert not has_logits(rounded)
    assert np.allclose(probabilities(rounded, False), [[0.25, 1.0]])
    assert person_channels(np.zeros((1, 21, 4, 4), np.float32)) is None
    assert person_channels(np.zeros((1, 1000), np.float32)) is None


def test_model_of_logits_is_known_as_such_whatever_a_frame_shows(tmp_path):
    path = write_onnx(tmp_path / "logits.onnx", [[4.0, 0, -4.0]], [0.5], (256, 256), None)
    found = load_person_model(path)(np.full((8, 8, 3), 77, np.uint8))
    assert np.allclose(found, 1 / (1 + np.exp(-0.5)), atol=1e-3)


def test_model_that_several_threads_share_gives_each_its_own_map(model_file):
    model, wrong = load_person_model(model_file), []

    def work(color, expected):
        image = np.full((32, 32, 3), color, np.uint8)
        wrong.extend(n for n in range(40) if abs(model(image).mean() - expected) > 0.1)

    threads = [Thread(target=work, args=each) for each in ((RED, 1.0), (BLUE, 0.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_model_file_that_was_replaced_is_read_again(model_file):
    before = load_person_model(model_file)
    assert load_person_model(model_file) is before
    write_onnx(model_file, [[0.0, 0, 12.0]], [-6.0], (256, 256))
    os.utime(model_file, ns=(1, 1))
    assert load_person_model(model_file)(figure())[:, 200:].min() > 0.9


def test_model_of_torchvision_is_read_from_its_state_dict(tmp_path):
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    torch.manual_seed(0)
    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
    torch.save(network.state_dict(), tmp_path / "lraspp.pth")
    found = load_person_model(tmp_path / "lraspp.pth")(figure())
    assert found.shape == (48, 64) and 0 <= found.min() <= found.max() <= 1
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(FeaturesError, match=r"does not fit .* lraspp_mobilenet_v3_large, or a"):
        load_person_model(tmp_path / "other.pth")


def test_model_that_cannot_be_used_is_named_with_a_remedy(tmp_path):
    (tmp_path / "no.onnx").write_text("nothing")
    with pytest.raises(FeaturesError, match=r"no\.onnx cannot be read as a model: give a"):
        load_person_model(tmp_path / "no.onnx")
    with pytest.raises(FeaturesError, match=r"gone\.tflite"):
        load_person_model(tmp_path / "gone.tflite")
    many = write_onnx(tmp_path / "many.onnx", [[1.0, 0, 0]] * 5, [0.0] * 5, (256, 256))
    with pytest.raises(FeaturesError, match="is no model of people"):
        load_person_model(many)


def test_guided_filter_leads_edges_to_those_of_the_frame():
    guide = np.zeros((32, 64), np.float32)
    guide[:, 30:] = 1
    values = np.zeros_like(guide)
    values[:, 33:] = 1  # three pixels beside the edge
    filtered = guided_filter(guide, values, 4, 1e-4)
    assert filtered[16, :30].max() < 0.05
    assert filtered[16, 31] > 0.3 and filtered[16, 40:].min() > 0.95


def test_mask_has_the_edges_of_the_person(model_file):
    masks = PersonMasks(load_person_model(model_file))
    frame = Frame(figure(size=(320, 240)))
    mask = masks.mask_of(frame)
    true = (frame.image[..., 0] > 128).astype(np.uint8) * 255
    assert np.abs(mask.astype(int) - true).mean() < 3
    assert masks.mask_of(frame) is mask  # found once for several regions
    deep = Frame(frame.image.astype(np.uint16) * 257)
    again = PersonMasks(load_person_model(model_file)).mask_of(deep)
    assert np.array_equal(again, mask)


def test_mask_is_steady_and_follows_who_walks():
    rng = np.random.default_rng(0)
    true = np.zeros((64, 64), np.float32)

    def unsteady(image):
        """A map with an uncertain edge that flickers, of a person who jumps at frame 8."""
        return np.clip(true + rng.uniform(-0.08, 0.08, true.shape), 0, 1).astype(np.float32)

    def run():
        masks, found = PersonMasks(unsteady), []
        for number in range(10):
            true[:] = 0.5
            true[:, :20] = 1.0 if number < 8 else 0.0
            true[:, 44:] = 0.0 if number < 8 else 1.0
            found.append(masks.mask_of(Frame(np.full((64, 64, 3), 99, np.uint8))).astype(int))
        return found

    found = run()
    uncertain = np.s_[:, 24:40]
    steps = [np.abs(b - a)[uncertain].mean() for a, b in pairwise(found[:8])]
    assert np.mean(steps[4:]) < 4  # 20 of 255 levels in the maps themselves
    assert found[8][:, :14].max() < 20 and found[8][:, 50:].min() > 235


@pytest.fixture
def walking(tmp_path):
    return write_clip(
        tmp_path / "in.mkv", count=14, rate=Fraction(10), picture=figure, crf=1, codec="ffv1"
    )


def test_source_has_masks_of_people_and_of_the_background(walking, model_file):
    regions = parse_regions(["person=ink", "background=dots"])
    job = RenderJob(walking, "out.mkv", regions=regions, person_model=model_file)
    with job.open_source() as source:
        frames = list(source)
    for frame in frames:
        people, others = frame.regions.astype(int)
        assert (people + others == 255).all()
        assert people[30, 22] == 255 and people[30, 50] == 0
    masked = RenderJob(
        walking, "out.mkv", mask=MaskFile("person", True), person_model=model_file
    ).open_source()
    with masked as source:
        assert np.array_equal(next(iter(source)).mask, frames[0].regions[1])


def test_render_keeps_the_person_as_filmed(
    tmp_path, features, features_file, style_file, walking, model_file
):
    command = "render", *QUICK_FLAGS, "-q", walking, style_file, "-o", tmp_path / "out.mkv"
    command += "--features", features_file, "-c:v", "ffv1", "--mask", "background"
    main([*map(str, command), "--person-model", str(model_file)])
    source, made = pixels_of(walking), pixels_of(tmp_path / "out.mkv")
    inside = np.s_[16:44, 17:29]
    assert all(
        np.array_equal(a[inside], b[inside]) for a, b in zip(source[:4], made[:4], strict=True)
    )
    assert not np.array_equal(source[0][:, 44:], made[0][:, 44:])
    files, regions = (
        (walking, style_file, tmp_path / "api.mkv"),
        [{"mask": "person", "strength": 0.0}],
    )
    out = pixels_of_render(*files, features, regions=regions, person_model=model_file)
    assert np.array_equal(out[0][inside], source[0][inside])


def test_job_with_another_model_is_not_resumed(tmp_path, walking, model_file, monkeypatch):
    job = RenderJob(walking, tmp_path / "out.mkv", mask=MaskFile("person"), person_model=model_file)
    before = job.identity(Settings())
    write_onnx(model_file, [[10.0, 0, 0]], [-5.0], (256, 256))
    assert job.identity(Settings()) != before
    monkeypatch.chdir(tmp_path)
    near = model_file.relative_to(tmp_path)
    job = RenderJob("in.mkv", "out.mkv", mask=MaskFile("person"), person_model=near)
    sent = Clip.of(job, Settings())
    assert sent.job.person_model == model_file and sent.job.mask.path == "person"


def test_input_without_people_is_said_once(caplog, tmp_path, model_file):
    empty = tmp_path / "empty.png"
    write_image(empty, np.full((32, 32, 3), BLUE, np.uint8))
    regions = parse_regions(["person=ink", "background=dots"])
    with caplog.at_level(logging.WARNING, "vidstyle"):
        RenderJob(empty, "out.png", regions=regions, person_model=model_file).open_source()
    (message,) = caplog.messages
    assert "empty.png: no person was found in the frames: draw a mask" in message


def test_masks_after_skipped_frames_are_those_of_the_whole_clip(walking, model_file):
    def masks(skipped):
        job = RenderJob(walking, "out.mkv", mask=MaskFile("person"), person_model=model_file)
        with job.open_source() as source:
            source.skip(skipped)
            return [frame.mask for frame in source]

    whole = masks(0)
    for skipped in (1, 9, 12):
        rest = masks(skipped)
        assert len(rest) == len(whole) - skipped
        assert all(np.array_equal(a, b) for a, b in zip(rest, whole[skipped:], strict=True))


def test_masks_after_a_cut_do_not_depend_on_the_shot_before(model_file):
    model = load_person_model(model_file)
    masks = PersonMasks(model)
    for _ in range(3):
        masks.mask_of(Frame(np.full((48, 64, 3), (200, 190, 180), np.uint8)))
    after = masks.mask_of(Frame(figure()))
    assert np.array_equal(after, PersonMasks(model).mask_of(Frame(figure())))


def test_model_that_is_not_at_hand_offline_is_named_with_a_remedy(tmp_path, walking, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    job = RenderJob(walking, "out.mkv", mask=MaskFile("person"))
    with pytest.raises(FeaturesError, match=r"cannot be downloaded .* person_model=FILE"):
        job.open_source()
    with pytest.raises(InputError, match="does not exist"):
        RenderJob(walking, "out.mkv", mask=MaskFile("persons")).open_source()
