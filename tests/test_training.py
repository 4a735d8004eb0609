import os
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from conftest import TINY, TINY_DISTILLED, scene, stripes, tiny_network

from vidstyle import InputError
from vidstyle.features.network import Network, NetworkShape
from vidstyle.io.tensor_file import read_tensors
from vidstyle.training import distillation, instances, loop, task, trial
from vidstyle.training.config import TrainConfig
from vidstyle.training.distillation import Basis, Distillation
from vidstyle.training.images import augmented_crops, read_images, with_texture
from vidstyle.training.instances import InstanceDiscrimination
from vidstyle.training.muon import Muon, kernels, orthogonalised
from vidstyle.training.task import seeded_weights
from vidstyle.training.trial import held_out_trial

SMALL_RECIPE = TrainConfig(steps=14, batch=8, picture_px=48, crop_px=32, learning_rate=3e-3)
TEACHER = NetworkShape(
    (16, 16, 16, 16, 16),
    (1, 1, 1, 2, 1),
    (0.5, 0.5, 0.5),
    (0.2, 0.2, 0.2),
    "max",
    reflect_pad=False,
)


def train(images, recipe, *args, task=None):
    """Train without a teacher, from the weights of the seed."""
    with seeded_weights(recipe.seed):
        task = task or InstanceDiscrimination(len(images), TINY)
    return loop.train(task, images, recipe, torch.device("cpu"), *args)


def distil(images, recipe, *args):
    """Train with a seeded random teacher."""
    with seeded_weights(recipe.seed):
        task = Distillation(tiny_network(1, TEACHER), TINY_DISTILLED)
    return train(images, recipe, *args, task=task)


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


def test_read_images_names_what_is_damaged(folder, caplog):
    read_images(folder, 48)
    assert "1 images were skipped" in caplog.text and "broken.jpg is damaged" in caplog.text


def test_read_images_enlarges_nothing_that_it_crops(folder, monkeypatch):
    cv2.imwrite(str(folder / "line.png"), np.zeros((1, 3000, 3), np.uint8))
    resize, sizes = cv2.resize, set()

    def noted(image, size, **more):
        sizes.add(size)
        return resize(image, size, **more)

    monkeypatch.setattr(cv2, "resize", noted)
    assert len(read_images(folder, 48)) == 6 and sizes == {(48, 48)}


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
    weights = train(pictures, SMALL_RECIPE, lambda progress: losses.append(progress.loss))
    assert len(losses) == 14
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    again = train(pictures, SMALL_RECIPE)
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.fixture
def short_rounds(monkeypatch):
    monkeypatch.setattr(distillation, "ROUND_STEPS", 16)
    monkeypatch.setattr(distillation, "BASIS_CROPS", 24)


RECIPE_WITH_TEACHER = TrainConfig(
    steps=60, batch=4, picture_px=64, crop_px=64, learning_rate=6e-3, muon_learning_rate=0.05
)


def test_distillation_comes_nearer_to_the_teacher(folder, short_rounds):
    images, reports = read_images(folder, 64), []
    distil(images, RECIPE_WITH_TEACHER, reports.append)
    losses = [report.loss for report in reports]
    assert np.mean(losses[-15:]) < 0.5 * np.mean(losses[:5])


def test_distillation_resumes_within_a_round_to_the_same_weights(folder, tmp_path, short_rounds):
    images, checkpoint = read_images(folder, 64), tmp_path / "mine.checkpoint"
    recipe = replace(RECIPE_WITH_TEACHER, steps=8)
    whole = distil(images, recipe)

    def report(progress):
        if progress.step == 3:
            raise Broken

    with pytest.raises(Broken):
        distil(images, recipe, report, checkpoint)
    resumed = distil(images, recipe, lambda progress: None, checkpoint)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_distillation_gives_weights_of_its_own_alone(folder, short_rounds):
    weights = distil(read_images(folder, 64), replace(RECIPE_WITH_TEACHER, steps=1))
    network = Network(TINY_DISTILLED)
    network.load_state_dict(weights)  # no more and no less: no weight of the teacher
    assert network(torch.rand(1, 3, 64, 64), ["vgg.relu4_2"])["vgg.relu4_2"].shape == (1, 6, 8, 8)


def test_distillation_rejects_the_checkpoint_of_another_teacher(folder, tmp_path, short_rounds):
    images, checkpoint = read_images(folder, 64), tmp_path / "mine.checkpoint"
    train_until(images, RECIPE_WITH_TEACHER, 1, checkpoint)
    with pytest.raises(InputError, match="task InstanceDiscrimination, not Distillation"):
        distil(images, RECIPE_WITH_TEACHER, lambda progress: None, checkpoint)


