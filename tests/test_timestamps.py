"""Timestamps that jump, are missing or out of order, and clips that end early."""

from fractions import Fraction
from itertools import pairwise

import av
import av.filter
import numpy as np
import pytest
from conftest import scene, sound_of, times_of, write_clip
from media import flash_and_click, flashes_and_clicks, joined, through

from vidstyle import open_source


@pytest.mark.parametrize("begins", [Fraction(7, 5), Fraction(36000)])
def test_open_source_starts_timestamps_at_zero(tmp_path, begins):
    path = write_clip(
        tmp_path / "in.ts",
        time_base=Fraction(1, 90000),
        pts=[int(begins * 90000) + 3600 * n for n in range(12)],
    )
    with av.open(str(path)) as container:
        assert container.start_time > 0
    assert times_of(through(path, tmp_path / "out.mp4")) == [Fraction(n, 25) for n in range(12)]
    assert times_of(through(path, tmp_path / "part.mp4", Fraction(4, 25))) == [
        Fraction(n, 25) for n in range(8)
    ]


@pytest.mark.parametrize("second", [0, 40000])
def test_open_source_closes_timestamp_jumps_and_keeps_audio_in_sync(tmp_path, caplog, second):
    one = flash_and_click(tmp_path / "one.ts", 0)
    two = flash_and_click(tmp_path / "two.ts", second)
    path = joined(tmp_path, one, two)
    output = through(path, tmp_path / "out.mp4")
    times = times_of(output)
    assert len(times) == 100 and max(b - a for a, b in pairwise(times)) < Fraction(1, 2)
    assert "1 jumps of its timestamps were closed" in caplog.text
    flashes, clicks = flashes_and_clicks(output)
    assert len(flashes) == len(clicks) == 2
    before = flashes_and_clicks(one)
    offset = before[0][0] - before[1][0]
    for flash, click in zip(flashes, clicks, strict=True):
        assert (
            abs(flash - click - offset) < 0.001 + 1024 / 44100
        )  # joins of AAC fall between its blocks
    sounds = [time for time, _ in sound_of(output)]
    assert sounds == sorted(set(sounds))


def test_open_source_times_frames_without_timestamps_consecutively(tmp_path, caplog):
    path = write_clip(tmp_path / "raw.h264", count=10, rate=Fraction(25))
    with open_source(path) as source:
        times = [frame.time for frame in source]
    assert [b - a for a, b in pairwise(times)] == [Fraction(1, 25)] * 9
    assert times_of(through(path, tmp_path / "out.mp4")) == times


def test_open_source_ends_a_frame_that_is_shown_for_long_with_the_part(tmp_path):
    times = {"time_base": Fraction(1, 30), "pts": [0, 3, 6, 60, 63]}
    path = write_clip(tmp_path / "in.mp4", codec="mpeg4", **times)
    with open_source(path, stop=Fraction(1)) as source:
        durations = [frame.duration for frame in source]
    assert durations == [Fraction(1, 10), Fraction(1, 10), Fraction(4, 5)]


def test_open_source_cuts_a_part_of_a_stream_without_timestamps(tmp_path):
    path = write_clip(tmp_path / "raw.h264", count=50, rate=Fraction(25))
    whole = [frame.image for frame in open_source(path)]
    part = [frame.image for frame in open_source(path, Fraction(1), Fraction(7, 5))]
    assert len(part) == 10 and all(
        np.array_equal(one, other) for one, other in zip(part, whole[25:35], strict=True)
    )


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_open_source_reads_the_same_times_from_any_start_in_avi(tmp_path, caplog, codec):
    path = tmp_path / "in.avi"
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25, options={"bf": "2", "g": "25"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(100):
            frame = av.VideoFrame.from_ndarray(scene(number / 25), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    whole = list(open_source(path))
    assert [b.time - a.time for a, b in pairwise(whole)] == [Fraction(1, 25)] * 99
    with open_source(path, start=Fraction(2)) as source:
        part = list(source)
        begins = source.format.start
    assert part[0].time == 0 and begins >= 2
    for frame in part[:3]:
        same = next(other for other in whole if other.time == begins + frame.time)
        assert np.array_equal(frame.image, same.image)
    assert not caplog.records


@pytest.mark.parametrize("rate", [1, 5])
def test_open_source_finds_no_jumps_in_reordered_frames_of_matroska(tmp_path, caplog, rate):
    """Matroska keeps no dts, and what FFmpeg makes up for it goes back and forth."""
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=rate, options={"bf": "3"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        times = [
            number for number in range(60) if not 2 <= number <= 30
        ]  # a still that stands for long
        for number in times:
            frame = av.VideoFrame.from_ndarray(scene(number / 25), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    with open_source(path) as source:
        assert [frame.time * rate for frame in source] == times
    assert not caplog.records


def test_open_source_reads_a_truncated_clip_and_warns(tmp_path, caplog):
    def noise(time):
        return np.random.default_rng(round(time * 25)).integers(0, 255, (48, 64, 3), np.uint8)

    path = write_clip(tmp_path / "whole.mkv", count=100, rate=Fraction(25), picture=noise)
    (tmp_path / "short.mkv").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list(open_source(tmp_path / "short.mkv"))
    assert 20 < len(frames) < 80
    assert "instead of the declared 4.0 s: it is truncated" in caplog.text


def test_open_source_does_not_call_a_part_up_to_the_end_truncated(tmp_path, caplog):
    path = write_clip(tmp_path / "in.mp4", count=100, rate=Fraction(25))
    assert len(list(open_source(path, start=Fraction(3, 2)))) == 62  # from 1.52 s on
    assert not caplog.records


def test_open_source_does_not_call_a_clip_with_longer_audio_truncated(tmp_path, caplog):
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as output:
        video, sound = (
            output.add_stream("libx264", rate=25),
            output.add_stream("aac", rate=44100, layout="mono"),
        )
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(100):
            if number < 25:
                frame = av.VideoFrame.from_ndarray(scene(number / 25), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(video.encode(frame))
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1764), np.float32), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = 44100, 1764 * number, Fraction(1, 44100)
            output.mux(sound.encode(block))
        for stream in (video, sound):
            output.mux(stream.encode(None))
    assert len(list(open_source(path))) == 25
    assert not caplog.records
