"""Audio beside the video, and segments that become one clip."""

from fractions import Fraction

import av
import numpy as np
import pytest
from conftest import scene, sound_of, times_of, write_clip
from media import (
    flash_and_click,
    flashes_and_clicks,
    through,
)

from vidstyle import Frame, OutputError, VideoInfo, open_source
from vidstyle.io import mux
from vidstyle.io.codecs import select_encoder
from vidstyle.io.encode import EncodedFile
from vidstyle.io.mux import Segment, join
from vidstyle.io.timestamps import TimestampFixer

SOUNDS = {
    "aac": (".mp4", ".mkv", ".ts", ".mov", ".avi", ".flv"),
    "libmp3lame": (".mp4", ".mkv", ".ts", ".avi", ".flv"),
    "ac3": (".mp4", ".mkv", ".ts", ".avi"),
    "libopus": (".mp4", ".mkv"),
    "flac": (".mp4", ".mkv"),
    "pcm_s16le": (".mov", ".mkv", ".avi"),
}


@pytest.mark.parametrize(
    "part", [(None, None), (Fraction(1, 2), Fraction(3, 2))], ids=["whole", "part"]
)
@pytest.mark.parametrize(
    "codec, origin, ending",
    [
        (codec, origin, ending)
        for codec, origins in SOUNDS.items()
        for origin in origins
        for ending in (".mp4", ".mkv", ".mov")
        if ending != ".mov" or codec not in ("libopus", "flac")  # which it cannot hold
    ],
)
def test_mux_keeps_audio_in_sync(tmp_path, codec, origin, ending, part):
    path = flash_and_click(tmp_path / f"in{origin}", 0 if origin != ".ts" else 3, codec)
    (before_flash, *_), (before_click, *_) = flashes_and_clicks(path)
    (flash, *_), (click, *_) = flashes_and_clicks(through(path, tmp_path / f"out{ending}", *part))
    assert abs((flash - click) - (before_flash - before_click)) < 0.001


def test_mux_keeps_a_late_audio_start(tmp_path):
    plain = flash_and_click(tmp_path / "plain.mp4", 0)
    late = tmp_path / "late.mp4"
    with av.open(str(plain)) as origin, av.open(str(late), "w") as output:
        copies = {
            stream.index: output.add_stream_from_template(stream) for stream in origin.streams
        }
        for packet in origin.demux():
            if packet.dts is not None:
                if packet.stream.type == "audio":
                    packet.pts, packet.dts = packet.pts + 13230, packet.dts + 13230  # 0.3 s
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    (before_flash, *_), (before_click, *_) = flashes_and_clicks(late)
    assert 0.29 < before_click - before_flash < 0.31
    (flash, *_), (click, *_) = flashes_and_clicks(through(late, tmp_path / "out.mp4"))
    assert abs((flash - click) - (before_flash - before_click)) < 0.001


def segment(path, times, codec="libx264", size=(64, 48)):
    """One encoder's file of frames at these times, with its timestamps in milliseconds."""
    source = VideoInfo(size, time_base=Fraction(1, 1000))
    coder = select_encoder(codec, None, "matroska" if codec == "ffv1" else "mp4", source)
    file = EncodedFile(path, {".mkv": "matroska", ".mp4": "mp4"}[path.suffix], coder, source)
    for time in times:
        file.send(Frame(scene(time / 1000, size), Fraction(time, 1000), Fraction(20, 1000)), time)
    file.close()
    return Segment(path, file.packet_pts)


CONSTANT = [[40 * n for n in range(25)], [1000 + 40 * n for n in range(25)], [2000]]
VARIABLE = [[0, 7, 100, 101, 102, 300, 900], [901, 902, 1500, 1501, 1502, 1503, 2500], [2501, 2509]]


@pytest.mark.parametrize("times", [CONSTANT, VARIABLE], ids=["constant", "variable"])
@pytest.mark.parametrize(
    "codec, kind, ending",
    [
        ("libx264", ".mp4", ".mp4"),
        ("libx264", ".mp4", ".mov"),
        ("libx264", ".mp4", ".mkv"),
        ("libx265", ".mp4", ".mp4"),
        ("libvpx-vp9", ".mp4", ".webm"),
        ("libsvtav1", ".mp4", ".mkv"),
        ("ffv1", ".mkv", ".mkv"),
    ],
)
def test_join_keeps_every_packet_once(tmp_path, times, codec, kind, ending, monkeypatch):
    reads, read = [], mux._read_segment

    def counted(path, first):
        reads.append(path)
        return read(path, first)

    monkeypatch.setattr(mux, "_read_segment", counted)
    segments = [
        segment(tmp_path / f"{number}{kind}", part, codec) for number, part in enumerate(times)
    ]
    output = tmp_path / f"out{ending}"
    join(segments, VideoInfo((64, 48), time_base=Fraction(1, 1000)), output)
    assert sorted(reads) == sorted(part.path for part in segments)  # each is read once
    assert times_of(output) == [Fraction(time, 1000) for part in times for time in part]
    with av.open(str(output)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.dts is not None]
    decoded = [packet.dts for packet in packets]
    assert decoded == sorted(set(decoded)) and all(packet.dts <= packet.pts for packet in packets)


