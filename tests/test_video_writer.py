"""Writers of clips: times, colours, rotation, segments, pipes."""

import errno
import io
import os
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from conftest import scene, sound_of, times_of, write_clip
from media import (
    CLIPS,
    send_some,
    through,
)

from vidstyle import (
    Encoding,
    Frame,
    OutputError,
    VideoInfo,
    VideoWriter,
    open_sink,
    open_source,
)
from vidstyle.io import pipe_writer
from vidstyle.io.checkpoints import Checkpoint
from vidstyle.io.direct_writer import DirectWriter
from vidstyle.io.pipe_writer import PipeWriter


def test_video_writer_refuses_another_size(tmp_path, silent):
    with open_source(silent) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        sink.send(Frame(scene()))
        with pytest.raises(ValueError, match="does not fit into a clip"):
            sink.send(Frame(scene(size=(80, 60)), Fraction(1, 25)))


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(25, 2)]
)
@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_video_writer_keeps_exact_timestamps(tmp_path, rate, ending):
    path = write_clip(tmp_path / "in.mp4", count=12, rate=rate)
    assert times_of(through(path, tmp_path / f"out{ending}")) == times_of(path)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(60)])
@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_video_writer_keeps_exact_timestamps_of_later_segments(tmp_path, rate, ending):
    path = tmp_path / f"out{ending}"
    with VideoWriter(path, VideoInfo((64, 48), rate, 1 / rate)) as sink:
        for number in range(30):
            if number in (10, 20):
                sink.checkpoint(Checkpoint(number, number, {}))
            sink.send(Frame(scene(number / 25), number / rate, 1 / rate))
    assert times_of(path) == [number / rate for number in range(30)]


@pytest.mark.parametrize("ending", CLIPS)
def test_video_writer_keeps_a_variable_rate(tmp_path, ending):
    pts = [40, 73, 90, 173, 174, 440, 441]
    path = write_clip(tmp_path / "in.mkv", time_base=Fraction(1, 1000), pts=pts)
    times = [
        Fraction(time - pts[0], 1000) for time in pts
    ]  # the clip's clock begins with its first picture
    assert times_of(through(path, tmp_path / f"out{ending}")) == times


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


@pytest.mark.parametrize("job", [None, {"input": "in.mp4"}])
def test_video_writer_names_resume_for_a_render_only(tmp_path, silent, monkeypatch, job):
    def no_space(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vidstyle.io.part_folder.write_file", no_space)
    with open_source(silent) as source, pytest.raises(OutputError, match="free some") as error:
        send_some(open_sink(tmp_path / "out.mp4", source, job=job), ".mp4")
    assert ("resume=True then resumes after the finished segments" in str(error.value)) == bool(job)


def test_direct_writer_refuses_a_locked_output(tmp_path, silent):
    being_written = pytest.raises(OutputError, match="is being written by another program")
    with open_source(silent) as source, open_sink(tmp_path / "out.mp4", source), being_written:
        DirectWriter(tmp_path / "out.mp4", source.format)
    first = DirectWriter(tmp_path / "out.mp4", source.format)
    with pytest.raises(OutputError, match="is being written by another program"):
        DirectWriter(tmp_path / "out.mp4", source.format)
    first.close()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


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


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="this system does not list open files"
)
def test_video_writer_closes_its_segments(tmp_path):
    """2,000 frames in segments of a fifth of a second each: as many segments as a render of some
    seven minutes has."""
    opened = []
    with open_source(write_clip(tmp_path / "in.mp4", count=1, rate=Fraction(25))) as source:
        sink = open_sink(tmp_path / "out.mp4", source)
        for number in range(2000):
            if number and number % 10 == 0:
                sink.checkpoint(Checkpoint(number, 1, {}))
                opened.append(len(list(Path("/proc/self/fd").iterdir())))
            sink.send(Frame(scene(number / 25), number / Fraction(25), 1 / Fraction(25)))
        sink.close()
    assert opened[-1] <= opened[5]
    assert times_of(tmp_path / "out.mp4") == [number / Fraction(25) for number in range(2000)]
