"""What of a clip is still there after a stylizer that changes nothing: depth, range, fields, alpha,
clocks."""

import struct
from fractions import Fraction
from itertools import pairwise

import av
import av.filter
import conformance
import cv2
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from conftest import chart, scene, sound_of, times_of, write_clip

from vidstyle import Encoding, open_sink, open_source
from vidstyle.io.codecs import CODECS, probe_encoder, select_encoder
from vidstyle.io.hdr import (
    compress,
    display_to_hdr,
    hdr_to_display,
    hlg_to_scene,
    nits_to_pq,
    pq_to_nits,
    to_sdr,
)
from vidstyle.io.side_data import display_rotation, hdr_metadata_of
from vidstyle.io.stream_info import HLG, PQ, ColorInfo, HDRMetadata, VideoInfo

MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def through(path, output, start=None, stop=None, sdr=False, **encoding):
    """Copy frame by frame, as a stylizer that changes nothing would."""
    with (
        open_source(path, start, stop, sdr=sdr) as source,
        open_sink(output, source, encoding=Encoding(**encoding)) as sink,
    ):
        for frame in source:
            sink.send(frame)
    return output


def encoded(
    path, images, codec="libx264", pixels="yuv420p", color=ColorInfo(6, 1, 6, 6), **options
):
    """A clip of RGB(A) pictures at 25 frames per second."""
    stream_options = options.pop("options", {"crf": "0"})
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25, options=stream_options)
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = pixels
        context = video.codec_context
        context.colorspace, context.color_range = color.matrix, color.range
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        for name, value in options.items():
            setattr(context, name, value)
        for number, image in enumerate(images):
            packed = {
                (np.uint8, 3): "rgb24",
                (np.uint8, 4): "rgba",
                (np.uint16, 3): "rgb48le",
                (np.uint16, 4): "rgba64le",
            }
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(image), packed[image.dtype.type, image.shape[2]]
            )
            rgb = av.VideoFormat(pixels).is_rgb
            tags = {} if rgb else {"dst_colorspace": color.matrix, "dst_color_range": color.range}
            frame = frame.reformat(format=pixels, **tags)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def pictures_of(path, **options):
    with open_source(path, **options) as source:
        return [frame.image for frame in source], source.format


def patches(image):
    """The middles of the chart's eight patches."""
    return image[20::40, 20::40].astype(int)


DEEP_CHART = chart().astype(np.uint16) * 257 + np.uint16(77)


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


def test_open_sink_keeps_hdr10_and_its_metadata(tmp_path):
    path = hdr10(tmp_path)
    (before, *_), known = pictures_of(path)
    assert known.color.transfer == PQ and known.light == HDRMetadata(1000.0, MASTERING, "1000,400")
    output = through(path, tmp_path / "out.mp4", crf=4)
    (after, *_), written = pictures_of(output)
    assert written.light == known.light and written.color == known.color
    assert np.abs(patches(after) - patches(before)).max() <= 2 * 257
    with av.open(str(output)) as container:
        assert (
            container.streams.video[0].codec_context.codec_tag == "hvc1"
        )  # what Apple's players look for


# Within the mastering display's range: PQ reaches 1000 nits at three quarters
HDR_CHART = (DEEP_CHART * 0.7).astype(np.uint16)


def hdr10(folder, mastering=MASTERING, image=HDR_CHART):
    parameters = f"log-level=none:hdr10=1:master-display={mastering}:max-cll=1000,400"
    color = ColorInfo(9, 1, 9, PQ)
    options = {"crf": "4", "x265-params": parameters}
    return encoded(folder / "in.mkv", [image] * 2, "libx265", "yuv420p10le", color, options=options)


def test_open_source_maps_hdr_to_standard_range_on_request(tmp_path):
    output = through(hdr10(tmp_path), tmp_path / "out.mp4", sdr=True)
    (image, *_), known = pictures_of(output)
    assert image.dtype == np.uint8 and known.color == ColorInfo(1, 1, 1, 1) and known.light is None
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_hdr_metadata_of_reads_the_peak_of_the_mastering_display(tmp_path):
    path = hdr10(tmp_path, MASTERING.replace("L(10000000", "L(40000000"))
    assert pictures_of(path)[1].light.peak_nits == 4000


def highlight_of_a_4000_nit_display(folder):
    """A clip of one grey of 1500 nits, which a peak of 1000 nits would clip; the grey."""
    code = round(float(nits_to_pq(np.array(1500.0))) * 65535)
    grey = np.full_like(HDR_CHART, code)
    return hdr10(folder, MASTERING.replace("L(10000000", "L(40000000"), grey), grey


