"""The studio's clips and styles on disk: names, checks, and what a restart finds."""

import json
import zlib
from contextlib import closing
from fractions import Fraction

import cv2
import numpy as np
import pytest
from conftest import scene, stripes, write_clip

from vidstyle import InputError, OutputError, open_source
from vidstyle.io.images import jpeg
from vidstyle.io.mask_file import FileReader, MaskFile
from vidstyle.studio.estimate import frames_of
from vidstyle.studio.frames import read_frame
from vidstyle.studio.items import clean_name
from vidstyle.studio.library import Library
from vidstyle.studio.people import FrameMasks, People

PNG_HEADER = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "studio")


def uploaded(library, data, name="clip.mp4"):
    upload = library.begin_clip(name)
    upload.path.write_bytes(data)
    return library.finish_clip(upload)


def huge_png(width, height):
    """The header of a PNG of many pixels."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    head = chunk(b"IHDR", size + b"\x08\x02\0\0\0")
    return PNG_HEADER + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("holiday.MP4", "holiday.mp4"),
        ("../../etc/passwd", "etcpasswd"),
        ("..\\..\\boot.mov", "boot.mov"),
        (".hidden.mp4", "hidden.mp4"),
        ("a\nb\x00c\x1b[31m.mp4", "abc[31m.mp4"),
        ("frame_%05d.png", "frame_05d.png"),
        ("Ferien am Meer ü 海.mp4", "Ferien am Meer ü 海.mp4"),
        ("...", "clip"),
        ("", "clip"),
        ("page.html", "page_html"),
        ("v1.2.mp4", "v1.2.mp4"),
        ("con:aux?.mkv", "conaux.mkv"),
        ("\ud800.mp4", "mp4"),
    ],
)
def test_clean_name_keeps_only_a_file_name(given, kept):
    assert clean_name(given, "clip") == kept


def test_clean_name_shortens_for_every_file_system():
    for letter in "x海":
        name = clean_name(letter * 500 + ".mp4", "clip")
        assert len(name.encode()) < 200 and name.endswith(".mp4")


def test_library_describes_clips(library, clip):
    found = uploaded(library, clip.read_bytes(), "../holiday.mp4")
    assert (found.name, found.kind) == ("holiday.mp4", "clip")
    assert (found.width, found.height, found.frames) == (64, 48, 6)
    assert found.seconds == pytest.approx(0.2, abs=0.01) and found.bytes == clip.stat().st_size
    assert library.clip_path(found).read_bytes() == clip.read_bytes()
    assert library.clips == [found] and library.clip(found.id) == found


def test_library_describes_clips_of_a_variable_rate(library, tmp_path):
    pts = [0, 1, 2, 3, 30, 60, 90]  # the header says 1.1 s
    clip = write_clip(tmp_path / "clip.mp4", rate=Fraction(30), pts=pts)
    found = uploaded(library, clip.read_bytes(), "clip.mp4")
    assert found.frames == 7
    # Up to one frame interval after the last frame.
    assert found.seconds == pytest.approx(3 + 1 / found.rate, abs=0.5 / found.rate)
    assert frames_of(found, (None, None)) == 7 and frames_of(found, (found.seconds / 2, None)) == 4


def test_library_describes_clips_whose_sound_begins_first(library, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", rate=Fraction(50), pts=range(25, 55), sounds=1)
    found = uploaded(library, clip.read_bytes(), "clip.mp4")
    assert found.frames == 30 and found.seconds == pytest.approx(1.1)


def test_library_describes_pictures(library):
    found = uploaded(library, jpeg(scene()), "still.jpg")
    assert (found.kind, found.width, found.height) == ("still", 64, 48)
    assert found.frames is found.seconds is found.rate is None


def test_library_same_file_twice_gets_two_ids(library, clip):
    first, second = (uploaded(library, clip.read_bytes()) for _ in range(2))
    assert first.id != second.id and len(library.clips) == 2
    library.remove_clip(first.id)
    assert library.clips == [second] and library.clip_path(second).exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notes.mp4", b"no clip at all\n" * 100),
        ("empty.mp4", b"\0" * 5000),
        ("list.ffconcat", b"ffconcat version 1.0\nfile '/etc/passwd'\n"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"),
        ("broken.png", PNG_HEADER + b"nothing"),
        ("bomb.png", huge_png(60000, 60000)),
        ("bomb.mp4", huge_png(60000, 60000)),
    ],
)
def test_library_refuses_and_removes_what_is_no_clip(library, tmp_path, name, data):
    with pytest.raises(InputError) as error:
        uploaded(library, data, name)
    assert str(tmp_path) not in str(error.value) and "\n" not in str(error.value)
    assert not library.clips and not list((tmp_path / "studio" / "clips").iterdir())


def test_library_refuses_clips_of_enormous_frames(library, clip, monkeypatch):
    monkeypatch.setattr("vidstyle.studio.probe.MAX_CLIP_PX", 64 * 48 - 1)
    with pytest.raises(InputError, match=r"frames of 64x48 px.*make it smaller"):
        uploaded(library, clip.read_bytes())
    assert not library.clips


def test_library_keeps_clips_and_styles_for_the_next_server(library, tmp_path, clip):
    kept = uploaded(library, clip.read_bytes())
    style = library.add_style("my style.png", jpeg(stripes()))
    gone = library.begin_clip("half.mp4")
    gone.path.write_bytes(b"half")
    again = Library(tmp_path / "studio")
    assert again.clips == [kept] and again.style(style.id) == style
    assert not gone.folder.exists()
    assert style.name == "my style.jpg"  # by its content
    again.remove_style(style.id)
    assert again.style(style.id) is None and not again.style_path(style).exists()


def test_library_leaves_out_damaged_descriptions(library, tmp_path, clip):
    kept = uploaded(library, clip.read_bytes())
    description = tmp_path / "studio" / "clips" / kept.id / "clip.json"
    document = json.loads(description.read_text())
    for wrong in ({**document, "name": "../../../x"}, {"id": kept.id}, {**document, "id": "y"}):
        description.write_text(json.dumps(wrong))
        assert Library(tmp_path / "studio").clips == []
    description.write_text(json.dumps({**document, "added later": 1}))
    assert Library(tmp_path / "studio").clips == [kept]


@pytest.mark.parametrize("damage", ["truncated", "unreadable"])
def test_library_keeps_files_of_unreadable_descriptions(library, tmp_path, clip, damage, caplog):
    kept = uploaded(library, clip.read_bytes())
    description = tmp_path / "studio" / "clips" / kept.id / "clip.json"
    text = description.read_text()
    if damage == "truncated":
        description.write_text(text[:20])
    else:  # a folder cannot be read as a file, not even by root
        description.unlink()
        description.mkdir()
    assert Library(tmp_path / "studio").clips == [] and "clip.json is damaged" in caplog.text
    assert library.clip_path(kept).read_bytes() == clip.read_bytes()
    if damage == "unreadable":
        description.rmdir()
    description.write_text(text)
    assert Library(tmp_path / "studio").clips == [kept]


def test_library_lists_bundled_styles(library):
    strokes = library.style("strokes")
    assert strokes.bundled and library.style_path(strokes).exists()
    assert library.style("../strokes") is None


def test_library_names_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="--folder"):
        Library(tmp_path / "file")


def test_read_frame_behind_the_end_is_the_last_one(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=12, rate=Fraction(12))
    with open_source(path) as source:
        *_, last = source
    for seconds in (11 / 12, 0.99, 1.0, 7.0, 1000.0):
        found = read_frame(path, seconds)
        assert np.array_equal(found.image, last.image) and found.source_time == last.time, seconds


def test_masks_of_frames_are_those_of_a_render(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", count=36, rate=Fraction(12))
    still = tmp_path / "still.png"
    cv2.imwrite(str(still), scene())
    slower = write_clip(tmp_path / "slower.mkv", count=9, rate=Fraction(4))
    for mask in (slower, write_clip(tmp_path / "short.mkv", count=3, rate=Fraction(12)), still):
        reader = FileReader(MaskFile(mask))
        with closing(reader), open_source(clip) as source:
            masks = {frame.time: reader.mask_of(frame) for frame in source}
        for seconds in (0.0, 0.2, 0.25, 0.3, 0.95, 1.0, 1.1, 2.9, 50.0):
            frame = read_frame(clip, seconds)
            found = FrameMasks(frame, People()).mask(MaskFile(mask))
            assert np.array_equal(found, masks[frame.source_time]), (mask.name, seconds)
