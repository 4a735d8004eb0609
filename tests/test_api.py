"""The functions that most users call: the same kind of image out, clear errors, nothing imported
too early."""

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from conftest import FAST_SETTINGS, scene, stripes

import vidstyle
from vidstyle import api, pipeline
from vidstyle.conversions import to_mask

ROOT = Path(__file__).parent.parent
STILL = {**FAST_SETTINGS, "initial_steps": 2}
QUICK = {**STILL, "steps": 1}


@pytest.fixture
def quick(features):
    """Keywords for a fast call with the tiny network."""
    return {**QUICK, "features": features}


@pytest.fixture
def still(features):
    """The same for a single image."""
    return {**STILL, "features": features}


def images():
    """Name -> the scene as every kind of image."""
    array = scene()
    chw = torch.from_numpy(array).permute(2, 0, 1)
    alpha = np.full((*array.shape[:2], 1), 200, np.uint8)
    return {
        "uint8": array,
        "uint16": array.astype(np.uint16) * 257,
        "rgba": np.dstack([array, alpha]),
        "float32": (array / 255).astype(np.float32),
        "float64": array / 255,
        "tensor": chw.float() / 255,
        "half tensor": (chw.float() / 255).to(torch.float16),
        "batch": chw[None].float() / 255,
        "uint8 tensor": chw,
        "PIL": PIL.Image.fromarray(array),
        "PIL with alpha": PIL.Image.fromarray(np.dstack([array, alpha])),
        "Frame": vidstyle.Frame(array),
    }


def pixels(image):
    """An image of any kind as (H, W, C) floats from 0 to 1."""
    if isinstance(image, torch.Tensor):
        image = image.reshape(image.shape[-3:]).permute(1, 2, 0).numpy()
    elif isinstance(image, vidstyle.Frame):
        image = image.image
    image = np.asarray(image)
    peak = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1
    return image.astype(np.float64) / peak


@pytest.mark.parametrize("kind", images())
def test_stylize_returns_the_kind_it_was_given(kind, still):
    image = images()[kind]
    result = vidstyle.stylize(image, stripes(), **still)
    assert type(result) is type(image)
    for name in ("mode", "size") if "PIL" in kind else ("shape", "dtype", "device"):
        assert getattr(result, name, None) == getattr(image, name, None)
    expected = vidstyle.stylize(scene(), stripes(), **still)
    difference = np.abs(pixels(result)[..., :3] - pixels(expected))
    if kind == "half tensor":  # float16 rounds the input, and Adam's first steps follow the signs
        assert difference.mean() < 1 / 255
    else:  # a result of 16 bits is rounded once more to 8 bits
        assert difference.max() <= 1.01 / 255
    if "alpha" in kind or kind == "rgba":
        assert np.abs(pixels(result)[..., 3] - 200 / 255).max() < 1e-9


def test_conversions_take_pictures_of_16_bit_greys(still, style):
    greys = stripes()[..., 0].astype(np.uint16) * 257
    image = PIL.Image.fromarray(greys)
    assert image.mode == "I;16"
    made = vidstyle.stylize(image, style, **{**still, "strength": 0})
    assert np.array_equal(np.asarray(made)[..., 1], stripes()[..., 0])
    assert np.array_equal(to_mask(image), stripes()[..., 0])


def test_stylize_takes_a_style_of_every_kind(still, features, style_file):
    tensor = torch.from_numpy(stripes()).permute(2, 0, 1).float() / 255
    made = vidstyle.Style.from_images([stripes()], features)
    pillow = PIL.Image.fromarray(stripes())
    results = [
        vidstyle.stylize(scene(), style, **still)
        for style in (stripes(), tensor, pillow, made, style_file, str(style_file), [stripes()])
    ]
    assert all(np.array_equal(result, results[0]) for result in results)
    assert not np.array_equal(vidstyle.stylize(scene(), "ink", **still), results[0])


def test_stylize_blends_a_list_of_styles_by_weights(still, features):
    first = vidstyle.stylize(scene(), [stripes(), "ink"], style_weights=[1, 0], **still)
    mixed = vidstyle.stylize(scene(), [stripes(), "ink"], **still)
    made = vidstyle.Style.from_images([stripes()], features)
    again = vidstyle.stylize(scene(), [made, "ink"], **still)
    assert not np.array_equal(first, mixed)
    assert np.abs(pixels(mixed) - pixels(again)).mean() < 1 / 255  # sums in another order


