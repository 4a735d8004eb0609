"""Renders that end before their time, and go on."""

import os
import resource
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import FAST_SETTINGS, QUICK_FLAGS, SECONDS, scene, times_of, until, write_clip

from vidstyle import (
    Encoding,
    Frame,
    OutputError,
    Settings,
    Stylizer,
    cli,
    open_sink,
    open_source,
    run,
)

RATE = Fraction(12)


def two_shots(moment):
    """``scene`` until 2.8 seconds, then something else that moves too."""
    return scene(moment) if moment < 2.8 else 255 - np.roll(scene(moment), 20, 0)


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    return write_clip(
        tmp_path_factory.mktemp("shots") / "in.mp4",
        count=77,
        rate=RATE,
        picture=two_shots,
        sounds=1,
    )


class CrashError(Exception):
    """Nothing is closed after it, as after a kill."""


def paint(clip, output, features, style, crash_at=None, resume=False, **settings):
    """Render, or stop dead before a frame."""
    painter = Stylizer(
        features,
        style,
        Settings(working_size=64, initial_steps=2, steps=1, **FAST_SETTINGS, **settings),
    )
    calls = resumed = 0
    with open_source(clip) as source:
        sink = open_sink(output, source, encoding=Encoding(crf=10), job={"steps": 1}, resume=resume)
        resumed = sink.resumed.frames if sink.resumed else 0

        def controls(stylizer, report):
            nonlocal calls
            if resumed + report.frames == crash_at:
                raise CrashError
            calls = report.frames

        try:
            run(source, painter, [sink], controls, resume=sink.resumed)
        except CrashError:
            sink.abandon()  # as the system does after a kill
            raise
        sink.close()
    return calls


