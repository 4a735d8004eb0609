from dataclasses import fields, replace

import pytest

from vidstyle import PRESETS, DeviceError, OutputError, Settings
from vidstyle.cli.usage import in_flags
from vidstyle.errors import SettingValueError
from vidstyle.settings import RENAMED_PRESETS, RENAMED_SETTINGS


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
def test_settings_name_a_value_out_of_range(name, value):
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
def test_settings_name_a_value_of_the_wrong_type(name, value):
    with pytest.raises(TypeError, match=name):
        Settings(**{name: value})


def test_settings_refuse_content_and_style_weights_of_zero():
    with pytest.raises(ValueError, match="both 0"):
        Settings(content_weight=0, style_weight=0)


def test_settings_refuse_lbfgs_in_float16():
    with pytest.raises(ValueError, match="use precision='bf16'"):
        Settings(optimizer="lbfgs", precision="fp16")


def test_presets_are_settings_and_settings_cannot_be_changed_in_place():
    assert set(PRESETS) == {"draft", "standard", "final", "still"}
    with pytest.raises(AttributeError):
        PRESETS["draft"].steps = 3
    assert replace(PRESETS["draft"], steps=3).steps == 3
    assert all(knob.metadata.get("help") for knob in fields(Settings))


@pytest.mark.parametrize("old, new", RENAMED_SETTINGS.items())
def test_settings_accept_an_old_name_with_a_warning(old, new):
    with pytest.warns(DeprecationWarning, match=new):
        settings = Settings(**{old: getattr(Settings(), new)})
    assert settings == Settings()


def test_settings_replaced_by_an_old_name_are_changed():
    with pytest.warns(DeprecationWarning):
        assert replace(Settings(working_size=64), paint_size=128).working_size == 128


@pytest.mark.parametrize("value", [True, False])
def test_settings_ignore_a_removed_setting_with_a_warning(value):
    with pytest.warns(DeprecationWarning, match="long_term is gone: the background plate"):
        assert Settings(long_term=value) == Settings()
    with pytest.warns(DeprecationWarning, match="long_term is gone"):
        assert replace(PRESETS["final"], long_term=value, steps=3).steps == 3


@pytest.mark.parametrize("old, new", RENAMED_PRESETS.items())
def test_presets_find_an_old_name_with_a_warning(old, new):
    with pytest.warns(DeprecationWarning, match=new):
        assert PRESETS[old] is PRESETS[new]
    assert old not in set(PRESETS)


def test_presets_of_an_unknown_name_are_a_key_error():
    with pytest.raises(KeyError):
        PRESETS["best"]


@pytest.mark.parametrize(
    "error, expected",
    [
        (SettingValueError("size is 0: too small", "size"), "--size is 0: too small"),
        (DeviceError("use a smaller working_size", "working_size"), "use a smaller --working-size"),
        (DeviceError("fits: working_size=96", "working_size"), "fits: --working-size 96"),
        (DeviceError("use device='cpu' here", "device"), "use --device cpu here"),
        (OutputError("a exists: add overwrite=True", "overwrite"), "a exists: add -y"),
        (OutputError("a_b/overwrite.mp4 is full", "overwrite"), "a_b/overwrite.mp4 is full"),
        (OutputError("size=3.mp4 is empty"), "size=3.mp4 is empty"),
    ],
)
def test_in_flags_replaces_the_settings_that_an_error_names(error, expected):
    assert in_flags(error) == expected
