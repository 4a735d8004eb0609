"""``vidstyle render`` and the other commands: what comes out, on which stream, with which exit
code."""

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import scene, sound_of, times_of, write_clip

from vidstyle import OutputError, cli, job


def test_render_keeps_times_and_audio_of_a_clip(vidstyle, clip, style_file):
    code, out, err = vidstyle("render", clip, style_file, "-o", "out.mp4")
    assert (code, out) == (0, "")
    assert times_of("out.mp4") == times_of(clip)
    assert sound_of("out.mp4") == sound_of(clip)
    assert "stylised at 64x48 on cpu" in err and "frame 6/6" in err and "loss" in err
    with av.open("out.mp4") as written:
        painted = next(written.decode(video=0)).to_ndarray(format="rgb24").astype(int)
        assert json.loads(written.metadata["comment"].split(" ", 2)[2])["settings"]["steps"] == 1
    assert np.abs(painted - scene()).mean() > 5


def test_render_stylizes_an_image(vidstyle, picture_file, style_file):
    code, _, err = vidstyle("render", picture_file, style_file, "-o", "out.jpg", "--seed", "7")
    assert code == 0 and "iteration 3/3" in err
    assert cv2.imread("out.jpg").shape == (48, 64, 3)
    assert b'"seed": 7' in Path("out.jpg").read_bytes()


def test_render_is_deterministic(vidstyle, clip, style_file):
    for name in ("one.mp4", "two.mp4"):
        assert vidstyle("render", clip, style_file, "-o", name, "--init", "noise")[0] == 0
    assert Path("one.mp4").read_bytes() == Path("two.mp4").read_bytes()


def test_render_takes_size_styles_and_part(vidstyle, tmp_path, style_file, picture_file):
    path = write_clip(tmp_path / "long.mp4", count=30, rate=Fraction(10), size=(128, 96))
    arguments = [
        path,
        style_file,
        picture_file,
        "-o",
        "out.mp4",
        "--style-weights",
        "2,1",
        "--size",
        "80",
        "-ss",
        "1",
        "-t",
        "0:00.5",
    ]
    assert vidstyle("render", *arguments)[0] == 0
    assert times_of("out.mp4") == [Fraction(number, 10) for number in range(5)]
    with av.open("out.mp4") as written:
        assert (written.streams.video[0].width, written.streams.video[0].height) == (80, 60)
    assert vidstyle("render", path, style_file, "-o", "to.mp4", "-ss", "1", "-to", "1.2")[0] == 0
    assert len(times_of("to.mp4")) == 2


def test_render_reads_and_writes_image_sequences(vidstyle, clip, style_file):
    code, _, err = vidstyle("render", clip, style_file, "-o", "f_%03d.png")
    assert code == 0 and "frame 6/6" in err
    assert sorted(path.name for path in Path().glob("f_*")) == [
        f"f_{number:03}.png" for number in range(1, 7)
    ]
    code, _, err = vidstyle("render", "f_%03d.png", style_file, "-o", "f_%03d.png", "-y")
    assert code == 1 and "would replace f_001.png, which is read" in err
    Path("f_003.png").unlink()
    code, _, err = vidstyle("render", "f_%03d.png", style_file, "-o", "out.mp4", "-r", "24")
    assert code == 0 and "1 numbers are missing" in err
    assert times_of("out.mp4") == [Fraction(number, 24) for number in (0, 1, 3, 4, 5)]


def test_render_takes_names_and_flags_in_any_order(vidstyle, clip, style_file, picture_file):
    code, _, _ = vidstyle("render", clip, "-o", "out.mp4", style_file, "-y", picture_file)
    assert code == 0
    with av.open("out.mp4") as written:
        assert json.loads(written.metadata["comment"].split(" ", 2)[2])["styles"] == [
            "stripes.png",
            "picture.png",
        ]
    code, _, err = vidstyle("render", clip, "-o", "out2.mp4")
    assert code == 2 and "no style given" in err
    code, _, err = vidstyle("info", "more")
    assert code == 2 and "'more' is one argument too many" in err


