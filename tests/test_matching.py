"""Which spots of a style the spots of a painting are led to."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import stripes

from vidstyle import Settings, Style, Stylizer
from vidstyle.painting.matching import COLOURS, GRID_PX, Matching, join_spots, look_at_spots, match_loss, on_grid
from vidstyle.painting.optimize import Moments, Rate, adam
from vidstyle.painting.tensors import to_tensor

SIZE = (64, 64)


def matching_of(features, style, content):
    layers = tuple(features.match_layers)
    return Matching(style.spots(max(SIZE)), layers, content, features(content, layers))


def joined(features, picture):
    layers = tuple(features.match_layers)
    return on_grid(features(picture, layers), layers, picture)


def test_a_painting_that_is_the_style_is_led_to_itself(features, style):
    picture = style.pictures[0]
    target = matching_of(features, style, picture).target(joined(features, picture))
    assert match_loss(joined(features, picture), target) < 1e-5
    other = torch.rand(picture.shape, generator=torch.Generator().manual_seed(0))
    assert match_loss(joined(features, other), target) > 0.3


def test_what_is_blue_is_led_to_what_is_blue(features):
    """Whatever the painting looks like so far."""
    halves = np.random.default_rng(0).integers(0, 60, (64, 64, 3)).astype(np.uint8)
    halves[:, :32, 2] += 180  # blue on the left, red on the right
    halves[:, 32:, 0] += 180
    style = Style.from_images([halves], features)
    content = to_tensor(halves[:, ::-1].copy())
    seen = joined(features, torch.rand(content.shape, generator=torch.Generator().manual_seed(1)))
    matching = matching_of(features, style, content)
    led_to = matching.target(seen).units.T @ style.spots(64).units
    counterpart = style.spots(64).colours[2:3, led_to.argmax(1)].view(7, 7)  # yellow against blue
    assert counterpart[:, 5:].mean() < counterpart[:, :3].mean() - 1


def test_colours_are_taken_where_spots_are(features):
    ramp = torch.linspace(0, 1, 96).expand(1, 3, 64, 96)
    grey = on_grid(features(ramp, ["colour"]), ["colour"], ramp)[1]
    inner = slice(2 * 7, -2 * 7)  # of eleven columns of seven: what lies beyond the border is not the ramp
    torch.testing.assert_close(grey.sort().values[inner], look_at_spots(ramp, features)[COLOURS][0].sort().values[inner])


def test_pictures_are_looked_at_in_proportion(features):
    one, other = (look_at_spots(to_tensor(picture), features) for picture in (stripes(), 255 - stripes()))
    count = one[COLOURS].shape[1]
    assert count == (64 // GRID_PX - 1) ** 2
    both = join_spots([one, other], [0.25, 0.75], features.match_layers)
    ones, others = one[COLOURS][:, : round(count / 4)], other[COLOURS][:, : round(3 * count / 4)]
    assert torch.equal(both.colours[:3], torch.cat([ones, others], 1))
    alone = join_spots([one, other], [1.0, 0.0], features.match_layers)
    assert torch.equal(alone.units, join_spots([one], [1.0], features.match_layers).units)


@pytest.mark.parametrize("size", [(64, 48), (67, 51), (33, 95)])
def test_pictures_of_any_size_have_spots(features, style, size):
    picture = torch.rand(1, 3, size[1], size[0], generator=torch.Generator().manual_seed(0))
    spots = joined(features, picture)
    assert spots.shape[1] == (size[1] // GRID_PX - 1) * (size[0] // GRID_PX - 1)
    target = matching_of(features, style, picture).target(spots)
    assert match_loss(spots, target).isfinite()


def test_a_few_steps_bring_spots_closer_and_no_weight_means_no_looking(features, style, monkeypatch):
    content = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    settings = Settings(precision="fp32", content_weight=0, style_weight=1e-6, tv_weight=0, match_weight=1.0)
    objective = Stylizer(features, style, settings).objective(content).settled(content)
    assert objective.settled(torch.zeros_like(content)) is objective
    before = objective(content)
    after = objective(adam(content, objective, 8, Moments.zero(content), Rate(0.05)).picture)
    assert after.match < 0.9 * before.match and before.total == pytest.approx(before.match.item(), rel=0.05)
    monkeypatch.setattr(Style, "spots", None)
    without = Stylizer(features, style, replace(settings, match_weight=0)).objective(content)
    assert without.settled(content) is without and without(content).match == 0
