"""Audio, subtitles, chapters, covers and tags that an output keeps."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet
from conftest import scene, sound_of, times_of, write_clip
from media import (
    through,
)

from vidstyle.io.subtitles import ASS_HEADER

CUES = [(500, 700, "Hello"), (1000, 1500, "there"), (3000, 500, "Goodbye")]


def with_everything(path, subtitles=("subrip", "ass"), second_video=False):
    """Four seconds with two sound tracks, two subtitle tracks, chapters, a font and tags, as far as
    the container can."""
    matroska = path.suffix == ".mkv"
    with av.open(str(path), "w") as output:
        output.metadata.update(
            {"title": "A clip", "artist": "Somebody", "comment": "the source's own"}
        )
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.metadata.update(
            {"language": "eng", "title": "Pictures"} if matroska else {"language": "eng"}
        )
        others = [output.add_stream("libx264", rate=25)] if second_video else []
        for other in others:
            other.width, other.height, other.pix_fmt = 64, 48, "yuv420p"
        sounds = [output.add_stream("aac", rate=44100, layout="mono") for _ in range(2)]
        for sound, language in zip(sounds, ("eng", "deu"), strict=True):
            sound.metadata["language"] = language
        sounds[0].disposition, sounds[1].disposition = Disposition.default, Disposition(0)
        texts = [output.add_stream(codec) for codec in subtitles]
        for text, language in zip(texts, ("fra", "ita"), strict=False):
            text.codec_context.subtitle_header = ASS_HEADER
            text.codec_context.time_base = text.time_base = Fraction(1, 1000)
            text.metadata["language"] = language
        if matroska:
            output.add_attachment("font.ttf", "font/ttf", b"a font")
        unit = Fraction(1, 1000)
        output.set_chapters(
            [
                {
                    "id": n,
                    "start": 2000 * n,
                    "end": 2000 * (n + 1),
                    "time_base": unit,
                    "metadata": {"title": f"Part {n}"},
                }
                for n in range(2)
            ]
        )
        for text in texts:
            for pts, duration, words in CUES:
                line = SubtitleSet.create(
                    text=f"0,0,Default,,0,0,0,,{words}".encode(), start=0, end=duration, pts=pts
                )
                packet = text.codec_context.encode_subtitle(line)
                packet.stream, packet.pts, packet.dts, packet.duration, packet.time_base = (
                    text,
                    pts,
                    pts,
                    duration,
                    unit,
                )
                output.mux(packet)
        for number in range(100):
            for stream in (video, *others):
                frame = av.VideoFrame.from_ndarray(scene(number / 25), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
            for pitch, sound in enumerate(sounds):
                samples = (
                    0.2 * np.sin(np.arange(1764) * 0.03 * (pitch + 1)).astype(np.float32)[None]
                )
                block = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = (
                    44100,
                    1764 * number,
                    Fraction(1, 44100),
                )
                output.mux(sound.encode(block))
        for stream in (video, *others, *sounds):
            output.mux(stream.encode(None))
    return path


def cues_of(path, stream):
    """[(begins, length, words)] in seconds; MP4 fills pauses with empty cues."""
    cues = []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.subtitles[stream]):
            for cue in packet.decode() if packet.size else []:
                words = cue.ass.decode().split(",", 8)[-1].strip()
                if words:
                    cues.append(
                        (
                            float(packet.pts * packet.time_base),
                            float(packet.duration * packet.time_base),
                            words,
                        )
                    )
    return cues


EXPECTED = [(pts / 1000, duration / 1000, words) for pts, duration, words in CUES]
ONE_AT_A_TIME = [(0.5, 0.5, "Hello"), *EXPECTED[1:]]  # as MP4 has it


@pytest.mark.parametrize(
    "ending, codecs",
    [(".mkv", ["srt", "ssa"]), (".mp4", ["mov_text"] * 2), (".mov", ["mov_text"] * 2)],
)
def test_side_streams_are_kept_in_matroska(tmp_path, ending, codecs):
    path = with_everything(tmp_path / "in.mkv")
    output = through(path, tmp_path / f"out{ending}")
    with av.open(str(output)) as container:
        assert [stream.codec_context.name for stream in container.streams.subtitles] == codecs
        assert [stream.language for stream in container.streams.subtitles] == ["fra", "ita"]
        assert [stream.language for stream in container.streams.audio] == [
            "eng",
            "ger" if ending == ".mov" else "deu",
        ]
        assert [
            bool(stream.disposition & Disposition.default) for stream in container.streams.audio
        ] == [True, False]
        assert container.streams.video[0].language == "eng"
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert tags["title"] == "A clip" and tags["artist"] == "Somebody"
        chapters = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
            for c in container.chapters()
        ]
        assert chapters == [(0, 2, "Part 0"), (2, 4, "Part 1")]
        assert [stream.name for stream in container.streams.attachments] == (
            ["font.ttf"] if ending == ".mkv" else []
        )
    expected = EXPECTED if ending == ".mkv" else ONE_AT_A_TIME
    assert [cue for number in range(2) for cue in cues_of(output, number)] == expected * 2
    for number in range(2):
        assert [data for _, data in sound_of(output, number)] == [
            data for _, data in sound_of(path, number)
        ]


def test_side_streams_of_mp4_are_kept(tmp_path, caplog):
    path = with_everything(tmp_path / "in.mp4", ("mov_text", "mov_text"))
    for ending, codec in ((".mp4", "mov_text"), (".mkv", "srt")):
        output = through(path, tmp_path / f"out{ending}")
        with av.open(str(output)) as container:
            assert [stream.codec_context.name for stream in container.streams.subtitles] == [
                codec
            ] * 2
            assert [chapter["metadata"]["title"] for chapter in container.chapters()] == [
                "Part 0",
                "Part 1",
            ]
        # Matroska begins at zero: with the 23 ms that AAC runs ahead, all streams alike are later
        ahead = float(times_of(output)[0])
        assert ahead == (0 if ending == ".mp4" else pytest.approx(0.023, abs=0.001))
        begins = [(begin - ahead, words) for begin, _, words in cues_of(output, 1)]
        assert begins == [
            (pytest.approx(begin, abs=0.001), words) for begin, _, words in cues_of(path, 1)
        ]
    assert caplog.text == ""  # chapters show as a hidden stream of data, which is no loss


def test_side_streams_of_a_part_are_trimmed(tmp_path):
    path = with_everything(tmp_path / "in.mkv")
    for ending in (".mkv", ".mp4"):
        output = through(path, tmp_path / f"out{ending}", Fraction(2), Fraction(16, 5))
        with av.open(str(output)) as container:
            chapters = [
                (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]))
                for c in container.chapters()
            ]
        assert chapters == [pytest.approx((0, 1.2))]
        for number in range(2):
            assert cues_of(output, number) == [
                (0, pytest.approx(0.5), "there"),
                (1, pytest.approx(0.2), "Goodbye"),
            ]
        assert len(times_of(output)) == 30
        assert abs(float(sound_of(output)[-1][0]) - 1.2) < 0.03


def test_side_streams_of_a_late_part_have_audio(tmp_path):
    path = write_clip(tmp_path / "in.mp4", count=300, rate=Fraction(1), sounds=1)
    output = through(path, tmp_path / "out.mp4", Fraction(200), Fraction(205))
    part = [data for time, data in sound_of(path) if 200 <= time < 205]
    assert [data for _, data in sound_of(output)] == part
    assert times_of(output) == [Fraction(number) for number in range(5)]


def test_side_streams_transcode_subtitles_to_webvtt(tmp_path):
    path = with_everything(tmp_path / "in.mkv")
    output = through(path, tmp_path / "out.webm", sound=False)
    with av.open(str(output)) as container:
        assert [stream.codec_context.name for stream in container.streams.subtitles] == [
            "webvtt"
        ] * 2
        assert not container.streams.audio
    assert cues_of(output, 0) == EXPECTED


def test_side_streams_name_a_second_video_stream(tmp_path, caplog):
    through(with_everything(tmp_path / "in.mkv", second_video=True), tmp_path / "out.mkv")
    assert "a further video stream (h264)" in caplog.text


def with_cover(path):
    """A clip with a PNG as its cover."""
    plain = write_clip(path.with_name("plain.mp4"))
    with av.open(str(plain)) as origin, av.open(str(path), "w") as output:
        art = np.ascontiguousarray(scene(size=(32, 32)))
        coder = av.CodecContext.create("png", "w")
        coder.width, coder.height, coder.pix_fmt, coder.time_base = 32, 32, "rgb24", Fraction(1, 25)
        data = bytes(coder.encode(av.VideoFrame.from_ndarray(art, "rgb24"))[0])
        video = output.add_stream_from_template(origin.streams.video[0])
        if path.suffix == ".mkv":
            output.add_attachment("cover.png", "image/png", data)
        else:
            cover = output.add_stream("png")
            cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24"
            cover.disposition = Disposition.attached_pic
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 25)
            output.mux(packet)
        for packet in origin.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                output.mux(packet)
    return path, data


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize("target", [".mp4", ".mkv", ".webm"])
def test_copy_cover_keeps_cover_art(tmp_path, caplog, ending, target):
    path, data = with_cover(tmp_path / f"in{ending}")
    output = through(path, tmp_path / f"out{target}")
    with av.open(str(output)) as container:
        covers = [
            stream
            for stream in container.streams.video
            if stream.disposition & Disposition.attached_pic
        ]
        pictures = [
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        assert len(pictures) == 1
        if target == ".webm":
            assert not covers and "cover art (png)" in caplog.text
        else:
            assert len(covers) == 1
            assert (
                bytes(next(packet for packet in container.demux(covers[0]) if packet.size)) == data
            )
    assert times_of(output) == pytest.approx(
        times_of(path), abs=0.0006
    )  # Matroska counts in milliseconds


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
