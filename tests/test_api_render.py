"""``vidstyle.render``: keywords, progress, traces and clear errors."""

import json

import av
import numpy as np
import PIL.Image
import pytest
from conftest import FAST_SETTINGS, scene, times_of, write_clip

import vidstyle
from vidstyle.io.stream_info import BT709, LIMITED, PQ

QUICK = {**FAST_SETTINGS, "initial_steps": 2, "steps": 1}


@pytest.fixture
def quick(features):
    """Keywords for a fast call with the tiny network."""
    return {**QUICK, "features": features}


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


@pytest.mark.parametrize("name", ["out_%d.png", "out.gif"])
def test_render_converts_hdr_for_files_that_cannot_hold_it(name, quick, style, tmp_path):
    clip = write_hdr_clip(tmp_path / "clip.mkv")
    options = {**quick, "strength": 0}
    vidstyle.render(clip, style, tmp_path / name, progress=False, **options)
    with vidstyle.open_source(clip, sdr=True) as source:
        expected = next(iter(source)).image
    with vidstyle.open_source(tmp_path / name) as source:
        made = next(iter(source)).image[..., :3]
    assert made.dtype == np.uint8 and abs(made.mean() - expected.mean()) < 2


def test_stylize_video_yields_hdr_in_standard_range(quick, style, tmp_path):
    clip = write_hdr_clip(tmp_path / "clip.mkv")
    first, *_ = vidstyle.stylize_video(clip, style, **{**quick, "strength": 0})
    with vidstyle.open_source(clip, sdr=True) as source:
        assert np.array_equal(first, next(iter(source)).image)


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
        ({"painted": [(0, "a.png")]}, TypeError, "painted must be a dict"),
        ({"painted": {0: scene()}}, TypeError, "painted must be a dict of times and paths"),
        ({"regions": {"mask": "a.png"}}, TypeError, "regions must be a list of dicts"),
        ({"regions": [{"mask": scene()[..., 0], "strength": 0}]}, ValueError, r"mask .* is array"),
        ({"regions": [{"mask": "a.png", "style": scene()}]}, ValueError, "use one path or name"),
        ({"timeline": {"time": 0}}, TypeError, "keyframes must be a list of dicts, not of str"),
        ({"timeline": [{"time": 0, "style": scene()}]}, ValueError, "use the name of a style"),
    ],
)
def test_render_explains_wrong_keywords(keywords, error, message, quick, clip, tmp_path):
    with pytest.raises(error, match=message) as raised:
        vidstyle.render(clip, "ink", tmp_path / "out.mp4", progress=False, **keywords, **quick)
    assert "\n" not in str(raised.value)


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
