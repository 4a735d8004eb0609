"""Losses, their targets, and the objective that adds them up."""

from dataclasses import dataclass

import pytest
import torch

from vidstyle.features.filter_bank import structure
from vidstyle.losses.base import StyleSize
from vidstyle.losses.content import SPATIAL_WEIGHTING, ContentLoss, ContentTarget, content_loss
from vidstyle.losses.defaults import default_losses
from vidstyle.losses.objective import Objective, StyleContext, prepare_targets
from vidstyle.losses.orientation import OrientationLoss, orientation_loss
from vidstyle.losses.style import StyleLoss, StyleTarget, gram, style_loss
from vidstyle.losses.temporal import TemporalLoss, TemporalTarget, temporal_loss
from vidstyle.losses.total_variation import TotalVariationLoss
from vidstyle.optim.adam import AdamState, StepSize, adam
from vidstyle.optim.lbfgs import lbfgs
from vidstyle.settings import Settings


def test_gram_is_the_mean_product_of_channels():
    maps = torch.rand(1, 3, 4, 5)
    expected = torch.zeros(3, 3)
    for i in range(3):
        for j in range(3):
            expected[i, j] = (maps[0, i] * maps[0, j]).mean()
    torch.testing.assert_close(gram(maps), expected)


def test_gram_does_not_depend_on_the_size_of_the_image():
    tile = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(gram(tile.repeat(1, 1, 4, 4)), gram(tile))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_style_loss_gradient_is_that_of_its_formula(layout, precision):
    generator = torch.Generator().manual_seed(0)
    maps, other = (
        2 * torch.rand(1, 3, 4, 5, generator=generator).contiguous(memory_format=layout)
        for _ in range(2)
    )
    target = StyleTarget.from_grams(
        {"first": gram(other), "second": gram(other[:, :2])}, {"second": 3.0}
    )
    seen = maps.to(precision).requires_grad_(True)
    (gradient,) = torch.autograd.grad(style_loss([seen, seen[:, :2]], target), seen)
    plain = maps.requires_grad_(True)
    differences = [gram(plain[:, :count]) - gram(other[:, :count]) for count in (3, 2)]
    units = [gram(other[:, :count]).square().mean() for count in (3, 2)]
    means = [
        difference.square().mean() / unit
        for difference, unit in zip(differences, units, strict=True)
    ]
    (expected,) = torch.autograd.grad((means[0] + 3 * means[1]) / 4, plain)
    rounding = (
        {} if precision == torch.float32 else {"rtol": 5e-3, "atol": 5e-4}
    )  # float16 holds maps and products to 5e-4
    torch.testing.assert_close(gradient.float(), expected, **rounding)


def test_style_loss_weights_its_layers(features, style):
    found = style.grams(StyleSize(64), ("relu1_1", "oriented1"))
    grams = {layer: 1.1 * matrix for layer, matrix in found.items()}
    image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    activations = features(image, grams)

    def loss(layer_weights):
        target = StyleTarget.from_grams(
            {layer: grams[layer] for layer in layer_weights}, layer_weights
        )
        return StyleLoss(tuple(layer_weights.items()))(image, activations, target)

    first, second = (loss({layer: 1.0}) for layer in grams)
    both = loss({"relu1_1": 1.0, "oriented1": 3.0})
    torch.testing.assert_close(both, (first + 3 * second) / 4)


def test_gram_of_large_half_precision_activations_does_not_overflow():
    maps = torch.full(
        (1, 4, 256, 256), 200.0, dtype=torch.float16
    )  # unscaled products would reach 2.6e9
    assert gram(maps).isfinite().all()


def test_losses_are_0_at_their_target_and_in_its_units():
    maps = torch.rand(1, 3, 8, 8)
    assert content_loss(maps, ContentTarget.from_activations(maps)) == 0
    assert style_loss([maps], StyleTarget.from_grams({"layer": gram(maps)})) == 0
    assert TotalVariationLoss()(torch.full((1, 3, 8, 8), 0.3), {}, ()) == 0
    for scale in (0.5, 100.0):  # above the floor that guards against flat targets
        other = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(
            content_loss(scale * maps, ContentTarget.from_activations(scale * other)),
            content_loss(maps, ContentTarget.from_activations(other)),
        )