def test_render_writes_several_inputs_into_a_folder(
    vidstyle, clip, style_file, picture_file, tmp_path
):
    (tmp_path / "painted").mkdir()
    write_clip(tmp_path / "second.avi", codec="mpeg4", count=3, rate=Fraction(25))
    inputs = [clip, "second.avi", picture_file]
    assert vidstyle("render", *inputs, "--style", style_file, "-o", "painted")[0] == 0
    assert sorted(path.name for path in Path("painted").iterdir()) == [
        "clip.mp4",
        "picture.png",
        "second.mp4",
    ]
    assert sound_of("painted/clip.mp4") == sound_of(clip)


def test_render_compare_shows_the_source_next_to_the_stylized_frame(vidstyle, clip, style_file):
    assert vidstyle("render", clip, style_file, "-o", "out.mp4", "--compare")[0] == 0
    with av.open("out.mp4") as written:
        image = next(written.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert image.shape == (48, 128, 3)
    assert np.abs(image[:, :64] - scene()).mean() < 6 < np.abs(image[:, 64:] - scene()).mean()


def test_render_compare_takes_a_clip_with_rotation(vidstyle, tmp_path, style_file):
    with av.open(str(tmp_path / "turned.mp4"), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.set_display_rotation(90)
        output.mux(video.encode(av.VideoFrame.from_ndarray(scene(), format="rgb24")))
        output.mux(video.encode(None))
    for flags in ([], ["--resume", "-y"]):
        assert (
            vidstyle("render", "turned.mp4", style_file, "-o", "out.mp4", "--compare", *flags)[0]
            == 0
        )
    with av.open("out.mp4") as written:
        assert next(written.decode(video=0)).to_ndarray(format="rgb24").shape == (96, 64, 3)


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_render_writes_an_animation(vidstyle, clip, style_file, ending):
    assert vidstyle("render", clip, style_file, "-o", f"out{ending}")[0] == 0
    there, animation = cv2.imreadanimation(f"out{ending}")
    assert there and len(animation.frames) == 6 and animation.loop_count == 0
    # 1001/30000 s is 33 1/3 ms: a GIF counts in hundredths, and three frames last a tenth
    assert abs(sum(animation.durations[:3]) - 100) <= 1
    assert vidstyle("render", clip, style_file, "-o", "still.webp", "--preview", "0")[0] == 0
    assert cv2.imread("still.webp").shape == (48, 64, 3)


def test_render_preview_reads_standard_input_once(vidstyle, style_file, tmp_path, monkeypatch):
    path = write_clip(tmp_path / "in.mkv", count=3)
    with path.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        code, _, err = vidstyle("render", "-", style_file, "-o", "out.png", "--preview", "0.01")
    assert code == 0 and "out.png written; each frame would take about" in err
    assert "the length of the clip is unknown" in err
    assert cv2.imread("out.png").shape == (48, 64, 3)


def test_render_preview_writes_one_frame_and_estimates_the_time(vidstyle, clip, style_file):
    code, _, err = vidstyle("render", clip, style_file, "-o", "out.mp4", "--preview", "0.1")
    assert code == 0 and "all 6 frames would take about " in err
    assert err.splitlines()[0] == f"{clip}: 64x48, 6 frames"  # those of the clip
    assert cv2.imread("out.preview.png").shape == (48, 64, 3)
    assert not Path("out.mp4").exists()
    assert vidstyle("render", clip, style_file, "-o", "frame.jpg", "--preview", "0")[0] == 0
    assert cv2.imread("frame.jpg") is not None
    code, _, err = vidstyle("render", clip, style_file, "-o", "late.png", "--preview", "99")
    assert code == 1 and "no frame at or after 99 s" in err
    code, _, err = vidstyle("render", clip, style_file, "-o", "out.mp4", "--preview", "0")
    assert code == 1 and "out.preview.png exists" in err


def test_render_preview_of_a_last_frame_or_an_image_invents_no_estimate(
    vidstyle, clip, picture_file, style_file
):
    code, _, err = vidstyle("render", clip, style_file, "-o", "last.png", "--preview", "0.16")
    assert code == 0 and "not estimated, as no frame follows it: preview an earlier one" in err
    code, _, err = vidstyle("render", picture_file, style_file, "-o", "a.png", "--preview", "0")
    assert code == 0 and "a.png written; it took about " in err


def test_render_trace_has_every_iteration(vidstyle, clip, style_file):
    assert vidstyle("render", clip, style_file, "-o", "out.mp4", "--trace", "trace.json")[0] == 0
    frames = json.loads(Path("trace.json").read_text())["frames"]
    assert [len(frame["iterations"]) for frame in frames] == [3, 1, 1, 1, 1, 1]
    assert [frame["time"] for frame in frames] == [float(time) for time in times_of(clip)]


def test_render_verbose_shows_stages_and_quiet_nothing(vidstyle, picture_file, style_file):
    layers = ["--content-layers", "half.relu2_1", "--style-layers", "relu2_1,oriented2"]
    _, _, err = vidstyle("render", picture_file, style_file, "-o", "a.png", "-v", *layers)
    for line in (
        "content image 1 x 3 x 48 x 64",
        "content target half.relu2_1: 1 x 8 x 12 x 16",
        "relu2_1: Gram matrix 8 x 8",
        "oriented2: Gram matrix 96 x 96",
        "adam",
    ):
        assert line in err
    assert vidstyle("render", picture_file, style_file, "-o", "b.png", "-q") == (0, "", "")


def test_info_lists_versions_devices_and_weights(vidstyle):
    code, out, _ = vidstyle("info")
    assert code == 0
    for word in (
        "styles: dots, engraving",
        "vidstyle 0.",
        "torch",
        "FFmpeg",
        "device cpu",
        "libx264",
        "bundled: there",
        "vgg19",
    ):
        assert word in out


def test_train_features_writes_a_network_that_render_uses(
    vidstyle, tmp_path, picture_file, style_file
):
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), np.roll(scene(), 20 * number, 1))
    flags = ["-o", "mine.safetensors", "--steps", "2", "--batch", "2", "--device", "cpu"]
    code, out, err = vidstyle("train-features", "pictures", *flags)
    assert code == 0 and "step 2/2" in err and "recognised" in err
    assert "style share" in out and (tmp_path / "mine.png").exists()
    code, _, err = vidstyle("train-features", "pictures", *flags)
    assert code == 1 and "-y" in err
    arguments = [
        picture_file,
        style_file,
        "-o",
        "out.png",
        "--features",
        "mine.safetensors",
        "--initial-steps",
        "1",
    ]
    assert cli.main([str(argument) for argument in ("render", *arguments)]) == 0


