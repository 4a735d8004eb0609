"""Every kind of sink: whole files or none, existing files, locks, names."""

import av
import cv2
import numpy as np
import pytest
from conftest import scene, times_of
from media import CLIPS, PICTURES, send_some, through

from vidstyle import Encoding, Frame, OutputError, open_sink, open_source


@pytest.fixture(params=[*CLIPS, ".gif", *PICTURES])
def ending(request):
    return request.param


def test_sink_file_appears_only_when_complete(tmp_path, silent, ending):
    path = tmp_path / f"out{ending}"
    with open_source(silent) as source, open_sink(path, source) as sink:
        send_some(sink, ending)
        assert not path.exists()
    assert path.stat().st_size > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in.mp4", path.name])
    with open_source(path) as written:
        frames = list(written)
    assert len(frames) == (1 if ending in PICTURES else 3)
    assert (
        np.abs(frames[0].image[..., :3].astype(int) - scene()).mean() < 8
    )  # lossy codecs, few colours


def test_sink_refuses_or_keeps_an_existing_file(tmp_path, silent, ending):
    path = tmp_path / f"out{ending}"
    path.write_bytes(b"precious")
    with open_source(silent) as source:
        with pytest.raises(OutputError, match="exists"):
            open_sink(path, source)
        with (
            pytest.raises(RuntimeError, match="painter"),
            open_sink(path, source, overwrite=True) as sink,
        ):
            send_some(sink, ending)
            assert path.read_bytes() == b"precious"
            raise RuntimeError("painter")
        assert path.read_bytes() == b"precious"
        with open_sink(path, source, overwrite=True) as sink:
            send_some(sink, ending)
    assert path.read_bytes() != b"precious"


def test_sink_without_frames_leaves_nothing(tmp_path, silent, ending):
    with open_source(silent) as source, open_sink(tmp_path / f"out{ending}", source):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_sink_closes_twice(tmp_path, silent, ending):
    path = tmp_path / f"out{ending}"
    with open_source(silent) as source:
        sink = open_sink(path, source)
        send_some(sink, ending)
        assert sink.close() == path
        sink.close()
    assert path.exists()


def test_sink_writes_the_comment(tmp_path, silent, ending):
    if ending in (".bmp", ".tif", ".webp", ".gif"):
        pytest.skip("this kind of picture carries no comment here, nor does an animation")
    path = tmp_path / f"out{ending}"
    with (
        open_source(silent) as source,
        open_sink(path, source, encoding=Encoding(comment='{"steps": 4}')) as sink,
    ):
        send_some(sink, ending)
    if ending in PICTURES:
        assert b'{"steps": 4}' in path.read_bytes()
    else:
        with av.open(str(path)) as container:
            assert {key.lower(): value for key, value in container.metadata.items()}[
                "comment"
            ] == '{"steps": 4}'


@pytest.mark.parametrize(
    "name, reason",
    [
        ("out.xyz", "extension"),
        ("out", "extension"),
        ("", "is a directory"),
        ("nowhere/out.mp4", "does not exist"),
        ("in.mp4", "exists"),
    ],
)
def test_open_sink_refuses_in_one_line(tmp_path, silent, name, reason):
    with open_source(silent) as source, pytest.raises(OutputError, match=reason) as caught:
        open_sink(tmp_path / name, source)
    assert "\n" not in str(caught.value)


def test_open_sink_refuses_the_input_as_output(tmp_path, silent):
    (tmp_path / "link.mp4").symlink_to(silent)
    (tmp_path / "hard.mp4").hardlink_to(silent)
    for name in ("in.mp4", "link.mp4", "hard.mp4"):
        with open_source(silent) as source, pytest.raises(OutputError, match="which is read"):
            open_sink(tmp_path / name, source, overwrite=True)


