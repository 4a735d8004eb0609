"""Sound: copied where the output can hold it, re-encoded in step where it cannot, never a reason to
refuse a clip."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import scene, write_clip
from media import through

from vidstyle import open_sink, open_source
from vidstyle.io import audio as sounds
from vidstyle.io.audio import plan_audio

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import sound as bench  # noqa: E402

BY_ENCODER = {clip.encoder: clip for clip in bench.CLIPS if not clip.options}
RESULTS = json.loads(bench.RESULTS.read_text())


@pytest.fixture(scope="session")
def clip_of(tmp_path_factory):
    """A function: the clip with sound of an encoder, made once."""
    made = {}

    def find(encoder, ending=None):
        clip = BY_ENCODER[encoder]
        if encoder not in made:
            made[encoder] = bench.make(clip, tmp_path_factory.mktemp("sound"))
        return made[encoder]

    return find


def offset(path):
    """By how many seconds the click is later than the flash."""
    flash, click = bench.flash_and_click(str(path))
    return click - flash


def codec_of(path):
    with av.open(str(path)) as container:
        return [stream.codec.canonical_name for stream in container.streams.audio]


def test_audio_page_shows_the_measured_results():
    assert bench.PAGE.read_text() == bench.page(RESULTS)
    assert list(RESULTS) == [clip.name for clip in bench.CLIPS]
    assert all(list(row) == list(bench.OUTPUTS) for row in RESULTS.values())


@pytest.mark.parametrize(
    "encoder, output",
    [
        ("wmav2", ".mp4"),
        ("wmav2", ".mkv"),
        ("wmav2", ".webm"),
        ("wmav2", "- (matroska)"),
        ("wmav2", "- (nut)"),
        ("pcm_mulaw", ".mp4"),
        ("pcm_mulaw", ".mkv"),
        ("pcm_s16le_planar", ".mov"),
        ("pcm_bluray", "- (nut)"),
        ("adpcm_yamaha", ".mov"),
        ("tta", "- (matroska)"),
    ],
)
def test_plan_audio_copies_or_re_encodes_in_sync(tmp_path, clip_of, encoder, output):
    path = clip_of(encoder)
    before = bench.flash_and_click(str(path))
    becomes, moved = bench.cell(path, output, tmp_path, before)
    assert becomes == RESULTS[BY_ENCODER[encoder].name][output][0]
    assert abs(moved) < 1


def adts_clip(folder):
    return bench.make(
        next(clip for clip in bench.CLIPS if clip.ending == ".ts" and not clip.options), folder
    )


def test_plan_audio_copies_adts_into_a_pipe(tmp_path):
    path = adts_clip(tmp_path)
    before = bench.flash_and_click(str(path))
    becomes, moved = bench.cell(
        path, "- (matroska)", tmp_path, before
    )  # whose header FFmpeg cannot mend later
    assert becomes == "copied" and abs(moved) < 1


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_adts_becomes_the_same_packets_of_a_file(tmp_path, ending):
    path = adts_clip(tmp_path)
    output = through(path, tmp_path / f"out{ending}")

    def packets(path):
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    header_bytes = 7  # of ADTS without a checksum
    before, after = packets(path), packets(output)
    assert before and after == [packet[header_bytes:] for packet in before]
    assert abs(offset(output) - offset(path)) < 0.001


def test_side_streams_report_re_encoded_audio(tmp_path, caplog, clip_of):
    with open_source(clip_of("wmav2")) as source:
        open_sink(tmp_path / "out.webm", source)
    (record,) = caplog.records
    assert (
        "a .webm file cannot hold wmav2 audio: it is re-encoded as Opus (-an drops it)"
        in record.message
    )


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_audio_encoder_keeps_a_part_in_sync(tmp_path, clip_of, ending):
    path = clip_of("wmav2")
    output = through(path, tmp_path / f"out{ending}", Fraction(1, 2), Fraction(3, 2))
    assert abs(offset(output) - offset(path)) < 0.001
    with av.open(str(output)) as container:
        heard = sum(block.samples / block.sample_rate for block in container.decode(audio=0))
    assert abs(heard - 1) < 0.03  # a block of AAC or Opus


def with_packets(path, output, change):
    """Copy a clip, its sound's packets changed by a function of (number, packet) that may return
    None."""
    with av.open(str(path)) as origin, av.open(str(output), "w") as target:
        copies = {
            stream.index: target.add_stream_from_template(stream) for stream in origin.streams
        }
        number = 0
        for packet in origin.demux():
            if packet.dts is None:
                continue
            is_sound = packet.stream.type == "audio"
            packet.stream = copies[packet.stream.index]
            changed = change(number, packet) if is_sound else packet
            number += is_sound
            if changed is not None:
                target.mux(changed)
    return output


def test_audio_encoder_keeps_start_and_gaps(tmp_path):
    def late(number, packet):
        if 10 <= number < 20:  # a pause of 0.23 s
            return None
        packet.pts, packet.dts = packet.pts + 13230, packet.dts + 13230  # 0.3 s
        return packet

    plain = bench.write(tmp_path / "plain.mp4", BY_ENCODER["libmp3lame"], "aac")
    path = with_packets(plain, tmp_path / "late.mp4", late)
    assert abs(offset(path) - offset(plain) - 0.3) < 0.001
    output = through(path, tmp_path / "out.webm")
    assert codec_of(output) == ["opus"]
    assert abs(offset(output) - offset(path)) < 0.001
    with av.open(str(output)) as container:
        assert (
            abs(
                container.streams.audio[0].start_time * container.streams.audio[0].time_base
                - Fraction(3, 10)
            )
            < 0.03
        )
        heard = sum(block.samples / block.sample_rate for block in container.decode(audio=0))
    assert abs(heard - 2) < 0.05  # the pause is silence: not all players heed gaps


def test_audio_encoder_keeps_sync_after_a_long_gap(tmp_path):
    clip = bench.Clip("", "pcm_s16le", ".mkv", 8000, "mono")
    plain = bench.write(tmp_path / "plain.mkv", clip, "pcm_s16le")

    def later(number, packet):
        if number > 30:
            packet.pts, packet.dts = (
                packet.pts + 7000,
                packet.dts + 7000,
            )  # ms: the pause is filled piece by piece
        return packet

    path = with_packets(plain, tmp_path / "late.mkv", later)
    written = through(path, tmp_path / "out.webm")
    _, click = bench.flash_and_click(str(path))
    assert abs(click - 1.02) < 0.02
    assert abs(offset(written) - offset(path)) < 0.001
    with av.open(str(written)) as container:
        heard = sum(block.samples / block.sample_rate for block in container.decode(audio=0))
    assert abs(heard - 9) < 0.05


def test_audio_encoder_stops_with_an_unfinished_clip(tmp_path, clip_of):
    with open_source(clip_of("wmav2")) as source:
        sink = open_sink(tmp_path / "out.mp4", source)
        for number, frame in enumerate(source):
            if number < 30:
                sink.send(frame)
        part = sink.close(complete=False)
    assert part.name == "out.part.mp4" and codec_of(part) == ["aac"]
    assert abs(offset(part) - offset(clip_of("wmav2"))) < 0.001
    with av.open(str(part)) as container:
        heard = sum(block.samples / block.sample_rate for block in container.decode(audio=0))
    assert 1.1 < heard < 1.3


def test_plan_audio_drops_an_unknown_codec(tmp_path, caplog):
    path = write_clip(tmp_path / "in.mp4", sounds=2)
    data = path.read_bytes()
    place = [
        k
        for k in range(len(data))
        if data.startswith(b"mp4a", k) and data[k + 4 : k + 10] == bytes(6)
    ][-1]
    path.write_bytes(data[:place] + b"apac" + data[place + 4 :].replace(b"esds", b"dapa", 1))
    for ending in (".mp4", ".mov", ".mkv"):
        caplog.clear()
        output = through(path, tmp_path / f"out{ending}")
        assert codec_of(output) == ["aac"]
        assert "an audio track (apac, which cannot be decoded)" in caplog.text


def test_join_re_encodes_audio_that_cannot_be_copied(tmp_path, caplog, clip_of, monkeypatch):
    monkeypatch.setattr(sounds, "_copy_refusal", lambda *_: None)
    output = through(clip_of("wmav2"), tmp_path / "out.mp4")
    assert codec_of(output) == ["aac"]
    assert "could not be copied and was re-encoded" in caplog.text


@pytest.mark.parametrize("layout", ["mono", "5.1(side)", "7.1"])
def test_audio_encoder_keeps_many_channels_as_opus(tmp_path, layout):
    path = bench.write(
        tmp_path / "in.mkv", bench.Clip("", "pcm_s16le", ".mkv", layout=layout), "pcm_s16le"
    )
    output = through(path, tmp_path / "out.webm")
    with av.open(str(output)) as container:
        assert container.streams.audio[0].layout.nb_channels == av.AudioLayout(layout).nb_channels
    assert abs(offset(output) - offset(path)) < 0.001


def test_channel_layout_with_custom_order_keeps_channels(tmp_path):
    """In a process of its own: PyAV's layouts of such clips may end it."""
    path = tmp_path / "in.mov"
    code = """if True:
        import sys
        sys.path[:0] = sys.argv[1:3]
        import av, numpy as np, sound as bench
        from pathlib import Path
        from media import through
        from vidstyle.io.channel_layouts import channel_layout, decode_audio, use_native_order

        def loudness(path):
            with av.open(str(path)) as container:
                stream = container.streams.audio[0]
                names = [channel.name for channel in channel_layout(stream.codec_context).channels]
                use_native_order(stream.codec_context)
                energy = 0
                for packet in container.demux(stream):
                    for frame in decode_audio(packet):
                        rate, order = frame.sample_rate, frame.layout.name
                        for packed in av.AudioResampler("flt", order, rate).resample(frame):
                            samples = packed.to_ndarray().reshape(-1, len(names))
                            energy = energy + (samples**2).sum(0)
                return {name: value / energy.max() for name, value in zip(names, energy)}

        plain = bench.sound
        bench.sound = lambda clip: plain(clip) * np.linspace(0.3, 1, 8, dtype=np.float32)[:, None]
        folder = Path(sys.argv[3])
        clip = bench.Clip("", "pcm_s16le", ".mov", layout="7.1")
        path = bench.write(folder / "in.mov", clip, "pcm_s16le")
        # The layout as a bitmap, and as MPEG 7.1 C.
        data, native, tag = path.read_bytes(), "000100000000063f", "0080000800000000"
        assert data.count(bytes.fromhex(native)) == 1
        path.write_bytes(data.replace(bytes.fromhex(native), bytes.fromhex(tag)))
        before, after = loudness(path), loudness(through(path, folder / "out.webm"))
        copied = loudness(through(path, folder / "out.mov"))
        del before["LFE"], after["LFE"], copied["LFE"]  # Opus cuts its highs
        assert list(before) != list(after), list(before)
        assert sorted(before) == sorted(after), (before, after)
        assert max(abs(before[name] - after[name]) for name in before) < 0.1, (before, after)
        assert copied == before, copied
    """
    tests = str(Path(__file__).parent)
    command = [sys.executable, "-c", code, tests, str(BENCHMARKS), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=BENCHMARKS.parent
    )
    assert done.returncode == 0, done.stderr
    assert path.exists()


