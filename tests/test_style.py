import numpy as np
import pytest
import torch
from conftest import scene, stripes, tiny_network

from vidstyle import InputError, Settings, Style, default_losses
from vidstyle.features.weights import bundled_features
from vidstyle.losses.base import StyleSize
from vidstyle.ops.pytree import tensors_in
from vidstyle.stylizer import style as style_module
from vidstyle.stylizer.cache import PROTECTED_LOOKUPS, TensorCache
from vidstyle.stylizer.style import _analysed_size

SIZE = StyleSize(64)


def test_style_grams_are_computed_once_per_size(features, monkeypatch):
    calls = []
    monkeypatch.setattr(
        features, "forward", lambda *a, run=features.forward: calls.append(1) or run(*a)
    )
    style = Style.from_images([stripes()], features)
    first = style.grams(SIZE, features.style_layers)
    for _ in range(5):
        style.grams(SIZE, features.style_layers)
    assert len(calls) == 1
    assert first["half.relu2_1"].shape == (8, 8)
    style.grams(StyleSize(48), features.style_layers)
    assert len(calls) == 2


def test_style_grams_count_a_repeated_layer_once(features):
    style = Style.from_images([stripes()], features)
    twice = style.grams(SIZE, ["relu1_1", "relu1_1"])["relu1_1"]
    torch.testing.assert_close(
        twice, Style.from_images([stripes()], features).grams(SIZE, ["relu1_1"])["relu1_1"]
    )


def test_style_from_images_refuses_arrays_that_are_not_images(features):
    with pytest.raises(ValueError, match="shape"):
        Style.from_images([np.zeros((64, 64), np.uint8)], features)
    with pytest.raises(TypeError, match="uint8"):
        Style.from_images([np.zeros((64, 64, 3))], features)


def test_style_grams_of_a_blend_are_the_weighted_mean(features):
    one, two = (Style.from_images([image], features) for image in (stripes(), scene(size=(64, 64))))
    both = Style.from_images([stripes(), scene(size=(64, 64))], features, [3, 1])
    first, second = (each.grams(SIZE, ["relu1_1"])["relu1_1"] for each in (one, two))
    expected = 0.75 * first + 0.25 * second
    torch.testing.assert_close(both.grams(SIZE, ["relu1_1"])["relu1_1"], expected)
    torch.testing.assert_close(
        Style.blend([one, two], [3, 1]).grams(SIZE, ["relu1_1"])["relu1_1"], expected
    )


def test_style_save_and_load_keep_images_and_weights(features, tmp_path):
    style = Style.from_images([stripes(), scene()], features, [2, 1])
    style.save(tmp_path / "style.safetensors")
    loaded = Style.load(tmp_path / "style.safetensors", features)
    assert loaded.weights == style.weights
    for before, after in zip(style.images, loaded.images, strict=True):
        torch.testing.assert_close(after, before)


def test_style_load_refuses_other_files(features, style_file):
    with pytest.raises(InputError, match="not a style file"):
        Style.load(style_file, features)


@pytest.mark.parametrize("weights", [[1, 2], [-1], [float("nan")], [float("inf")], [0]])
def test_style_refuses_wrong_weights(features, weights):
    with pytest.raises(ValueError, match="weights"):
        Style.from_images([stripes()], features, weights)


def test_style_from_images_refuses_no_image_and_a_bare_path(features):
    with pytest.raises(ValueError, match="at least one"):
        Style.from_images([], features)
    with pytest.raises(TypeError, match="list"):
        Style.from_images("picture.png", features)


def test_style_does_not_enlarge_a_small_image(features):
    style = Style.from_images([stripes((40, 40))], features)
    torch.testing.assert_close(
        style.grams(StyleSize(400), ["relu1_1"])["relu1_1"],
        style.grams(StyleSize(40), ["relu1_1"])["relu1_1"],
    )


def test_style_reduces_a_huge_image(features):
    style = Style.from_images([np.zeros((3000, 100, 3), np.uint8)], features)
    assert style.images[0].shape == (1, 3, 2048, 64)  # 94 px wide within its border


def test_style_cuts_the_border_off(features):
    framed = scene(size=(100, 100))
    framed[:3], framed[-3:], framed[:, :3], framed[:, -3:] = (
        (255, 0, 0),
        (255, 0, 0),
        (255, 0, 0),
        (255, 0, 0),
    )
    plain, other = (
        Style.from_images([image], features).grams(SIZE, ["relu1_1"])["relu1_1"]
        for image in (scene(size=(100, 100)), framed)
    )
    torch.testing.assert_close(other, plain)


