"""Which spots of a style the spots of a painting are led to."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import stripes

from vidstyle import Settings, Style, Stylizer
from vidstyle.losses.patch_matching import (
    COLORS,
    GRID_PX,
    NearestNeighborMatcher,
    PatchTarget,
    extract_patches,
    join_patches,
    patch_descriptors,
    patch_loss,
)
from vidstyle.ops.tensors import to_tensor
from vidstyle.optim.optimizers import AdamState, StepSize, adam

SIZE = (64, 64)


def matching_of(features, style, content):
    layers = tuple(features.match_layers)
    return NearestNeighborMatcher(
        style.spots(max(SIZE)), layers, content, features(content, layers)
    )


def joined(features, picture):
    layers = tuple(features.match_layers)
    return patch_descriptors(features(picture, layers), layers, picture)


def test_a_painting_that_is_the_style_is_led_to_itself(features, style):
    picture = style.pictures[0]
    target = matching_of(features, style, picture).target(joined(features, picture))
    assert patch_loss(joined(features, picture), target) < 1e-5
    other = torch.rand(picture.shape, generator=torch.Generator().manual_seed(0))
    assert patch_loss(joined(features, other), target) > 0.3


def test_what_is_blue_is_led_to_what_is_blue(features):
    """Whatever the painting looks like so far."""
    halves = np.random.default_rng(0).integers(0, 60, (64, 64, 3)).astype(np.uint8)
    halves[:, :32, 2] += 180  # blue on the left, red on the right
    halves[:, 32:, 0] += 180
    style = Style.from_images([halves], features)
    content = to_tensor(halves[:, ::-1].copy())
    seen = joined(features, torch.rand(content.shape, generator=torch.Generator().manual_seed(1)))
    matching = matching_of(features, style, content)
    match_color_statistics = matching.target(seen).units @ style.spots(64).units.T
    counterpart = (
        style.spots(64).colours[match_color_statistics.argmax(1), 2].view(7, 7)
    )  # yellow against blue
    assert counterpart[:, 5:].mean() < counterpart[:, :3].mean() - 1


def test_colours_are_taken_where_spots_are(features):
    ramp = torch.linspace(0, 1, 96).expand(1, 3, 64, 96)
    grey = patch_descriptors(features(ramp, ["colour"]), ["colour"], ramp)[:, 1]
    inner = slice(
        2 * 7, -2 * 7
    )  # of eleven columns of seven: what lies beyond the border is not the ramp
    torch.testing.assert_close(
        grey.sort().values[inner],
        extract_patches(ramp, features)[COLORS][:, 0].sort().values[inner],
    )


def test_pictures_are_looked_at_in_proportion(features):
    one, other = (
        extract_patches(to_tensor(picture), features) for picture in (stripes(), 255 - stripes())
    )
    count = len(one[COLORS])
    assert count == (64 // GRID_PX - 1) ** 2
    both = join_patches([one, other], [0.25, 0.75], features.match_layers)
    ones, others = one[COLORS][: round(count / 4)], other[COLORS][: round(3 * count / 4)]
    assert torch.equal(both.colours[:, :3], torch.cat([ones, others]))
    alone = join_patches([one, other], [1.0, 0.0], features.match_layers)
    assert torch.equal(alone.units, join_patches([one], [1.0], features.match_layers).units)


@pytest.mark.parametrize("size", [(64, 48), (67, 51), (33, 95)])
def test_pictures_of_any_size_have_spots(features, style, size):
    picture = torch.rand(1, 3, size[1], size[0], generator=torch.Generator().manual_seed(0))
    spots = joined(features, picture)
    assert len(spots) == (size[1] // GRID_PX - 1) * (size[0] // GRID_PX - 1)
    target = matching_of(features, style, picture).target(spots)
    assert patch_loss(spots, target).isfinite()


def test_gradients_of_the_likeness_are_those_of_autograd():
    random = torch.Generator().manual_seed(0)
    planes, together = (
        torch.rand(1, 2, 24, 32, generator=random),
        torch.rand(1, 3, 12, 16, generator=random),
    )
    maps = {"planes": planes, "together": together.contiguous(memory_format=torch.channels_last)}
    picture = torch.zeros(1, 3, 48, 64)
    units = F.normalize(torch.rand(5 * 7, 5, generator=random))
    target = PatchTarget(units, torch.rand(5, generator=random), torch.rand(5, generator=random))

    def plain(planes, together):
        joined = (
            F.avg_pool2d(torch.cat([F.avg_pool2d(planes, 4), F.avg_pool2d(together, 2)], 1), 2, 1)[
                0
            ]
            .flatten(1)
            .T
        )
        return 1 - F.cosine_similarity((joined - target.middle) * target.gains, units).mean()

    def ours(planes, together):
        return patch_loss(
            patch_descriptors(
                {"planes": planes, "together": together}, ("planes", "together"), picture
            ),
            target,
        )

    results = []
    for loss in (plain, ours):
        leaves = [x.clone().requires_grad_(True) for x in maps.values()]
        value = loss(*leaves)
        results.append([value.detach(), *torch.autograd.grad(value, leaves)])
    torch.testing.assert_close(*results)


def test_beside_a_flat_style_float16_does_not_overflow():
    """Its spread is next to nothing, and differences from it are as large as VGG-19's maps."""
    far = torch.full((4, 8), 300.0, dtype=torch.float16, requires_grad=True)
    target = PatchTarget(
        F.normalize(torch.ones(4, 8)).half(), torch.zeros(8), torch.full((8,), 1000.0)
    )
    loss = patch_loss(far, target)
    assert loss.isfinite() and torch.autograd.grad(loss, far)[0].isfinite().all()


def test_a_few_steps_bring_spots_closer_and_no_weight_means_no_looking(
    features, style, monkeypatch
):
    content = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    settings = Settings(
        precision="fp32", content_weight=0, style_weight=1e-6, tv_weight=0, patch_weight=1.0
    )
    objective = Stylizer(features, style, settings).objective(content).with_fixed_matches(content)
    assert objective.with_fixed_matches(torch.zeros_like(content)) is objective
    before = objective(content)
    after = objective(adam(content, objective, 8, AdamState.zero(content), StepSize(0.05)).picture)
    assert after.match < 0.9 * before.match and before.total == pytest.approx(
        before.match.item(), rel=0.05
    )
    monkeypatch.setattr(Style, "spots", None)
    without = Stylizer(features, style, replace(settings, patch_weight=0)).objective(content)
    assert without.with_fixed_matches(content) is without and without(content).match == 0