def test_audio_encoder_takes_unusual_rates(tmp_path):
    for rate in (5512, 11025, 96000, 192000):
        clip = bench.Clip("", "pcm_s16le", ".mkv", rate, "stereo")
        path = bench.write(tmp_path / f"in{rate}.mkv", clip, "pcm_s16le")
        (plan,) = plan_audio(path, "webm").values()
        assert plan.encoder == "libopus" and plan.rate in (8000, 12000, 48000)


def test_side_streams_drop_an_unsupported_cover(tmp_path, caplog):
    path = write_clip(tmp_path / "plain.mp4")
    covered = tmp_path / "in.mkv"
    with av.open(str(path)) as origin, av.open(str(covered), "w") as output:
        video = output.add_stream_from_template(origin.streams.video[0])
        coder = av.CodecContext.create("gif", "w")
        coder.width, coder.height, coder.pix_fmt, coder.time_base = 32, 32, "rgb8", Fraction(1, 25)
        art = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(scene(size=(32, 32))), "rgb24"
        ).reformat(format="rgb8")
        output.add_attachment(
            "cover.gif",
            "image/gif",
            b"".join(map(bytes, [*coder.encode(art), *coder.encode(None)])),
        )
        for packet in origin.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                output.mux(packet)
    through(covered, tmp_path / "out.mp4")
    assert "cover art (gif)" in caplog.text