@pytest.fixture
def cache(monkeypatch):
    """A cache of a quarter of a megabyte for all styles."""
    cache = TensorCache(1 << 18)
    monkeypatch.setattr(style_module, "CACHE", cache)
    return cache


def seen(style, side_px):
    """All that a frame needs of a style at a long side in px, in copies."""
    size = StyleSize(side_px)
    grams = style.grams(size, style.features.style_layers)
    parts = style.targets(default_losses(style.features, Settings()), size)
    return [
        part.clone()
        for part in (
            *grams.values(),
            *tensors_in(parts),
            style.color_statistics(),
        )
    ]


def test_style_cache_keeps_its_budget_and_gives_the_same_bits(features, cache, monkeypatch):
    images = [scene(number / 7, (100, 100)) for number in range(2)]
    styles = [Style.from_images([image], features) for image in images]
    styles.append(Style.blend(styles, [1, 2]))
    sizes = range(40, 94, 9)
    first = {(style, size): seen(style, size) for size in sizes for style in styles}
    of_a_frame = 2 * sum(
        part.nbytes for part in first[styles[-1], 85]
    )  # of the blend and of its pictures
    assert cache.size_bytes <= cache.budget_bytes + of_a_frame * PROTECTED_LOOKUPS / 4
    del cache
    monkeypatch.setattr(style_module, "CACHE", TensorCache(1 << 40))
    for (style, size), parts in first.items():
        assert all(
            torch.equal(one, other) for one, other in zip(parts, seen(style, size), strict=True)
        )
    assert style_module.CACHE.size_bytes > 4 * (1 << 18)  # what no bound would keep


def test_style_cache_keeps_a_style_in_use_at_any_budget(features, cache, monkeypatch):
    monkeypatch.setattr(cache, "budget_bytes", 0)
    style = Style.blend(
        [Style.from_images([scene(number / 5)], features) for number in range(5)], [1] * 5
    )
    seen(style, 64)
    monkeypatch.setattr(features, "forward", lambda *a: pytest.fail("it was analysed again"))
    for _ in range(8):
        seen(style, 64)


def test_style_blends_share_cached_statistics_and_leave_nothing_behind(
    features, cache, monkeypatch
):
    styles = [Style.from_images([image], features) for image in (stripes(), scene(size=(64, 64)))]
    for style in styles:
        seen(style, 64)
    before = cache.size_bytes
    monkeypatch.setattr(features, "forward", lambda *a: pytest.fail("it was analysed again"))
    blend = Style.blend(styles, [1, 1])
    seen(blend, 64)
    assert cache.size_bytes > before
    del blend
    assert cache.size_bytes == before
    del style, styles
    assert cache.size_bytes == 0


def test_style_blend_refuses_styles_with_different_features(features):
    other = bundled_features(tiny_network())
    styles = [Style.from_images([stripes()], each) for each in (features, other)]
    with pytest.raises(ValueError, match=r"different features: use Style\.with_features"):
        Style.blend(styles, [1, 1])


def test_style_analyses_sizes_beyond_an_image_as_its_own(features, cache):
    style = Style.from_images([stripes((64, 64))], features)
    seen(style, 100)
    before = cache.size_bytes
    seen(style, 400)
    assert cache.size_bytes == before


def test_tensor_cache_drops_the_least_recently_used_value_first():
    cache, owner, other = TensorCache(10), stripes, scene
    tensors = [torch.zeros(4, dtype=torch.uint8) for _ in range(3)]
    for number, tensor in enumerate(tensors[:2]):
        cache.keep(owner, number, tensor)
    assert cache.find(owner, 0) is tensors[0]
    for number in range(PROTECTED_LOOKUPS):
        with cache.lookup():
            cache.keep(other, "late", (tensors[2], {"within": tensors[2][: number % 2]}))
    assert cache.find(owner, 1) is None and cache.find(owner, 0) is tensors[0]
    assert cache.size_bytes <= 10


def test_style_pictures_is_the_old_name_of_images(style):
    with pytest.warns(DeprecationWarning, match="images"):
        assert style.pictures is style.images


@pytest.mark.parametrize(
    ("image", "working", "scale", "expected"),
    [
        (256, 128, 1.0, 128),
        (256, 128, 2.0, 256),
        (256, 512, 1.0, 256),  # not enlarged
        (256, 512, 2.0, 512),
        (256, 512, 0.5, 128),
        (256, 128, 10.0, 1280),
        (256, 512, 10.0, 2048),
    ],
)
def test_style_scale_is_relative_to_the_size_without_it(image, working, scale, expected):
    sizes = _analysed_size((image, image // 2), StyleSize(working, scale))
    assert sizes == (expected, expected // 2)