@pytest.fixture(scope="module")
def whole(shots, features, style, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    paint(shots, output, features, style)
    return output.read_bytes()


@pytest.mark.parametrize("crash_at", [27, 35, 76])
def test_resume_equals_an_undisturbed_render(shots, features, style, whole, tmp_path, crash_at):
    output = tmp_path / "out.mp4"
    with pytest.raises(CrashError):
        paint(shots, output, features, style, crash_at)
    assert not output.exists()
    segments = sorted(path.name for path in (tmp_path / "out.part").glob("0*[0-9].mp4"))
    # Segments end at the cut, and with the first window of 32 frames after two seconds.
    ends = 32, 34, 34 + 32
    assert len(segments) == sum(crash_at > end for end in ends)
    for segment in segments:
        assert times_of(tmp_path / "out.part" / segment)
    painted = paint(shots, output, features, style, resume=True)
    assert painted == 77 - max(end for end in (0, *ends) if end == 0 or crash_at > end)
    assert output.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_resume_survives_two_crashes(shots, features, style, whole, tmp_path):
    for crash_at, resume in ((30, False), (31, True), (67, True)):
        with pytest.raises(CrashError):
            paint(shots, tmp_path / "out.mp4", features, style, crash_at, resume)
    paint(shots, tmp_path / "out.mp4", features, style, resume=True)
    assert (tmp_path / "out.mp4").read_bytes() == whole


def test_resume_falls_back_to_the_previous_checkpoint(shots, features, style, whole, tmp_path):
    with pytest.raises(CrashError):
        paint(shots, tmp_path / "out.mp4", features, style, 67)
    newest = max((tmp_path / "out.part").glob("*.safetensors"))
    data = bytearray(newest.read_bytes())
    data[-20] ^= 1
    newest.write_bytes(data)
    assert paint(shots, tmp_path / "out.mp4", features, style, resume=True) == 77 - 34
    assert (tmp_path / "out.mp4").read_bytes() == whole


def test_video_writer_names_a_part_only_when_complete(
    shots, features, style, whole, tmp_path, monkeypatch
):
    """Whatever ends the program while segments are joined leaves nothing that cannot be played."""
    there = []

    def broken_off(segments, source, path, *rest):
        path.write_bytes(b"half of it")
        there.extend(
            sorted(file.name for file in tmp_path.iterdir() if not file.name.startswith("."))
        )
        raise CrashError

    with monkeypatch.context() as patched:
        patched.setattr("vidstyle.io.video_writer.join", broken_off)
        with pytest.raises(CrashError):
            paint(shots, tmp_path / "out.mp4", features, style)
    assert there == ["out.part"]
    (tmp_path / "out.part" / "joined.mp4").write_bytes(b"half of it")  # as after a kill
    assert paint(shots, tmp_path / "out.mp4", features, style, resume=True) == 77 - 66
    assert (tmp_path / "out.mp4").read_bytes() == whole
    assert not (tmp_path / "out.part").exists()


def test_resume_without_checkpoint_starts_anew(shots, features, style, whole, tmp_path):
    assert paint(shots, tmp_path / "out.mp4", features, style, resume=True) == 77
    assert (tmp_path / "out.mp4").read_bytes() == whole


def test_resume_refuses_another_job(shots, tmp_path):
    with open_source(shots) as source:
        sink = open_sink(tmp_path / "out.mp4", source, job={"steps": 1, "style": "a"})
        sink.send(Frame(scene(), Fraction(0), 1 / RATE))
        sink.abandon()
        difference = 'steps was 1 and is now 2; style was "a" and is now "b"'
        with pytest.raises(OutputError, match=difference):
            open_sink(tmp_path / "out.mp4", source, job={"steps": 2, "style": "b"}, resume=True)
        with pytest.raises(OutputError, match="encoder options was"):
            open_sink(
                tmp_path / "out.mp4",
                source,
                encoding=Encoding(crf=30),
                job={"steps": 1, "style": "a"},
                resume=True,
            )
        with pytest.raises(OutputError, match="use resume=True"):
            open_sink(tmp_path / "out.mp4", source, job={"steps": 1, "style": "a"})
        with pytest.raises(OutputError, match="add overwrite=True to replace it"):
            open_sink(tmp_path / "out.mp4", source)


@pytest.fixture
def vidstyle(features_file, tmp_path, monkeypatch, capsys):
    """``render`` in an empty folder; returns (exit code, stderr)."""
    monkeypatch.chdir(tmp_path)

    def render(*arguments):
        code = cli.main(
            ["render", *QUICK_FLAGS, "--features", str(features_file), *map(str, arguments)]
        )
        _, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, err

    return render


STOPPING = """
import os, signal
from vidstyle.io.checkpoints import SegmentFolder
save = SegmentFolder.save
def save_and_stop(folder, checkpoint):
    save(folder, checkpoint)
    if len(folder.segments) == {}:
        SegmentFolder.save = save
        os.kill(os.getpid(), signal.SIGSTOP)
SegmentFolder.save = save_and_stop
from vidstyle.__main__ import program
program()
"""
"""The command, which stops when it has written so many segments: it waits for the test."""


def start(features_file, *arguments, folder, segments):
    """A render in another process, which is stopped after some segments."""
    command = [
        sys.executable,
        "-c",
        STOPPING.format(segments),
        "render",
        *QUICK_FLAGS,
        "--features",
        features_file,
        *arguments,
    ]
    process = subprocess.Popen(
        [str(word) for word in command], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    flags = os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG
    assert until(lambda: os.waitid(os.P_PID, process.pid, flags)).si_code == os.CLD_STOPPED
    return process


def test_resume_command_after_a_kill(vidstyle, features_file, shots, style_file, tmp_path):
    assert vidstyle(shots, style_file, "-o", "whole.mp4")[0] == 0
    Path("out.mp4").write_bytes(b"precious")
    arguments = shots, style_file, "-o", "out.mp4", "-y"
    process = start(features_file, *arguments, folder=tmp_path, segments=2)
    process.kill()
    process.wait()
    assert Path("out.mp4").read_bytes() == b"precious"
    code, err = vidstyle(shots, style_file, "-o", "out.mp4", "--resume")
    assert code == 1 and "add -y to replace it" in err
    Path("out.mp4").unlink()
    code, err = vidstyle(shots, style_file, "-o", "out.mp4")
    assert code == 1 and "use --resume" in err
    code, err = vidstyle(shots, style_file, "-o", "out.mp4", "--resume", "--tv-weight", "0.2")
    assert code == 1 and "tv_weight was 0.6 and is now 0.2" in err
    before = style_file.read_bytes()
    style_file.write_bytes(before + b"more")
    code, err = vidstyle(shots, style_file, "-o", "out.mp4", "--resume")
    assert code == 1 and "stripes.png was" in err
    style_file.write_bytes(before)
    Path("out.mp4").write_bytes(b"precious")
    code, err = vidstyle(shots, style_file, "-o", "out.mp4", "--resume", "-y")
    assert code == 0 and "out.mp4: resumed after" in err and "frame 77/77" in err
    assert Path("out.mp4").read_bytes() == Path("whole.mp4").read_bytes()
    assert not Path("out.part").exists()


def test_render_refuses_a_locked_output(vidstyle, features_file, shots, style_file, tmp_path):
    arguments = shots, style_file, "-o", "out.mp4"
    first = start(features_file, *arguments, folder=tmp_path, segments=1)  # it holds its lock
    try:
        for flags in ([], ["-y"], ["--resume"], ["--resume", "-y"]):
            code, err = vidstyle(shots, style_file, "-o", "out.mp4", *flags)
            assert (
                code == 1
                and len(err.splitlines()) == 1
                and "out.mp4 is being written by another program" in err
            )
    finally:
        first.kill()
        first.wait()
    code, err = vidstyle(
        shots, style_file, "-o", "out.mp4", "--resume"
    )  # the killed one holds no lock
    assert code == 0 and "out.mp4: resumed after" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "stripes.png"]


def test_resume_command_after_an_interrupt(vidstyle, features_file, shots, style_file, tmp_path):
    arguments = shots, style_file, "-o", "out.mp4", "-y"
    process = start(features_file, *arguments, folder=tmp_path, segments=1)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=SECONDS) == 130
    assert (
        "so far are in out.part.mp4; the same command with --resume resumes it"
        in process.stderr.read()
    )
    assert times_of(tmp_path / "out.part.mp4")
    assert vidstyle(shots, style_file, "-o", "out.mp4", "--resume")[0] == 0
    assert times_of("out.mp4") == times_of(shots)
    assert not Path("out.part.mp4").exists() and not Path("out.part").exists()


def test_resume_after_a_full_disk(vidstyle, shots, style_file):
    """Files are limited to what segments need: the whole does not fit. Python ignores the signal,
    and writing fails."""
    large = ["--size", "128", "-crf", "0"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert vidstyle(shots, style_file, "-o", "whole.mp4", *large)[0] == 0
    try:
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (Path("whole.mp4").stat().st_size - 10_000, before[1])
        )
        code, err = vidstyle(shots, style_file, "-o", "out.mp4", *large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1 and "free some space" in err and not Path("out.mp4").exists()
    code, err = vidstyle(shots, style_file, "-o", "out.mp4", "--resume", *large)
    assert code == 0 and "resumed after 66 frames" in err
    assert Path("out.mp4").read_bytes() == Path("whole.mp4").read_bytes()