def test_content_loss_gradient_is_that_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    maps, other = (torch.rand(1, 3, 9, 8, generator=generator) for _ in range(2))
    target = ContentTarget.from_activations(other)
    (gradient,) = torch.autograd.grad(content_loss(maps.requires_grad_(True), target), maps)
    plainly = ((maps - target.activations).square() * target.weight_map).mean() / target.variance
    torch.testing.assert_close(gradient, torch.autograd.grad(plainly, maps)[0])


def test_content_loss_in_half_precision_has_the_same_value():
    generator = torch.Generator().manual_seed(0)
    maps, other = (torch.rand(1, 16, 30, 40, generator=generator) for _ in range(2))
    exact = content_loss(maps, ContentTarget.from_activations(other))
    for precision in (torch.bfloat16, torch.float16):
        half = content_loss(maps.to(precision), ContentTarget.from_activations(other.to(precision)))
        assert (
            half.dtype == torch.float32
        )  # steps are judged by changes far below bfloat16's last digit
        torch.testing.assert_close(
            half, exact, rtol=3e-3, atol=0
        )  # bfloat16 holds maps to 4e-3 each


def test_content_loss_of_large_half_precision_activations_does_not_overflow():
    maps, target = (
        torch.full((1, 4, 8, 8), 400.0, dtype=torch.float16),
        ContentTarget.from_activations(torch.rand(1, 4, 8, 8).half()),
    )
    exact = content_loss(
        maps.float(), ContentTarget(target.activations.float(), target.variance, target.weight_map)
    )
    torch.testing.assert_close(
        content_loss(maps, target), exact, rtol=3e-3, atol=0
    )  # squares are 1.6e5, float16 ends at 6.6e4


def test_losses_of_a_black_target_are_finite():
    assert content_loss(
        torch.ones(1, 3, 8, 8), ContentTarget.from_activations(torch.zeros(1, 3, 8, 8))
    ).isfinite()
    assert style_loss(
        [torch.ones(1, 3, 8, 8)], StyleTarget.from_grams({"layer": torch.zeros(3, 3)})
    ).isfinite()


@pytest.fixture
def losses(features):
    """Weighted losses of the tiny features."""
    return {
        ContentLoss(tuple(features.content_layers.items())): 1.0,
        StyleLoss(tuple(features.style_layers.items())): 1.0,
        TotalVariationLoss(): 1.0,
        TemporalLoss(): 1.0,
    }


def objective_of(features, style, losses, previous=None):
    content = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    prepared = StyleContext(style.color_statistics(), style.targets(losses, StyleSize(64)))
    targets = prepare_targets(features, losses, prepared, content, previous)
    return Objective.of(features, losses, targets)