def array_errors():
    array = scene()
    return {
        "channels first": (array.transpose(2, 0, 1), ValueError, r"transpose\(1, 2, 0\)"),
        "greyscale": (array[..., 0], ValueError, "greyscale"),
        "batch": (array[None], ValueError, "stylize_video"),
        "int64": (array.astype(np.int64), TypeError, "int64: use uint8"),
        "bool": (array > 9, TypeError, "bool: use uint8"),
        "0 to 255": (array.astype(np.float32), ValueError, "divide it by 255"),
        "negative": (array / 255 - 1, ValueError, "clip or scale"),
        "NaN": (np.full((48, 64, 3), np.nan), ValueError, "within 0 to 1"),
        "channels last": (torch.rand(48, 64, 3), ValueError, r"permute\(2, 0, 1\)"),
        "batch of two": (torch.rand(2, 3, 48, 64), ValueError, "one image at a time"),
        "long tensor": (torch.zeros(3, 48, 64, dtype=torch.long), TypeError, "torch.uint8"),
        "path": ("in.mp4", TypeError, "vidstyle.render"),
        "list": ([1, 2], TypeError, "must be a NumPy array"),
        "None": (None, TypeError, "must be a NumPy array"),
    }


@pytest.mark.parametrize("kind", array_errors())
def test_stylize_explains_an_image_that_it_cannot_take(kind, still):
    image, error, message = array_errors()[kind]
    with pytest.raises(error, match=message):
        vidstyle.stylize(image, stripes(), **still)


@pytest.mark.parametrize(
    "style, error, message",
    [
        ("stroke", vidstyle.InputError, "did you mean strokes.*dots, engraving"),
        ("nothing.jpg", vidstyle.InputError, "does not exist"),
        (3, TypeError, "style must be a path"),
        ([], ValueError, "empty list"),
        (["ink", 3], TypeError, "style must be"),
    ],
)
def test_stylize_explains_a_style_that_it_cannot_take(style, error, message, still):
    with pytest.raises(error, match=message):
        vidstyle.stylize(scene(), style, **still)


def test_stylize_tells_swapped_arguments(still, style):
    with pytest.raises(TypeError, match="swapped"):
        vidstyle.stylize("style.jpg", scene(), **still)
    with pytest.raises(TypeError, match="swapped"):
        vidstyle.stylize(style, scene(), **still)


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"working_sise": 64}, TypeError, "stylize.*did you mean 'working_size'"),
        ({"working_size": 8}, ValueError, "working_size is 8"),
        ({"steps": 3}, TypeError, "use initial_steps"),
        ({"preset": "best"}, ValueError, "draft, standard, final, still"),
        ({"preset": 3}, TypeError, "preset must be"),
        ({"style_weights": [1, 2]}, ValueError, "2 style weights for 1 style"),
        ({"device": "cuda:99", "features": None}, vidstyle.DeviceError, "device='cpu'"),
    ],
)
def test_stylize_explains_a_wrong_setting(given, error, message, features):
    with pytest.raises(error, match=message):
        vidstyle.stylize(scene(), stripes(), **{"features": features, **given})


def test_stylize_ignores_a_removed_setting_with_a_warning(still):
    with pytest.warns(DeprecationWarning, match="long_term is gone"):
        result = vidstyle.stylize(scene(), stripes(), long_term=True, **still)
    assert np.array_equal(result, vidstyle.stylize(scene(), stripes(), **still))


def test_stylize_uses_a_preset_and_settings_on_top(features):
    preset = vidstyle.Settings(initial_steps=2, **FAST_SETTINGS)
    given = {"features": features, "preset": preset}
    one = vidstyle.stylize(scene(), stripes(), **given)
    other = vidstyle.stylize(scene(), stripes(), initial_steps=5, **given)
    assert not np.array_equal(one, other)


def moving(count=4):
    return [scene(number / 5) for number in range(count)]


def test_stylize_video_equals_the_pipeline(quick, features, style):
    class Collector:
        def __init__(self):
            self.images = []

        def send(self, frame):
            self.images.append(frame.image)

    results = list(vidstyle.stylize_video(iter(moving()), style, **quick))
    sink = Collector()
    frames = [vidstyle.Frame(image) for image in moving()]
    stylizer = vidstyle.Stylizer(features, style, vidstyle.Settings(**QUICK))
    vidstyle.run(frames, stylizer, [sink])
    assert len(results) == 4
    assert all(np.array_equal(a, b) for a, b in zip(results, sink.images, strict=True))


def test_stylize_video_reports_iterations_and_frames(quick, style, clip):
    for frames, total in ((clip, 6), (moving(6), 6), (iter(moving(6)), None)):
        events = []
        images = vidstyle.stylize_video(frames, style, progress=events.append, **quick)
        assert len(list(images)) == 6
        assert {(event.unit, event.total) for event in events} == {("frame", total)}
        assert [event.done for event in events].count(0) > 1
        assert {event.done for event in events} == set(range(7))