def test_open_source_maps_hdr_by_the_peak_of_the_mastering_display(tmp_path):
    path, grey = highlight_of_a_4000_nit_display(tmp_path)
    expected = patches(hdr_to_display(grey, 4000))
    # Within two levels of 255: ten bits and x265 at CRF 4. A peak of 1000 nits gives white.
    assert np.abs(patches(pictures_of(path)[0][0]) - expected).max() <= 2 * 257
    assert np.abs(expected - 65535).min() > 4 * 257


def test_open_source_maps_hdr_to_standard_range_by_the_peak(tmp_path):
    path, grey = highlight_of_a_4000_nit_display(tmp_path)
    expected = patches(to_sdr(grey, PQ, 4000) >> 8)
    shown = patches(pictures_of(path, sdr=True)[0][0])
    # Within two levels of 255: ten bits and x265 at CRF 4. A peak of 1000 nits gives white.
    assert np.abs(shown - expected).max() <= 2 and expected.max() < 255 - 4


def test_open_sink_writes_hdr_by_the_peak_of_the_mastering_display(tmp_path):
    path, grey = highlight_of_a_4000_nit_display(tmp_path)
    output = through(path, tmp_path / "out.mp4", crf=4)
    (after, *_), _ = pictures_of(output)
    # The reader's own peak is tested above. Two encodings at CRF 4: within two levels of 255.
    written = patches(display_to_hdr(after, 4000))
    assert np.abs(written - patches(grey)).max() <= 2 * 257


def test_hdr_to_display_keeps_highlights_below_the_peak():
    code = round(float(nits_to_pq(np.array(2500.0))) * 65535)
    image = np.full((2, 2, 3), code, np.uint16)
    kept = display_to_hdr(hdr_to_display(image, 4000), 4000)
    # The curve maps 16 bits to 16 bits: near the peak a step of it is a few code values.
    assert np.abs(kept.astype(int) - code).max() <= 16
    clipped = display_to_hdr(hdr_to_display(image, 1000), 1000)
    assert clipped.max() < code - 1000


def test_to_sdr_follows_the_standards():
    # ST 2084: code 0.508 is 100 nits, 0.752 is 1000; BT.2100 HLG: half the signal is a twelfth of
    # the light
    assert pq_to_nits(np.array([0.0, 0.5081, 0.7518, 1.0])) == pytest.approx(
        [0, 100, 1000, 10000], rel=0.01
    )
    assert hlg_to_scene(np.array([0.5, 1.0])) == pytest.approx([1 / 12, 1], rel=1e-4)
    for transfer, codes in ((PQ, np.linspace(0, 0.75, 32)), (HLG, np.linspace(0, 1, 32))):
        greys = np.rint(codes * 65535).astype(np.uint16)[None, :, None].repeat(3, 2)
        shown = to_sdr(greys, transfer, 1000.0).astype(int)
        assert np.ptp(shown, axis=2).max() <= 8  # grey stays grey but for the matrix's four digits
        assert (
            (np.diff(shown[0, :, 0]) >= 0).all() and shown[0, 0, 0] == 0 and shown[0, -1, 0] > 64500
        )
    assert (
        0.7 < compress(np.array(203.0), 1000.0) < 0.85
    )  # a white page is bright, with room above it


def test_to_sdr_maps_a_bt2020_red_to_pure_red():
    red = np.zeros((1, 1, 3), np.uint16)
    red[..., 0] = 30000
    r, g, b = to_sdr(red, PQ, 1000.0)[0, 0]
    assert r > 20000 and g == b == 0  # outside of BT.709: the nearest it has is pure


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


def joined(folder, *paths):
    whole = folder / "joined.ts"
    whole.write_bytes(b"".join(path.read_bytes() for path in paths))
    return whole


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


