"""Many inputs: what one of them fails of does not end the others."""

import errno
import itertools
import logging
import os
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import QUICK_FLAGS, scene, write_clip

from vidstyle import OutputError, VidstyleError, batch, cli, inputs, progress, render_job
from vidstyle.batch import render_all
from vidstyle.inputs import expand_folders, output_is_folder
from vidstyle.io.sink_base import OutputErrors
from vidstyle.job import RenderJob
from vidstyle.progress import ProgressDisplay


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of pictures, a clip and other things, in the working folder."""
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    (photos / "older").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "C.PNG"):
        cv2.imwrite(str(photos / name), scene())
    write_clip(photos / "clip.avi", count=2, codec="mpeg4")
    for name in ("notes.txt", ".hidden.png", "sound.mp3"):
        (photos / name).write_text("neither")
    return photos


@pytest.fixture
def run(features_file, style_file, capsys):
    """Paint into ``painted``; returns (exit code, stderr)."""

    def run(*arguments):
        command = [
            "render",
            *arguments,
            "--style",
            style_file,
            "-o",
            "painted/new",
            *QUICK_FLAGS,
            "--features",
            features_file,
        ]
        code = cli.main([str(word) for word in command])
        return code, capsys.readouterr().err

    return run


def painted(tmp_path):
    return sorted(path.name for path in (tmp_path / "painted" / "new").iterdir())


def test_render_paints_a_folder_and_names_what_it_passes_over(folder, run, tmp_path):
    code, err = run("photos")
    assert code == 0
    assert painted(tmp_path) == ["C.PNG", "a.jpg", "b.png", "clip.mp4"]
    assert "photos: skipped, neither clips nor images: notes.txt, older, sound.mp3" in err
    assert "file 4/4" in err and "file 3/4" in err


def test_render_of_a_folder_onto_itself_is_refused(folder, features_file, style_file, capsys):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert cli.main(["render", "photos", str(style_file), "-o", "photos", "-y"]) == 1
    assert "which is read: choose another name" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_render_goes_on_after_a_bad_file_and_skips_what_exists(folder, run, tmp_path):
    (folder / "b.png").write_text("no picture")
    code, err = run("photos", "nothing.png")
    assert code == 1
    assert painted(tmp_path) == ["C.PNG", "a.jpg", "clip.mp4"]
    assert (
        "vidstyle: photos/b.png is not an image" in err
        and "vidstyle: nothing.png does not exist" in err
    )
    assert err.splitlines()[-1].startswith("vidstyle: 2 of 5 failed: photos/b.png, nothing.png; ")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "painted" / "new").iterdir()}
    cv2.imwrite(str(folder / "b.png"), scene())
    code, err = run("photos", "--skip-existing")
    assert code == 0 and "3 of 4 outputs exist and are skipped" in err and "file 4/4" in err
    assert painted(tmp_path) == ["C.PNG", "a.jpg", "b.png", "clip.mp4"]
    assert (
        before.items()
        <= {
            path: path.stat().st_mtime_ns for path in (tmp_path / "painted" / "new").iterdir()
        }.items()
    )
    code, err = run("photos")
    assert (
        code == 1 and "4 of 4 failed" in err
    )  # they exist, and neither -y nor --skip-existing says what to do
    assert run("photos", "--skip-existing")[0] == 0


def test_render_that_skips_existing_files_goes_on_with_an_unfinished_clip(
    folder, run, tmp_path, monkeypatch
):
    write_clip(folder / "clip.avi", count=80, rate=Fraction(25), codec="mpeg4")
    for name in ("a.jpg", "b.png", "C.PNG"):
        (folder / name).unlink()
    paint = render_job.run

    def breaks(source, stylizer, sinks, controls, *rest, **more):
        def watch(painter, report):
            controls(painter, report)
            if report.frames == 70:
                raise KeyboardInterrupt

        return paint(source, stylizer, sinks, watch, *rest, **more)

    monkeypatch.setattr(render_job, "run", breaks)
    code, err = run("photos")
    assert (
        code == 130 and "0 of 1 files are finished; --skip-existing resumes with the others" in err
    )
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    code, err = run("photos", "--skip-existing")
    assert code == 0 and "clip.mp4: resumed after " in err
    assert painted(tmp_path) == ["clip.mp4"]


def jobs_of(tmp_path, count):
    return [
        RenderJob(f"{number}.png", tmp_path / "new" / f"{number}.png") for number in range(count)
    ]


def test_render_all_names_an_exception_that_is_a_fault(tmp_path, capsys, caplog):
    done = []

    def render(job):
        if job.input == "1.png":
            raise ZeroDivisionError("division by zero")
        done.append(job.input)

    with pytest.raises(
        VidstyleError, match=r"1 of 3 failed: 1.png \(ZeroDivisionError\); the others are finished"
    ):
        render_all(jobs_of(tmp_path, 3), render, quiet=True)
    assert done == ["0.png", "2.png"]
    assert (
        "vidstyle: 1.png: ZeroDivisionError: division by zero (a bug in vidstyle"
        in capsys.readouterr().err
    )
    with caplog.at_level(logging.DEBUG, "vidstyle"), pytest.raises(VidstyleError):
        render_all(jobs_of(tmp_path, 3), render, quiet=True)
    assert "in render" in caplog.text  # -v shows where


@pytest.mark.parametrize("number, free_bytes", [(errno.ENOSPC, 1 << 30), (errno.EPERM, 0)])
def test_render_all_ends_with_a_full_disk(tmp_path, monkeypatch, capsys, number, free_bytes):
    started = []

    def render(job):
        started.append(job.input)
        with OutputErrors(f"cannot write {job.output}", "free some space"):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(batch.shutil, "disk_usage", lambda path: SimpleNamespace(free=free_bytes))
    with pytest.raises(OutputError, match=r"full: 0 of 3 files are finished; .* --skip-existing"):
        render_all(jobs_of(tmp_path, 3), render, quiet=True)
    assert started == ["0.png"]


def test_render_all_ends_with_the_reader_of_standard_output(tmp_path, capsys):
    started = []

    def render(job):
        started.append(job.input)
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    with pytest.raises(BrokenPipeError):
        render_all(jobs_of(tmp_path, 3), render, quiet=True)
    assert started == ["0.png"] and "bug" not in capsys.readouterr().err


def test_render_all_takes_no_name_of_a_file_for_a_full_disk(tmp_path):
    jobs = [replace(job, input="No space left on device.png") for job in jobs_of(tmp_path, 3)]
    with pytest.raises(VidstyleError, match=r"3 of 3 failed: .*\.png$"):  # there are no others
        render_all(jobs, lambda job: job.open_source(), quiet=True)


def test_render_all_checks_and_opens_nothing_before_its_turn(tmp_path):
    """500 inputs that do not exist: one at a time is looked at, and of many that fail only some are
    named at the end."""
    opened = []

    def render(job):
        assert len(opened) == int(job.input.split(".")[0])
        opened.append(job)
        with job.open_source():
            pass

    with pytest.raises(VidstyleError, match=r"500 of 500 failed: 0.png, .*, 19.png and 480 more"):
        render_all(jobs_of(tmp_path, 500), render, quiet=True)


def test_expand_folders_leaves_other_names_as_they_are(folder):
    names = ["frame_%03d.png", "-", "https://there/clip.mp4", "nothing.xyz"]
    assert expand_folders(names) == names
    assert expand_folders(["x.mp4", "photos"]) == [
        "x.mp4",
        *(f"photos/{name}" for name in ("C.PNG", "a.jpg", "b.png", "clip.avi")),
    ]


@pytest.mark.parametrize(
    "names, output, several, expected",
    [
        (["a.mp4"], "out.mp4", False, False),
        (["a.mp4"], "out.mp4", True, False),
        (["a.mp4"], "f_%03d.png", True, False),
        (["a.mp4"], "-", True, False),
        (["a.mp4"], "new", True, True),
        (["a.mp4", "b.mp4"], "new", True, True),
        (["photos"], "new", False, True),
        (["a.mp4"], "photos", True, True),
    ],
)
def test_output_is_folder_for_several_inputs(folder, names, output, several, expected):
    assert output_is_folder(names, output, several) is expected


def test_progress_display_shows_the_batch_before_the_file(capsys, monkeypatch):
    clock = itertools.count(0, 10)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with ProgressDisplay("file", 500) as files:
        files.show(36)
        with ProgressDisplay("frame", 10, parent=files) as frames:
            frames.show(5)
            frames.show(10)
        files.show(37)
    lines = capsys.readouterr().err.splitlines()
    assert any(
        line.startswith("file 36/500  ") and "ETA" in line and "frame 5/10" in line
        for line in lines
    )
    assert lines[-1].startswith("file 37/500  ") and "ETA" in lines[-1]


def test_progress_display_of_a_batch_on_a_terminal_is_two_bars(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with ProgressDisplay("file", 500) as files:
        files.show(36)
        with ProgressDisplay("frame", 10, parent=files) as frames:
            frames.show(5)
            files._bar.refresh()
    err = capsys.readouterr().err
    assert "36/500" in err and "5/10" in err


def test_progress_display_continues_where_it_cannot_be_written(monkeypatch):
    def full(*text, **options):
        raise OSError(28, "No space left on device")

    display = ProgressDisplay("frame", 1)
    monkeypatch.setattr(display._console, "print", full)
    display.show(1)


def test_names_text_shortens_long_lists():
    assert inputs.names_text([f"{number}" for number in range(22)]).endswith("18, 19 and 2 more")


def test_render_refuses_two_inputs_of_one_output_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b", "out"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(f"{folder}/x.png", np.zeros((48, 64, 3), np.uint8))
    assert cli.main(["render", "a/x.png", "b/x.png", "--style", "ink", "-o", "out", "-y"]) == 1
    assert "would both become out/x.png" in capsys.readouterr().err
