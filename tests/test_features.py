import math
from dataclasses import fields

import pytest
import torch
from conftest import TINY_DISTILLED, tiny_network

from vidstyle import Settings, load_features
from vidstyle.autograd.pooling import blur_pool2
from vidstyle.features.extractor import Features, Layers
from vidstyle.features.filter_bank import (
    FilterBank,
    ImagePyramid,
    gabor_pairs,
    structure,
)
from vidstyle.features.network import VGG19, Network
from vidstyle.losses.style import gram


def test_features_of_vgg19_have_the_published_shapes():
    network = Network(VGG19, "relu5_1")
    features = Features(network, layers=Layers({"relu4_2": 1.0}, {"relu1_1": 1.0, "relu5_1": 1.0}))
    maps = features(
        torch.rand(1, 3, 224, 224),
        ["relu4_2", "relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
    )
    shapes = {name: tuple(x.shape) for name, x in maps.items()}
    assert shapes == {
        "relu1_1": (1, 64, 224, 224),
        "relu2_1": (1, 128, 112, 112),
        "relu3_1": (1, 256, 56, 56),
        "relu4_1": (1, 512, 28, 28),
        "relu4_2": (1, 512, 28, 28),
        "relu5_1": (1, 512, 14, 14),
    }


def test_features_half_layers_are_the_layers_of_the_half_size_image(features):
    picture = torch.rand(1, 3, 64, 96)
    half = features(picture, ["half.relu2_1"])["half.relu2_1"]
    torch.testing.assert_close(half, features(blur_pool2(picture), ["relu2_1"])["relu2_1"])


def test_network_computes_no_layer_deeper_than_asked_for(features, monkeypatch):
    asked = []
    for name, module in features.network.named_children():
        monkeypatch.setattr(
            module, "forward", lambda x, name=name, run=module.forward: asked.append(name) or run(x)
        )
    features(torch.rand(1, 3, 64, 64), ["relu2_1"])
    assert asked == ["conv1_1", "conv2_1"]


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_network_with_heads_begins_at_half_size(size):
    network = tiny_network(shape=TINY_DISTILLED)
    maps = network(torch.rand(1, 3, *size), network.layers)
    height, width = ((side + 1) // 2 for side in size)  # an odd side gains a row
    assert maps["relu2_1"].shape == (1, 6, height, width)
    assert maps["vgg.relu2_1"].shape == (1, 4, height, width)
    assert maps["vgg.relu3_1"].shape == (1, 6, height // 2, width // 2)
    assert maps["vgg.relu3_1"].min() < 0  # a head is linear


def test_network_at_half_size_has_a_smooth_gradient():
    network = tiny_network(shape=TINY_DISTILLED)
    flat = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    maps = network(flat, ["vgg.relu2_1", "vgg.relu3_1"])
    (gradient,) = torch.autograd.grad(sum(x.sum() for x in maps.values()), flat)
    inner = gradient[..., 16:-16, 16:-16]
    # Without the filter neighbouring pixels differ by about as much as the gradient itself.
    assert (inner[..., 1:] - inner[..., :-1]).abs().max() < 0.01 * inner.abs().max()


def test_network_computes_no_block_deeper_than_a_head(monkeypatch):
    network, asked = tiny_network(shape=TINY_DISTILLED), []
    for name, module in network.named_children():
        monkeypatch.setattr(
            module, "forward", lambda x, name=name, run=module.forward: asked.append(name) or run(x)
        )
    network(torch.rand(1, 3, 64, 64), ["vgg.relu3_1"])
    assert asked == ["conv2_1", "conv3_1", "conv3_2", "head3"]


def test_features_do_not_depend_on_the_order_of_layers(features):
    picture = torch.rand(1, 3, 48, 64)
    everything = features(picture, features.layers)
    assert set(everything) == set(features.layers)
    for layer in features.layers:
        torch.testing.assert_close(features(picture, [layer])[layer], everything[layer])


def test_filter_bank_responds_to_orientation_and_not_to_flat_colour():
    bank = gabor_pairs(11, 8, 4.0, 3.0, 1.3)
    assert bank.shape == (16, 1, 11, 11)
    torch.testing.assert_close(
        bank.sum((1, 2, 3)), torch.zeros(16), atol=1e-5, rtol=0
    )  # float32 sums of 121 terms
    x = torch.arange(64.0)
    vertical = (torch.sin(x * 2 * torch.pi / 4) / 2 + 0.5).expand(1, 3, 64, 64)
    maps = FilterBank()(ImagePyramid(vertical), ["oriented1"])["oriented1"]
    assert maps.shape == (1, 32, 32, 32)  # grey only, every other px
    by_orientation = maps.reshape(2, 8, 2, -1).mean((0, 2, 3))  # sign, orientation, even or odd
    assert by_orientation.argmax() == 4  # the filter that is long from top to bottom


def test_filter_bank_colour_layer_has_the_mean_colour_in_its_gram_matrix(features):
    picture = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    matrix = gram(features(picture, ["colour"])["colour"])
    assert matrix.shape == (4, 4)
    torch.testing.assert_close(
        matrix[0, :2], torch.stack([torch.tensor(1.0), picture.mean() * 3**0.5])
    )
    reddish, greenish = (
        gram(features(picture * torch.tensor(tint)[None, :, None, None], ["colour"])["colour"])[
            0, 2
        ]
        for tint in ((1.0, 0.5, 0.5), (0.5, 1.0, 0.5))
    )
    assert reddish > 0.5 and greenish < -0.5


def test_filter_bank_responses_saturate_except_at_the_finest_scale():
    faint = torch.full((1, 3, 64, 64), 0.5)
    faint[..., 32:] += 0.1
    strong = torch.full((1, 3, 64, 64), 0.5)
    strong[..., 32:] += 0.4
    layers = ("oriented1", "oriented2", "oriented4")
    one, four = (FilterBank()(ImagePyramid(picture), layers) for picture in (faint, strong))
    times = [(four[layer].max() / one[layer].max()).item() for layer in layers]
    assert times[0] == pytest.approx(4, rel=1e-3)
    assert 1.5 < times[1] < 3.5 and 1.5 < times[2] < 3.5


def stripes(angle, size=64):
    """Lines at an angle to the x axis, 8 px apart."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (0.5 + 0.4 * torch.sin((y * math.cos(angle) - x * math.sin(angle)) * 2 * math.pi / 8))[
        None, None
    ]


def test_structure_is_the_doubled_angle_of_strokes():
    for angle in (0.0, math.pi / 4, math.pi / 2, 2.0):
        # The gradient is across the strokes; half an energy's share each for a picture with the
        # same everywhere.
        expected = torch.tensor([-math.cos(2 * angle) / 2, -math.sin(2 * angle) / 2, 0.0])
        seen = structure(stripes(angle)).mean((0, 2, 3))
        torch.testing.assert_close(
            seen, expected, atol=0.02, rtol=0
        )  # differences of pixels only come near a gradient


def test_structure_separates_parallel_from_crossed_and_uneven_strokes():
    parallel, crossed = stripes(0.5), (stripes(0.5) + stripes(0.5 + math.pi / 2)) / 2
    uneven = torch.where(torch.arange(64) < 32, parallel, 0.5)
    order = [gram(structure(picture)) for picture in (parallel, crossed, uneven)]
    along, across, gathered = (matrix[0, 0] + matrix[1, 1] for matrix in order)
    assert along > 0.2 and across < 0.01
    assert order[0][2, 2] < 0.01 and order[2][2, 2] > 0.05 and gathered > 0.1


@pytest.mark.parametrize("size", [(38, 41), (45, 39)])
def test_structure_has_a_gradient_at_every_pixel(size):
    picture = torch.rand(
        1, 1, *size, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    (gradient,) = torch.autograd.grad(gram(structure(picture)).sum(), picture)
    assert gradient.abs().min() > 0


def test_structure_gradient_agrees_with_finite_differences():
    picture = torch.rand(
        1, 1, 11, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    assert torch.autograd.gradcheck(structure, picture.requires_grad_(True))


def test_structure_of_a_flat_image_is_zero():
    structureless = structure(torch.full((1, 1, 32, 40), 0.7))
    assert structureless.shape == (1, 3, 3, 4)
    torch.testing.assert_close(structureless[:, :2], torch.zeros(1, 2, 3, 4))
    assert structure(torch.rand(1, 1, 8, 10)).isfinite().all()


def test_features_reject_images_below_the_minimum_side(features):
    maps = features(torch.rand(1, 3, 32, 40), features.layers)
    assert all(x.isfinite().all() for x in maps.values())
    with pytest.raises(ValueError, match="at least 32 px"):
        features(torch.rand(1, 3, 31, 40), ["relu1_1"])


def test_features_name_an_unknown_layer(features):
    with pytest.raises(ValueError, match="'relu9_9'"):
        features(torch.rand(1, 3, 64, 64), ["relu9_9"])
    with pytest.raises(ValueError, match="oriented1"):
        Features(tiny_network(), layers=Layers(style={"oriented1": 1.0}))


@pytest.mark.parametrize("name", ["content_layers", "style_layers"])
def test_help_of_layers_names_those_of_the_bundled_network(name):
    setting = next(setting for setting in fields(Settings) if setting.name == name)
    examples = setting.metadata["help"].split("e.g. ")[1].split(" ")[0].split(",")
    assert set(examples) <= set(load_features("bundled", "cpu").layers)


def test_load_features_finds_the_bundled_weights():
    features = load_features("bundled", "cpu")
    assert set(features.fast_style_layers) < set(features.style_layers)
    assert {"vgg.relu5_1", "oriented1", "colour"} <= set(features.style_layers)
    maps = features(
        torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)), features.style_layers
    )
    assert all(x.isfinite().all() and x.std() > 0 for x in maps.values())
    assert not any(parameter.requires_grad for parameter in features.parameters())