def flash_and_click(path, begins, codec="aac"):
    """Two seconds of grey with a flash, and silence with a click, at one second."""
    rate, audio_rate = 25, 48000 if codec in ("libopus", "ac3") else 44100
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=rate)
        sound = output.add_stream(codec, rate=audio_rate, layout="mono")
        resampler = av.AudioResampler(sound.codec_context.format.name, "mono", audio_rate)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(2 * rate):
            image = np.full((48, 64, 3), 250 if number == rate else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number + begins * rate, Fraction(1, rate)
            output.mux(video.encode(frame))
            samples = np.zeros((1, audio_rate // rate), np.float32)
            if number == rate:
                samples[:, :40] = 0.9
            block = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            block.sample_rate, block.pts = audio_rate, (number + begins * rate) * audio_rate // rate
            block.time_base = Fraction(1, audio_rate)
            for packed in resampler.resample(block):
                output.mux(sound.encode(packed))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    return path


def flashes_and_clicks(path):
    with av.open(str(path)) as container:
        flashes = [
            float(frame.time)
            for frame in container.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > 128
        ]
    with av.open(str(path)) as container:
        clicks = []
        for block in container.decode(audio=0):
            samples = np.abs(block.to_ndarray()[0])
            if samples.max() > 0.4 * (
                np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else 1
            ):
                time = float(block.time) + int(samples.argmax()) / block.sample_rate
                if not clicks or time - clicks[-1] > 0.5:
                    clicks.append(time)
    return flashes, clicks


def test_open_source_reads_a_truncated_clip_and_warns(tmp_path, caplog):
    def noise(time):
        return np.random.default_rng(round(time * 25)).integers(0, 255, (48, 64, 3), np.uint8)

    path = write_clip(tmp_path / "whole.mkv", count=100, rate=Fraction(25), picture=noise)
    (tmp_path / "short.mkv").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list(open_source(tmp_path / "short.mkv"))
    assert 20 < len(frames) < 80
    assert "instead of the declared 4.0 s: it is truncated" in caplog.text


def test_open_source_times_frames_without_timestamps_consecutively(tmp_path, caplog):
    path = write_clip(tmp_path / "raw.h264", count=10, rate=Fraction(25))
    with open_source(path) as source:
        times = [frame.time for frame in source]
    assert [b - a for a, b in pairwise(times)] == [Fraction(1, 25)] * 9
    assert times_of(through(path, tmp_path / "out.mp4")) == times


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


def test_open_source_does_not_call_a_part_up_to_the_end_truncated(tmp_path, caplog):
    path = write_clip(tmp_path / "in.mp4", count=100, rate=Fraction(25))
    assert len(list(open_source(path, start=Fraction(3, 2)))) == 62  # from 1.52 s on
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


def test_open_source_cuts_a_part_of_a_stream_without_timestamps(tmp_path):
    path = write_clip(tmp_path / "raw.h264", count=50, rate=Fraction(25))
    whole = [frame.image for frame in open_source(path)]
    part = [frame.image for frame in open_source(path, Fraction(1), Fraction(7, 5))]
    assert len(part) == 10 and all(
        np.array_equal(one, other) for one, other in zip(part, whole[25:35], strict=True)
    )


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


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1", "prores"])
def test_open_sink_writes_readable_clips_with_every_codec(tmp_path, codec):
    path = write_clip(tmp_path / "in.mp4", count=5, rate=Fraction(25))
    output = through(
        path, tmp_path / {"prores": "out.mov", "vp9": "out.webm"}.get(codec, "out.mkv"), codec=codec
    )
    pictures, _ = pictures_of(output)
    assert len(pictures) == 5
    for number, picture in enumerate(pictures):
        expected = scene(number / 25).astype(int)
        assert np.abs((picture >> (8 if picture.dtype == np.uint16 else 0)) - expected).mean() < 8


def test_select_encoder_replaces_and_names_an_encoder_that_fails(monkeypatch, caplog):
    monkeypatch.setattr("vidstyle.io.codecs.probe_encoder", lambda name: "no such card")
    assert select_encoder("hevc_nvenc", None, "mp4", VideoInfo((64, 48))).name == "libx264"
    assert "hevc_nvenc: no such card" in caplog.text
    monkeypatch.setattr(
        "vidstyle.io.codecs.probe_encoder",
        lambda name: None if name == "h264_qsv" else "no such card",
    )
    assert select_encoder("hardware", None, "mp4", VideoInfo((64, 48))).name == "h264_qsv"


def test_probe_encoder_encodes_a_frame():
    assert probe_encoder("libx264") is None
    assert (
        "not in this build" in probe_encoder("h264_videotoolbox")
        or probe_encoder("h264_videotoolbox") is None
    )
    assert all(
        codec.crf is not None or name in ("ffv1", "prores_ks") for name, codec in CODECS.items()
    )


def test_hdr_metadata_of_an_untagged_clip_is_empty(tmp_path):
    with av.open(str(write_clip(tmp_path / "in.mp4", count=1))) as container:
        assert hdr_metadata_of(next(container.decode(video=0)).side_data) == HDRMetadata()


def test_compatibility_page_shows_the_tested_rows():
    table = conformance.BEGIN + conformance.table() + conformance.END
    assert table in conformance.PAGE.read_text()
    for what, _, _, name in conformance.ROWS:
        file, test = name.split("::")
        assert f"def {test}(" in (conformance.ROOT / "tests" / f"test_{file}.py").read_text(), what