def test_stylize_reports_iterations(still, style):
    events = []
    vidstyle.stylize(scene(), style, progress=events.append, **still)
    assert [(event.unit, event.done, event.total) for event in events] == [
        ("iteration", 1, 2),
        ("iteration", 2, 2),
    ]


@pytest.mark.parametrize("function", ["stylize", "stylize_video"])
def test_progress_function_ends_the_work_with_its_exception(function, still, style, capsys):
    class CancelledError(Exception):
        pass

    def cancel(event):
        calls.append(event)
        raise CancelledError

    calls = []
    images = scene() if function == "stylize" else moving()
    with pytest.raises(CancelledError):
        list(getattr(vidstyle, function)(images, style, progress=cancel, **still))
    assert len(calls) == 1
    with pytest.raises(TypeError, match="progress must be True, False or a function"):
        getattr(vidstyle, function)(images, style, progress=3, **still)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("backward_steps, ahead", [(0, [0, 1, 2]), (0.5, [0, 1, 2, 3, 4, 5])])
def test_stylize_video_reads_no_more_frames_ahead_than_it_needs(
    quick, style, backward_steps, ahead
):
    read = []

    def frames():
        for number, image in enumerate(moving(6)):
            read.append(number)
            yield torch.from_numpy(image / 255).permute(2, 0, 1)

    results = vidstyle.stylize_video(frames(), style, **quick, backward_steps=backward_steps)
    assert not read
    assert next(results).shape == (3, 48, 64) and read == ahead
    assert len(list(results)) == 5


def test_stylize_video_reads_a_clip(quick, style, clip):
    results = list(vidstyle.stylize_video(clip, style, **quick))
    assert len(results) == 6 and results[0].shape == (48, 64, 3) and results[0].dtype == np.uint8


@pytest.mark.parametrize(
    "frames, error, message",
    [
        (scene(), ValueError, "single image"),
        (torch.rand(3, 48, 64), ValueError, "single image"),
        (3, TypeError, "path of a clip or an iterable"),
        ("nothing.mp4", vidstyle.InputError, "nothing.mp4 does not exist"),
        ([3], TypeError, "frame 0 must be"),
    ],
)
def test_stylize_video_explains_frames_that_it_cannot_take(frames, error, message, quick, style):
    with pytest.raises(error, match=message):
        list(vidstyle.stylize_video(frames, style, **quick))


def test_stream_finds_the_motion_itself(quick, style, features):
    from vidstyle.flow.clip_motion import with_motion
    from vidstyle.flow.methods import dis_flow

    with vidstyle.stream(style, **quick) as stylized:
        results = [stylized(image) for image in moving()]
    stylizer = vidstyle.Stylizer(features, style, vidstyle.Settings(**QUICK))
    frames = [vidstyle.Frame(image) for image in moving()]
    pairs = with_motion(frames, dis_flow, look_ahead=0, size_px=lambda: stylizer.flow_px((64, 48)))
    expected = [stylizer(frame, motion).image for frame, motion in pairs]
    assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))
    stylizer.reset()
    unmoved = [stylizer(frame).image for frame in frames]
    assert not np.array_equal(results[-1], unmoved[-1])


def test_stream_takes_another_style_and_forgets_after_reset(quick, style):
    with vidstyle.stream(style, **quick) as stylized:
        first = stylized(scene())
        stylized.style = "ink"
        stylized(scene(0.2))
        stylized.style = style
        stylized.reset()
        assert np.array_equal(stylized(scene()), first)
    assert "closed" in repr(stylized)
    with pytest.raises(ValueError, match="stream is closed"):
        stylized(scene())


@pytest.mark.parametrize(
    "function",
    [api.stylize, api.stylize_video, api.stream, api.render, pipeline.run],
    ids=lambda function: function.__name__,
)
def test_docstring_example_runs(function, capsys):
    tests = doctest.DocTestFinder(recurse=False).find(function, globs={})
    assert [test for test in tests if test.examples]
    runner = doctest.DocTestRunner()
    for test in tests:
        runner.run(test)
    assert runner.summarize().failed == 0, capsys.readouterr().out


def test_repr_is_one_short_line(features, style):
    stylizer = vidstyle.Stylizer(features, style, vidstyle.Settings(steps=7))
    assert repr(vidstyle.Frame(scene())) == "Frame(64x48 uint8 RGB, time=0 s, duration=0 s)"
    assert repr(features).startswith("Features(") and "cpu, float32)" in repr(features)
    assert repr(style) == "Style(60x60 weight 1)"
    assert repr(stylizer) == "Stylizer(Style(60x60 weight 1), cpu, steps=7)"


def test_import_lists_all_names_and_does_not_load_torch():
    code = (
        "import sys, vidstyle; assert {'stylize', 'stream', 'Stylizer'} <= set(dir(vidstyle)); "
        "vidstyle.Settings; vidstyle.PRESETS; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
