"""Files that appear only when they are whole, and places for temporary ones."""

import errno
import os
import tempfile

import numpy as np
import pytest
from conftest import write_clip

from vidstyle import InputError, OutputError, Style, Trace, open_source
from vidstyle.bench.results import write_results
from vidstyle.cli import mask
from vidstyle.io import container, files
from vidstyle.io.files import check_writable, in_home, temporary_folder, write_file
from vidstyle.io.images import write_image
from vidstyle.keyframes import parse_keyframe
from vidstyle.painted_keyframes import parse_painted_keyframes
from vidstyle.regions import parse_regions


def no_space(*given, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_names_behind_an_equals_sign_may_begin_with_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    file = tmp_path / "a.png"
    assert parse_painted_keyframes(["0:03=~/a.png"])[0].path == file
    assert parse_regions(["mask.png=~/a.png"])[0].style == file
    assert parse_keyframe(["0", "style=~/a.png,~/a.png"]).styles == (file, file)
    assert mask._timed("0:03=~/a.png") == (3, str(file))
    assert in_home("~a.png") == "~a.png"


def test_write_file_leaves_the_old_file_when_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    path.write_text("precious")
    monkeypatch.setattr(files, "fsync_path", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, "new")
    assert path.read_text() == "precious" and list(tmp_path.iterdir()) == [path]


def test_write_file_replaces_the_file_behind_a_link(tmp_path):
    (tmp_path / "link.json").symlink_to("there.json")
    write_file(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink() and (tmp_path / "there.json").read_text() == "new"


def test_check_writable_refuses_what_is_no_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(OutputError, match="is not an ordinary file"):
        check_writable(tmp_path / "pipe.json", overwrite=True)


@pytest.mark.parametrize("kind", ["trace", "results", "style"])
def test_writers_name_a_full_disk_and_keep_the_old_file(tmp_path, style, monkeypatch, kind):
    path = tmp_path / "out.json"
    path.write_text("precious")
    writers = {
        "trace": Trace(path, overwrite=True).write,
        "results": lambda: write_results(path, [], {}),
        "style": lambda: style.save(path),
    }
    monkeypatch.setattr(files, "fsync_path", no_space)
    with pytest.raises(OutputError, match=r"cannot write .*out.json \(No space left on device\)"):
        writers[kind]()
    assert path.read_text() == "precious" and list(tmp_path.iterdir()) == [path]


def test_style_load_returns_a_saved_style(tmp_path, style, features):
    style.save(tmp_path / "style.safetensors")
    assert Style.load(tmp_path / "style.safetensors", features).images[0].equal(style.images[0])


def test_temporary_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with (
        pytest.raises(OutputError, match="set TMPDIR to a folder that has some"),
        temporary_folder(),
    ):
        pass
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())


class FullFile:
    """A temporary file on a disk that is full after so many writes."""

    def __init__(self, writes):
        self.name, self.left = "nowhere", writes

    def write(self, data):
        self.left -= 1
        if self.left < 0:
            no_space()

    def flush(self):
        pass

    def close(self):
        no_space()


@pytest.mark.parametrize("writes", [0, 2, 10])
def test_open_source_names_standard_input_that_cannot_be_kept(tmp_path, monkeypatch, capfd, writes):
    clip = write_clip(tmp_path / "in.mkv", count=100, size=(128, 96), crf=0, sounds=1)
    monkeypatch.setattr(container, "BUFFER_BYTES", 1 << 12)
    monkeypatch.setattr(container, "NamedTemporaryFile", lambda **options: FullFile(writes))
    with clip.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        message = (
            r"standard input cannot be kept in a temporary file \(No space left on device\): "
            "free some space, set TMPDIR"
        )
        with pytest.raises(InputError, match=message), open_source("-") as source:
            assert list(source)
    assert capfd.readouterr().err == ""


def test_open_source_names_a_missing_temporary_folder_for_standard_input(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="set TMPDIR"):
        open_source("-")