@pytest.mark.parametrize("times", [CONSTANT, VARIABLE], ids=["constant", "variable"])
def test_join_reads_the_timestamps_of_segments_of_an_earlier_run(tmp_path, times):
    known = [segment(tmp_path / f"{number}.mp4", part) for number, part in enumerate(times)]
    source = VideoInfo((64, 48), time_base=Fraction(1, 1000))
    join(known, source, tmp_path / "known.mp4")
    join([known[0]._replace(pts=None), *known[1:]], source, tmp_path / "read.mp4")
    assert (tmp_path / "read.mp4").read_bytes() == (tmp_path / "known.mp4").read_bytes()


def test_join_refuses_segments_of_another_codec(tmp_path):
    segments = [
        segment(tmp_path / "0.mp4", [0, 40]),
        segment(tmp_path / "1.mp4", [80, 120], size=(96, 64)),
    ]
    with pytest.raises(OutputError, match="another codec or size"):
        join(
            segments,
            VideoInfo((64, 48), time_base=Fraction(1, 1000)),
            tmp_path / "out.mp4",
        )


def test_audio_order_counts_damaged_packets(tmp_path, caplog, monkeypatch):
    path = flash_and_click(tmp_path / "in.mkv", 0)
    whole = sound_of(through(path, tmp_path / "whole.mp4"))
    rebase, count = TimestampFixer.rebase, 0

    def damaged(clock, packet):
        nonlocal count
        rebase(clock, packet)
        count += packet.stream.type == "audio"
        if count == 20 and packet.stream.type == "audio":
            packet.pts, packet.dts = (
                packet.pts + 60_000,
                packet.dts + 60_000,
            )  # a minute ahead, all alone

    monkeypatch.setattr(TimestampFixer, "rebase", damaged)
    output = through(path, tmp_path / "out.mp4")
    assert "1 overlapping or stray audio packets" in caplog.text
    assert sound_of(output) == whole[:19] + whole[20:]


@pytest.mark.parametrize("origin", [".avi", ".mkv"])
@pytest.mark.parametrize("layout", ["stereo", "5.1"])
def test_mux_names_channels_of_pcm_in_mp4(tmp_path, origin, layout):
    path = tmp_path / f"in{origin}"
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=25)
        sound = output.add_stream("pcm_s16le", rate=48000, layout=layout)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        channels = len(sound.codec_context.layout.channels)
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(scene(number / 25), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
            block = av.AudioFrame.from_ndarray(
                np.full((1, 1920 * channels), number, np.int16), "s16", layout
            )
            block.sample_rate, block.pts, block.time_base = 48000, 1920 * number, Fraction(1, 48000)
            output.mux(sound.encode(block))
        output.mux(video.encode(None))
    output = through(path, tmp_path / "out.mp4")
    with av.open(str(output)) as container:
        (sound,) = container.streams.audio
        assert sum(block.samples for block in container.decode(sound)) == 48000


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
def test_join_keeps_the_aspect_ratio_in_mp4(tmp_path, codec):
    clip = write_clip(tmp_path / "in.mp4", count=3)
    path = tmp_path / "wide.mp4"
    with av.open(str(clip)) as origin, av.open(str(path), "w") as output:
        copy = output.add_stream_from_template(origin.streams.video[0], opaque=True)
        copy.codec_context.sample_aspect_ratio = Fraction(2)
        for packet in origin.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    with open_source(through(path, tmp_path / "out.mp4", codec=codec)) as source:
        assert source.format.sample_aspect_ratio == 2


def test_mux_continues_after_audio_timestamps_jump_back(tmp_path):
    one = write_clip(tmp_path / "one.ts", count=25, rate=Fraction(25), sounds=1)
    (tmp_path / "two.ts").write_bytes(one.read_bytes() * 2)
    output = through(tmp_path / "two.ts", tmp_path / "out.mp4")
    times = times_of(output)
    assert len(times) == 50 and times == sorted(set(times))
    sounds = [time for time, _ in sound_of(output)]
    assert sounds == sorted(set(sounds))
    assert abs(float(sounds[-1] - times[-1])) < 0.3  # still together at the end


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
