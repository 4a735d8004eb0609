"""The functions that most users call: the same kind of image out, clear errors, nothing imported
too early."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
import torch
from conftest import FAST_SETTINGS, scene, stripes, times_of, write_clip

import vidstyle
from vidstyle import api, pipeline
from vidstyle.io.stream_info import BT709, LIMITED, PQ

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


def test_render_writes_a_clip_and_reports_progress(quick, style, clip, tmp_path):
    events = []
    output = vidstyle.render(clip, style, tmp_path / "out.mp4", progress=events.append, **quick)
    assert output == tmp_path / "out.mp4" and times_of(output) == times_of(clip)
    assert {event.unit for event in events} == {"frame"}
    assert (events[-1].done, events[-1].total) == (6, 6)
    assert events[0].note == "first frame: iteration 1/2"
    with pytest.raises(vidstyle.OutputError, match="overwrite=True"):
        vidstyle.render(clip, style, output, progress=False, **quick)
    vidstyle.render(clip, style, output, progress=False, overwrite=True, stop=0.1, **quick)
    assert len(times_of(output)) == 3


def test_render_is_silent_without_progress(quick, picture_file, capsys):
    output = vidstyle.render(picture_file, "ink", progress=False, **quick)
    assert output == picture_file.with_name("picture_ink.png")
    again = vidstyle.render(str(picture_file), "ink", progress=False, **quick)
    assert again == picture_file.with_name("picture_ink_2.png")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("audio, tracks", [(True, 1), (False, 0)])
def test_render_keeps_the_audio_unless_told_otherwise(audio, tracks, quick, style, clip):
    output = vidstyle.render(clip, style, audio=audio, progress=False, **quick)
    with av.open(str(output)) as container:
        assert len(container.streams.audio) == tracks


def test_render_takes_the_frame_rate_of_an_image_sequence(quick, style, tmp_path):
    for number in range(3):
        PIL.Image.fromarray(scene(number / 10)).save(tmp_path / f"frame_{number:02}.png")
    names, output = tmp_path / "frame_%02d.png", tmp_path / "out.mkv"
    vidstyle.render(names, style, output, rate=12.5, progress=False, **quick)
    assert [float(time) for time in times_of(output)] == pytest.approx([0, 0.08, 0.16])
    with pytest.raises(ValueError, match="frames per second"):
        vidstyle.render(names, style, output, rate=0, overwrite=True, progress=False, **quick)


def write_hdr_clip(path):
    """A clip of PQ with 10 bits and two grey frames."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le"
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, PQ
        context.color_range = LIMITED
        for number in range(2):
            image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8))
            image = image.reformat(format="yuv420p10le")
            image.pts = number
            output.mux(video.encode(image))
        output.mux(video.encode(None))
    return path


@pytest.mark.parametrize("hdr, bit_depth, transfer", [("keep", 10, PQ), ("sdr", 8, BT709)])
def test_render_keeps_hdr_or_converts_it(hdr, bit_depth, transfer, quick, style, tmp_path):
    clip = write_hdr_clip(tmp_path / "clip.mkv")
    output = vidstyle.render(clip, style, tmp_path / "out.mp4", hdr=hdr, progress=False, **quick)
    with vidstyle.open_source(output) as source:
        assert source.format.bit_depth == bit_depth and source.format.color.transfer == transfer


def test_render_writes_a_trace(quick, style, clip, tmp_path):
    trace = tmp_path / "trace.json"
    vidstyle.render(clip, style, tmp_path / "out.mp4", trace=trace, progress=False, **quick)
    assert len(json.loads(trace.read_text())["frames"]) == 6
    with pytest.raises(vidstyle.OutputError, match=r"trace\.json exists"):
        vidstyle.render(clip, style, tmp_path / "2.mp4", trace=str(trace), progress=False, **quick)


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"hdr": "yes"}, ValueError, "hdr is 'yes': use one of keep, sdr"),
        ({"audio": "aac"}, TypeError, "audio must be True or False"),
        ({"trace": 3}, TypeError, "trace must be a path, not int"),
        ({"overwrit": True}, TypeError, "did you mean 'overwrite'"),
        ({"codec": "mpeg9"}, ValueError, "mpeg9"),
    ],
)
def test_render_explains_wrong_keywords(keywords, error, message, quick, clip, tmp_path):
    with pytest.raises(error, match=message):
        vidstyle.render(clip, "ink", tmp_path / "out.mp4", progress=False, **keywords, **quick)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((scene(), "ink", "out.png"), TypeError, "use vidstyle.stylize"),
        ((3, "ink", "out.png"), TypeError, "input must be a path"),
        (("picture.png", "ink", 3), TypeError, "output must be a path"),
        (("picture.png", "clip.mp4", "out.mp4"), vidstyle.InputError, "swapped"),
        (("clip.mp4", "clip.mp4", "out.mp4"), vidstyle.InputError, "is a clip, not a picture"),
    ],
)
def test_render_explains_wrong_arguments(
    arguments, error, message, quick, tmp_path, monkeypatch, picture_file
):
    write_clip(tmp_path / "clip.mp4", count=2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        vidstyle.render(*arguments, **quick)


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
