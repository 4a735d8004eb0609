"""The work list of a render whose shots are stylised apart: what it calls done is done."""

import errno
import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from conftest import FAST_SETTINGS, QUICK
from test_ranges import packets_of, three_shots

from vidstyle import OutputError, Stylizer
from vidstyle.distributed.outputs import open_output
from vidstyle.distributed.shot_list import ScanRange, scan
from vidstyle.distributed.tasks import render_shot
from vidstyle.io import shot_folder
from vidstyle.io.mux import Segment
from vidstyle.io.range_writer import EncodedSegment
from vidstyle.io.shot_folder import Shot, ShotFolder
from vidstyle.job import RenderJob

JOB = {"style": "ink", "threads": 1}
SHOTS = [Shot(0, 3, Fraction(0)), Shot(3, 5, Fraction(3, 25), 2), Shot(5, 6, Fraction(1, 5), 4, 16)]


@pytest.fixture
def folder(tmp_path):
    """A folder of three shots, of which the first and the last are done."""
    made = ShotFolder(tmp_path / "out.mp4", ".mp4")
    made.create(JOB, SHOTS)
    made.add(0, [EncodedSegment(b"two frames", 2), EncodedSegment(b"one frame", 1)])
    made.add(2, [EncodedSegment(b"last", 1)])
    return made


def loaded(tmp_path, job=JOB):
    found = ShotFolder(tmp_path / "out.mp4", ".mp4")
    assert found.load(job)
    return found


def test_work_list_says_what_is_done_and_what_waits(folder, tmp_path):
    entries = json.loads((tmp_path / "out.part" / "shots.json").read_text())
    assert entries["frames"] == 6
    assert [entry["state"] for entry in entries["shots"]] == ["done", "waiting", "done"]
    assert [entry["frames"] for entry in entries["shots"]] == [3, 2, 1]
    assert loaded(tmp_path).shots == folder.shots
    assert [replace(shot, segments=()) for shot in folder.shots] == SHOTS
    segments, end = folder.segments_so_far()
    assert [segment.frames for segment in segments] == [2, 1] and end == Fraction(3, 25)
    with pytest.raises(OutputError, match="frames 3 to 4 are not stylised"):
        folder.segments()


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"cut")])
def test_shot_whose_file_is_missing_or_cut_is_done_again(folder, tmp_path, harm):
    harm(tmp_path / "out.part" / "000000-000001.mp4")
    assert [shot.done for shot in loaded(tmp_path).shots] == [False, False, True]


def test_shot_with_another_number_of_frames_is_an_error(folder):
    with pytest.raises(OutputError, match="frames 3 to 4 became 1 frames instead of 2"):
        folder.add(1, [EncodedSegment(b"one", 1)])
    assert not folder.shots[1].done


def test_work_list_of_another_job_or_damaged_is_refused(folder, tmp_path):
    with pytest.raises(OutputError, match='style was "ink" and is now "oil"'):
        loaded(tmp_path, {**JOB, "style": "oil"})
    listed = tmp_path / "out.part" / "shots.json"
    document = json.loads(listed.read_text())
    del document["shots"][1]
    for text in ("{", json.dumps(document), '{"shots": [{"first": 0}]}'):
        listed.write_text(text)
        with pytest.raises(OutputError, match="is damaged: restart with overwrite=True"):
            loaded(tmp_path)


def test_folder_removes_its_own_files_only(folder, tmp_path):
    foreign = tmp_path / "out.part" / "000009-000000.mp4"
    foreign.write_bytes(b"of somebody else")
    with pytest.raises(OutputError, match=r"000009-000000\.mp4 belongs to no unfinished render"):
        folder.check(may_replace=True)
    folder.remove()
    assert list((tmp_path / "out.part").iterdir()) == [foreign]


def test_full_disk_of_the_driver_keeps_the_shots_before(folder, tmp_path, monkeypatch):
    def no_space(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shot_folder, "write_file", no_space)
    with pytest.raises(OSError, match="No space left"):
        folder.add(1, [EncodedSegment(b"two", 2)])
    assert [shot.done for shot in loaded(tmp_path).shots] == [True, False, True]


def test_output_of_shots_refuses_a_segment_with_fewer_frames(features, style, tmp_path):
    job = RenderJob(three_shots(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    settings = replace(QUICK, initial_steps=2, steps=1, **FAST_SETTINGS)
    output = open_output(job, settings, None, 1)
    output.scanned([scan(job, ScanRange())])
    output.begin()
    for shot, _ in output.tasks():
        output.accept(shot, render_shot(job, Stylizer(features, style, settings), shot))
    first, *others = output._folder.segments()
    wrong = [Segment(first.path, frames=first.frames + 1), *others]
    output._folder.segments = lambda: wrong
    with pytest.raises(OutputError, match="holds 30 frames instead of 31: delete the file"):
        output.finish()
    del output._folder.segments
    output.finish()
    output.release()
    assert len(packets_of(tmp_path / "out.mp4")[0]) == 100


def test_plain_render_and_render_of_shots_do_not_resume_each_other(folder, tmp_path):
    from vidstyle.io.checkpoints import SegmentFolder

    with pytest.raises(OutputError, match="whose shots are stylised apart"):
        SegmentFolder(tmp_path / "out.mp4", ".mp4").find_checkpoint(JOB)
    plain = SegmentFolder(tmp_path / "plain.mp4", ".mp4")
    plain.begin(JOB)
    with pytest.raises(OutputError, match="finish it without Ray"):
        ShotFolder(tmp_path / "plain.mp4", ".mp4").load(JOB)
