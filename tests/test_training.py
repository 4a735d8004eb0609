import os
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from conftest import scene, stripes

from vidstyle import InputError, training
from vidstyle.features.network import SMALL, Network
from vidstyle.io.tensor_file import read_tensors
from vidstyle.training import (
    Classifier,
    TrainConfig,
    held_out_trial,
    train,
)
from vidstyle.training_images import augmented_crops, read_images

SMALL_RECIPE = TrainConfig(steps=14, batch=8, picture_px=48, crop_px=32, learning_rate=3e-3)


@pytest.fixture
def folder(tmp_path):
    pictures = [scene(), stripes(), 255 - scene(), stripes()[::-1], np.zeros((70, 50, 3), np.uint8)]
    (tmp_path / "deep").mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / "deep" / f"{number}.png"), picture)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.jpg").write_bytes(b"no picture either")
    return tmp_path


def test_read_images_reads_folders_and_tar_files_and_skips_other_files(folder):
    with tarfile.open(folder / "all.tar", "w") as archive:
        archive.add(folder / "deep")
        archive.add(folder / "broken.jpg")
    pictures = read_images(folder, 48)
    assert pictures.shape == (5, 3, 48, 48) and pictures.dtype == torch.uint8
    assert torch.equal(read_images(folder / "all.tar", 48), pictures)


@pytest.mark.parametrize("name", ["nothing", "notes.txt", "empty"])
def test_read_images_rejects_a_path_without_images(folder, name):
    (folder / "empty").mkdir()
    with pytest.raises(InputError):
        read_images(folder / name, 48)


def test_read_images_skips_files_with_the_name_of_an_image(folder):
    (folder / "folder.jpg").mkdir()
    (folder / "empty.jpg").touch()
    assert len(read_images(folder, 48)) == 5
    (folder / "short.tar.gz").write_bytes(b"\x1f\x8b\x08\x00" + b"\x00" * 20)
    with pytest.raises(InputError):
        read_images(folder / "short.tar.gz", 48)


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"steps": -4}, {"batch": 0}, {"batch": 1}, {"seed": -1}]
)
def test_train_config_rejects_values_that_cannot_train(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainConfig(**change)


def test_augmented_crops_differ_and_are_seeded(folder):
    pictures = read_images(folder, 48)[[0, 0, 1]]
    crops = augmented_crops(pictures, 32, torch.Generator().manual_seed(3))
    assert crops.shape == (3, 3, 32, 32)
    assert (crops[0] - crops[1]).abs().mean() > 0.02
    assert torch.equal(crops, augmented_crops(pictures, 32, torch.Generator().manual_seed(3)))


def test_train_lowers_the_loss_and_is_seeded(folder):
    pictures = read_images(folder, 48)
    losses = []
    weights = train(
        pictures, SMALL_RECIPE, torch.device("cpu"), lambda progress: losses.append(progress.loss)
    )
    assert len(losses) == 14
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    again = train(pictures, SMALL_RECIPE, torch.device("cpu"))
    assert all(torch.equal(weights[name], again[name]) for name in weights)


class Broken(KeyboardInterrupt):
    """Ctrl-C at a chosen step."""


@pytest.fixture(autouse=True)
def a_checkpoint_each_step(monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)


def train_until(pictures, recipe, step, checkpoint):
    def report(progress):
        if progress.step == step:
            raise Broken

    with pytest.raises(Broken):
        train(pictures, recipe, torch.device("cpu"), report, checkpoint)


def test_classifier_folded_network_computes_the_trained_activations():
    torch.manual_seed(0)
    classifier = Classifier(SMALL, 4).eval()
    network = Network(SMALL, "relu2_1")
    network.load_state_dict({name: classifier.folded()[name] for name in network.state_dict()})
    picture = torch.rand(1, 3, 40, 48)
    with torch.no_grad():
        trained = classifier.blocks[:10]((picture - classifier.mean[0]) / classifier.std[0])
        painting = network(picture, ["relu2_1"])["relu2_1"]
    # Borders are padded by zeros in training, and by reflection afterwards. What remains is
    # rounding.
    torch.testing.assert_close(
        painting[..., 4:-4, 4:-4], trained[..., 4:-4, 4:-4], rtol=1e-4, atol=1e-4
    )


def test_train_resumes_to_the_same_weights(folder, tmp_path):
    pictures, checkpoint = read_images(folder, 48), tmp_path / "mine.checkpoint"
    recipe = replace(SMALL_RECIPE, steps=5)
    whole = train(pictures, recipe, torch.device("cpu"))
    train_until(pictures, recipe, 3, checkpoint)
    steps = []
    resumed = train(
        pictures,
        recipe,
        torch.device("cpu"),
        lambda progress: steps.append(progress.step),
        checkpoint,
    )
    assert steps == [4, 5]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not checkpoint.exists()


def test_train_saves_the_last_whole_step_at_an_interrupt(folder, tmp_path, monkeypatch):
    pictures, checkpoint = read_images(folder, 48), tmp_path / "mine.checkpoint"
    recipe = replace(SMALL_RECIPE, steps=4)
    whole = train(pictures, recipe, torch.device("cpu"))
    crops, calls = training.augmented_crops, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return crops(*args)

    monkeypatch.setattr(training, "augmented_crops", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(pictures, recipe, torch.device("cpu"), checkpoint=checkpoint)
    assert int(read_tensors(checkpoint)[0]["step"]) == 2
    resumed = train(pictures, recipe, torch.device("cpu"), checkpoint=checkpoint)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_train_rejects_the_checkpoint_of_another_training(folder, tmp_path):
    pictures, checkpoint = read_images(folder, 48), tmp_path / "mine.checkpoint"
    train_until(pictures, SMALL_RECIPE, 1, checkpoint)
    with pytest.raises(InputError, match="steps 14, not 20"):
        train(pictures, replace(SMALL_RECIPE, steps=20), torch.device("cpu"), checkpoint=checkpoint)
    with pytest.raises(InputError, match="images"):
        train(pictures.flip(0), SMALL_RECIPE, torch.device("cpu"), checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    with pytest.raises(InputError, match="delete it"):
        train(pictures, SMALL_RECIPE, torch.device("cpu"), checkpoint=checkpoint)


def test_held_out_trial_stylizes_and_evaluates(folder, features):
    content, style = read_images(folder, 48)[:2]
    trial = held_out_trial(features, content, style)
    assert trial.sheet.shape == (48, 144, 3)
    assert (trial.sheet[:, 96:].astype(int) - trial.sheet[:, :48]).any()
    assert 0 <= trial.stylized.style < trial.control.style + 1


def test_read_images_rejects_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(InputError, match="is not an ordinary file"):
        read_images(tmp_path / "pipe.tar", 32)


def test_train_resumes_after_an_interrupt_between_steps(folder, tmp_path, monkeypatch):
    pictures, checkpoint, steps = read_images(folder, 48), tmp_path / "mine.checkpoint", []
    recipe = replace(SMALL_RECIPE, steps=4)

    def check():
        if len(steps) == 2:
            raise KeyboardInterrupt

    def report(progress):
        steps.append(progress.step)

    with monkeypatch.context() as patched:
        patched.setattr(training, "check", check)
        with pytest.raises(KeyboardInterrupt):
            train(pictures, recipe, torch.device("cpu"), report, checkpoint)
    train(pictures, recipe, torch.device("cpu"), report, checkpoint)
    assert steps == [1, 2, 3, 4] and not checkpoint.exists()
