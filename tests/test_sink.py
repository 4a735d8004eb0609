"""One suite for every sink, then what only video files can do."""

import io
from fractions import Fraction
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from conftest import scene, sound_of, times_of, write_clip

from vidstyle import Encoding, Frame, OutputError, VideoInfo, cli, open_sink, open_source
from vidstyle.io import pipe_writer
from vidstyle.io.codecs import CODECS
from vidstyle.io.color import PACKED_FORMATS
from vidstyle.io.direct_writer import DirectWriter
from vidstyle.io.pipe_writer import PipeWriter

CLIPS = [".mp4", ".m4v", ".mov", ".mkv", ".webm"]
PICTURES = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif"]


@pytest.fixture(params=[*CLIPS, ".gif", *PICTURES])
def ending(request):
    return request.param


@pytest.fixture
def silent(tmp_path):
    return write_clip(tmp_path / "in.mp4", rate=Fraction(25))


def send_some(sink, ending, count=3):
    for number in range(1 if ending in PICTURES else count):
        sink.send(Frame(scene(number / 25), Fraction(number, 25), Fraction(1, 25)))


def test_sink_file_appears_only_when_complete(tmp_path, silent, ending):
    path = tmp_path / f"out{ending}"
    with open_source(silent) as source, open_sink(path, source) as sink:
        send_some(sink, ending)
        assert not path.exists()
    assert path.stat().st_size > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in.mp4", path.name])
    with open_source(path) as written:
        frames = list(written)
    assert len(frames) == (1 if ending in PICTURES else 3)
    assert (
        np.abs(frames[0].image[..., :3].astype(int) - scene()).mean() < 8
    )  # lossy codecs, few colours


def test_sink_refuses_or_keeps_an_existing_file(tmp_path, silent, ending):
    path = tmp_path / f"out{ending}"
    path.write_bytes(b"precious")
    with open_source(silent) as source:
        with pytest.raises(OutputError, match="exists"):
            open_sink(path, source)
        with (
            pytest.raises(RuntimeError, match="painter"),
            open_sink(path, source, overwrite=True) as sink,
        ):
            send_some(sink, ending)
            assert path.read_bytes() == b"precious"
            raise RuntimeError("painter")
        assert path.read_bytes() == b"precious"
        with open_sink(path, source, overwrite=True) as sink:
            send_some(sink, ending)
    assert path.read_bytes() != b"precious"


def test_sink_without_frames_leaves_nothing(tmp_path, silent, ending):
    with open_source(silent) as source, open_sink(tmp_path / f"out{ending}", source):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_sink_closes_twice(tmp_path, silent, ending):
    path = tmp_path / f"out{ending}"
    with open_source(silent) as source:
        sink = open_sink(path, source)
        send_some(sink, ending)
        assert sink.close() == path
        sink.close()
    assert path.exists()


def test_sink_writes_the_comment(tmp_path, silent, ending):
    if ending in (".bmp", ".tif", ".webp", ".gif"):
        pytest.skip("this kind of picture carries no comment here, nor does an animation")
    path = tmp_path / f"out{ending}"
    with (
        open_source(silent) as source,
        open_sink(path, source, encoding=Encoding(comment='{"steps": 4}')) as sink,
    ):
        send_some(sink, ending)
    if ending in PICTURES:
        assert b'{"steps": 4}' in path.read_bytes()
    else:
        with av.open(str(path)) as container:
            assert {key.lower(): value for key, value in container.metadata.items()}[
                "comment"
            ] == '{"steps": 4}'


@pytest.mark.parametrize(
    "name, reason",
    [
        ("out.xyz", "extension"),
        ("out", "extension"),
        ("", "is a directory"),
        ("nowhere/out.mp4", "does not exist"),
        ("in.mp4", "exists"),
    ],
)
def test_open_sink_refuses_in_one_line(tmp_path, silent, name, reason):
    with open_source(silent) as source, pytest.raises(OutputError, match=reason) as caught:
        open_sink(tmp_path / name, source)
    assert "\n" not in str(caught.value)


