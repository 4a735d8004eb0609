"""Recordings of a live session: start, stop, errors, killed processes."""

import subprocess
import sys
import threading
from fractions import Fraction

import pytest
from conftest import SECONDS, scene, times_of, until

from vidstyle import Frame, OutputError, VideoInfo
from vidstyle.io.direct_writer import DirectWriter
from vidstyle.live.recorder import Recorder
from vidstyle.runtime.worker import Worker

INFO = VideoInfo((64, 48), time_base=Fraction(1, 100))


def recording_frames(count, rate=10):
    return [
        Frame(scene(number / rate), Fraction(number, rate), Fraction(1, rate))
        for number in range(count)
    ]


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm", ".gif"])
def test_recorder_writes_between_start_and_stop(tmp_path, ending):
    recorder, path = Recorder(INFO), tmp_path / f"out{ending}"
    frames = recording_frames(6)
    recorder.send(frames[0])
    recorder.start(path)
    for frame in frames[2:5]:
        recorder.send(frame)
    recorder.close()
    recorder.send(frames[5])
    recorder.close()
    assert times_of(path) == [Fraction(number, 10) for number in range(3)]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_recorder_completes_file_during_next_recording(tmp_path, monkeypatch):
    finish, messages, may_finish = DirectWriter.close, [], threading.Event()
    monkeypatch.setattr(
        DirectWriter, "close", lambda self: may_finish.wait(SECONDS) and finish(self)
    )
    monkeypatch.setattr("vidstyle.live.recorder.FINISH_MESSAGE_SECONDS", 0.01)
    recorder = Recorder(INFO, notify=lambda text, error: messages.append(text))
    for name in ("first.mp4", "second.mp4"):
        recorder.start(tmp_path / name)
        assert recorder.running
        for frame in recording_frames(3):
            recorder.send(frame)
        recorder.stop()
        assert not recorder.running and not (tmp_path / name).exists()
    closing = Worker(lambda stage: recorder.close(), "closing")
    until(lambda: "waiting for a recording to be completed" in messages)
    may_finish.set()
    closing.join(SECONDS)
    for name in ("first.mp4", "second.mp4"):
        assert len(times_of(tmp_path / name)) == 3 and f"recorded: {tmp_path / name}" in messages


def test_recorder_write_error_ends_recording_only(tmp_path, monkeypatch):
    def fails(self, frame):
        raise OutputError("cannot write out.mp4: free some space")

    messages = []
    recorder = Recorder(INFO, notify=lambda text, error: messages.append((text, error)))
    recorder.start(tmp_path / "out.mp4")
    monkeypatch.setattr(DirectWriter, "send", fails)
    for frame in recording_frames(2):
        recorder.send(frame)
    assert not recorder.running and messages[1] == ("cannot write out.mp4: free some space", True)
    with pytest.raises(OutputError, match="free some space"):
        recorder.close()
    for name, reason in (
        ("out.txt", "has an unsupported extension"),
        ("nowhere/out.mp4", "does not exist"),
    ):
        with pytest.raises(OutputError, match=reason):
            recorder.start(tmp_path / name)


def test_recorder_two_recordings_of_one_name(tmp_path):
    path, frames = tmp_path / "out.mp4", recording_frames(4)
    first, second = (Recorder(INFO) for _ in range(2))
    first.start(path)
    with pytest.raises(OutputError, match=r"out.mp4 is being written by another program"):
        second.start(path)
    for frame in frames:
        first.send(frame)
        second.send(frame)
    for recorder in (first, second):
        recorder.close()
    assert len(times_of(path)) == 4 and list(tmp_path.iterdir()) == [path]


KILLED = """
import os, sys, time
from fractions import Fraction
from pathlib import Path
import numpy as np
from vidstyle.live.recorder import Recorder
from vidstyle.io.stream_info import VideoInfo
from vidstyle.io.frame import Frame
recorders = [Recorder(VideoInfo((64, 48), time_base=Fraction(1, 100))) for _ in sys.argv[1:]]
for recorder, name in zip(recorders, sys.argv[1:]):
    recorder.start(Path(name))
    for number in range(60):
        recorder.send(Frame(np.full((48, 64, 3), 4 * number, np.uint8), Fraction(number, 10)))
os.kill(os.getpid(), 9)
"""


def test_recorder_killed_process_loses_two_seconds_at_most(tmp_path, caplog):
    paths, parts = (
        [tmp_path / f"out{middle}{ending}" for ending in (".mp4", ".mkv", ".webm")]
        for middle in ("", ".part")
    )
    command = [sys.executable, "-c", KILLED, *map(str, paths)]
    assert subprocess.run(command, check=False).returncode == -9
    for path, part in zip(paths, parts, strict=True):
        assert times_of(part)[-1] >= Fraction(59, 10) - 2
        before = part.read_bytes()
        recorder = Recorder(INFO)
        recorder.start(path, overwrite=True)
        assert f"{part} is an interrupted recording, which players can read" in caplog.text
        for frame in recording_frames(3):
            recorder.send(frame)
        recorder.close()
        assert len(times_of(path)) == 3 and part.read_bytes() == before