@pytest.mark.parametrize("name", ["content", "style", "tv", "orientation"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_objective_falls_by_a_few_steps_for_each_loss(features, style, losses, name, optimizer):
    alone = {loss: float(loss.name == name) for loss in (*losses, OrientationLoss())}
    objective = objective_of(features, style, alone)
    start = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    if optimizer == "adam":
        image = adam(start, objective, 8, AdamState.zero(start), StepSize(0.02)).image
    else:
        image = lbfgs(start, objective, 8).image
    assert objective(image)[name] < 0.9 * objective(start)[name]


def test_objective_total_is_the_weighted_sum(features, style, losses):
    previous = torch.rand(1, 3, 48, 64), torch.ones(1, 1, 48, 64)
    weighted = dict(zip(losses, (0.5, 2.0, 3.0, 4.0), strict=True))
    objective = objective_of(features, style, weighted, previous)
    values = objective(torch.rand(1, 3, 48, 64))
    assert list(values) == ["total", "content", "style", "tv", "temporal"]
    expected = 0.5 * values["content"] + 2 * values["style"] + 3 * values["tv"]
    torch.testing.assert_close(values["total"], expected + 4 * values["temporal"])
    halved = objective.reweighted(content=0.5)(torch.rand(1, 3, 48, 64))
    expected = 0.25 * halved["content"] + 2 * halved["style"] + 3 * halved["tv"]
    torch.testing.assert_close(halved["total"], expected + 4 * halved["temporal"])


def test_objective_leaves_out_losses_without_a_target(features, style, losses):
    assert objective_of(features, style, losses).names == ("total", "content", "style", "tv")


def test_objective_refuses_two_losses_of_one_name(features, style, losses):
    @dataclass(frozen=True)
    class Total(TotalVariationLoss):
        name = "total"

    with pytest.raises(ValueError, match="'total' is not a unique name"):
        objective_of(features, style, {**losses, Total(): 1.0})
    with pytest.raises(ValueError, match="'style' is not a unique name"):
        objective_of(features, style, {**losses, StyleLoss((("relu1_1", 1.0),)): 1.0})


def test_temporal_loss_ignores_disoccluded_regions():
    target = TemporalTarget(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    target.weight_map[..., :4] = 1
    loss = temporal_loss(torch.full_like(target.image, 0.5), target)
    torch.testing.assert_close(loss, torch.tensor(0.125))


def test_content_loss_weighs_flat_regions_less_than_detailed_ones():
    maps = torch.zeros(1, 3, 32, 32)
    maps[..., :16] = torch.rand(1, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    target = ContentTarget.from_activations(maps)
    changed = [maps.clone(), maps.clone()]
    changed[0][..., 2:10] += 0.5
    changed[1][..., 22:30] += 0.5
    full, flat = (content_loss(each, target) for each in changed)
    assert 0 < 1.5 * flat < full
    edges = ContentTarget.from_activations(maps, SPATIAL_WEIGHTING["edges"])
    assert content_loss(changed[1], edges) == 0 < content_loss(changed[0], edges)


def gratings(degrees, contrast=0.5):
    """(1, 1, 64, 64): parallel stripes at an angle."""
    angle = torch.deg2rad(torch.tensor(float(degrees)))
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    wave = torch.sin(0.8 * (x * torch.cos(angle) + y * torch.sin(angle)))
    return (0.5 + contrast / 2 * wave)[None, None]


def test_orientation_loss_grows_with_the_angle_between_strokes_and_edges():
    edges = structure(gratings(0))
    parallel, near, across = (
        orientation_loss(structure(gratings(degrees)), edges) for degrees in (0, 30, 90)
    )
    assert parallel < 0.02 < near < across
    thin = orientation_loss(structure(gratings(0, contrast=0.1)), edges)
    assert thin < 0.02  # the energy of strokes is free, only their direction counts


def test_orientation_loss_leaves_flat_regions_to_the_style():
    half_flat = gratings(0)
    half_flat[..., :32] = 0.5 + 0.01 * (gratings(45)[..., :32] - 0.5)  # noise of a code value
    target = structure(half_flat)
    on_flat, on_edges = gratings(0), gratings(0)
    on_flat[..., :24] = gratings(90)[..., :24]
    on_edges[..., 40:] = gratings(90)[..., 40:]
    losses = [orientation_loss(structure(image), target) for image in (on_flat, on_edges)]
    assert 10 * losses[0] < losses[1]


def test_orientation_loss_of_a_flat_image_has_a_finite_gradient():
    image = torch.full((1, 1, 64, 64), 0.5, requires_grad=True)
    for target in (gratings(0), image.detach()):
        loss = orientation_loss(structure(image), structure(target))
        assert torch.autograd.grad(loss, image)[0].isfinite().all()


def test_default_losses_have_the_orientation_of_the_layers_in_use(features):
    def tensors(**changes):
        losses = default_losses(features, Settings(**changes))
        return [loss.layers for loss in losses if loss.name == "orientation"]

    assert tensors() == [("tensor1", "tensor2")]
    assert tensors(fast_style_layers=True) == [("tensor2",)]
    assert tensors(orientation_weight=0) == []