def test_open_sink_refuses_the_input_as_output(tmp_path, silent):
    (tmp_path / "link.mp4").symlink_to(silent)
    (tmp_path / "hard.mp4").hardlink_to(silent)
    for name in ("in.mp4", "link.mp4", "hard.mp4"):
        with open_source(silent) as source, pytest.raises(OutputError, match="which is read"):
            open_sink(tmp_path / name, source, overwrite=True)


def test_open_sink_keeps_an_unfinished_run(tmp_path, silent):
    with open_source(silent) as source:
        with pytest.raises(RuntimeError), open_sink(tmp_path / "out.mp4", source) as sink:
            send_some(sink, ".mp4")
            raise RuntimeError("the painter broke")
        kept = (tmp_path / "out.part.mp4").read_bytes()
        with pytest.raises(OutputError, match="from an unfinished run"):
            open_sink(tmp_path / "out.mp4", source)
        with pytest.raises(
            OutputError, match=r"unfinished run for out\.mp4"
        ):  # which needs the same folder
            open_sink(tmp_path / "out.mkv", source, overwrite=True)
        assert (tmp_path / "out.part.mp4").read_bytes() == kept
        with open_sink(tmp_path / "out.mp4", source, overwrite=True) as sink:
            send_some(sink, ".mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


USERS_FILES = ["diary.txt", "2024-05-01 beach.mp4", "000000.mp4", "job.json", "000001.safetensors"]


@pytest.mark.parametrize("resume", [False, True], ids=["overwrite", "resume"])
@pytest.mark.parametrize("name", USERS_FILES)
def test_part_folder_deletes_nothing_in_a_foreign_folder(tmp_path, silent, name, resume):
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / name).write_text("precious")
    with (
        open_source(silent) as source,
        pytest.raises(OutputError, match=f"{name} belongs to no unfinished render"),
    ):
        open_sink(tmp_path / "out.mp4", source, overwrite=not resume, resume=resume)
    assert (tmp_path / "out.part" / name).read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.part"]


def test_part_folder_keeps_foreign_files(tmp_path, silent):
    with open_source(silent) as source:
        sink = open_sink(tmp_path / "out.mp4", source)
        send_some(sink, ".mp4")
        for name in ("000123.mp4", "diary.txt"):
            (tmp_path / "out.part" / name).write_text("precious")
        sink.close()
        assert times_of(tmp_path / "out.mp4")
        with pytest.raises(OutputError, match="belongs to no unfinished render"):
            open_sink(tmp_path / "out.mp4", source, overwrite=True)
    assert sorted(p.name for p in (tmp_path / "out.part").iterdir()) == ["000123.mp4", "diary.txt"]


def test_part_folder_keeps_a_foreign_part_file(tmp_path, silent):
    (tmp_path / "out.part.mp4").write_bytes(b"precious")
    for flags in ({"overwrite": True}, {"resume": True}):
        with (
            open_source(silent) as source,
            pytest.raises(OutputError, match="belongs to no unfinished render"),
        ):
            open_sink(tmp_path / "out.mp4", source, **flags)
    assert (tmp_path / "out.part.mp4").read_bytes() == b"precious"


@pytest.mark.parametrize("ending", [".mp4", ".png"])
def test_sink_keeps_a_file_created_meanwhile(tmp_path, silent, ending):
    path = tmp_path / f"out{ending}"
    with open_source(silent) as source:
        sink = open_sink(path, source)
        send_some(sink, ending)
        path.write_bytes(b"precious")
        with pytest.raises(OutputError, match=r"created meanwhile|exists"):
            sink.close()
    assert path.read_bytes() == b"precious"


def test_open_sink_refuses_a_part_onto_itself(tmp_path, silent):
    part = silent.rename(tmp_path / "out.part.mp4")
    with open_source(part) as source, pytest.raises(OutputError, match="which is read"):
        open_sink(tmp_path / "out.mp4", source, overwrite=True)


