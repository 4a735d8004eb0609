"""One suite for every source, then what only video files can do."""

import os
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread

import av
import cv2
import numpy as np
import pytest
from conftest import chart, scene, sound_of, times_of, write_clip

from vidstyle import InputError, open_sink, open_source


def constant_rate(folder):
    return write_clip(folder / "clip.mp4")


def variable_rate(folder):
    return write_clip(
        folder / "clip.mkv", time_base=Fraction(1, 1000), pts=[0, 33, 50, 133, 134, 400]
    )


def webm(folder):
    return write_clip(folder / "clip.webm", codec="libvpx-vp9")


def with_sound(folder):
    return write_clip(folder / "clip.mov", sounds=2)


def png(folder):
    cv2.imwrite(str(folder / "picture.png"), scene()[..., ::-1])
    return folder / "picture.png"


def jpeg(folder):
    cv2.imwrite(str(folder / "picture.jpg"), scene()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    return folder / "picture.jpg"


def image_path(folder):
    for number in range(6):
        cv2.imwrite(str(folder / f"picture_{number:03}.png"), scene(number / 25)[..., ::-1])
    return folder / "picture_%03d.png"


@pytest.fixture(
    params=[constant_rate, variable_rate, webm, with_sound, png, jpeg, image_path],
    ids=lambda make: make.__name__,
)
def any_file(request, tmp_path):
    return request.param(tmp_path)


def test_open_source_yields_frames_as_its_format_says(any_file):
    with open_source(any_file) as source:
        frames = list(source)
        assert frames
        assert {frame.size for frame in frames} == {source.format.size} == {(64, 48)}
        if (
            source.format.rate and any_file.suffix != ".mkv"
        ):  # there it is estimated, from a mean rate
            assert source.format.frames == len(frames)
        assert source.format.path == (None if "%" in any_file.name else any_file)


def test_open_source_times_are_exact_and_increase(any_file):
    with open_source(any_file) as source:
        frames = list(source)
        assert all(
            isinstance(frame.time, Fraction) and isinstance(frame.duration, Fraction)
            for frame in frames
        )
        assert all(one.time < two.time for one, two in pairwise(frames))
        if any_file.suffix not in (".png", ".jpg"):
            assert [frame.time for frame in frames] == times_of(any_file)


def test_open_source_images_are_upright_and_rgb(any_file):
    with open_source(any_file) as source:
        frame = next(iter(source))
    assert frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous
    assert (
        np.abs(frame.image.astype(int) - scene()).mean() < 6
    )  # lossy codecs, halved chroma at the disc's edge


def test_open_source_may_be_closed_twice(any_file):
    source = open_source(any_file)
    assert list(source)
    source.close()
    source.close()


def test_open_source_may_be_closed_before_the_end(any_file):
    with open_source(any_file) as source:
        next(iter(source))


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(25)]
)
def test_open_source_keeps_broadcast_rates_exact(tmp_path, rate):
    with open_source(write_clip(tmp_path / "clip.mp4", rate=rate)) as source:
        assert source.format.rate == rate
        assert [frame.time for frame in source] == [number / rate for number in range(6)]


def test_open_source_cuts_a_part_at_exact_times(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=20, rate=Fraction(10))
    with open_source(path, Fraction(1, 2), Fraction(11, 10)) as source:
        frames = list(source)
    assert [frame.time for frame in frames] == [Fraction(number, 10) for number in range(6)]
    assert np.abs(frames[0].image.astype(int) - scene(0.5)).mean() < 6


@pytest.mark.parametrize("color", [(1, 1), (1, 2), (6, 1), (6, 2), (9, 1)])
def test_open_source_reads_colours_with_the_tagged_matrix_and_range(tmp_path, color):
    path = write_clip(
        tmp_path / "clip.mp4",
        count=1,
        size=(160, 80),
        color=color,
        picture=lambda time: chart(),
        crf=0,
    )
    with open_source(path) as source:
        image = next(iter(source)).image.astype(int)
        assert (source.format.color.matrix, source.format.color.range) == color
    for x in range(20, 160, 40):
        for y in (20, 60):
            # 8-bit YUV cannot hold every RGB: two levels is its rounding
            assert np.abs(image[y, x] - chart()[y, x]).max() <= 2


def untagged(path, size, matrix):
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"crf": "0"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        image = np.full((size[1], size[0], 3), (60, 140, 220), np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=matrix, dst_color_range=1
        )
        frame.colorspace = 2
        output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


@pytest.mark.parametrize("size, matrix", [((1280, 720), 1), ((64, 48), 6)])
def test_open_source_reads_untagged_video_as_bt709_in_hd_and_bt601_below(tmp_path, size, matrix):
    with open_source(untagged(tmp_path / "clip.mp4", size, matrix)) as source:
        assert source.format.color.matrix == matrix
        image = next(iter(source)).image
    assert np.abs(image[10, 10].astype(int) - (60, 140, 220)).max() <= 2


def test_open_source_does_not_take_cover_art_for_video(tmp_path):
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as output:
        sound = output.add_stream("libmp3lame", rate=44100, layout="mono")
        art = output.add_stream("png", rate=1)
        art.width, art.height, art.pix_fmt = 64, 48, "rgb24"
        art.disposition = av.stream.Disposition.attached_pic
        output.mux(art.encode(av.VideoFrame.from_ndarray(scene(), format="rgb24")))
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), "fltp", "mono")
        block.sample_rate = 44100
        output.mux(sound.encode(block))
        output.mux(sound.encode(None))
    with pytest.raises(InputError, match="no video stream"):
        open_source(path)


