import pytest
import torch

from vidstyle.losses.objective import (
    SPATIAL_WEIGHTING,
    ContentTarget,
    Objective,
    StyleTarget,
    Weights,
    content_loss,
    gram,
    style_loss,
    temporal_loss,
    total_variation,
)
from vidstyle.optim.optimizers import AdamState, StepSize, adam, lbfgs


def test_gram_is_the_mean_product_of_channels():
    maps = torch.rand(1, 3, 4, 5)
    expected = torch.zeros(3, 3)
    for i in range(3):
        for j in range(3):
            expected[i, j] = (maps[0, i] * maps[0, j]).mean()
    torch.testing.assert_close(gram(maps), expected)


def test_gram_does_not_depend_on_the_size_of_the_picture():
    tile = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(gram(tile.repeat(1, 1, 4, 4)), gram(tile))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_the_gradient_of_the_style_loss_is_that_of_its_formula(layout, precision):
    generator = torch.Generator().manual_seed(0)
    maps, other = (
        2 * torch.rand(1, 3, 4, 5, generator=generator).contiguous(memory_format=layout)
        for _ in range(2)
    )
    target = StyleTarget.of({"first": gram(other), "second": gram(other[:, :2])}, {"second": 3.0})
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


def test_layers_count_by_their_weights(parts, style):
    features = parts[0]
    grams = {
        layer: 1.1 * matrix for layer, matrix in style.grams(64, ("relu1_1", "oriented1")).items()
    }
    picture, weights = (
        torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1)),
        Weights(0, 1, 0),
    )

    def loss(layers, layer_weights):
        target = StyleTarget.of({layer: grams[layer] for layer in layers}, layer_weights)
        return Objective(features, {}, tuple(layers), target, weights)(picture).style

    first, second = (loss([layer], {}) for layer in grams)
    both = loss(grams, {"oriented1": 3.0})
    torch.testing.assert_close(both, (first + 3 * second) / 4)


def test_gram_of_large_half_precision_maps_does_not_overflow():
    maps = torch.full(
        (1, 4, 256, 256), 200.0, dtype=torch.float16
    )  # unscaled products would reach 2.6e9
    assert gram(maps).isfinite().all()


def test_losses_are_zero_at_their_target_and_in_its_units():
    maps = torch.rand(1, 3, 8, 8)
    assert content_loss(maps, ContentTarget.of(maps)) == 0
    assert style_loss([maps], StyleTarget.of({"layer": gram(maps)})) == 0
    assert total_variation(torch.full((1, 3, 8, 8), 0.3)) == 0
    for scale in (0.5, 100.0):  # above the floor that guards against flat targets
        other = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(
            content_loss(scale * maps, ContentTarget.of(scale * other)),
            content_loss(maps, ContentTarget.of(other)),
        )


def test_the_gradient_of_the_content_loss_is_that_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    maps, other = (torch.rand(1, 3, 9, 8, generator=generator) for _ in range(2))
    target = ContentTarget.of(other)
    (gradient,) = torch.autograd.grad(content_loss(maps.requires_grad_(True), target), maps)
    plainly = ((maps - target.maps).square() * target.counts).mean() / target.variance
    torch.testing.assert_close(gradient, torch.autograd.grad(plainly, maps)[0])


@pytest.mark.parametrize("size", [(9, 8), (2, 3)])
def test_the_gradient_of_the_total_variation_is_that_of_its_formula(size):
    picture = torch.rand(
        1, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    assert torch.autograd.gradcheck(total_variation, picture.requires_grad_(True))


def test_the_content_loss_is_as_good_in_half_precision():
    generator = torch.Generator().manual_seed(0)
    maps, other = (torch.rand(1, 16, 30, 40, generator=generator) for _ in range(2))
    exact = content_loss(maps, ContentTarget.of(other))
    for precision in (torch.bfloat16, torch.float16):
        half = content_loss(maps.to(precision), ContentTarget.of(other.to(precision)))
        assert (
            half.dtype == torch.float32
        )  # steps are judged by changes far below bfloat16's last digit
        torch.testing.assert_close(
            half, exact, rtol=3e-3, atol=0
        )  # bfloat16 holds maps to 4e-3 each


def test_the_content_loss_of_large_half_precision_maps_does_not_overflow():
    maps, target = (
        torch.full((1, 4, 8, 8), 400.0, dtype=torch.float16),
        ContentTarget.of(torch.rand(1, 4, 8, 8).half()),
    )
    exact = content_loss(
        maps.float(), ContentTarget(target.maps.float(), target.variance, target.counts)
    )
    torch.testing.assert_close(
        content_loss(maps, target), exact, rtol=3e-3, atol=0
    )  # squares are 1.6e5, float16 ends at 6.6e4


def test_an_all_black_target_gives_a_finite_loss():
    assert content_loss(
        torch.ones(1, 3, 8, 8), ContentTarget.of(torch.zeros(1, 3, 8, 8))
    ).isfinite()
    assert style_loss(
        [torch.ones(1, 3, 8, 8)], StyleTarget.of({"layer": torch.zeros(3, 3)})
    ).isfinite()


@pytest.fixture
def parts(features, style):
    content = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    targets = {
        layer: ContentTarget.of(maps)
        for layer, maps in features(content, features.content_layers).items()
    }
    grams = style.grams(64, features.style_layers)
    return features, targets, tuple(grams), StyleTarget.of(grams, features.style_layers)


@pytest.mark.parametrize("loss", ["content", "style", "tv"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_few_steps_lower_every_loss(parts, loss, optimizer):
    objective = Objective(
        *parts, Weights(*(float(loss == name) for name in ("content", "style", "tv")))
    )
    start = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    if optimizer == "adam":
        picture = adam(start, objective, 8, AdamState.zero(start), StepSize(0.02)).picture
    else:
        picture = lbfgs(start, objective, 8).picture
    before, after = getattr(objective(start), loss), getattr(objective(picture), loss)
    assert after < 0.9 * before


def test_the_total_is_the_weighted_sum(parts):
    before = torch.rand(1, 3, 48, 64), torch.ones(1, 1, 48, 64)
    losses = Objective(*parts, Weights(0.5, 2.0, 3.0, 4.0), before)(torch.rand(1, 3, 48, 64))
    expected = 0.5 * losses.content + 2 * losses.style + 3 * losses.tv + 4 * losses.temporal
    torch.testing.assert_close(losses.total, expected)


def test_the_temporal_loss_counts_only_what_is_known():
    before, known = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    known[..., :4] = 1
    torch.testing.assert_close(
        temporal_loss(torch.full_like(before, 0.5), before, known), torch.tensor(0.125)
    )


def test_a_flat_place_of_the_content_counts_less_than_one_full_of_detail():
    maps = torch.zeros(1, 3, 32, 32)
    maps[..., :16] = torch.rand(1, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    target = ContentTarget.of(maps)
    changed = [maps.clone(), maps.clone()]
    changed[0][..., 2:10] += 0.5
    changed[1][..., 22:30] += 0.5
    full, flat = (content_loss(each, target) for each in changed)
    assert 0 < 1.5 * flat < full
    lines = ContentTarget.of(maps, SPATIAL_WEIGHTING["lines"])
    assert content_loss(changed[1], lines) == 0 < content_loss(changed[0], lines)