@pytest.mark.parametrize("first, second", [("out.mp4", "out.mp4"), ("f_%03d.png", "f_%d.png")])
def test_sink_refuses_a_locked_output(tmp_path, silent, first, second):
    with open_source(silent) as source:
        sink = open_sink(tmp_path / first, source)
        for flags in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(OutputError, match="is being written by another program"):
                open_sink(tmp_path / second, source, **flags)
        send_some(sink, ".mp4")
        assert sink.close()
        with open_sink(tmp_path / second, source, overwrite=True) as sink:
            send_some(sink, ".mp4")
    assert not list(tmp_path.glob(".*"))


def test_sink_leaves_the_folder_of_a_locked_output(tmp_path, silent):
    """``out.mp4`` and ``out.mkv`` need the same folder."""
    with open_source(silent) as source, open_sink(tmp_path / "out.mp4", source) as first:
        second = open_sink(tmp_path / "out.mkv", source)
        send_some(first, ".mp4")
        with pytest.raises(OutputError, match=r"out\.mp4 is being written by another program"):
            second.send(Frame(scene()))
        second.close(complete=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_direct_writer_refuses_a_locked_output(tmp_path, silent):
    being_written = pytest.raises(OutputError, match="is being written by another program")
    with open_source(silent) as source, open_sink(tmp_path / "out.mp4", source), being_written:
        DirectWriter(tmp_path / "out.mp4", source.format)
    first = DirectWriter(tmp_path / "out.mp4", source.format)
    with pytest.raises(OutputError, match="is being written by another program"):
        DirectWriter(tmp_path / "out.mp4", source.format)
    first.close()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("name", ["a:b.mp4", "100%d.mkv", "x y ü.mov"])
def test_sink_writes_unusual_names(tmp_path, silent, name):
    assert times_of(through(silent, tmp_path / name))


def test_open_sink_refuses_a_name_that_is_too_long(tmp_path, silent):
    with open_source(silent) as source, pytest.raises(OutputError, match="cannot be written"):
        open_sink(tmp_path / ("x" * 249 + ".mp4"), source)


def test_mux_continues_after_audio_timestamps_jump_back(tmp_path):
    one = write_clip(tmp_path / "one.ts", count=25, rate=Fraction(25), sounds=1)
    (tmp_path / "two.ts").write_bytes(one.read_bytes() * 2)
    output = through(tmp_path / "two.ts", tmp_path / "out.mp4")
    times = times_of(output)
    assert len(times) == 50 and times == sorted(set(times))
    sounds = [time for time, _ in sound_of(output)]
    assert sounds == sorted(set(sounds))
    assert abs(float(sounds[-1] - times[-1])) < 0.3  # still together at the end


def test_image_writer_takes_one_frame(tmp_path, silent, frame):
    with (
        open_source(silent) as source,
        pytest.raises(ValueError, match="one frame"),
        open_sink(tmp_path / "o.png", source) as sink,
    ):
        sink.send(frame)
        sink.send(frame)


def test_video_writer_refuses_another_size(tmp_path, silent):
    with open_source(silent) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        sink.send(Frame(scene()))
        with pytest.raises(ValueError, match="does not fit into a clip"):
            sink.send(Frame(scene(size=(80, 60)), Fraction(1, 25)))


def through(path, output, start=None, stop=None, **encoding):
    """Copy frame by frame, as a stylizer that changes nothing would."""
    with (
        open_source(path, start, stop) as source,
        open_sink(output, source, encoding=Encoding(**encoding)) as sink,
    ):
        for frame in source:
            sink.send(frame)
    return output


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(25, 2)]
)
@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_video_writer_keeps_exact_timestamps(tmp_path, rate, ending):
    path = write_clip(tmp_path / "in.mp4", count=12, rate=rate)
    assert times_of(through(path, tmp_path / f"out{ending}")) == times_of(path)


