"""HDR10 and HLG: metadata, the peak of the mastering display, standard range."""

import av
import av.filter
import numpy as np
import pytest
from conftest import write_clip
from media import DEEP_CHART, encoded, patches, pictures_of, through

from vidstyle.io.hdr import (
    compress,
    display_to_hdr,
    hdr_to_display,
    hlg_to_scene,
    nits_to_pq,
    pq_to_nits,
    to_sdr,
)
from vidstyle.io.side_data import hdr_metadata_of
from vidstyle.io.source import open_source
from vidstyle.io.stream_info import HLG, PQ, ColorInfo, HDRMetadata
from vidstyle.studio.frames import read_frame

MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


# Within the mastering display's range: PQ reaches 1000 nits at three quarters
HDR_CHART = (DEEP_CHART * 0.7).astype(np.uint16)


def hdr10(folder, mastering=MASTERING, image=HDR_CHART):
    parameters = f"log-level=none:hdr10=1:master-display={mastering}:max-cll=1000,400"
    color = ColorInfo(9, 1, 9, PQ)
    options = {"crf": "4", "x265-params": parameters}
    return encoded(folder / "in.mkv", [image] * 2, "libx265", "yuv420p10le", color, options=options)


def test_open_sink_keeps_hdr10_and_its_metadata(tmp_path):
    path = hdr10(tmp_path)
    (before, *_), known = pictures_of(path)
    assert known.color.transfer == PQ and known.hdr_metadata == HDRMetadata(
        1000.0, MASTERING, "1000,400"
    )
    output = through(path, tmp_path / "out.mp4", crf=4)
    (after, *_), written = pictures_of(output)
    assert written.hdr_metadata == known.hdr_metadata and written.color == known.color
    assert np.abs(patches(after) - patches(before)).max() <= 2 * 257
    with av.open(str(output)) as container:
        assert (
            container.streams.video[0].codec_context.codec_tag == "hvc1"
        )  # what Apple's players look for


def test_open_source_finds_hdr_that_the_container_alone_declares(tmp_path):
    parameters = "log-level=none:colorprim=undef:transfer=undef:colormatrix=undef"
    color, options = ColorInfo(9, 1, 9, PQ), {"x265-params": parameters}
    path = tmp_path / "in.mkv"
    encoded(path, [HDR_CHART], "libx265", "yuv420p10le", color, options=options)
    _, known = pictures_of(path)
    assert known.color == color and known.hdr_metadata is not None


def test_open_source_maps_hdr_to_standard_range_on_request(tmp_path):
    output = through(hdr10(tmp_path), tmp_path / "out.mp4", sdr=True)
    (image, *_), known = pictures_of(output)
    assert (
        image.dtype == np.uint8
        and known.color == ColorInfo(1, 1, 1, 1)
        and known.hdr_metadata is None
    )
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_studio_shows_frames_of_hdr_in_standard_range(tmp_path):
    path = hdr10(tmp_path)
    with open_source(path, sdr=True) as source:
        expected = next(iter(source)).image
    assert np.array_equal(read_frame(path).image, expected)


def test_hdr_metadata_of_reads_the_peak_of_the_mastering_display(tmp_path):
    path = hdr10(tmp_path, MASTERING.replace("L(10000000", "L(40000000"))
    assert pictures_of(path)[1].hdr_metadata.peak_nits == 4000


def test_hdr_metadata_of_an_untagged_clip_is_empty(tmp_path):
    with av.open(str(write_clip(tmp_path / "in.mp4", count=1))) as container:
        assert hdr_metadata_of(next(container.decode(video=0)).side_data) == HDRMetadata()


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
