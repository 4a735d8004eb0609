"""Activations of large images, computed in tiles."""

import logging

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_DISTILLED, painter, scene, tiny_network

from vidstyle import DeviceError, Frame
from vidstyle.features import extractor
from vidstyle.features.extractor import Features
from vidstyle.features.filter_bank import FilterBank
from vidstyle.stylizer import memory_check
from vidstyle.stylizer.memory_check import MemoryFit


def image_of(height, width):
    """Smooth random colours: (1, 3, H, W)."""
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(noise, 5, 1, 2)


def result_of(features, image):
    """The activations of all layers, and the gradient of a weighted sum of their squares."""
    leaf = image.clone().requires_grad_(True)
    maps = features(leaf, features.layers)
    generator = torch.Generator().manual_seed(1)
    total = sum(
        (maps[layer].square() * torch.rand(maps[layer].shape, generator=generator)).mean()
        for layer in features.layers
    )
    return {**maps, "gradient": torch.autograd.grad(total, leaf)[0]}


@pytest.mark.parametrize("shape", [TINY, TINY_DISTILLED], ids=["halved", "distilled"])
@pytest.mark.parametrize("size", [(230, 260), (257, 391)])
def test_features_in_tiles_agree_with_those_of_the_whole_image(shape, size):
    features = Features(tiny_network(shape=shape), FilterBank(), halved=shape is TINY)
    whole, tiled = (result_of(each, image_of(*size)) for each in (features, features.in_tiles(64)))
    for layer, expected in whole.items():
        # Sums of float32 in another order: parts in 100,000 of the largest value.
        tolerance = 2e-5 * expected.abs().max().item()
        torch.testing.assert_close(tiled[layer], expected, rtol=0, atol=tolerance, msg=layer)


def test_features_in_tiles_keep_small_images_whole():
    features = Features(tiny_network(shape=TINY_DISTILLED))
    image = image_of(64, 48)
    layer = features.layers[0]
    assert torch.equal(
        features.in_tiles(64)(image, [layer])[layer], features(image, [layer])[layer]
    )
    assert features.in_tiles(None) is features


@pytest.fixture(scope="module")
def large_frame():
    return Frame(scene(size=(288, 200)))


def test_stylizer_paints_the_same_image_in_tiles(features, style, large_frame, monkeypatch):
    def stylized():
        stylizer = painter(features, style, working_size=288)
        return [stylizer(large_frame).image.astype(int) for _ in range(2)]

    whole = stylized()
    monkeypatch.setattr(memory_check, "check_memory", lambda *args: MemoryFit(64, ""))
    tiles = []
    plain = extractor.tiled_activations
    monkeypatch.setattr(
        extractor, "tiled_activations", lambda *args: tiles.append(args[3]) or plain(*args)
    )
    in_tiles = stylized()
    assert set(tiles) == {64}
    for image, expected in zip(in_tiles, whole, strict=True):
        # Adam turns the sign of a gradient near zero into a step: single pixels differ.
        assert np.abs(image - expected).mean() < 0.05


def test_large_image_is_stylised_in_the_largest_tiles_that_fit(features, monkeypatch, caplog):
    sizes = (4000, 3000), (4000, 3000)
    needed = {px: sum(memory_check.required_bytes(features, sizes, px)) for px in (256, 512, 1024)}
    assert sorted(needed.values()) == list(needed.values())
    assert needed[1024] < sum(memory_check.required_bytes(features, sizes))
    for tile_px, free in needed.items():
        monkeypatch.setattr(memory_check, "free_memory", lambda device, free=free: free)
        with caplog.at_level(logging.WARNING, "vidstyle"):
            assert memory_check.check_memory(features, sizes).tile_px == tile_px
        assert f"it is stylised in tiles of {tile_px} px" in caplog.text
    monkeypatch.setattr(memory_check, "free_memory", lambda device: needed[256] - 1)
    with pytest.raises(DeviceError, match="working_size="):
        memory_check.check_memory(features, sizes)


def test_memory_of_tiles_counts_for_the_next_size(features, monkeypatch):
    free = 24 * 10**9
    monkeypatch.setattr(memory_check, "free_memory", lambda device: free)
    checker = memory_check.MemoryChecker(features)
    large, smaller = (((side, side * 3 // 4),) * 2 for side in (4000, 3900))
    assert checker.check(large).tile_px
    free -= sum(memory_check.required_bytes(features, large, checker.check(large).tile_px))
    assert checker.check(smaller).tile_px  # the tiles of the larger one free too little for it


def test_interrupt_ends_an_iteration_between_tiles(features, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("vidstyle.features.tiles.check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        features.in_tiles(64)(image_of(100, 100), features.layers)
