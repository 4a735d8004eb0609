"""What of a clip remains after a stylizer that changes nothing: colours, depth, fields, alpha,
sizes, rotation."""

import struct
from fractions import Fraction

import av
import av.filter
import conformance
import cv2
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from conftest import chart, scene, times_of, write_clip
from media import (
    DEEP_CHART,
    encoded,
    joined,
    patches,
    pictures_of,
    through,
)

from vidstyle import open_source
from vidstyle.io.side_data import display_rotation
from vidstyle.io.stream_info import ColorInfo


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("codec, ending", [("h264", ".mp4"), ("ffv1", ".mkv")])
def test_open_sink_keeps_colours_and_tags(tmp_path, matrix, color_range, codec, ending):
    color = ColorInfo(matrix, color_range, matrix, 1)
    path = encoded(tmp_path / "in.mp4", [chart()] * 2, color=color)
    lossless = {} if codec == "ffv1" else {"crf": 0}
    (before, *_), _ = pictures_of(path)
    (after, *_), known = pictures_of(
        through(path, tmp_path / f"out{ending}", codec=codec, **lossless)
    )
    assert np.abs(patches(before) - patches(chart())).max() <= 2  # the rounding of 8-bit YUV
    assert np.abs(patches(after) - patches(before)).max() <= 2
    if codec == "h264":
        assert known.color == color
    assert known.color.primaries == matrix


@pytest.mark.parametrize(
    "ending, codec, pixels",
    [
        (".mp4", None, "yuv420p10le"),
        (".mkv", "ffv1", "gbrp16le"),
        (".mov", "prores", "yuv422p10le"),
        (".webm", None, "yuv420p10le"),
        (".mp4", "h264", "yuv420p10le"),
    ],
)
def test_open_sink_keeps_ten_bits(tmp_path, ending, codec, pixels):
    path = encoded(
        tmp_path / "in.mkv", [DEEP_CHART] * 2, pixels="yuv420p10le", color=ColorInfo(1, 1, 1, 1)
    )
    (before, *_), known = pictures_of(path)
    assert before.dtype == np.uint16 and known.bit_depth == 10
    output = through(path, tmp_path / f"out{ending}", codec=codec)
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == pixels
    (after, *_), written = pictures_of(output)
    assert after.dtype == np.uint16 and written.bit_depth >= 10
    assert (
        np.abs(patches(after) - patches(before)).max() <= 2 * 257
    )  # within two levels of 255; flat patches hardly suffer


def combed(number):
    """Two fields of different moments: a bar that moves by 8 px per field."""

    def moment(field):
        image = np.full((96, 128, 3), 40, np.uint8)
        image[:, 8 * field : 8 * field + 24] = 220
        return image

    image = moment(2 * number)
    image[1::2] = moment(2 * number + 1)[1::2]
    return image


def test_open_source_deinterlaces_and_keeps_times(tmp_path):
    images = [combed(number) for number in range(5)]
    path = encoded(tmp_path / "in.mkv", images, options={"crf": "0", "x264-params": "tff=1"})
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    pictures, _ = pictures_of(path)
    assert len(pictures) == 5
    assert times_of(through(path, tmp_path / "out.mkv")) == times_of(path)
    for picture, image in zip(pictures[1:], images[1:], strict=True):
        assert comb(image) > 20 and comb(picture) < comb(image) / 4


def comb(image):
    """How much lines differ from the mean of those above and below, at the bar's edges."""
    lines = image[..., 0].astype(float)
    return np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).max(0).mean()


@pytest.mark.parametrize(
    "codec, ending, tolerance", [("ffv1", ".mkv", 0), ("prores", ".mov", 3), ("vp9", ".webm", 3)]
)
def test_open_sink_keeps_alpha_where_the_codec_can(tmp_path, codec, ending, tolerance):
    alpha = np.linspace(0, 255, 64).astype(np.uint8)[None, :, None].repeat(48, 0)
    path = encoded(
        tmp_path / "in.mkv",
        [np.dstack([scene(), alpha])] * 2,
        "ffv1",
        "bgra",
        ColorInfo(0, 2),
        options={},
    )
    (before, *_), known = pictures_of(path)
    assert known.alpha and np.array_equal(before[..., 3:], alpha)
    output = through(path, tmp_path / f"out{ending}", codec=codec)
    (after, *_), known = pictures_of(output)
    assert known.alpha
    after = after.astype(int) >> (8 if after.dtype == np.uint16 else 0)
    assert np.abs(after[..., 3:] - alpha).max() <= tolerance