def test_train_features_resumes_where_its_file_could_not_be_written(
    vidstyle, tmp_path, monkeypatch
):
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), np.roll(scene(), 20 * number, 1))
    monkeypatch.setattr("vidstyle.training.loop.CHECKPOINT_SECONDS", 0.0)
    flags = ["train-features", "pictures", "-o", "mine.safetensors", "--batch", "2", "--steps"]

    def no_space(*args):
        raise OutputError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("vidstyle.features.weights.write_network", no_space)
        assert vidstyle(*flags, "2")[0] == 1
    code, _, err = vidstyle(*flags, "3")
    assert code == 1 and "was left by another training" in err and "resumed" not in err
    code, _, err = vidstyle(*flags, "2")
    assert code == 0 and "resumed after step 2" in err
    assert not list(tmp_path.glob("*.checkpoint"))


def test_train_features_does_not_replace_its_teacher(vidstyle, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "vgg16.pth").write_bytes(b"weights")
    flags = ["--teacher", "vgg16.pth", "-o", "vgg16.pth", "-y"]
    code, _, err = vidstyle("train-features", "pictures", *flags)
    assert code == 1 and "vgg16.pth" in err and len(err.splitlines()) == 1
    assert (tmp_path / "vgg16.pth").read_bytes() == b"weights"


def test_render_opens_its_input_and_output_once(vidstyle, clip, style_file, monkeypatch):
    calls = []
    for name in ("open_source", "open_sink", "fingerprint"):
        function = getattr(job, name)

        def counted(path, *rest, function=function, name=name, **more):
            calls.append((name, Path(path).name))
            return function(path, *rest, **more)

        monkeypatch.setattr(job, name, counted)
    assert vidstyle("render", clip, style_file, "-o", "out.mp4")[0] == 0
    assert calls.count(("open_source", clip.name)) == 1
    assert calls.count(("open_sink", "out.mp4")) == 1
    assert calls.count(("fingerprint", clip.name)) == 1


def test_render_releases_its_files_when_the_network_cannot_be_loaded(vidstyle, clip, style_file):
    code, _, err = vidstyle("render", clip, style_file, "-o", "out.mp4", "--features", "nothing")
    assert code != 0 and "nothing" in err
    assert not Path(".out.mp4.lock").exists() and not Path("out.mp4").exists()
