"""Tiny and odd sizes in every kind of output, and animations of high rates."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from conftest import scene, write_clip
from media import through
from PIL import Image

from vidstyle import Encoding, Frame, OutputError, VideoInfo, open_sink, open_source

SIZES = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (6, 6), (7, 5), (16, 16)]
OUTPUTS = [
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".gif",
    ".webp",
    "_%d.png",
    "_%d.jpg",
    "_%d.tif",
    "_%d.bmp",
]
LEAST = {
    (".mp4", 8): (2, 2),
    (".mp4", 10): (16, 16),
    (".webm", 10): (4, 4),
    (".gif", 8): (2, 1),
    (".gif", 10): (2, 1),
}
"""The smallest sizes of the usual codecs, by ending and depth."""

ALIKE = {".m4v": ".mp4", ".mov": ".mp4", ".mkv": ".mp4", ".webp": ".gif"}


def noise(size, depth):
    """(H, W, 3) of random values, in memory as PyTorch may leave it."""
    kind = np.uint8 if depth == 8 else np.uint16
    values = (
        np.random.default_rng(0).integers(0, np.iinfo(kind).max, (3, size[1], size[0])).astype(kind)
    )
    image = values.transpose(1, 2, 0)
    return image if image.flags.c_contiguous else np.ascontiguousarray(image)


def write(path, size, depth, codec=None):
    """Three frames of one size and depth."""
    source = SimpleNamespace(format=VideoInfo(size, Fraction(25), Fraction(1, 25), bit_depth=depth))
    with open_sink(path, source, overwrite=True, encoding=Encoding(codec)) as sink:
        for number in range(3):
            sink.send(Frame(noise(size, depth), Fraction(number, 25), Fraction(1, 25)))


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("output", OUTPUTS)
def test_select_encoder_refuses_tiny_clips_with_a_working_remedy(tmp_path, output, depth):
    for size in SIZES:
        least = LEAST.get((ALIKE.get(output, output), depth), (1, 1))
        even = size if least < (2, 2) else tuple(side - side % 2 for side in size)
        path = tmp_path / f"{size[0]}x{size[1]}{output}"
        if even[0] >= least[0] and even[1] >= least[1]:
            write(path, size, depth)
            written = path.with_name(path.name.replace("%d", "1"))
            with open_source(written) as source:
                assert source.format.size == even
        else:
            with pytest.raises(
                OutputError,
                match=r"px, not .*: write to a \.webm or \.mkv file with -c:v vp9$",
            ):
                write(path, size, depth)
            write(tmp_path / "remedy.webm", size, depth, "vp9")


def test_encoder_names_a_rejected_size(tmp_path, monkeypatch):
    monkeypatch.setattr("vidstyle.io.codecs._check_size", lambda *_: None)
    with pytest.raises(
        OutputError,
        match=r"encoder libx265 rejects frames of 6x6 px .*: choose another codec",
    ):
        write(tmp_path / "out.mp4", (6, 6), 10)


def durations_ms(path):
    with Image.open(path) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            found.append(image.info["duration"])
    return found


@pytest.mark.parametrize(("ending", "least"), [(".gif", 20), (".webp", 11)])
def test_animate_keeps_the_duration(tmp_path, caplog, ending, least):
    for rate in (25, 60, 240):
        caplog.clear()
        path = write_clip(tmp_path / f"{rate}.mp4", count=rate // 2, rate=Fraction(rate))
        shown = durations_ms(through(path, tmp_path / f"{rate}{ending}"))
        assert min(shown) >= least
        assert abs(sum(shown) - 1000 * (rate // 2) / rate) < least
        most = min(rate, 1000 // least)
        assert ("were dropped: browsers show at most" in caplog.text) == (rate > most)


def test_video_file_reads_the_rate_of_raw_dv(tmp_path):
    path = tmp_path / "in.dv"
    with av.open(str(path), "w") as output:
        video = output.add_stream("dvvideo", rate=25)
        video.width, video.height, video.pix_fmt = 720, 576, "yuv420p"
        sound = output.add_stream("pcm_s16le", rate=48000, layout="stereo")
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(scene(number / 25, (720, 576)), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
            block = av.AudioFrame.from_ndarray(np.zeros((1, 3840), np.int16), "s16", "stereo")
            block.sample_rate, block.pts, block.time_base = 48000, number * 1920, Fraction(1, 48000)
            output.mux(sound.encode(block))
        output.mux(video.encode(None))
    with open_source(path) as source:
        assert source.format.rate == 25 and source.format.frames == 5
    output = through(path, tmp_path / "out.mp4")
    with av.open(str(output)) as container:
        assert container.streams.video[0].average_rate == 25
        assert [frame.pts * frame.time_base for frame in container.decode(video=0)] == [
            Fraction(n, 25) for n in range(5)
        ]