@pytest.mark.parametrize("ending", [".mp4", ".png"])
def test_sink_keeps_a_file_created_meanwhile(tmp_path, silent, ending):
    path = tmp_path / f"out{ending}"
    with open_source(silent) as source:
        sink = open_sink(path, source)
        send_some(sink, ending)
        path.write_bytes(b"precious")
        with pytest.raises(OutputError, match=r"created meanwhile|exists"):
            sink.close()
    assert path.read_bytes() == b"precious"


def test_open_sink_refuses_a_part_onto_itself(tmp_path, silent):
    part = silent.rename(tmp_path / "out.part.mp4")
    with open_source(part) as source, pytest.raises(OutputError, match="which is read"):
        open_sink(tmp_path / "out.mp4", source, overwrite=True)


@pytest.mark.parametrize("first, second", [("out.mp4", "out.mp4"), ("f_%03d.png", "f_%d.png")])
def test_sink_refuses_a_locked_output(tmp_path, silent, first, second):
    with open_source(silent) as source:
        sink = open_sink(tmp_path / first, source)
        for flags in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(OutputError, match="is being written by another program"):
                open_sink(tmp_path / second, source, **flags)
        send_some(sink, ".mp4")
        assert sink.close()
        with open_sink(tmp_path / second, source, overwrite=True) as sink:
            send_some(sink, ".mp4")
    assert not list(tmp_path.glob(".*"))


def test_sink_leaves_the_folder_of_a_locked_output(tmp_path, silent):
    """``out.mp4`` and ``out.mkv`` need the same folder."""
    with open_source(silent) as source, open_sink(tmp_path / "out.mp4", source) as first:
        second = open_sink(tmp_path / "out.mkv", source)
        send_some(first, ".mp4")
        with pytest.raises(OutputError, match=r"out\.mp4 is being written by another program"):
            second.send(Frame(scene()))
        second.close(complete=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


@pytest.mark.parametrize("name", ["a:b.mp4", "100%d.mkv", "x y ü.mov"])
def test_sink_writes_unusual_names(tmp_path, silent, name):
    assert times_of(through(silent, tmp_path / name))


def test_open_sink_refuses_a_name_that_is_too_long(tmp_path, silent):
    with open_source(silent) as source, pytest.raises(OutputError, match="cannot be written"):
        open_sink(tmp_path / ("x" * 249 + ".mp4"), source)


def test_image_writer_takes_one_frame(tmp_path, silent, frame):
    with (
        open_source(silent) as source,
        pytest.raises(ValueError, match="one frame"),
        open_sink(tmp_path / "o.png", source) as sink,
    ):
        sink.send(frame)
        sink.send(frame)


def test_sink_writes_alpha_and_16_bits(tmp_path, silent):
    alpha = np.dstack([scene(), np.full((48, 64), 7, np.uint8)])
    deep = scene().astype(np.uint16) * 257
    with open_source(silent) as source:
        for name, image in (("alpha.png", alpha), ("deep.png", deep)):
            with open_sink(tmp_path / name, source) as sink:
                sink.send(Frame(image))
            written = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(written[..., :3], image[..., 2::-1])


def test_image_source_names_an_animated_webp(tmp_path, clip, caplog):
    output = through(clip, tmp_path / "out.webp")
    assert len(list(open_source(output))) == 1 and "only the first is used" in caplog.text
    caplog.clear()
    cv2.imwrite(str(tmp_path / "still.webp"), scene())
    assert len(list(open_source(tmp_path / "still.webp"))) == 1 and not caplog.records


def test_image_sequence_keeps_other_percent_signs(tmp_path):
    for number in range(3):
        cv2.imwrite(
            str(tmp_path / f"50% done {number:03}.png"), np.full((48, 64, 3), 40 * number, np.uint8)
        )
    output = tmp_path / "100% s %02d.png"
    with open_source(tmp_path / "50% done %03d.png") as source, open_sink(output, source) as sink:
        for frame in source:
            sink.send(frame)
    assert sorted(path.name for path in tmp_path.glob("100*")) == [
        f"100% s {number:02}.png" for number in (1, 2, 3)
    ]
