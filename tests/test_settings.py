from dataclasses import fields, replace

import pytest

from vidstyle import PRESETS, Settings
from vidstyle.settings import RENAMED_SETTINGS


@pytest.mark.parametrize(
    "name, value",
    [
        ("content_weight", -1),
        ("content_weight", float("nan")),
        ("style_weight", float("inf")),
        ("steps", 0),
        ("pyramid_levels", 0),
        ("size", 0),
        ("size", 10**9),
        ("working_size", 8),
        ("strength", 1.5),
        ("style_scale", 0),
        ("init", "grey"),
        ("optimizer", "sgd"),
        ("seed", -1),
    ],
)
def test_a_value_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        Settings(**{name: value})


@pytest.mark.parametrize(
    "name, value",
    [
        ("steps", 2.5),
        ("size", "big"),
        ("original_colors", 1),
        ("style_layers", "relu1_1"),
        ("tv_weight", None),
    ],
)
def test_a_value_of_the_wrong_type_is_named(name, value):
    with pytest.raises(TypeError, match=name):
        Settings(**{name: value})


def test_nothing_to_aim_at_is_refused():
    with pytest.raises(ValueError, match="both 0"):
        Settings(content_weight=0, style_weight=0)


def test_lbfgs_in_float16_is_refused():
    with pytest.raises(ValueError, match="use bf16"):
        Settings(optimizer="lbfgs", precision="fp16")


def test_presets_are_settings_and_settings_cannot_be_changed_in_place():
    assert {"live", "balanced", "quality", "still"} <= set(PRESETS)
    with pytest.raises(AttributeError):
        PRESETS["live"].steps = 3
    assert replace(PRESETS["live"], steps=3).steps == 3
    assert all(knob.metadata.get("help") for knob in fields(Settings))


@pytest.mark.parametrize("old, new", RENAMED_SETTINGS.items())
def test_settings_accept_an_old_name_with_a_warning(old, new):
    with pytest.warns(DeprecationWarning, match=new):
        settings = Settings(**{old: getattr(Settings(), new)})
    assert settings == Settings()


def test_settings_replaced_by_an_old_name_are_changed():
    with pytest.warns(DeprecationWarning):
        assert replace(Settings(working_size=64), paint_size=128).working_size == 128
