import tarfile

import cv2
import numpy as np
import pytest
import torch
from conftest import scene, stripes

from vidstyle import InputError
from vidstyle.training import Recipe, distorted_crops, read_pictures, train

SMALL_RECIPE = Recipe(steps=14, batch=8, picture_px=48, crop_px=32, learning_rate=3e-3)


@pytest.fixture
def folder(tmp_path):
    pictures = [scene(), stripes(), 255 - scene(), stripes()[::-1], np.zeros((70, 50, 3), np.uint8)]
    (tmp_path / "deep").mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / "deep" / f"{number}.png"), picture)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.jpg").write_bytes(b"no picture either")
    return tmp_path


def test_folders_and_tars_are_read_and_what_is_no_picture_is_passed_over(folder):
    with tarfile.open(folder / "all.tar", "w") as archive:
        archive.add(folder / "deep")
        archive.add(folder / "broken.jpg")
    pictures = read_pictures(folder, 48)
    assert pictures.shape == (5, 3, 48, 48) and pictures.dtype == torch.uint8
    assert torch.equal(read_pictures(folder / "all.tar", 48), pictures)


@pytest.mark.parametrize("name", ["nothing", "notes.txt", "empty"])
def test_without_pictures_it_is_refused(folder, name):
    (folder / "empty").mkdir()
    with pytest.raises(InputError):
        read_pictures(folder / name, 48)


def test_files_that_only_look_like_pictures_do_no_harm(folder):
    (folder / "folder.jpg").mkdir()
    (folder / "empty.jpg").touch()
    assert len(read_pictures(folder, 48)) == 5
    (folder / "short.tar.gz").write_bytes(b"\x1f\x8b\x08\x00" + b"\x00" * 20)
    with pytest.raises(InputError):
        read_pictures(folder / "short.tar.gz", 48)


@pytest.mark.parametrize("change", [{"steps": 0}, {"steps": -4}, {"batch": 0}, {"batch": 1}, {"seed": -1}])
def test_a_recipe_that_cannot_train_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Recipe(**change)


def test_crops_differ_from_each_other_and_are_seeded(folder):
    pictures = read_pictures(folder, 48)[[0, 0, 1]]
    crops = distorted_crops(pictures, 32, torch.Generator().manual_seed(3))
    assert crops.shape == (3, 3, 32, 32)
    assert (crops[0] - crops[1]).abs().mean() > 0.02
    assert torch.equal(crops, distorted_crops(pictures, 32, torch.Generator().manual_seed(3)))


def test_training_learns_and_is_seeded(folder):
    pictures = read_pictures(folder, 48)
    losses = []
    weights = train(pictures, SMALL_RECIPE, torch.device("cpu"), lambda progress: losses.append(progress.loss))
    assert len(losses) == 14
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    again = train(pictures, SMALL_RECIPE, torch.device("cpu"))
    assert all(torch.equal(weights[name], again[name]) for name in weights)