@pytest.mark.parametrize("ending", CLIPS)
def test_video_writer_keeps_a_variable_rate(tmp_path, ending):
    pts = [40, 73, 90, 173, 174, 440, 441]
    path = write_clip(tmp_path / "in.mkv", time_base=Fraction(1, 1000), pts=pts)
    times = [
        Fraction(time - pts[0], 1000) for time in pts
    ]  # the clip's clock begins with its first picture
    assert times_of(through(path, tmp_path / f"out{ending}")) == times


def test_mux_copies_audio_packets(tmp_path):
    path = write_clip(tmp_path / "in.mp4", count=30, sounds=2)
    output = through(path, tmp_path / "out.mp4")
    for stream in range(2):
        assert sound_of(output, stream) == sound_of(path, stream)
    assert sound_of(path, 0) != sound_of(path, 1)


def test_mux_drops_audio_on_request(tmp_path, clip):
    with av.open(str(through(clip, tmp_path / "out.mp4", sound=False))) as container:
        assert not container.streams.audio


def test_mux_starts_audio_of_a_part_with_its_video(tmp_path):
    path = write_clip(tmp_path / "in.mp4", count=50, rate=Fraction(25), sounds=1)
    output = through(path, tmp_path / "out.mp4", Fraction(1, 2), Fraction(3, 2))
    begins = Fraction(13, 25)  # the first picture of that part
    whole = [
        (time - begins, data) for time, data in sound_of(path) if begins <= time < Fraction(3, 2)
    ]
    copied = sound_of(output)
    assert [data for _, data in copied] == [data for _, data in whole]
    assert max(abs(one - two) for (one, _), (two, _) in zip(copied, whole, strict=True)) < Fraction(
        1, 1000
    )


def test_video_writer_interrupted_leaves_a_playable_part(tmp_path):
    path = write_clip(tmp_path / "in.mp4", count=50, rate=Fraction(25), sounds=1)
    with open_source(path) as source:
        sink = open_sink(tmp_path / "out.mp4", source)
        for number, frame in enumerate(source):
            if number == 20:
                break
            sink.send(frame)
        left = sink.close(complete=False)
    assert left == tmp_path / "out.part.mp4"
    assert times_of(left) == times_of(path)[:20]
    assert 0.7 < float(sound_of(left)[-1][0]) < 0.8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.part", "out.part.mp4"]


def test_video_writer_crops_odd_sizes(tmp_path, silent):
    with open_source(silent) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        sink.send(Frame(scene(size=(65, 49))))
    with open_source(tmp_path / "o.mp4") as written:
        assert written.format.size == (64, 48)


@pytest.mark.parametrize("color", [(1, 1), (1, 2), (6, 1), (9, 1)])
def test_video_writer_keeps_colours_and_tags(tmp_path, color):
    flat = np.zeros((80, 160, 3), np.uint8)
    flat[:, :80], flat[:, 80:] = (60, 140, 220), (220, 80, 60)
    path = write_clip(
        tmp_path / "in.mp4", count=2, size=(160, 80), color=color, picture=lambda time: flat, crf=0
    )
    output = through(path, tmp_path / "out.mp4", crf=0)
    with open_source(path) as source, open_source(output) as written:
        assert (written.format.color.matrix, written.format.color.range) == color
        before, after = (next(iter(clip)).image.astype(int) for clip in (source, written))
    for x in (40, 120):
        assert np.abs(after[40, x] - before[40, x]).max() <= 2  # the rounding of 8-bit YUV


def test_video_writer_keeps_rotation_and_aspect_ratio(tmp_path):
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        video.set_display_rotation(90)
        output.mux(video.encode(av.VideoFrame.from_ndarray(scene(), format="rgb24")))
        output.mux(video.encode(None))
    with open_source(path) as source, open_source(through(path, tmp_path / "out.mp4")) as written:
        assert source.format.rotation != 0
        assert written.format.rotation == source.format.rotation
        assert written.format.sample_aspect_ratio == Fraction(4, 3)


