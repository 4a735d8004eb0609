"""Nearest-neighbour patch matching."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import stripes

from vidstyle import Settings, Style, Stylizer
from vidstyle.losses import patch_matching
from vidstyle.losses.base import StyleSize
from vidstyle.losses.patch_matching import (
    SINKHORN_ITERATIONS,
    TEMPERATURE,
    NearestNeighborMatcher,
    PatchTarget,
    patch_loss,
    sinkhorn_offsets,
)
from vidstyle.losses.patches import (
    COLORS,
    GRID_PX,
    extract_patches,
    join_patches,
    patch_descriptors,
)
from vidstyle.ops.tensors import to_tensor
from vidstyle.optim.adam import AdamState, StepSize, adam

SIZE = (64, 64)
PATCHES_ALONE = Settings(
    precision="fp32", content_weight=0, style_weight=1e-6, tv_weight=0, patch_weight=0
)


def matcher_of(features, style, content):
    return NearestNeighborMatcher.from_content(
        style.patches(StyleSize(max(SIZE))), content, descriptors_of(features, content)
    )


def descriptors_of(features, image):
    layers = tuple(features.match_layers)
    return patch_descriptors(features(image, layers), layers, image)


def test_matcher_assigns_the_patches_of_a_style_image_to_themselves(features, style):
    image = style.images[0]
    descriptors = descriptors_of(features, image)
    target = matcher_of(features, style, image).assign(descriptors)
    # Attention gives the next nearest patches a small share.
    assert patch_loss(descriptors, target) < 1e-3
    other = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
    assert patch_loss(descriptors_of(features, other), target) > 0.3


def test_attention_means_weights_near_patches_by_their_similarity():
    units = torch.eye(4)
    temperature = patch_matching.ATTENTION_TEMPERATURE
    similarity = torch.tensor([[1.0, 1.0, -9, -9], [1.0, 1.0 - temperature * np.log(2), -9, -9]])
    found = patch_matching.attention_means(similarity, units)
    expected = F.normalize(torch.tensor([[1.0, 1.0, 0, 0], [2.0, 1.0, 0, 0]]))
    torch.testing.assert_close(found, expected)


def test_matcher_assigns_blue_content_to_blue_patches(features):
    """The image itself is noise."""
    halves = np.random.default_rng(0).integers(0, 60, (64, 64, 3)).astype(np.uint8)
    halves[:, :32, 2] += 180  # blue on the left, red on the right
    halves[:, 32:, 0] += 180
    style = Style.from_images([halves], features)
    content = to_tensor(halves[:, ::-1].copy())
    noise = torch.rand(content.shape, generator=torch.Generator().manual_seed(1))
    target = matcher_of(features, style, content).assign(descriptors_of(features, noise))
    patches = style.patches(StyleSize(64))
    nearest = (target.units @ patches.units.T).argmax(1)
    yellow_blue = patches.colors[nearest, 2].view(7, 7)
    assert yellow_blue[:, 5:].mean() < yellow_blue[:, :3].mean() - 1


def test_extract_patches_takes_colors_at_the_positions_of_patches(features):
    ramp = torch.linspace(0, 1, 96).expand(1, 3, 64, 96)
    grey = patch_descriptors(features(ramp, ["colour"]), ["colour"], ramp)[:, 1]
    inner = slice(
        2 * 7, -2 * 7
    )  # of eleven columns of seven: what lies beyond the border is not the ramp
    torch.testing.assert_close(
        grey.sort().values[inner],
        extract_patches(ramp, features)[COLORS][:, 0].sort().values[inner],
    )


def test_join_patches_takes_images_in_proportion(features):
    one, other = (
        extract_patches(to_tensor(picture), features) for picture in (stripes(), 255 - stripes())
    )
    count = len(one[COLORS])
    assert count == (64 // GRID_PX - 1) ** 2
    both = join_patches([one, other], [0.25, 0.75], features.match_layers)
    ones, others = one[COLORS][: round(count / 4)], other[COLORS][: round(3 * count / 4)]
    assert torch.equal(both.colors[:, :3], torch.cat([ones, others]))
    alone = join_patches([one, other], [1.0, 0.0], features.match_layers)
    assert torch.equal(alone.units, join_patches([one], [1.0], features.match_layers).units)


@pytest.mark.parametrize("size", [(64, 48), (67, 51), (33, 95)])
def test_patch_descriptors_accept_images_of_any_size(features, style, size):
    image = torch.rand(1, 3, size[1], size[0], generator=torch.Generator().manual_seed(0))
    descriptors = descriptors_of(features, image)
    assert len(descriptors) == (size[1] // GRID_PX - 1) * (size[0] // GRID_PX - 1)
    target = matcher_of(features, style, image).assign(descriptors)
    assert patch_loss(descriptors, target).isfinite()


def test_patch_loss_with_a_flat_style_does_not_overflow_in_float16():
    """Its spread is nearly 0, and differences from it are as large as VGG-19's activations."""
    far = torch.full((4, 8), 300.0, dtype=torch.float16, requires_grad=True)
    target = PatchTarget(
        F.normalize(torch.ones(4, 8)).half(), torch.zeros(8), torch.full((8,), 1000.0)
    )
    loss = patch_loss(far, target)
    assert loss.isfinite() and torch.autograd.grad(loss, far)[0].isfinite().all()


@pytest.fixture
def similarity():
    """(N, M): the last three style patches are the nearest ones of nearly all queries."""
    similarity = 0.2 * torch.rand(300, 60, generator=torch.Generator().manual_seed(0))
    similarity[:, -3:] += 0.1
    return similarity


def test_sinkhorn_offsets_make_all_style_patches_equally_near(similarity):
    """Columns of the scaled kernel sum to the same; without iterations three outweigh others."""

    def column_sums(offsets):
        kernel = ((similarity - offsets) / TEMPERATURE).softmax(1)
        return kernel.sum(0) / (len(kernel) / kernel.shape[1])

    before = column_sums(torch.zeros(60))
    assert before.max() > 3
    # Three iterations leave a per cent of what none leaves.
    torch.testing.assert_close(
        column_sums(sinkhorn_offsets(similarity)), torch.ones(60), atol=0.02, rtol=0
    )


def test_matcher_uses_more_style_patches_thanks_to_sinkhorn(features, style, monkeypatch):
    noise = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    descriptors = descriptors_of(features, noise)
    used = []
    monkeypatch.setattr(patch_matching, "ATTENTION_NEIGHBORS", 1)  # to count the patches
    for iterations in (SINKHORN_ITERATIONS, 0):
        monkeypatch.setattr(patch_matching, "SINKHORN_ITERATIONS", iterations)
        target = matcher_of(features, style, noise).assign(descriptors)
        used.append(len(target.units.unique(dim=0)))
    assert used[0] > used[1]


def test_patch_loss_falls_by_a_few_steps(features, style):
    content = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    settings = replace(PATCHES_ALONE, patch_weight=1.0)
    objective = Stylizer(features, style, settings).objective(content).with_fixed_targets(content)
    assert objective.with_fixed_targets(torch.zeros_like(content)) is objective
    before = objective(content)
    after = objective(adam(content, objective, 8, AdamState.zero(content), StepSize(0.05)).image)
    assert after["patch"] < 0.9 * before["patch"]
    assert before["total"] == pytest.approx(before["patch"].item(), rel=0.05)


def test_stylizer_with_patch_weight_0_extracts_no_patches(features, style, monkeypatch):
    content = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(Style, "patches", None)
    objective = Stylizer(features, style, PATCHES_ALONE).objective(content)
    assert objective.with_fixed_targets(content) is objective and "patch" not in objective.names