def test_distillation_tells_which_crop_its_teacher_sees(folder, short_rounds):
    with seeded_weights(0):
        taught = Distillation(tiny_network(1, TEACHER), TINY_DISTILLED)
    told = []
    taught.watch = lambda step, text: told.append((step, text))
    train(read_images(folder, 64), replace(RECIPE_WITH_TEACHER, steps=17), task=taught)
    bases = [(0, f"teacher: crop {number}/24") for number in range(1, 25)]
    rounds = [(step, f"teacher: crop {number}/8") for step in (0, 16) for number in range(1, 9)]
    assert told == bases + rounds


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_orthogonalised_has_singular_values_near_1(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = torch.linalg.svdvals(orthogonalised(matrix))
    # Jordan et al. (2024): five iterations bring singular values to between 0.7 and 1.2.
    assert found.min() > 0.6 and found.max() < 1.25
    alignment = (orthogonalised(matrix) * matrix).sum()  # the nearest orthogonal matrix, nearly
    assert alignment > 0.8 * torch.linalg.svdvals(matrix).sum()


def test_muon_fits_an_ill_conditioned_convolution():
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Conv2d(4, 4, 3, bias=False)
    target = torch.randn(layer.weight.shape, generator=generator)
    scales = torch.tensor([1.0, 0.3, 0.1, 0.03])[:, None, None, None]
    optimizer = Muon(kernels(layer), lr=0.1)
    before = (layer.weight - target).norm().item()
    for _ in range(100):
        optimizer.zero_grad()
        ((layer.weight - target) * scales).square().sum().backward()
        optimizer.step()
    # Gradient descent of the same number of steps learns little of the last channel, whose
    # gradients are a thousandth of the first one's.
    assert (layer.weight - target).norm() < 0.3 * before


def test_basis_keeps_distances_of_what_its_components_span():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 4, generator=generator)
    low_rank = torch.einsum("ck,bkhw->bchw", mixing, torch.randn(2, 4, 9, 9, generator=generator))
    coordinates = Basis.of(low_rank, 4)(low_rank)
    assert coordinates.shape == (2, 4, 9, 9)
    torch.testing.assert_close(coordinates.square().mean(), torch.tensor(1.0))
    distances = [(x[0] - x[1]).square().sum() for x in (low_rank, coordinates)]
    norms = [x.square().sum() for x in (low_rank, coordinates)]
    torch.testing.assert_close(distances[0] / norms[0], distances[1] / norms[1])


def test_with_texture_blurs_sharpens_and_is_seeded():
    crops = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = with_texture(crops, torch.Generator().manual_seed(1))
    ratio = changed.std((1, 2, 3)) / crops.std((1, 2, 3))
    assert ratio.min() < 0.9 and ratio.max() > 1.5
    assert torch.equal(changed, with_texture(crops, torch.Generator().manual_seed(1)))


class Broken(KeyboardInterrupt):
    """Ctrl-C at a chosen step."""


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "WARM_UP_STEPS", 4)


def train_until(pictures, recipe, step, checkpoint):
    def report(progress):
        if progress.step == step:
            raise Broken

    with pytest.raises(Broken):
        train(pictures, recipe, report, checkpoint)


def test_train_resumes_to_the_same_weights(folder, tmp_path):
    pictures, checkpoint = read_images(folder, 48), tmp_path / "mine.checkpoint"
    recipe = replace(SMALL_RECIPE, steps=5)
    whole = train(pictures, recipe)
    train_until(pictures, recipe, 3, checkpoint)
    steps = []
    resumed = train(
        pictures,
        recipe,
        lambda progress: steps.append(progress.step),
        checkpoint,
    )
    assert steps == [4, 5]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_train_saves_the_last_whole_step_at_an_interrupt(folder, tmp_path, monkeypatch):
    pictures, checkpoint = read_images(folder, 48), tmp_path / "mine.checkpoint"
    recipe = replace(SMALL_RECIPE, steps=4)
    whole = train(pictures, recipe)
    crops, calls = instances.augmented_crops, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return crops(*args)

    monkeypatch.setattr(instances, "augmented_crops", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(pictures, recipe, lambda progress: None, checkpoint)
    assert int(read_tensors(checkpoint)[0]["step"]) == 2
    resumed = train(pictures, recipe, lambda progress: None, checkpoint)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_train_rejects_the_checkpoint_of_another_training(folder, tmp_path):
    pictures, checkpoint = read_images(folder, 48), tmp_path / "mine.checkpoint"
    train_until(pictures, SMALL_RECIPE, 1, checkpoint)
    with pytest.raises(InputError, match="steps 14, not 20"):
        train(pictures, replace(SMALL_RECIPE, steps=20), lambda progress: None, checkpoint)
    with pytest.raises(InputError, match="images"):
        train(pictures.flip(0), SMALL_RECIPE, lambda progress: None, checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    with pytest.raises(InputError, match="delete it"):
        train(pictures, SMALL_RECIPE, lambda progress: None, checkpoint)


def test_held_out_trial_stylizes_and_evaluates(folder, features, monkeypatch):
    monkeypatch.setattr(trial, "TRIAL_STEPS", 6)
    content, style = read_images(folder, 48)[:2]
    steps = []
    found = held_out_trial(features, content, style, steps.append)
    assert steps == [1, 2, 3, 4, 5, 6]
    assert found.sheet.shape == (48, 144, 3)
    assert (found.sheet[:, 96:].astype(int) - found.sheet[:, :48]).any()
    assert 0 <= found.stylized.style < found.control.style + 1


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
        patched.setattr(loop, "check", check)
        with pytest.raises(KeyboardInterrupt):
            train(pictures, recipe, report, checkpoint)
    train(pictures, recipe, report, checkpoint)
    assert steps == [1, 2, 3, 4]


def test_distillation_trains_where_bfloat16_is_fast(folder, short_rounds, monkeypatch):
    monkeypatch.setattr(task, "choose_precision", lambda name, device: torch.bfloat16)
    losses = []
    recipe = replace(RECIPE_WITH_TEACHER, steps=2)
    distil(read_images(folder, 64), recipe, lambda progress: losses.append(progress.loss))
    assert len(losses) == 2 and np.isfinite(losses).all()