def test_sink_names_a_full_disk(tmp_path, silent, monkeypatch):
    monkeypatch.setattr(
        "vidstyle.io.video_writer.join",
        lambda *args: (_ for _ in ()).throw(OutputError("cannot write: no space left")),
    )
    path = tmp_path / "out.mp4"
    path.write_bytes(b"precious")
    with open_source(silent) as source:
        sink = open_sink(path, source, overwrite=True)
        send_some(sink, ".mp4")
        with pytest.raises(OutputError, match="no space"):
            sink.close()
    assert path.read_bytes() == b"precious"
    assert (tmp_path / "out.part" / "000000.mp4").exists()


def test_sink_writes_alpha_and_16_bits(tmp_path, silent):
    alpha = np.dstack([scene(), np.full((48, 64), 7, np.uint8)])
    deep = scene().astype(np.uint16) * 257
    with open_source(silent) as source:
        for name, image in (("alpha.png", alpha), ("deep.png", deep)):
            with open_sink(tmp_path / name, source) as sink:
                sink.send(Frame(image))
            written = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(written[..., :3], image[..., 2::-1])


def test_mux_names_dropped_streams(tmp_path, silent, caplog):
    path = tmp_path / "with.mkv"
    with av.open(str(silent)) as origin, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(origin.streams.video[0])
        output.add_attachment("notes.txt", "text/plain", b"hello")
        for packet in origin.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                output.mux(packet)
    through(path, tmp_path / "out.mp4")
    assert "dropped, a .mp4 file cannot hold it: an attachment (notes.txt)" in caplog.text


def test_image_sequence_keeps_other_percent_signs(tmp_path):
    for number in range(3):
        cv2.imwrite(
            str(tmp_path / f"50% done {number:03}.png"), np.full((48, 64, 3), 40 * number, np.uint8)
        )
    output = tmp_path / "100% s %02d.png"
    with open_source(tmp_path / "50% done %03d.png") as source, open_sink(output, source) as sink:
        for frame in source:
            sink.send(frame)
    assert sorted(path.name for path in tmp_path.glob("100*")) == [
        f"100% s {number:02}.png" for number in (1, 2, 3)
    ]


def test_render_refuses_two_inputs_of_one_output_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b", "out"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(f"{folder}/x.png", np.zeros((48, 64, 3), np.uint8))
    assert cli.main(["render", "a/x.png", "b/x.png", "--style", "ink", "-o", "out", "-y"]) == 1
    assert "would both become out/x.png" in capsys.readouterr().err


def test_image_source_names_an_animated_webp(tmp_path, clip, caplog):
    output = through(clip, tmp_path / "out.webp")
    assert len(list(open_source(output))) == 1 and "only the first is used" in caplog.text
    caplog.clear()
    cv2.imwrite(str(tmp_path / "still.webp"), scene())
    assert len(list(open_source(tmp_path / "still.webp"))) == 1 and not caplog.records


def test_encoder_does_not_reuse_the_frame_memory():
    """What it is handed shares that memory only until it is converted."""
    formats = {pixels for codec in CODECS.values() for pixels in (*codec.pixels, *codec.alpha)}
    assert not formats & set(PACKED_FORMATS.values())


def test_pipe_writer_has_no_delay(monkeypatch):
    output = io.BytesIO()
    monkeypatch.setattr(pipe_writer.sys, "stdout", SimpleNamespace(buffer=output))
    source = VideoInfo((64, 48), Fraction(25), Fraction(1, 25))
    writer = PipeWriter(source, Encoding(pipe="nut"))
    for number in range(3):
        writer.send(Frame(scene(number / 25), Fraction(number, 25), Fraction(1, 25)))
    with av.open(io.BytesIO(output.getvalue())) as there:
        assert (
            len([packet for packet in there.demux() if packet.size]) >= 2
        )  # FFmpeg may keep one to itself
    writer.close()