def sound_only(folder):
    path = folder / "sound.wav"
    with av.open(str(path), "w") as output:
        sound = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        block.sample_rate = 8000
        output.mux(sound.encode(block))
    return path


def truncated(folder):
    whole = write_clip(folder / "whole.mp4")
    (folder / "short.mp4").write_bytes(whole.read_bytes()[:600])
    return folder / "short.mp4"


def text(folder):
    (folder / "notes.mp4").write_text("not a clip at all\n" * 50)
    return folder / "notes.mp4"


def empty(folder):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def no_frames(folder):
    path = folder / "zero.mkv"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        output.start_encoding()
    return path


def broken_picture(folder):
    (folder / "broken.png").write_bytes(png(folder).read_bytes()[:60])
    return folder / "broken.png"


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda folder: folder / "nothing.mp4", "does not exist"),
        (lambda folder: folder, "is a directory"),
        (lambda folder: folder / ("x" * 300 + ".mp4"), "cannot be read|does not exist"),
        (empty, "is empty"),
        (text, "not a clip"),
        (truncated, "not a clip"),
        (sound_only, "no video stream"),
        (no_frames, "no frame that can be decoded|not a clip"),
        (broken_picture, "not an image"),
    ],
    ids=[
        "missing",
        "directory",
        "long name",
        "empty",
        "text",
        "truncated",
        "sound only",
        "no frames",
        "broken picture",
    ],
)
def test_open_source_refuses_unreadable_files_in_one_line(tmp_path, make, reason):
    with pytest.raises(InputError, match=reason) as caught:
        open_source(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".ts", ".flv", ".mkv", ".mp4"])
def test_open_source_starts_a_part_at_the_requested_frame_in_every_container(tmp_path, ending):
    path = write_clip(tmp_path / f"clip{ending}", count=60, rate=Fraction(25))
    with open_source(path) as source:
        whole = [frame.time for frame in source]
    for number in (1, 13, 30, 47, 59):
        with open_source(path, whole[number]) as source:
            assert [frame.time + whole[number] for frame in source] == whole[number:]


def test_open_source_keeps_the_first_size_of_a_clip_that_changes_size(tmp_path):
    small = write_clip(tmp_path / "a.ts", count=10, rate=Fraction(25))
    large = write_clip(tmp_path / "b.ts", count=10, rate=Fraction(25), size=(96, 64))
    (tmp_path / "both.ts").write_bytes(small.read_bytes() + large.read_bytes())
    with open_source(tmp_path / "both.ts") as source:
        frames = list(source)
    assert len(frames) > 12
    assert {frame.size for frame in frames} == {(64, 48)}


def test_open_source_guesses_an_unknown_matrix(tmp_path, caplog):
    path = write_clip(tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "odd.mp4"), "w") as output, av.open(str(path)) as origin:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.colorspace = 8  # YCgCo
        for frame in origin.decode(video=0):
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    with open_source(tmp_path / "odd.mp4") as source:
        assert source.format.color.matrix == 6
        assert len(list(source)) == 6


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_open_source_refuses_a_named_pipe(tmp_path):
    for name in ("pipe.mp4", "pipe.png"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="not an ordinary file"):
            open_source(tmp_path / name)


def test_open_source_refuses_a_part_that_is_empty_or_beyond_the_end(clip):
    with pytest.raises(InputError, match="no frame at or after 1e"):
        open_source(clip, Fraction(10**20))
    with pytest.raises(InputError, match=r"no frame from 0\.001 s to 0\.002 s"):
        open_source(clip, Fraction(1, 1000), Fraction(2, 1000))
    with pytest.raises(InputError, match="no frame at or after 90 s"):
        open_source(clip, Fraction(90))
    with pytest.raises(ValueError, match="empty"):
        open_source(clip, Fraction(2), Fraction(1))


def test_open_source_skips_damaged_packets(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=40)
    data = bytearray(path.read_bytes())
    for place in range(
        len(data) // 3, len(data) // 3 + 300
    ):  # within the pictures: the index lies at the end
        data[place] ^= 0x5A
    path.write_bytes(data)
    with open_source(path) as source:
        assert len(list(source)) > 10


def test_open_source_reads_a_file_with_a_colon_or_percent_sign_in_its_name(tmp_path):
    path = write_clip(tmp_path / "clip.mp4").rename(tmp_path / "http:%d x.mp4")
    with open_source(path) as source:
        assert len(list(source)) == 6


def test_open_source_refuses_a_playlist(tmp_path):
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(InputError):
        open_source(tmp_path / "list.m3u8")


def test_open_source_reads_an_address(tmp_path, monkeypatch):
    write_clip(tmp_path / "clip.mp4", sounds=1)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *words: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/clip.mp4"
        with open_source(address) as source, open_sink(tmp_path / "out.mp4", source) as sink:
            for frame in source:
                sink.send(frame)
        with pytest.raises(InputError, match=r"nothing.mp4 is not a clip .*404"):
            open_source(address.replace("clip", "nothing"))
        secret = address.replace("//", "//user:hunter2@")
        with pytest.raises(InputError, match="no frame at or after") as caught:
            open_source(secret, start=Fraction(99))
        assert "hunter2" not in str(caught.value)
        server.shutdown()
    assert times_of(tmp_path / "out.mp4") == times_of(tmp_path / "clip.mp4")
    assert sound_of(tmp_path / "out.mp4") == sound_of(tmp_path / "clip.mp4")