def test_open_sink_names_alpha_that_the_codec_lacks(tmp_path, caplog):
    path = encoded(
        tmp_path / "in.mkv",
        [np.dstack([scene(), scene()[..., :1]])],
        "ffv1",
        "bgra",
        ColorInfo(0, 2),
        options={},
    )
    through(path, tmp_path / "out.mp4")
    assert "libx264 has no alpha" in caplog.text and "prores" in caplog.text


def test_open_sink_keeps_alpha_depth_and_orientation_of_an_image(tmp_path):
    image = np.dstack([scene(), np.linspace(0, 255, 48).astype(np.uint8)[:, None].repeat(64, 1)])
    for name, kept in (
        ("alpha.png", image),
        ("deep.png", image.astype(np.uint16) * 257),
        ("alpha.webp", image),
    ):
        stored = cv2.cvtColor(kept, cv2.COLOR_RGBA2BGRA)
        cv2.imwrite(str(tmp_path / name), stored, [cv2.IMWRITE_WEBP_QUALITY, 101])
        output = through(tmp_path / name, tmp_path / f"out_{name}")
        written = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
        assert written.shape == stored.shape and written.dtype == stored.dtype
        assert np.array_equal(written[..., 3], stored[..., 3])


@pytest.mark.parametrize(
    "codec, ending, size",
    [
        ("h264", ".mp4", (64, 48)),
        ("hevc", ".mp4", (64, 48)),
        ("vp9", ".webm", (65, 49)),
        ("ffv1", ".mkv", (65, 49)),
        ("prores", ".mov", (64, 48)),
    ],
)
def test_open_sink_keeps_odd_sizes_where_the_codec_can(tmp_path, codec, ending, size):
    path = encoded(
        tmp_path / "in.mkv", [scene(size=(65, 49))] * 2, "ffv1", "bgr0", ColorInfo(0, 2), options={}
    )
    (image, *_), known = pictures_of(through(path, tmp_path / f"out{ending}", codec=codec))
    assert known.size == size
    eight_bits = (image >> (8 if image.dtype == np.uint16 else 0)).astype(int)
    expected = scene(size=(65, 49))[: size[1], : size[0]]
    assert np.abs(eight_bits - expected).mean() < 10  # halved chroma at the disc's edge


def test_open_source_applies_rotation_on_request(tmp_path):
    path, image = tmp_path / "in.mp4", scene()
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"crf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.set_display_rotation(90)
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    with open_source(path) as source:
        assert source.format.rotation == 90 and source.format.size == (64, 48)
        stored = next(iter(source)).image
    with open_source(path, apply_rotation=True) as source:
        assert source.format.rotation == 0 and source.format.size == (48, 64)
        assert np.array_equal(next(iter(source)).image, np.rot90(stored))


@pytest.mark.parametrize(
    "matrix, expected",
    [((-1, 0, 0, 1), (0, True)), ((1, 0, 0, -1), (180, True)), ((0, 1, 1, 0), (90, True))],
)
def test_display_rotation_tells_mirroring_from_rotation(matrix, expected):
    """Matrices (a, b, c, d) of a player that flips left and right, up and down, and along the
    diagonal."""
    a, b, c, d = (value * 65536 for value in matrix)

    class Mirrored:
        rotation = 0
        side_data = {Type.DISPLAYMATRIX: struct.pack("<9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)}  # noqa: RUF012

    degrees, mirrored = display_rotation(Mirrored, Mirrored.side_data)
    assert (abs(degrees) if degrees in (180, -180) else degrees, mirrored) == expected


def test_open_source_counts_frames_of_another_size(tmp_path, caplog):
    small = write_clip(tmp_path / "a.ts", count=10, rate=Fraction(25))
    large = write_clip(tmp_path / "b.ts", count=10, rate=Fraction(25), size=(96, 64))
    assert {frame.size for frame in open_source(joined(tmp_path, small, large))} == {(64, 48)}
    assert "frames of another size were resampled" in caplog.text


def test_compatibility_page_shows_the_tested_rows():
    table = conformance.BEGIN + conformance.table() + conformance.END
    assert table in conformance.PAGE.read_text()
    for what, _, _, name in conformance.ROWS:
        file, test = name.split("::")
        assert f"def {test}(" in (conformance.ROOT / "tests" / f"test_{file}.py").read_text(), what
